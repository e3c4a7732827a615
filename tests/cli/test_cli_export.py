"""`cnnc export` and its options, as a user meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from cnnc.diagnostics import Exit
from tests.cli.conftest import Cnnc, codes, run

PAGE = "net Page\ninput 1xHxW\nconv 4 k=3 s=2 p=same\nrelu\nconv 2 k=1\n"


@pytest.fixture
def ran(trained: Path, tmp_path: Path) -> Path:
    """A folder with a run of its own."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path


def test_the_report_has_a_line_for_each_layer(cnnc: Cnnc) -> None:
    done = cnnc("export", "small.cnn", "--report")
    assert done.returncode == Exit.OK, done.stderr
    head, *rows = done.stdout.splitlines()[2:]
    assert head.split() == ["layer", "deviation", "at", "value", "allowed", "share"]
    assert [row.split()[0] for row in rows] == ["bn1", "relu1", "pool1", "fc1", "softmax1"]
    assert all(float(row.split()[-1].rstrip("%")) < 100 for row in rows)


def test_the_report_as_json(cnnc: Cnnc) -> None:
    told = json.loads(cnnc("export", "small.cnn", "--json", "-o", "x.onnx").stdout)
    assert told["file"] == "x.onnx"
    assert [layer["name"] for layer in told["layers"]] == ["bn1", "relu1", "pool1", "fc1", "softmax1"]
    assert told["worst"]["share"] == max(layer["share"] for layer in told["layers"]) < 1
    assert told["worst"]["difference"] <= told["worst"]["allowed"]
    assert told["quality"] is None
    assert told["data"] is None


def test_passes_are_listed_and_left_out(cnnc: Cnnc, tmp_path: Path) -> None:
    listed = [line.split()[0] for line in cnnc("export", "--passes").stdout.splitlines()]
    assert "fold-scale" in listed
    words = [word for name in listed for word in ("--no-pass", name)]
    assert cnnc("export", "small.cnn", *words).returncode == Exit.OK
    kinds = [node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node]
    assert "BatchNormalization" in kinds
    done = cnnc("export", "small.cnn", "--no-pass", "fold")
    assert (done.returncode, codes(done.stderr)) == (Exit.USAGE, ["E010"])


def test_external_weights_are_run_from_beside_the_model(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", "small.cnn", "--external", "--json")
    told = json.loads(done.stdout)
    assert (tmp_path / told["data"]).is_file()
    again = cnnc("export", "small.cnn", "--external")
    assert f"wrote small.onnx with {told['data']}" in again.stdout
    assert len(list(tmp_path.glob("small.onnx*"))) == 2


def test_a_microcontroller(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", "small.cnn", "--target", "mcu")
    # 6x8x8 twice; 6·9 + 6 + 10·96 + 10 weights; four bytes each
    assert "microcontroller: 3,072 bytes of RAM for values (the most at relu1), 4,120 bytes of flash" in done.stdout
    (tmp_path / "page.cnn").write_text(PAGE)
    refused = cnnc("export", "page.cnn", "--target", "mcu")
    assert (refused.returncode, codes(refused.stderr)) == (Exit.EXPORT, ["E807"])
    assert not (tmp_path / "page.onnx").exists()
    assert cnnc("export", "page.cnn", "--target", "mcu", "--at", "H=16,W=12").returncode == Exit.OK


def test_symbols_stay_symbols_and_at_fixes_them(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "page.cnn").write_text(PAGE)
    for words, expected in (((), ["N", 1, "H", "W"]), (("--at", "H=16,W=12"), ["N", 1, 16, 12])):
        assert cnnc("export", "page.cnn", *words).returncode == Exit.OK
        entry = onnx.load(tmp_path / "page.onnx").graph.input[0]
        assert [d.dim_param or d.dim_value for d in entry.type.tensor_type.shape.dim] == expected


@pytest.mark.parametrize(("option", "least"), [("--fp16", 0.9), ("--int8", 0.8)])
def test_a_run_in_a_lower_precision(option: str, least: float, ran: Path) -> None:
    done = run("export", "run", "-o", "low.onnx", option, "--json", cwd=ran)
    assert done.returncode == Exit.OK, done.stderr
    quality = json.loads(done.stdout)["quality"]
    if option == "--int8":
        assert quality["metric"] == "accuracy"
        assert quality["before"] - quality["after"] <= 0.01
        assert quality["samples"] == 360
        said = run("export", "run", "-o", "low.onnx", option, cwd=ran).stdout
        assert f"int8: accuracy {quality['after']:.2%} on 360 examples, {quality['before']:.2%} in float32" in said
        assert quality["faster"]
        assert f"\ncomputed in float32, as int8 is slower: {', '.join(quality['faster'])}\n" in said
    else:
        assert quality["after"] < 0.01
    scored = run("eval", "low.onnx", "--json", cwd=ran)
    assert scored.returncode == Exit.OK, scored.stderr


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("small.cnn", "--int8"), Exit.EXPORT, "E808"),
        (("small.cnn", "--fp16", "--int8"), Exit.USAGE, "E010"),
        (("small.cnn", "--fp16", "--external"), Exit.EXPORT, "E809"),
        (("small.cnn", "--opset", "12"), Exit.EXPORT, "E804"),
        (("small.cnn", "--opset", "99"), Exit.EXPORT, "E804"),
        (("small.cnn", "--at", "H=4"), Exit.USAGE, "E010"),
        ((), Exit.USAGE, "E010"),
    ],
)
def test_what_cannot_be(words: tuple[str, ...], status: Exit, code: str, cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", *words)
    assert (done.returncode, codes(done.stderr)) == (status, [code])
    assert not list(tmp_path.glob("*.onnx"))
