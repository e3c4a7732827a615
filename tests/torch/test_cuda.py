"""Training on a GPU: the benchmark networks, bf16, torch.compile, resuming, several GPUs, export. Skipped without a GPU.

pytest -m "slow or not slow" tests/torch/test_cuda.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from benchmarks.nets import NAMES, NETS
from cnnc.core.arrays import Array
from cnnc.network import load
from cnnc.torch.engine import TorchEngine
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import one_step, start
from cnnc.training.run import Engine
from tests.cli.conftest import Cnnc, codes
from tests.cuda import needs_cuda
from tests.random_dataset import random_dataset

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not GPUS, reason=f"PyTorch {torch.__version__} finds no CUDA device"),
]
ENGINE = ("--engine", "torch", "--device", "cuda")
BATCH, STEPS = 16, 5


def losses(name: str, engine: Engine, folder: Path) -> Array:
    """The losses of the first steps of a benchmark network on random examples, the same for every engine."""
    net = load(NETS / f"{name}.cnn", ["train.data.val=0", f"train.batch={BATCH}"])
    run = start(net, random_dataset(net, BATCH), folder, engine=engine)
    inputs, targets = (tuple(np.asarray(c[:]) for c in side) for side in (run.train.inputs, run.train.targets))
    with engine.running(run):
        return np.array([one_step(run, 0, step, inputs, targets).loss for step in range(STEPS)])


@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_trains_like_the_cpu(name: str, tmp_path: Path) -> None:
    on_cpu, on_gpu = (losses(name, TorchEngine(device), tmp_path) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-3)
    bf16 = losses(name, TorchEngine("cuda", "bf16"), tmp_path)
    np.testing.assert_allclose(bf16, on_cpu, rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_compiled_module_trains_alike(name: str, tmp_path: Path) -> None:
    reports: list[str] = []
    engines = (TorchEngine("cuda"), TorchEngine("cuda", compiles=True, report=reports.append))
    eager, compiled = (losses(name, engine, tmp_path) for engine in engines)
    assert reports == [], "it was compiled"
    np.testing.assert_allclose(compiled, eager, rtol=1e-3)


def test_the_device_reports_its_memory(tmp_path: Path) -> None:
    engine = TorchEngine("cuda")
    losses("lenet5", engine, tmp_path)
    assert (engine.device_memory() or 0) > 4 * load(NETS / "lenet5.cnn").require_graph().total_parameters


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_a_resumed_run_is_bit_identical(cnnc: Cnnc, tmp_path: Path, precision: str) -> None:
    """With dropout, whose elements the device's own generator chooses."""
    options = (*ENGINE, "--precision", precision)
    assert cnnc("train", "small.cnn", "--run", "whole", *options).returncode == 0
    assert cnnc("train", "small.cnn", "--run", "half", "--set", "train.epochs=1", *options).returncode == 0
    done = cnnc("train", "--resume", "half", "--set", "train.epochs=2")
    assert done.returncode == 0, done.stderr
    whole, half = (checkpoints.load(tmp_path / name / "last.safetensors") for name in ("whole", "half"))
    assert half.provider == "cuda:0"
    assert [name for name in whole.weights if not np.array_equal(whole.weights[name], half.weights[name])] == []


def test_what_a_gpu_trained_is_exported_and_proven(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("train", "small.cnn", "--run", "run", *ENGINE).returncode == 0
    done = cnnc("export", "run", "-o", "small.onnx")
    assert done.returncode == 0, done.stderr
    scores = [json.loads(cnnc("eval", what, "--json").stdout)["right"] for what in ("run", "small.onnx")]
    assert scores[0] == scores[1]


@needs_cuda
def test_onnxruntime_on_the_gpu_scores_alike(cnnc: Cnnc) -> None:
    assert cnnc("train", "small.cnn", "--run", "run", *ENGINE).returncode == 0
    assert cnnc("export", "run", "-o", "small.onnx").returncode == 0
    scored = (cnnc("eval", "small.onnx", "--json", "--provider", provider) for provider in ("cpu", "cuda"))
    rights = [json.loads(done.stdout)["right"] for done in scored]
    assert rights[0] == rights[1]


def test_memory_that_runs_out_is_one_error(cnnc: Cnnc) -> None:
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-9)
    try:
        done = cnnc("train", "small.cnn", "--run", "run", *ENGINE)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (done.returncode, codes(done.stderr)) == (6, ["E904"])
    assert "cuda:0 ran out of memory" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(GPUS < 2, reason=f"needs two CUDA devices, and PyTorch finds {GPUS}")
def test_two_gpus_end_with_the_weights_of_one(cnnc: Cnnc, tmp_path: Path) -> None:
    settings = ("--set", "train.optimizer.momentum=0", "--set", "train.epochs=1")
    (tmp_path / "plain.cnn").write_text((tmp_path / "small.cnn").read_text().replace("dropout 0.25\n", ""))
    for name, more in (("one", ()), ("two", ("--processes", "2"))):
        done = cnnc("train", "plain.cnn", "--run", name, *settings, *ENGINE, *more)
        assert done.returncode == 0, done.stderr
    one, two = (checkpoints.load(tmp_path / name / "last.safetensors").weights for name in ("one", "two"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=1e-4, err_msg=name)
