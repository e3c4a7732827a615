"""`cnnc info` and `cnnc where`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnx
import pytest

from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import Cnnc, codes, foreign_model, json_of, run
from tests.cli.nets import NETS
from tests.paths import DOCS


@pytest.mark.parametrize("name", NETS)
def test_info(deployed: Path, name: str) -> None:
    path = deployed / f"{name}.onnx"
    info = json_of(run("info", path, "--json", cwd=deployed))
    network = checkpoints.load(checkpoints.find(deployed / name)).network()
    graph = network.require_graph()
    assert info["bytes"] == path.stat().st_size
    assert info["name"] == network.name
    assert info["source"]["sha256"] == network.sha256
    assert info["source"]["matches"]
    assert (info["opsets"], info["ir"]) == ({"ai.onnx": 17}, 8)
    assert [(e["name"], e["shape"][1:]) for e in info["inputs"]] == [(n.name, list(n.type.shape)) for n in graph.inputs]
    keys = {"mean", "std", "range", "layout", "kind", "inside", "dtype"}
    assert [keys - e.keys() for e in info["inputs"]] == [set()] * len(graph.inputs)
    assert [e["name"] for e in info["outputs"]] == list(graph.outputs)
    assert (info["parameters"], info["macs"]) == (graph.total_parameters, graph.total_macs)
    assert network.recipe is not None
    assert info["data"]["path"] == network.recipe.data.path
    assert info["versions"].keys() == {"cnnc", "numpy", "onnx", "onnxruntime"}
    kept = json.loads((deployed / name / "test.json").read_text())
    assert info["trained"]["test"] == {k: v for k, v in kept.items() if k != "epoch"}
    shown = run("info", path, cwd=deployed).stdout
    assert shown.startswith(f"{path}: {network.name}, {path.stat().st_size:,} bytes\n")
    for entry in info["inputs"]:
        assert re.search(rf"^  input {entry['name']} ", shown, re.MULTILINE)
    assert run("info", path, "--source", cwd=deployed).stdout == NETS[name]


def test_inputs_are_described(deployed: Path) -> None:
    def inputs(name: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = json_of(run("info", f"{name}.onnx", "--json", cwd=deployed))["inputs"]
        return entries

    (picture,) = inputs("pictures")
    assert (picture["kind"], picture["range"], picture["layout"]) == ("picture", [0, 1], "N, C, H, W")
    assert picture["inside"] == ["normalize mean=[0.5] std=[0.25]"]
    left, right = inputs("pairs")
    assert left["kind"] == right["kind"] == "words"
    assert left["range"] == [0, 39]
    assert (left["words"]["padding"], left["words"]["unknown"], left["words"]["first"]) == (0, 1, 2)
    (wave,) = inputs("waves")
    assert (wave["kind"], wave["range"], wave["layout"]) == ("values", None, "N, C, T")
    shown = run("info", "pictures.onnx", cwd=deployed).stdout
    assert "grey images, N, C, H, W; scaled to 0..1, bytes divided by 255; normalize" in shown
    assert "is part of the model; no other normalization" in shown
    assert "includes library.cnn" in shown


def test_deploy_md_names_every_key(deployed: Path) -> None:
    text = (DOCS / "deploy.md").read_text(encoding="utf-8")
    info = json_of(run("info", "pairs.onnx", "--json", cwd=deployed))
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(rows))) == sorted(info)
    inner = ("source", "data", "trained")
    keys = {key for name in inner for key in info[name]} | {key for e in info["inputs"] + info["outputs"] for key in e}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_foreign_models(cnnc: Cnnc, tmp_path: Path) -> None:
    foreign_model(tmp_path / "theirs.onnx", author="somebody")
    done = cnnc("info", "theirs.onnx")
    assert done.returncode == 0
    assert "opset 17, com.example 2, IR 8" in done.stdout
    assert "float32 batch x 3 x height x ?" in done.stdout
    assert "author" in done.stdout
    info = json_of(cnnc("info", "theirs.onnx", "--json"))
    assert (info["source"], info["classes"], info["trained"]) == (None, [], None)
    for words in (("info", "theirs.onnx", "--source"), ("where", "theirs.onnx"), ("where", "theirs.onnx", "y")):
        done = cnnc(*words)
        assert (done.returncode, codes(done.stderr)) == (3, ["E611"])
    done = cnnc("eval", "theirs.onnx")
    assert (done.returncode, codes(done.stderr)) == (3, ["E611"])


def test_where(deployed: Path) -> None:
    done = run("where", "pictures.onnx", "first.bn1", cwd=deployed)
    assert done.stdout.splitlines() == [
        "first.bn1: Conv node",
        "  --> library.cnn:2:44",
        "   |",
        " 2 | block unit(w) { conv w k=3 p=1 bias=false; bn; relu }",
        "   |                                            ^^",
        "   = in block unit, called at pictures.cnn:5",
    ]
    for name, what in [
        ("first.conv1", "folded into another layer, or not needed"),
        ("first.conv1.weight", "weights of the layer first.conv1"),
        ("fc1.flat", "Flatten node of the layer fc1"),
        ("input1", "an input"),
    ]:
        assert run("where", "pictures.onnx", name, cwd=deployed).stdout.startswith(f"{name}: {what}\n")
    done = run("where", "pictures.onnx", "first.bn2", cwd=deployed)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "did you mean `first.bn1`" in done.stderr


def test_where_all(deployed: Path) -> None:
    model = onnx.load(deployed / "pictures.onnx")
    lines = run("where", "pictures.onnx", cwd=deployed).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [node.name for node in model.graph.node]
    listed = json_of(run("where", "pictures.onnx", "--json", cwd=deployed))
    assert [entry["operator"] for entry in listed] == [node.op_type for node in model.graph.node]
    relu = next(entry for entry in listed if entry["layer"].startswith("unit") and entry["operator"] == "Relu")
    assert (relu["line"], relu["text"]) == (2, "relu")
    assert [(c["text"], c["line"]) for c in relu["calls"]] == [("block unit", 6)]
