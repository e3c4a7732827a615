"""`cnnc export`: runs, checkpoints, untrained networks, its options, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from cnnc.core.intervals import paired
from cnnc.diagnostics import Exit
from tests.cli.conftest import Cnnc, codes, run

PAGE = "net Page\ninput 1xHxW\nconv 4 k=3 s=2 p=same\nrelu\nconv 2 k=1\n"


@pytest.fixture
def ran(trained: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the trained run, `run`."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path


def test_export_of_a_run(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    done = cnnc("export", trained / "run", "-o", "x.onnx")
    assert done.returncode == 0
    assert done.stdout.startswith("wrote x.onnx: ")
    assert "verified: " in done.stdout
    assert (tmp_path / "x.onnx").read_bytes() == (trained / "small.onnx").read_bytes()
    assert (tmp_path / "x.onnx").stat().st_size == int(done.stdout.split()[2].replace(",", ""))


def test_export_of_a_checkpoint_and_of_the_last_weights(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    cnnc("export", trained / "run" / "last.safetensors", "-o", "a.onnx")
    cnnc("export", trained / "run", "--last", "-o", "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_export_of_an_untrained_network(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", "small.cnn", "--json", "--set", "width=3")
    assert done.returncode == 0
    proof = json.loads(done.stdout)
    assert proof["file"] == "small.onnx"
    assert proof["bytes"] == (tmp_path / "small.onnx").stat().st_size
    assert proof["tensors"] > 3
    assert "untrained" in done.stderr
    assert cnnc("predict", "small.onnx", "--top", "1").returncode == 2


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("input 3x8x8; conv 4 k=3; relu; fc 5", "element by element"),
        ("input 4; normalize mean=8 std=1; sigmoid", "layer by layer"),
        ("input 4; scale -0.0001; elu", "layer by layer"),
    ],
)
def test_the_figure_that_is_reported_is_the_one_that_was_judged(
    cnnc: Cnnc, tmp_path: Path, text: str, how: str
) -> None:
    (tmp_path / "net.cnn").write_text(text)
    proof = json.loads(cnnc("export", "net.cnn", "--json").stdout)
    worst = proof["worst"]
    assert proof["by_layer"] is (how == "layer by layer")
    assert worst["share"] == worst["difference"] / worst["allowed"] == max(d["share"] for d in proof["layers"]) < 1
    done = cnnc("export", "net.cnn", "--card")
    sentence = (
        f"{proof['tensors']} tensors compared with the network, {how}; the largest deviation is {worst['share']:.1%} of "
        f"what is allowed ({worst['name']}: {worst['difference']:.1e} of {worst['allowed']:.1e})"
    )
    assert done.stdout.splitlines()[1] == f"verified: {sentence}"
    assert f"Verification: {sentence}." in (tmp_path / "net.md").read_text()


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("nowhere",), 3, "E606"),
        (("nowhere.cnn",), 6, "E901"),
        ((".",), 3, "E606"),
        (("empty",), 3, "E605"),
        (("run", "--set", "width=3"), 2, "E010"),
    ],
)
def test_what_cannot_be_exported(
    cnnc: Cnnc, trained: Path, tmp_path: Path, words: tuple[str, ...], status: int, code: str
) -> None:
    (tmp_path / "empty").touch()
    shutil.copytree(trained / "run", tmp_path / "run")
    done = cnnc("export", *words)
    assert done.returncode == status
    assert codes(done.stderr) == [code]
    assert list(tmp_path.glob("*.onnx")) == []


def test_the_report_has_a_line_for_each_layer(cnnc: Cnnc) -> None:
    done = cnnc("export", "small.cnn", "--report")
    assert done.returncode == Exit.OK, done.stderr
    head, *rows = done.stdout.splitlines()[2:]
    assert head.split() == ["layer", "deviation", "at", "value", "allowed", "share"]
    assert [row.split()[0] for row in rows] == ["bn1", "relu1", "pool1", "fc1", "softmax1"]
    assert [row for row in rows if float(row.split()[-1].rstrip("%")) >= 100] == []


def test_the_report_as_json(cnnc: Cnnc) -> None:
    result = json.loads(cnnc("export", "small.cnn", "--json", "-o", "x.onnx").stdout)
    assert result["file"] == "x.onnx"
    assert [layer["name"] for layer in result["layers"]] == ["bn1", "relu1", "pool1", "fc1", "softmax1"]
    assert result["worst"]["share"] == max(layer["share"] for layer in result["layers"]) < 1
    assert result["worst"]["difference"] <= result["worst"]["allowed"]
    assert result["quality"] is None
    assert result["data"] is None


def test_passes_are_listed_and_left_out(cnnc: Cnnc, tmp_path: Path) -> None:
    listed = [line.split()[0] for line in cnnc("export", "--passes").stdout.splitlines()]
    assert "fold-scale" in listed
    words = [word for name in listed for word in ("--no-pass", name)]
    assert cnnc("export", "small.cnn", *words).returncode == Exit.OK
    kinds = [node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node]
    assert "BatchNormalization" in kinds
    done = cnnc("export", "small.cnn", "--no-pass", "fold")
    assert (done.returncode, codes(done.stderr)) == (Exit.USAGE, ["E010"])


def test_external_weights_are_written_next_to_the_model(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", "small.cnn", "--external", "--json")
    result = json.loads(done.stdout)
    assert (tmp_path / result["data"]).is_file()
    again = cnnc("export", "small.cnn", "--external")
    assert f"wrote small.onnx with {result['data']}" in again.stdout
    assert sorted(p.name for p in tmp_path.glob("small.onnx*")) == ["small.onnx", result["data"]]


def test_a_microcontroller(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", "small.cnn", "--target", "mcu")
    # 6x8x8 twice; 6·9 + 6 + 10·96 + 10 weights; four bytes each
    assert "microcontroller: 3,072 bytes of RAM for activations (peak at relu1), 4,120 bytes of flash" in done.stdout
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
        changed = quality["changed"]
        assert changed["lost"] - changed["gained"] == round(360 * (quality["before"] - quality["after"]))
        assert changed["interval"] == list(paired(changed["lost"], changed["gained"], 360))
        assert f"({changed['lost']} lost, {changed['gained']} gained); 95% interval of the loss " in said
        assert ("cannot show that at most 1 point is lost" in said) == (changed["interval"][1] > 0.01)
        page = run("info", "low.onnx", "--json", cwd=ran).stdout
        assert json.loads(page)["quality"]["changed"] == changed
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
def test_bad_options(words: tuple[str, ...], status: Exit, code: str, cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("export", *words)
    assert (done.returncode, codes(done.stderr)) == (status, [code])
    assert list(tmp_path.glob("*.onnx")) == []
