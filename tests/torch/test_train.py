"""`cnnc train --engine torch`: results, precisions, devices, memory; tests/cli/test_train_engine.py has what holds for every engine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from cnnc.network import check
from cnnc.torch.engine import TorchEngine
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from tests.cli.conftest import Cnnc, codes

pytestmark = pytest.mark.long

ENGINE = ("--engine", "torch", "--device", "cpu")


def checkpoint(folder: Path) -> Checkpoint:
    return checkpoints.load(folder / "last.safetensors")


def require_close(one: Checkpoint, other: Checkpoint, rtol: float = 1e-4) -> None:
    """Weights, buffers and slots are equal but for rounding."""
    for a, b in ((one.weights, other.weights), (one.slots, other.slots)):
        assert a.keys() == b.keys()
        for name, array in a.items():
            np.testing.assert_allclose(b[name], array, rtol=rtol, atol=1e-5, err_msg=name)


def require_identical(one: Checkpoint, other: Checkpoint) -> None:
    for a, b in ((one.weights, other.weights), (one.slots, other.slots)):
        assert a.keys() == b.keys()
        assert [name for name in a if not np.array_equal(a[name], b[name])] == []


def test_the_results_are_those_of_numpy(cnnc: Cnnc, tmp_path: Path) -> None:
    """With dropout, which keeps the same elements."""
    assert cnnc("train", "small.cnn", "--run", "numpy").returncode == 0
    done = cnnc("train", "small.cnn", "--run", "torch", *ENGINE)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "torch").iterdir()) == sorted(checkpoints.RUN_FILES)
    one, other = checkpoint(tmp_path / "numpy"), checkpoint(tmp_path / "torch")
    assert one.progress.right == other.progress.right
    require_close(one, other)
    scores = [json.loads((tmp_path / name / "test.json").read_text()) for name in ("numpy", "torch")]
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-3)
    assert (other.engine, other.provider, other.engine_options["precision"]) == ("torch", "cpu", "float32")
    assert other.machine.keys() - one.machine.keys() == {"torch", "device"}


def test_a_run_can_change_its_engine_and_change_back(cnnc: Cnnc, tmp_path: Path) -> None:
    settings = ("--set", "train.optimizer=adam", "--set", "train.optimizer.lr=0.001")
    assert cnnc("train", "small.cnn", "--run", "numpy", *settings, "--set", "train.epochs=3").returncode == 0
    assert cnnc("train", "small.cnn", "--run", "both", *settings, "--set", "train.epochs=1").returncode == 0
    done = cnnc("train", "--resume", "both", "--set", "train.epochs=2", *ENGINE)
    assert done.returncode == 0, done.stderr
    assert "note: the run was started with the engine numpy, so results differ" in done.stderr
    done = cnnc("train", "--resume", "both", "--set", "train.epochs=3", "--engine", "numpy")
    assert done.returncode == 0, done.stderr
    assert "note: the run was started with the engine torch on cpu, so results differ" in done.stderr
    require_close(checkpoint(tmp_path / "numpy"), checkpoint(tmp_path / "both"))
    assert checkpoint(tmp_path / "both").engine == "numpy"


def test_a_layer_beyond_float16_is_named(cnnc: Cnnc, tmp_path: Path) -> None:
    """The help, applied, trains."""
    (tmp_path / "large.cnn").write_text(
        'input 1x6x6\nconv 2 k=5\nfc 2\ntrain { data npz "large.npz"; loss cross_entropy; epochs 1; batch 8 }\n'
    )
    x = np.full((16, 1, 6, 6), 1e6, np.float32)
    np.savez(tmp_path / "large.npz", x=x, y=np.arange(16) % 2)
    options = ("train", "large.cnn", "--set", "train.optimizer.lr=1e-12", *ENGINE)
    done = cnnc(*options, "--run", "fp16", "--precision", "fp16")
    assert (done.returncode, codes(done.stderr)[-1]) == (4, "E701")
    assert "; input1 reaches 1,000,000, and float16 ends at 65,504" in done.stderr
    assert "write `--precision bf16`, which has the range of float32" in done.stderr
    assert cnnc(*options, "--run", "bf16", "--precision", "bf16").returncode == 0


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_learns_the_same_and_resumes(cnnc: Cnnc, tmp_path: Path, precision: str) -> None:
    options = ("--precision", precision, *ENGINE)
    assert cnnc("train", "small.cnn", "--run", "exact", *ENGINE).returncode == 0
    assert cnnc("train", "small.cnn", "--run", "whole", *options).returncode == 0
    assert cnnc("train", "small.cnn", "--run", "half", "--set", "train.epochs=1", *options).returncode == 0
    done = cnnc("train", "--resume", "half", "--set", "train.epochs=2")
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stderr
    exact, whole, half = (checkpoint(tmp_path / name) for name in ("exact", "whole", "half"))
    assert half.engine_options["precision"] == precision
    require_identical(whole, half)
    losses = [json.loads((tmp_path / name / "test.json").read_text())["loss"] for name in ("exact", "whole")]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert any(not np.array_equal(whole.weights[name], array) for name, array in exact.weights.items())
    assert {array.dtype for array in whole.weights.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("shape", [(6, 1, 5, 5), (6, 3, 5, 5), (4, 3, 1, 1)])
def test_channels_last_holds_for_kernels_of_one_channel(shape: tuple[int, ...]) -> None:
    """PyTorch takes the layout of a kernel of one channel from its strides, and the rest of the network follows it."""
    kernel = TorchEngine("cpu", channels_last=True).on_device(np.zeros(shape, np.float32))
    images = torch.zeros(2, shape[1], 8, 8)
    assert torch.conv2d(images, kernel).stride()[1] == 1


def test_a_device_that_is_not_there(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("train", "small.cnn", "--run", "run", "--engine", "torch", "--device", "cuda:77")
    assert (done.returncode, codes(done.stderr)) == (6, ["E905"])
    assert "does not find cuda:77; it finds " in done.stderr
    assert "help: write `--device cpu`, or leave --device out" in done.stderr
    assert not (tmp_path / "run").exists()


def test_an_integer_outside_the_vocabulary(cnnc: Cnnc, tmp_path: Path) -> None:
    """The same error as with NumPy, before a GPU fails without saying where."""
    (tmp_path / "words.cnn").write_text(
        'input 4 dtype=int64\nembed 3 vocab=7\nfc 2\ntrain { data npz "words.npz"; loss cross_entropy; epochs 1; batch 8 }\n'
    )
    x = np.arange(64).reshape(16, 4) % 9
    np.savez(tmp_path / "words.npz", x=x, y=x[:, 0] % 2)
    errors = [cnnc("train", "words.cnn", "--engine", name) for name in ("numpy", "torch")]
    assert [codes(done.stderr)[-1] for done in errors] == ["E602", "E602"]
    assert all("embed takes integers from 0 to 6, not " in done.stderr for done in errors)


def test_a_word_that_is_no_device(cnnc: Cnnc) -> None:
    done = cnnc("train", "small.cnn", "--engine", "torch", "--device", "gpu")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "help: write auto, cpu, cuda, cuda:1 or mps" in done.stderr


def test_out_of_memory_names_layers_and_a_batch_that_fits(
    cnnc: Cnnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnc.torch.module import GraphModule

    def exhausted(self: GraphModule, *arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(GraphModule, "forward", exhausted)
    done = cnnc("train", "small.cnn", "--run", "run", *ENGINE)
    assert (done.returncode, codes(done.stderr)) == (6, ["E904"])
    assert "cpu ran out of memory: a step with a batch of" in done.stderr
    assert "most of it for conv1, bn1, relu1" in done.stderr
    assert "--> small.cnn:" in done.stderr
    assert "help: write `--set train.batch=64`" in done.stderr


def test_the_batch_that_fits_is_computed_from_the_memory() -> None:
    from cnnc.graph.analysis import training_memory
    from cnnc.torch.out_of_memory import fitting_batch

    graph = check("input 3x32x32; conv 64 k=3 p=1; relu; fc 10").require_graph()
    assert fitting_batch(graph, 100, 1, 0) == 32  # where the memory is not known, at most half
    assert fitting_batch(graph, 100, 1, training_memory(graph, 8, 1)) == 8
    assert fitting_batch(graph, 100, 1, training_memory(graph, 1, 1) - 1) == 0
    assert fitting_batch(graph, 1, 1, 0) == 0


def test_what_cannot_be_compiled_runs_without(cnnc: Cnnc, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import Unsupported

    def compiled(module: object) -> object:
        def fails(*arguments: object) -> None:
            raise Unsupported("no such operator", case_name="test")

        return fails

    monkeypatch.setattr(torch, "compile", compiled)
    done = cnnc("train", "small.cnn", "--run", "run", "--compile", *ENGINE)
    assert done.returncode == 0, done.stderr
    assert "note: torch.compile fails (no such operator); training continues without it" in done.stderr
