"""What commands may write: no command replaces a file that the user did not mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cnnc.cli.outputs import SUFFIXES, Output, require_outputs
from cnnc.diagnostics import CnncError
from tests.cli.conftest import Cnnc, codes


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def files(trained: Path, tmp_path: Path) -> Path:
    """A folder with a network, its run `run`, a model `small.onnx` and notes of the user's."""
    import shutil

    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "notes.md").write_text("# My notes\n")
    (tmp_path / "notes.onnx").write_text("not a model\n")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("export", "small.cnn", "-o", "small.cnn"),
        ("export", "small.cnn", "-o", "./other.cnn"),
        ("export", "small.cnn", "-o", "x.tflite"),
        ("export", "run", "-o", "run/best.safetensors"),
        ("export", "run", "-o", "run/network.cnn"),
        ("export", "run", "-o", "run/curves.svg"),
        ("export", "run/best.safetensors", "-o", "run/best.safetensors"),
        ("export", "run", "-o", "x.onnx", "--card-file", "x.onnx"),
        ("export", "run", "-o", "x.onnx", "--card-file", "small.cnn"),
        ("export", "run", "-o", "x.onnx", "--card-file", "run/last.safetensors"),
        ("export", "run", "-o", "notes.onnx"),
        ("export", "run", "-o", "x.onnx", "--card-file", "notes.md"),
        ("export", "run", "-o", "notes2.onnx", "--card-file", "missing/x.md"),
        ("train", "small.cnn", "--export", "small.cnn"),
        ("train", "small.cnn", "--export", "notes.md"),
        ("train", "--resume", "run", "--export", "run/test.json"),
        ("import", "small.onnx", "-o", "run/network.cnn"),
        ("import", "run/last.onnx", "-o", "run/last.cnn"),
        ("import", "small.onnx", "-o", "lone.cnn"),
        ("import", "small.onnx", "-o", "small.cnn"),
        ("predict", "small.onnx", "x.npy", "--out", "."),
        ("inspect", "run", "-o", "-"),
        ("export", "run", "-o", "-"),
    ],
    ids=" ".join,
)
def test_a_target_that_was_not_meant_is_refused_before_any_work(
    cnnc: Cnnc, files: Path, words: tuple[str, ...]
) -> None:
    (files / "run" / "last.onnx").write_bytes((files / "small.onnx").read_bytes())
    (files / "lone.safetensors").write_bytes((files / "run" / "best.safetensors").read_bytes())
    np.save(files / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    before = snapshot(files)
    done = cnnc(*words)
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"]), done.stderr
    assert snapshot(files) == before


def test_force_replaces_a_file_of_another_kind_and_nothing_else(cnnc: Cnnc, files: Path) -> None:
    assert cnnc("export", "run", "-o", "notes.onnx", "--force").returncode == 0
    onnx.checker.check_model(str(files / "notes.onnx"))
    assert cnnc("export", "run", "-o", "x.onnx", "--card-file", "notes.md", "--force").returncode == 0
    assert "Exported by cnnc" in (files / "notes.md").read_text()
    before = snapshot(files)
    assert cnnc("export", "small.cnn", "-o", "small.cnn", "--force").returncode == 6
    assert cnnc("export", "run", "-o", "run/best.safetensors", "--force").returncode == 6
    assert snapshot(files) == before


def test_an_earlier_result_is_replaced_without_a_question(cnnc: Cnnc, files: Path) -> None:
    for _ in range(2):
        assert cnnc("export", "run", "-o", "again.onnx", "--card").returncode == 0
    for _ in range(2):
        assert cnnc("import", "again.onnx", "-o", "back.cnn").returncode == 0


def test_a_model_of_another_program_is_kept(cnnc: Cnnc, tmp_path: Path) -> None:
    """`cnnc import net.onnx` writes net.cnn and net.safetensors, whose exports would have the name of the model."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="other")
    data = model.SerializeToString()
    (tmp_path / "net.onnx").write_bytes(data)
    done = cnnc("import", "net.onnx")
    assert "verified: outputs equal the model's" in done.stdout
    for words in (("net.cnn",), ("net.safetensors", "-o", "net.onnx")):
        done = cnnc("export", *words)
        assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
        assert "it exists and is not an ONNX model that cnnc wrote" in done.stderr
    assert cnnc("export", "net.safetensors").stdout.startswith("wrote net-2.onnx: ")
    assert cnnc("export", "net.safetensors").stdout.startswith("wrote net-3.onnx: ")
    assert (tmp_path / "net.onnx").read_bytes() == data
    assert cnnc("export", "net.cnn", "--force").returncode == 0
    assert (tmp_path / "net.onnx").read_bytes() != data


def test_the_names_of_outputs_leave_no_folder(cnnc: Cnnc, tmp_path: Path) -> None:
    """An untrusted model names its outputs as it likes."""
    names = ["/../../../victim", "..", "a/b", "a_b", ".hidden", "\x1b[31mred"]
    nodes = [helper.make_node("Identity", ["x"], [name]) for name in names]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ["x", *names]]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.float32))
    before = set(snapshot(tmp_path))
    done = cnnc("predict", "m.onnx", "x.npy", "--out", "deep/er/o")
    assert done.returncode == 0, done.stderr
    written = set(snapshot(tmp_path)) - before
    assert len(written) == len(names)
    assert all(name.startswith("deep/er/o/x.") and name.isprintable() for name in written), written
    assert not (tmp_path.parent / "victim.npy").exists()


EARLIER = {
    "onnx": b"\x08\x08\x12\x04cnnc\x1a",
    "weights": b'\x10\0\0\0\0\0\0\0{"__metadata__":{"cnnc":',
    "card": b"# LeNet-5\n\nExported by cnnc 0.1.0",
    "png": b"\x89PNG tEXtSoftware\0cnnc",
    "svg": b"<svg><metadata>drawn by cnnc</metadata>",
    "mmd": b"%% drawn by cnnc\nflowchart TB",
    "dot": b"// drawn by cnnc\ndigraph",
    "html": b'<!doctype html><meta name="generator" content="cnnc">',
    "network": b"# Imported from net.onnx\n",
}
"""How a file of each kind begins that an earlier command wrote."""


def refusal(output: Output, *inputs: Path, others: tuple[Output, ...] = (), force: bool = False) -> str:
    """Why the last of several outputs is refused; "" where it is not."""
    try:
        require_outputs(inputs, [*others, output], force)
    except CnncError as error:
        (found,) = error.diagnostics
        is_told = found.code == "E902" and output.option in found.help
        return found.message.partition(f"{output.path}: ")[2] if is_told else str(found)
    return ""


@pytest.mark.parametrize("kind", SUFFIXES)
def test_only_an_earlier_result_of_the_same_kind_is_replaced(tmp_path: Path, kind: str) -> None:
    """A new file, an empty one, and one of the same kind are; one that begins as another kind does is not."""
    path = tmp_path / f"x{SUFFIXES[kind]}"
    assert refusal(Output(path, "-o", kind)) == ""
    path.touch()
    assert refusal(Output(path, "-o", kind)) == ""
    for other, begin in {
        **EARLIER,
        "": b"# my notes\n",
        "half": b"# Exported from",
        "model": b"\x08\x08\x12\x04cuda",
    }.items():
        for data in (begin, b" " + begin):
            path.write_bytes(data)
            expected = other == kind and (data == begin or kind in ("png", "svg", "html"))
            assert (refusal(Output(path, "-o", kind)) == "") == expected, data
            assert refusal(Output(path, "-o", kind), force=True) == ""


def test_a_network_beside_its_weights_was_written_by_import(tmp_path: Path) -> None:
    (tmp_path / "x.cnn").write_text("net X\n")
    assert (
        refusal(Output(tmp_path / "x.cnn", "-o", "network")) == "it exists and is not a network file that import wrote"
    )
    (tmp_path / "x.safetensors").touch()
    assert refusal(Output(tmp_path / "x.cnn", "-o", "network")) == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x.ONNX", ""),
        ("x", ""),
        ("x.model", ""),
        ("x.svg", ".svg is another format; an ONNX model has the suffix .onnx"),
        ("x.Tflite", ".tflite is another format; an ONNX model has the suffix .onnx"),
        ("x.safetensors", ".safetensors is another format; an ONNX model has the suffix .onnx"),
        ("-", "an ONNX model is written to a file, not to the standard output"),
    ],
)
def test_a_suffix_of_another_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(Output(Path(name), "-o", "onnx")) == reason


def test_files_of_a_run_are_those_that_training_writes_there(tmp_path: Path) -> None:
    def target(name: str, kind: str = "svg") -> Output:
        return Output(tmp_path / name, "-o", kind)

    assert refusal(target("curves.svg")) == refusal(target("confusion.svg")) == "", "no run is here yet"
    (tmp_path / "curves.svg").write_bytes(EARLIER["svg"])
    assert refusal(target("curves.svg")) == "", "`cnnc curves` writes it to any folder"
    assert refusal(target("confusion.svg")) == ""
    (tmp_path / "metrics.jsonl").touch()
    belongs = f"it belongs to the run folder {tmp_path}"
    assert refusal(target("curves.svg")) == refusal(target("confusion.svg"), force=True) == belongs
    assert refusal(target("net.svg")) == refusal(target("net.onnx", "onnx")) == "", "other names are free"
    (tmp_path / "link.svg").symlink_to("curves.svg")
    assert refusal(target("link.svg")) == belongs


def test_two_names_of_one_file_are_one(tmp_path: Path) -> None:
    """Whether or not it exists, and also by a link."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub")
    one, two = (
        Output(tmp_path / "sub" / "x.onnx", "-o", "onnx"),
        Output(tmp_path / "link" / "x.onnx", "--card-file", "onnx"),
    )
    far = Output(tmp_path / "x.onnx", "--export", "onnx")
    for content in (None, EARLIER["onnx"]):
        if content is not None:
            one.path.write_bytes(content)
            (tmp_path / "hard.onnx").hardlink_to(one.path)
            assert refusal(Output(tmp_path / "hard.onnx", "-o", "onnx"), one.path) == "this command reads it"
        assert refusal(two, others=(one, far), force=True) == "-o names the same file"
        assert refusal(far, others=(one,)) == ""
        assert refusal(one, two.path, force=True) == ("this command reads it" if content else "")
