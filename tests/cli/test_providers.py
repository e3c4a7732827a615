"""`--provider` of `cnnc eval`, `predict` and `bench`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cnnc.onnx.emit.tolerance import ATOL, RTOL
from tests.cli.conftest import Cnnc, codes
from tests.cuda import WHY_NOT, needs_cuda


@pytest.mark.skipif(not WHY_NOT, reason="cuda is there")
@pytest.mark.parametrize("command", ["eval", "predict", "bench"])
def test_cuda_that_is_not_installed(cnnc: Cnnc, trained: Path, images: Path, command: str) -> None:
    more = ("a.png",) if command == "predict" else ()
    done = cnnc(command, trained / "small.onnx", "--provider", "cuda", *more)
    assert done.returncode == 6
    assert codes(done.stderr) == ["E905"]
    assert done.stdout == "", "nothing runs in its place"
    done = cnnc(command, trained / "small.onnx", "--provider", "gpu", *more)
    assert done.returncode == 2


@needs_cuda
def test_a_gpu_predicts_like_the_cpu(cnnc: Cnnc, trained: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", np.random.default_rng(0).random((20, 1, 8, 8), np.float32))
    counted = {}
    for provider in ("cpu", "cuda"):
        scored = cnnc("eval", trained / "small.onnx", "--json", "--provider", provider)
        result = json.loads(scored.stdout)
        assert result["provider"] == provider
        counted[provider] = (result["right"], result["total"], result["confusion"])
        done = cnnc("predict", trained / "small.onnx", "digits.npy", "--out", provider, "--provider", provider)
        assert (done.returncode, f"running on {provider}" in done.stderr) == (0, True)
    assert counted["cuda"] == counted["cpu"]
    files = sorted(path.name for path in (tmp_path / "cpu").glob("*.npy"))
    assert files == sorted(path.name for path in (tmp_path / "cuda").glob("*.npy")) != []
    for name in files:
        on_cpu, on_gpu = (np.load(tmp_path / provider / name) for provider in ("cpu", "cuda"))
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=RTOL, atol=ATOL)


@needs_cuda
def test_a_gpu_and_the_cpu_are_measured(cnnc: Cnnc, trained: Path) -> None:
    for provider in ("cpu", "cuda"):
        words = ("bench", trained / "small.onnx", "--json", "--seconds", "0.2", "--batch", "64", "--provider", provider)
        result = json.loads(cnnc(*words).stdout)
        assert result["provider"] == provider
        assert next(iter(result["nodes"])) == provider, "most nodes run there"
        assert result["throughput"] > 0
