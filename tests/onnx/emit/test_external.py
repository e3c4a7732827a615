"""External weights: both files are written or neither, and the old ones stay until the new ones are complete."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from cnnc.core.arrays import Weights
from cnnc.diagnostics import CnncError
from cnnc.network import Network, check
from cnnc.onnx.emit import staging, tolerance
from cnnc.onnx.emit.verify import random_weights, sample_feeds
from cnnc.onnx.export import Exported, Options, export
from cnnc.onnx.run.session import open_model
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first

TEXT = "net Wide\ninput 3x16x16\nconv 16 k=3 p=1\nbn\nrelu\nconv 24 k=3\nrelu\nfc 10\nsoftmax\n"


def wide(seed: int = 0) -> tuple[Network, Weights]:
    network = check(TEXT, name="wide.cnn")
    return network, random_weights(network.require_graph(), seed)


def exported(path: Path, seed: int = 0, *, outside: bool = True) -> Exported:
    return export(*wide(seed), path, options=Options(external=outside))


def right(path: Path, seed: int = 0) -> bool:
    """Whether the model at the path computes what the network does."""
    network, weights = wide(seed)
    graph = network.require_graph()
    feeds = sample_feeds(graph, 4, 9)
    expected = to_channels_first(forward(graph, weights, feeds).values["softmax1"])
    return np.allclose(open_model(path, "cpu").run(feeds)[0], expected, rtol=1e-4, atol=1e-6)


def test_external_weights_are_in_the_models_folder(tmp_path: Path) -> None:
    done = exported(tmp_path / "wide.onnx")
    assert done.data is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wide.onnx", done.data.name]
    assert done.size == done.path.stat().st_size + done.data.stat().st_size
    assert done.path.stat().st_size < 8000 < done.data.stat().st_size
    assert right(done.path)
    onnx.checker.check_model(str(done.path), full_check=True)
    stored = {t.name: t for t in onnx.load(done.path, load_external_data=False).graph.initializer}
    assert stored["fc1.weight"].data_location == onnx.TensorProto.EXTERNAL
    assert stored["fc1.bias"].data_location == onnx.TensorProto.DEFAULT  # too small for the external file
    whole = onnx.load(done.path)
    one_file = onnx.load(exported(tmp_path / "whole.onnx", outside=False).path)
    kept = {t.name: onnx.numpy_helper.to_array(t) for t in one_file.graph.initializer}
    for tensor in whole.graph.initializer:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), kept[tensor.name])


def test_tensors_begin_at_a_page(tmp_path: Path) -> None:
    """So that a runtime can map them into memory."""
    done = exported(tmp_path / "wide.onnx")
    stored = onnx.load(done.path, load_external_data=False).graph.initializer
    offsets = [int(e.value) for tensor in stored for e in tensor.external_data if e.key == "offset"]
    assert len(offsets) > 2
    assert all(offset % 4096 == 0 for offset in offsets)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs a system that names open files")
def test_weights_are_on_the_disk_before_the_model_that_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    sync, replace = os.fsync, os.replace

    def synced(file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        calls.append((path.name if path.is_dir() else f"{path.suffix} content", os.fstat(file).st_size))
        sync(file)

    def replaced(source: Path, target: Path) -> None:
        calls.append((f"{Path(target).suffix} name", 0))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    network = check(
        "input 3x16x16; conv 16 k=3; relu; global_pool avg; fc 20"
    )  # the last tensor is smaller than a buffer
    weights = random_weights(network.require_graph(), 0)
    done = export(network, weights, tmp_path / "wide.onnx", options=Options(external=True))
    assert done.data is not None
    assert calls[0] == (" content", done.data.stat().st_size), "all of it, also what was in a buffer"
    folder = tmp_path.name
    names = [name for name, _ in calls]
    assert names == [" content", ".data name", folder, ".part name", ".part content", ".onnx name", folder]


def test_a_model_that_is_a_link_has_its_weights_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "wide.onnx").symlink_to(Path("there") / "model.onnx")
    done = exported(tmp_path / "wide.onnx")
    assert done.data is not None
    assert done.data == (tmp_path / "there").resolve() / done.data.name
    assert done.data.name.startswith("model.onnx.")
    assert sorted(p.name for p in (tmp_path / "there").iterdir()) == ["model.onnx", done.data.name]
    assert [p.name for p in tmp_path.iterdir() if p.is_symlink()] == ["wide.onnx"]
    assert right(tmp_path / "there" / "model.onnx")


def test_both_files_can_be_moved(tmp_path: Path) -> None:
    done = exported(tmp_path / "wide.onnx")
    (tmp_path / "there").mkdir()
    for path in (done.path, done.data):
        assert path is not None
        path.rename(tmp_path / "there" / path.name)
    assert right(tmp_path / "there" / "wide.onnx")


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    done = exported(tmp_path / "wide.onnx")
    assert done.data is not None
    done.data.unlink()
    with pytest.raises(CnncError) as caught:
        open_model(done.path)
    assert caught.value.diagnostics[0].code == "E604"


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    first = exported(tmp_path / "wide.onnx")
    assert first.data is not None
    before = (first.path.read_bytes(), first.data.read_bytes())
    second = exported(tmp_path / "wide.onnx")
    assert second.data == first.data
    assert (second.path.read_bytes(), first.data.read_bytes()) == before


def test_old_weights_are_removed(tmp_path: Path) -> None:
    (tmp_path / "wide.onnx.0123456789abcdef.data").write_text("no model refers to this file")
    first, second = (exported(tmp_path / "wide.onnx", seed) for seed in (0, 1))
    assert first.data is not None
    assert second.data is not None
    assert not first.data.exists()
    assert right(second.path, 1)
    exported(tmp_path / "wide.onnx", 2, outside=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wide.onnx", "wide.onnx.0123456789abcdef.data"]
    assert right(tmp_path / "wide.onnx", 2)


@pytest.mark.parametrize("step", ["weights", "model"])
def test_a_failed_write_leaves_the_old_model(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(tmp_path / "wide.onnx", 0)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if str(target).endswith(".data") == (step == "weights"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CnncError, match="no space left on device") as caught:
        exported(tmp_path / "wide.onnx", 1)
    assert caught.value.diagnostics[0].code == "E902"
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert right(tmp_path / "wide.onnx", 0)


def test_a_failed_verification_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(tmp_path / "wide.onnx", 0)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr(tolerance, "RTOL", 0)
    monkeypatch.setattr(tolerance, "ATOL", 0)
    monkeypatch.setattr(tolerance, "NOISE", 0)
    with pytest.raises(CnncError, match="of the exported graph deviates"):
        exported(tmp_path / "wide.onnx", 1)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_without_large_weights_there_is_no_second_file(tmp_path: Path) -> None:
    network = check("input 4\nfc 2", name="tiny.cnn")
    weights = random_weights(network.require_graph(), 0)
    done = export(network, weights, tmp_path / "tiny.onnx", options=Options(external=True))
    assert done.data is None
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_weights_beyond_the_limit_become_external(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2**30 < staging.LIMIT <= 2**31 - 2**24, "the rest of the model is below protobuf's limit of 2 GiB too"
    network, weights = wide()
    total = sum(array.nbytes for array in weights.values())
    monkeypatch.setattr(staging, "LIMIT", total)
    assert export(network, weights, tmp_path / "wide.onnx").data is None
    monkeypatch.setattr(staging, "LIMIT", total - 1)
    assert export(network, weights, tmp_path / "wide.onnx").data is not None
    assert right(tmp_path / "wide.onnx")


def test_external_weights_of_a_lower_precision_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(CnncError) as caught:
        export(*wide(), tmp_path / "wide.onnx", options=Options(external=True, precision="float16"))
    assert caught.value.diagnostics[0].code == "E809"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_gets_the_model_in_one_file(tmp_path: Path) -> None:
    """It is written to, not replaced, and cannot be accompanied by a weight file."""
    pipe = tmp_path / "pipe.onnx"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        waiting = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that there is a reader
        content = reader.submit(pipe.read_bytes)
        exported(pipe, outside=False)
        os.close(waiting)
        assert content.result(60) == exported(tmp_path / "wide.onnx", outside=False).path.read_bytes()
    with pytest.raises(CnncError, match="not a regular file") as caught:
        exported(pipe)
    assert caught.value.diagnostics[0].code == "E902"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipe.onnx", "wide.onnx"]
    assert pipe.is_fifo()
