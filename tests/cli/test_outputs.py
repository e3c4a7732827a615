"""What commands may write: no command replaces a file that the user did not mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

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
