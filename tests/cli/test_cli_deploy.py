"""Exported models in the hands of their users: info, where, predict, eval and bench, for networks of every kind."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import cnnc
from cnnc.data import load
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import open_data
from cnnc.training.objective import Objective
from tests.cli.conftest import Cnnc, codes, run
from tests.cli.nets import NETS, write_nets
from tests.commands import environment
from tests.paths import DOCS

pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the networks and data of nets.py, their runs, and their models. Tests write elsewhere."""
    folder = tmp_path_factory.mktemp("deployed")
    write_nets(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNC_THREADS", "1")  # as the commands below run: the last bits of a loss depend on it
        for name in NETS:
            cnnc.train(cnnc.load(folder / f"{name}.cnn"), folder / name, data=folder)
            cnnc.export(folder / name, folder / f"{name}.onnx")
    (folder / "library.cnn").unlink()  # runs and models hold what they include
    return folder


def found(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- eval ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_a_model_scores_as_its_run_does(deployed: Path, name: str) -> None:
    of_run = found(run("eval", name, "--json", cwd=deployed))
    of_model = found(run("eval", f"{name}.onnx", "--json", cwd=deployed))
    assert of_model["data"] == of_run["data"]
    assert (of_model["right"], of_model["total"]) == (of_run["right"], of_run["total"])
    assert of_model.get("confusion") == of_run.get("confusion")
    kept = json.loads((deployed / name / "test.json").read_text())
    for key, value in kept.items():
        if key != "epoch":
            assert of_run[key] == pytest.approx(value, rel=1e-12), key
            assert of_model[key] == pytest.approx(value, rel=2e-4), key


def test_the_words_are_those_of_the_run(deployed: Path) -> None:
    runs, model = (run("eval", name, cwd=deployed).stdout for name in ("maps", "maps.onnx"))
    first = runs.splitlines()[0]
    assert first.startswith("npz: test iou ")
    assert ", accuracy " in first
    assert model == first.partition(", loss")[0] + " on cpu\n"


def test_eval_where_the_data_have_moved(deployed: Path, tmp_path: Path) -> None:
    for name in ("words.onnx", "reviews.tsv"):
        shutil.copy(deployed / name, tmp_path / name)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "reviews.tsv").rename(tmp_path / "elsewhere" / "reviews.tsv")
    done = run("eval", "words.onnx", cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (3, ["E603"])
    assert run("eval", "words.onnx", "--data", "elsewhere", cwd=tmp_path).stdout.startswith("text: test accuracy")


def test_words_keep_the_numbers_they_were_trained_with(deployed: Path, tmp_path: Path) -> None:
    """Data of other sentences would number words otherwise."""
    lines = (deployed / "reviews.tsv").read_text().splitlines()
    more = [f"{line}\t".replace("\t", "\tnew words come first, ", 1).rstrip("\t") for line in lines]
    (tmp_path / "reviews.tsv").write_text("\n".join(more))
    for source in ("words", "words.onnx"):
        done = run("eval", deployed / source, "--data", tmp_path, "--json", cwd=tmp_path)
        assert found(done)["accuracy"] > 0.8, "the words that it knows are still in sight"


def test_other_classes_are_refused(deployed: Path, tmp_path: Path) -> None:
    text = (deployed / "waves.csv").read_text().replace("fast", "zz-fast")
    (tmp_path / "waves.csv").write_text(text)
    done = run("eval", deployed / "waves.onnx", "--data", tmp_path, cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (3, ["E609"])
    assert "slow, zz-fast" in done.stderr


def test_a_part_without_the_output_that_is_scored(deployed: Path, tmp_path: Path) -> None:
    assert run("export", deployed / "coder", "--outputs", "code", "-o", "code.onnx", cwd=tmp_path).returncode == 0
    done = run("eval", "code.onnx", cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (3, ["E609"])
    assert "picture" in done.stderr


def test_the_scores_before_softmax_do_as_well(deployed: Path, tmp_path: Path) -> None:
    assert run("export", deployed / "waves", "--outputs", "fc1", "-o", "scores.onnx", cwd=tmp_path).returncode == 0
    scored = found(run("eval", "scores.onnx", "--data", deployed, "--json", cwd=tmp_path))
    whole = found(run("eval", "waves.onnx", "--json", cwd=deployed))
    assert scored["right"] == whole["right"]
    assert scored["loss"] == pytest.approx(whole["loss"], rel=1e-5)


# --- predict ---------------------------------------------------------------------------------------------------


def tops(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [example["top"][0]["class"] for example in found(done)]


def test_sentences(deployed: Path, tmp_path: Path) -> None:
    model = deployed / "words.onnx"
    done = run("predict", model, "--text", "a warm and fine film!", "--text", "cold dull", cwd=tmp_path)
    assert [line.split()[-4] for line in done.stdout.splitlines()] == ["pos", "neg"]
    assert "--text: not in the vocabulary: and, !" in done.stderr
    (tmp_path / "lines.txt").write_text("a warm fine film\n\ncold, dull\n")
    assert tops(run("predict", model, "lines.txt", "--json", cwd=tmp_path)) == ["pos", "neg"]
    piped = subprocess.run(
        [sys.executable, "-m", "cnnc", "predict", str(model), "-", "--json"],
        input="a warm fine film\ncold, dull\n",
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert [example["top"][0]["class"] for example in json.loads(piped.stdout)] == ["pos", "neg"]


@pytest.mark.parametrize(("name", "data"), [("words", "reviews.tsv"), ("pairs", "pairs.tsv"), ("waves", "waves.csv")])
def test_a_file_of_training_data_is_read_as_in_training(deployed: Path, name: str, data: str) -> None:
    """As many of its answers are right as the trainer counts, in NumPy, over both shares of the data."""
    separator = "," if data.endswith("csv") else "\t"
    truth = [line.split(separator)[0] for line in (deployed / data).read_text().splitlines()]
    answers = tops(run("predict", f"{name}.onnx", data, "--json", cwd=deployed))
    saved = checkpoints.load(checkpoints.find(deployed / name))
    network = saved.network()
    opened = open_data(network, deployed, lambda line: None)
    assert network.recipe is not None
    objective = Objective(network.require_graph(), network.recipe, opened)
    right = sum(objective.evaluate(saved.weights, share).right for share in (opened.train, opened.test))
    assert sum(a == b for a, b in zip(answers, truth, strict=True)) == right


def test_series_with_and_without_labels_and_as_arrays(deployed: Path, tmp_path: Path) -> None:
    lines = (deployed / "waves.csv").read_text().splitlines()[:4]
    bare = [line.split(",", 1)[1] for line in lines]
    (tmp_path / "labelled.csv").write_text("label,values\n" + "\n".join(lines))
    (tmp_path / "bare.csv").write_text("\n".join(bare))
    values = np.array([[float(v) for v in line.split(",")] for line in bare], np.float32)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", x=values[:, None], y=np.zeros(4, np.int64))
    model = deployed / "waves.onnx"
    results = [
        [example["top"] for example in found(run("predict", model, name, "--json", cwd=tmp_path))]
        for name in ("labelled.csv", "bare.csv", "a.npy", "b.npz")
    ]
    assert all(result == results[0] for result in results[1:])
    assert len(results[0]) == 4


def test_two_inputs(deployed: Path, tmp_path: Path) -> None:
    model = deployed / "pairs.onnx"
    (tmp_path / "l.txt").write_text("a warm fine film\ncold dull\n")
    (tmp_path / "r.txt").write_text("a funny film\nwarm film\n")
    (tmp_path / "both.tsv").write_text("a warm fine film\ta funny film\ncold dull\twarm film\n")
    words = ("predict", model, "--json")
    apart = found(run(*words, "--input", "right=r.txt", "--input", "left=l.txt", cwd=tmp_path))
    together = found(run(*words, "both.tsv", cwd=tmp_path))
    typed = found(run(*words, "--text", "cold dull\twarm film", cwd=tmp_path))
    assert [e["top"] for e in apart] == [e["top"] for e in together]
    assert typed[0]["top"] == together[1]["top"]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        ((), 2, "E010"),
        (("--input", "left=l.txt"), 2, "E010"),
        (("--input", "left"), 2, "E010"),
        (("--input", "lef=l.txt", "--input", "right=l.txt"), 2, "E010"),
        (("--input", "left=l.txt", "--input", "right=two.txt"), 3, "E608"),
        (("--input", "left=nowhere.txt", "--input", "right=l.txt"), 6, "E901"),
        (("l.txt",), 3, "E608"),
        (("a.npy",), 3, "E608"),
        (("--text", "no tab"), 3, "E608"),
        (("--text", "\t"), 3, "E608"),
    ],
)
def test_what_two_inputs_cannot_be(
    deployed: Path, tmp_path: Path, words: tuple[str, ...], status: int, code: str
) -> None:
    (tmp_path / "l.txt").write_text("a film\n")
    (tmp_path / "two.txt").write_text("a film\na film\n")
    np.save(tmp_path / "a.npy", np.zeros((1, 6), np.int64))
    done = run("predict", deployed / "pairs.onnx", *words, cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (status, [code])
    assert done.stdout == ""


def test_an_untrained_model_has_no_words(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "words.cnn").write_text(NETS["words"])
    assert cnnc("export", "words.cnn").returncode == 0
    done = cnnc("predict", "words.onnx", "--text", "a film")
    assert (done.returncode, codes(done.stderr)) == (3, ["E608"])
    np.save(tmp_path / "ids.npy", np.zeros((2, 8), np.int64))
    assert len(cnnc("predict", "words.onnx", "ids.npy").stdout.splitlines()) == 2
    np.save(tmp_path / "ids.npy", np.full((2, 8), 40))
    done = cnnc("predict", "words.onnx", "ids.npy")
    assert (done.returncode, codes(done.stderr)) == (3, ["E608"])
    assert "integers from 0 to 39" in done.stderr


def test_label_maps_are_written(deployed: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    model, data = deployed / "maps.onnx", deployed / "maps.npz"
    done = run("predict", model, data, "--out", "made", "--json", cwd=tmp_path)
    results = found(done)
    assert len(results) == 60
    labels = np.load(tmp_path / "made" / "maps-3.npy")
    assert (labels.shape, labels.dtype) == ((8, 8), np.uint8)
    assert results[3]["written"] == ["made/maps-3.npy", "made/maps-3.png"]
    with image.open(tmp_path / "made" / "maps-3.png") as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), labels)
    shares = {s["class"]: s["share"] for s in results[3]["outputs"]["softmax1"]["labels"]}
    assert shares["0"] == (labels == 0).mean()
    assert run("predict", model, data, cwd=tmp_path).stdout.splitlines()[3].startswith("".join((str(data), "[3]: 0 ")))


def test_pictures_and_values_are_written(deployed: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    digits = load("digits").test.images[:2]
    np.save(tmp_path / "d.npy", digits)
    done = run("predict", deployed / "coder.onnx", "d.npy", "d.npy", "--out", "made", cwd=tmp_path)
    assert re.match(r"d\.npy\[0\]: 1x8x8, 0\.\d+ to 0\.\d+, mean 0\.\d+\n", done.stdout)
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == [f"d-{i}{again}.{kind}" for i in (0, 1) for again in ("", "~2") for kind in ("npy", "png")]
    values = np.load(tmp_path / "made" / "d-1.npy")
    assert (values.shape, values.dtype) == ((1, 8, 8), np.float32)
    with image.open(tmp_path / "made" / "d-1.png") as picture:
        assert np.abs(np.asarray(picture) / 255 - values[0]).max() < 0.5 / 255 + 1e-6
    results = found(
        run("predict", deployed / "several.onnx", deployed / "several.npz", "--json", "--top", "1", cwd=tmp_path)
    )
    outputs = results[0]["outputs"]
    assert list(outputs) == ["pixels", "sums", "kind"]
    assert len(outputs["sums"]["values"]) == 3
    assert outputs["kind"]["top"][0]["class"] in "01"


# --- info ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_info(deployed: Path, name: str) -> None:
    path = deployed / f"{name}.onnx"
    told = found(run("info", path, "--json", cwd=deployed))
    network = checkpoints.load(checkpoints.find(deployed / name)).network()
    graph = network.require_graph()
    assert told["bytes"] == path.stat().st_size
    assert told["name"] == network.name
    assert told["source"]["sha256"] == network.sha256
    assert told["source"]["matches"]
    assert (told["opsets"], told["ir"]) == ({"ai.onnx": 17}, 8)
    assert [(e["name"], e["shape"][1:]) for e in told["inputs"]] == [(n.name, list(n.type.shape)) for n in graph.inputs]
    assert all({"mean", "std", "range", "layout", "kind", "inside", "dtype"} <= e.keys() for e in told["inputs"])
    assert [e["name"] for e in told["outputs"]] == list(graph.outputs)
    assert (told["parameters"], told["macs"]) == (graph.total_parameters, graph.total_macs)
    assert network.recipe is not None
    assert told["data"]["path"] == network.recipe.data.path
    assert told["versions"].keys() == {"cnnc", "numpy", "onnx", "onnxruntime"}
    kept = json.loads((deployed / name / "test.json").read_text())
    assert told["trained"]["test"] == {k: v for k, v in kept.items() if k != "epoch"}
    shown = run("info", path, cwd=deployed).stdout
    assert shown.startswith(f"{path}: {network.name}, {path.stat().st_size:,} bytes\n")
    for entry in told["inputs"]:
        assert re.search(rf"^  input {entry['name']} ", shown, re.MULTILINE)
    assert run("info", path, "--source", cwd=deployed).stdout == NETS[name]


def test_what_inputs_are_told_to_be(deployed: Path) -> None:
    def inputs(name: str) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = found(run("info", f"{name}.onnx", "--json", cwd=deployed))["inputs"]
        return told

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
    assert "grey pictures, N, C, H, W; 0 to 1, bytes divided by 255; normalize" in shown
    assert "includes library.cnn" in shown


def test_deploy_md_names_every_key(deployed: Path) -> None:
    text = (DOCS / "deploy.md").read_text(encoding="utf-8")
    told = found(run("info", "pairs.onnx", "--json", cwd=deployed))
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)
    assert sorted(re.findall(r"\w+", " ".join(rows))) == sorted(told)
    inner = ("source", "data", "trained")
    keys = {key for name in inner for key in told[name]} | {key for e in told["inputs"] + told["outputs"] for key in e}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def stranger(path: Path, **more: str) -> Path:
    """A model of another maker: a symbol for a size, a shape that is not known, a domain of its own in the list."""
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph(
        [node],
        "theirs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, "height", None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 2)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, more)
    onnx.save(model, path)
    return path


def test_models_of_others(cnnc: Cnnc, tmp_path: Path) -> None:
    stranger(tmp_path / "theirs.onnx", author="somebody")
    done = cnnc("info", "theirs.onnx")
    assert done.returncode == 0
    assert "opset 17, com.example 2, IR 8" in done.stdout
    assert "float32 batch x 3 x height x ?" in done.stdout
    assert "author" in done.stdout
    told = found(cnnc("info", "theirs.onnx", "--json"))
    assert (told["source"], told["classes"], told["trained"]) == (None, [], None)
    for words in (("info", "theirs.onnx", "--source"), ("where", "theirs.onnx"), ("where", "theirs.onnx", "y")):
        done = cnnc(*words)
        assert (done.returncode, codes(done.stderr)) == (3, ["E611"])
    done = cnnc("eval", "theirs.onnx")
    assert (done.returncode, codes(done.stderr)) == (3, ["E611"])


@pytest.mark.parametrize(
    "facts",
    [
        *("[]", "{", "null", "[" * 9999, '{"inputs": 3, "classes": [4], "sizes": {"H": {}}}'),
        *(
            '{"inputs": {"x": {"kind": "words", "layout": "N, T"}}}',
            '{"inputs": {"x": {"kind": "integers", "range": 3}}}',
        ),
        *('{"outputs": {"y": {"kind": []}}}', '{"data": {"val": 1}}', '{"trained": {"metric": "accuracy", "best": 1}}'),
    ],
)
def test_nonsense_in_the_metadata(cnnc: Cnnc, tmp_path: Path, facts: str) -> None:
    keys = ("cnnc.facts", "cnnc.map", "cnnc.vocabulary", "cnnc.includes", "cnnc.source")
    stranger(tmp_path / "theirs.onnx", **dict.fromkeys(keys, facts))
    assert cnnc("info", "theirs.onnx").returncode == 0
    assert codes(cnnc("where", "theirs.onnx").stderr) == ["E611"]
    assert cnnc("eval", "theirs.onnx").returncode in (1, 3)
    assert cnnc("bench", "theirs.onnx", "--seconds", "0").returncode == 2


@pytest.mark.parametrize("command", ["info", "where", "bench"])
def test_what_is_no_model(cnnc: Cnnc, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("no model\n" * 30)
    (tmp_path / "zeros.onnx").write_bytes(bytes(1000))
    for name in ("empty.onnx", "text.onnx", "zeros.onnx", "small.cnn"):
        done = cnnc(command, name)
        assert (done.returncode, codes(done.stderr)) == (3, ["E604"]), name
    done = cnnc(command, "nowhere.onnx")
    assert (done.returncode, codes(done.stderr)) == (6, ["E901"])


@pytest.mark.parametrize("command", ["info", "where", "bench", "import", "predict"])
def test_what_a_model_can_be_made_of(cnnc: Cnnc, trained: Path, command: str) -> None:
    more = ("--text", "words") if command == "predict" else ()
    for name in (trained / "run", trained / "run" / "best.safetensors", "small.cnn"):
        done = cnnc(command, name, *more)
        assert (done.returncode, codes(done.stderr)) == (3, ["E624" if command == "import" else "E604"]), name
        assert f"`cnnc export {name}`" in done.stderr


@pytest.mark.parametrize("command", ["bench", "eval", "predict"])
def test_weights_that_are_not_beside_the_model(cnnc: Cnnc, tmp_path: Path, command: str) -> None:
    assert cnnc("export", "small.cnn", "--external", "-o", "small.onnx").returncode == 0
    (weights,) = tmp_path.glob("*.data")
    weights.rename(tmp_path / "elsewhere")
    done = cnnc(command, "small.onnx", *(("--text", "words") if command == "predict" else ()))
    assert (done.returncode, codes(done.stderr)) == (3, ["E604"])
    assert f"small.onnx has its weights in {weights.name}, which is not there" in done.stderr


# --- where -----------------------------------------------------------------------------------------------------


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
    listed = found(run("where", "pictures.onnx", "--json", cwd=deployed))
    assert [entry["operator"] for entry in listed] == [node.op_type for node in model.graph.node]
    relu = next(entry for entry in listed if entry["layer"].startswith("unit") and entry["operator"] == "Relu")
    assert (relu["line"], relu["text"]) == (2, "relu")
    assert [(c["text"], c["line"]) for c in relu["calls"]] == [("block unit", 6)]


# --- bench -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_bench(deployed: Path, name: str) -> None:
    words = ("--batch", "3", "--threads", "1", "--seconds", "0.05", "--warmup", "1", "--provider", "cpu")
    began = time.perf_counter()
    told = found(run("bench", f"{name}.onnx", *words, "--json", cwd=deployed))
    elapsed = time.perf_counter() - began
    assert (told["provider"], told["batch"], told["threads"]) == ("cpu", 3, 1)
    assert told["calls"] >= 5
    assert 0 < told["p50"] <= told["p90"] <= told["p99"]
    assert told["throughput"] > 0
    assert told["load"] > 0
    assert told["load"] + 3 * told["calls"] / told["throughput"] < elapsed, "in seconds, and parts of the whole"
    assert told["peak_memory"] > 20e6
    assert list(told["nodes"]) == ["cpu"]
    assert told["nodes"]["cpu"] > 0
    assert all(shape[0] == 3 for shape in told["shapes"].values())


def test_bench_in_words(deployed: Path) -> None:
    shown = run("bench", "waves.onnx", "--seconds", "0", cwd=deployed).stdout
    assert shown.startswith("waves.onnx on cpu; input1 1x1x24\n")
    assert [line.split()[0] for line in shown.splitlines()[1:]] == ["latency", "throughput", "load", "memory", "nodes"]
    done = run("bench", "waves.onnx", "--size", "H=3", cwd=deployed)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])


def test_open_sizes_of_a_stranger(cnnc: Cnnc, tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="r")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3, "H"]) for name in "xy"]
    graph = helper.make_graph([node], "theirs", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "theirs.onnx")
    done = cnnc("bench", "theirs.onnx", "--seconds", "0")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "--size H=224" in done.stderr
    done = cnnc("bench", "theirs.onnx", "--seconds", "0", "--size", "H=7", "--batch", "3")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"]), "its batch is 2"
    told = found(cnnc("bench", "theirs.onnx", "--seconds", "0", "--size", "H=7", "--json"))
    assert told["shapes"] == {"x": [2, 3, 7]}
    np.save(tmp_path / "three.npy", np.arange(27, dtype=np.float32).reshape(3, 3, 3) - 9)
    results = found(cnnc("predict", "theirs.onnx", "three.npy", "--json"))
    values = np.array([r["outputs"]["y"]["values"] for r in results])
    assert np.array_equal(values, np.maximum(np.arange(27).reshape(3, 3, 3) - 9, 0)), "in parts of two"


# --- export: parts and cards -----------------------------------------------------------------------------------


def test_a_part_of_a_network(deployed: Path, tmp_path: Path) -> None:
    done = run("export", deployed / "coder", "--outputs", "code", "-o", "code.onnx", cwd=tmp_path)
    assert done.returncode == 0
    assert "verified: " in done.stdout
    model = onnx.load(tmp_path / "code.onnx")
    assert [o.name for o in model.graph.output] == ["code"]
    assert "fc2.weight" not in {i.name for i in model.graph.initializer}
    np.save(tmp_path / "d.npy", load("digits").test.images[:2])
    results = found(run("predict", "code.onnx", "d.npy", "--json", cwd=tmp_path))
    assert [len(r["outputs"]["code"]["values"]) for r in results] == [5, 5]
    both = run("export", deployed / "several", "--outputs", "sums, kind", "-o", "b.onnx", cwd=tmp_path)
    assert both.returncode == 0
    told = found(run("info", "b.onnx", "--json", cwd=tmp_path))
    assert [e["name"] for e in told["inputs"]] == ["b"], "only what they need"
    assert "(of the whole network)" in run("info", "b.onnx", cwd=tmp_path).stdout


def test_classes_stay_where_they_apply(deployed: Path, tmp_path: Path) -> None:
    kept = {}
    for outputs in ("softmax1", "fc1", "relu2,fc1", "relu2"):
        run("export", deployed / "waves", "--outputs", outputs, "-o", "x.onnx", cwd=tmp_path)
        kept[outputs] = found(run("info", "x.onnx", "--json", cwd=tmp_path))["classes"]
    names = ["fast", "slow"]
    assert kept == {"softmax1": names, "fc1": names, "relu2,fc1": names, "relu2": []}


@pytest.mark.parametrize(("name", "said"), [("cod", "did you mean `code`?"), ("input1", "input1 is an input")])
def test_parts_that_are_none(deployed: Path, tmp_path: Path, name: str, said: str) -> None:
    done = run("export", deployed / "coder", "--outputs", name, "-o", "x.onnx", cwd=tmp_path)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NETS)
def test_the_card_and_its_program(deployed: Path, tmp_path: Path, name: str) -> None:
    done = run("export", deployed / name, "-o", f"{name}.onnx", "--card", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == f"wrote {name}.md"
    text = (tmp_path / f"{name}.md").read_text()
    network = checkpoints.load(checkpoints.find(deployed / name)).network()
    graph = network.require_graph()
    assert text.startswith(f"# {network.name}\n")
    assert f"{graph.total_parameters:,} parameters" in text
    assert f"{graph.total_macs:,} multiply-adds" in text
    assert network.sha256 in text
    for node in graph.nodes:
        assert f"| {node.name} |" in text
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    classes = found(run("info", f"{name}.onnx", "--json", cwd=tmp_path))["classes"]
    if classes and name != "maps":
        assert ran.stdout.strip() in classes
    else:
        assert all(f"'{output}': (1, " in ran.stdout for output in graph.outputs)


def test_where_the_card_goes(deployed: Path, tmp_path: Path) -> None:
    words = ("export", deployed / "waves", "-o", "waves.onnx", "--json", "--card-file")
    done = run(*words, "CARD.md", cwd=tmp_path)
    assert json.loads(done.stdout)["file"] == "waves.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CARD.md", "waves.onnx"]
    (tmp_path / "waves.onnx").unlink()
    for place in ("nowhere/CARD.md", "."):
        done = run(*words, place, cwd=tmp_path)
        assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert not (tmp_path / "waves.onnx").exists(), "told before the work"


# --- pictures --------------------------------------------------------------------------------------------------

PHOTOS = """net Photos
input 3x8x8
conv 4 k=3; relu; global_pool avg; fc 2; softmax
train { data images "photos"; optimizer adam lr=0.02; batch 8; epochs 4 }
"""


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 80, (11, 9, 3), np.uint8)
            pixels[..., channel] += 150
            image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "photos.cnn").write_text(PHOTOS)
    done = run("train", "photos.cnn", "--run", "run", "--export", "photos.onnx", "--json", cwd=tmp_path)
    test = found(done)["test"]
    scored = found(run("eval", "photos.onnx", "--json", cwd=tmp_path))
    assert (scored["right"], scored["total"], scored["data"]) == (test["right"], test["total"], "images")
    assert scored["loss"] == pytest.approx(test["loss"], rel=1e-5)
    (entry,) = found(run("info", "photos.onnx", "--json", cwd=tmp_path))["inputs"]
    assert (entry["kind"], entry["range"]) == ("picture", [0, 1])
    done = run("predict", "photos.onnx", "photos/red/3.png", "photos/blue/3.png", "--json", cwd=tmp_path)
    assert tops(done) == ["red", "blue"]
    assert "resized from 9x11 to 8x8" in done.stderr
    for name in ("run", "photos.onnx"):
        (tmp_path / "photos").rename(tmp_path / "gone")
        assert codes(run("eval", name, cwd=tmp_path).stderr) == ["E603"]
        done = run("eval", name, "--data", "gone", cwd=tmp_path)
        assert codes(done.stderr) == ["E603"], "another name is another folder"
        (tmp_path / "gone").rename(tmp_path / "photos")
        for folder in (tmp_path, tmp_path / "photos"):  # the one that holds them, or they themselves
            assert run("eval", tmp_path / name, "--data", folder, cwd=tmp_path / "run").returncode == 0
