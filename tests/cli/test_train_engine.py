"""`cnnc train --engine onnxruntime`, and `torch`: the same run folder as the NumPy trainer, stopped, resumed and refused like it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import Cnnc, codes

ENGINE = ("--engine", "onnxruntime", "--provider", "cpu")


class EngineCase(NamedTuple):
    """The options that name an engine, a network on which it computes what NumPy does, and a learning rate."""

    options: tuple[str, ...]
    network: str
    rate: str


ENGINES = {
    "onnxruntime": EngineCase(ENGINE, "plain.cnn", "0.01"),
    "torch": EngineCase(("--engine", "torch", "--device", "cpu"), "small.cnn", "0.001"),
}


@pytest.fixture(params=["onnxruntime", pytest.param("torch", marks=pytest.mark.long)])
def engine(request: pytest.FixtureRequest) -> EngineCase:
    """Each engine beside NumPy. Skips the test where it is not installed."""
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return ENGINES[request.param]


@pytest.fixture(autouse=True)
def plain(cnnc: Cnnc, tmp_path: Path) -> None:
    """plain.cnn is small.cnn without dropout, whose masks differ between the engines."""
    (tmp_path / "plain.cnn").write_text((tmp_path / "small.cnn").read_text().replace("dropout 0.25\n", ""))


def test_the_results_are_those_of_numpy(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("train", "plain.cnn", "--run", "numpy").returncode == 0
    done = cnnc("train", "plain.cnn", "--run", "onnx", *ENGINE)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "onnx").iterdir()) == sorted(checkpoints.RUN_FILES)
    numpy, onnx = (checkpoints.load(tmp_path / name / "last.safetensors") for name in ("numpy", "onnx"))
    assert numpy.progress.right == onnx.progress.right
    assert {name: array.shape for name, array in onnx.slots.items()} == {n: a.shape for n, a in numpy.slots.items()}
    for name, array in numpy.weights.items():
        np.testing.assert_allclose(onnx.weights[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
    scores = [json.loads((tmp_path / name / "test.json").read_text()) for name in ("numpy", "onnx")]
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-3)
    assert (onnx.engine, onnx.provider) == ("onnxruntime", "cpu")
    assert (numpy.engine, numpy.provider) == ("numpy", "")


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lion"])
def test_a_resumed_run_is_bit_identical(cnnc: Cnnc, tmp_path: Path, engine: EngineCase, optimizer: str) -> None:
    """With dropout, and with Adam, whose bias correction counts steps; the run's own engine is used again."""
    settings = ("--set", f"train.optimizer={optimizer}", "--set", f"train.optimizer.lr={engine.rate}")
    options = (*settings, *engine.options)
    assert cnnc("train", "small.cnn", "--run", "whole", *options).returncode == 0
    assert cnnc("train", "small.cnn", "--run", "half", "--set", "train.epochs=1", *options).returncode == 0
    done = cnnc("train", "--resume", "half", "--set", "train.epochs=2")
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stderr
    whole, half = (checkpoints.load(tmp_path / name / "last.safetensors") for name in ("whole", "half"))
    assert ("--engine", half.engine) == engine.options[:2]
    for one, other in ((whole.weights, half.weights), (whole.slots, half.slots)):
        assert one.keys() == other.keys()
        assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def test_a_run_can_change_its_engine(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("train", "small.cnn", "--run", "run", "--set", "train.epochs=1").returncode == 0
    done = cnnc("train", "--resume", "run", "--set", "train.epochs=2", *ENGINE)
    assert done.returncode == 0, done.stderr
    assert "note: the run was started with the engine numpy, so results differ" in done.stderr
    assert checkpoints.load(tmp_path / "run" / "last.safetensors").engine == "onnxruntime"


def test_a_dry_run(cnnc: Cnnc, engine: EngineCase) -> None:
    done = cnnc("train", engine.network, "--dry-run", "--json", *engine.options)
    assert done.returncode == 0, done.stderr
    assert "running on cpu" in done.stderr
    numpy = json.loads(cnnc("train", engine.network, "--dry-run", "--json").stdout)
    assert json.loads(done.stdout)["loss"] == pytest.approx(numpy["loss"], rel=1e-5)


def test_divergence_keeps_the_last_good_checkpoint(cnnc: Cnnc, tmp_path: Path, engine: EngineCase) -> None:
    done = cnnc("train", "small.cnn", "--run", "run", "--set", "train.optimizer.lr=1e30", *engine.options)
    assert (done.returncode, codes(done.stderr)) == (4, ["W504", "E701"])
    assert all(np.isfinite(a).all() for a in checkpoints.load(tmp_path / "run" / "last.safetensors").weights.values())


def test_the_device_is_named(cnnc: Cnnc, engine: EngineCase) -> None:
    """Without an option that chooses it too; NumPy has no choice."""
    once = ("--set", "train.epochs=1")
    done = cnnc("train", "small.cnn", "--run", "run", *once, *engine.options)
    assert done.stderr.splitlines()[1] == "running on cpu"
    assert "running on cpu" in cnnc("train", "--resume", "run", "--set", "train.epochs=2").stderr.splitlines()
    chosen = cnnc("train", "small.cnn", "--run", "auto", *once, *engine.options[:2])
    assert re.search(r"^running on \w+(:\d+)?$", chosen.stderr, re.MULTILINE)
    assert "running on" not in cnnc("train", "small.cnn", "--run", "numpy", *once).stderr


def test_a_provider_needs_the_engine(cnnc: Cnnc) -> None:
    done = cnnc("train", "small.cnn", "--provider", "cpu")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "help: write --engine onnxruntime --provider cpu" in done.stderr


def test_a_provider_that_is_not_installed(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("train", "small.cnn", "--run", "run", "--engine", "onnxruntime", "--provider", "dml")
    assert codes(done.stderr) == ["E905"]
    assert not (tmp_path / "run").exists()


def test_an_option_of_the_engine_torch_needs_it(cnnc: Cnnc) -> None:
    done = cnnc("train", "small.cnn", "--device", "cuda:1")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "help: write --engine torch --device cuda:1" in done.stderr


def test_torch_that_is_not_installed(cnnc: Cnnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = cnnc("train", "small.cnn", "--run", "run", "--engine", "torch")
    assert (done.returncode, codes(done.stderr)) == (6, ["E906"])
    assert 'help: pip install "cnnc[torch]"' in done.stderr
    assert not (tmp_path / "run").exists()
