"""`cnnc train --engine onnxruntime`: the same run folder as the NumPy trainer, stopped, resumed and refused like it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import Cnnc, codes

ENGINE = ("--engine", "onnxruntime", "--provider", "cpu")


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


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_resumed_run_is_bit_identical(cnnc: Cnnc, tmp_path: Path, optimizer: str) -> None:
    """With dropout, and with Adam, whose bias correction counts steps; the run's own engine is used again."""
    settings = ("--set", f"train.optimizer={optimizer}", "--set", "train.optimizer.lr=0.01")
    assert cnnc("train", "small.cnn", "--run", "whole", *settings, *ENGINE).returncode == 0
    assert cnnc("train", "small.cnn", "--run", "half", *settings, "--set", "train.epochs=1", *ENGINE).returncode == 0
    done = cnnc("train", "--resume", "half", "--set", "train.epochs=2")
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stderr
    whole, half = (checkpoints.load(tmp_path / name / "last.safetensors") for name in ("whole", "half"))
    assert half.engine == "onnxruntime"
    for one, other in ((whole.weights, half.weights), (whole.slots, half.slots)):
        assert one.keys() == other.keys()
        assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def test_a_run_can_change_its_engine(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("train", "small.cnn", "--run", "run", "--set", "train.epochs=1").returncode == 0
    done = cnnc("train", "--resume", "run", "--set", "train.epochs=2", *ENGINE)
    assert done.returncode == 0, done.stderr
    assert "note: the run was started with the engine numpy, so results differ" in done.stderr
    assert checkpoints.load(tmp_path / "run" / "last.safetensors").engine == "onnxruntime"


def test_a_dry_run(cnnc: Cnnc) -> None:
    done = cnnc("train", "plain.cnn", "--dry-run", "--json", *ENGINE)
    assert done.returncode == 0, done.stderr
    numpy = json.loads(cnnc("train", "plain.cnn", "--dry-run", "--json").stdout)
    assert json.loads(done.stdout)["loss"] == pytest.approx(numpy["loss"], rel=1e-5)


def test_divergence_keeps_the_last_good_checkpoint(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("train", "small.cnn", "--run", "run", "--set", "train.optimizer.lr=1e30", *ENGINE)
    assert (done.returncode, codes(done.stderr)) == (4, ["W504", "E701"])
    assert all(np.isfinite(a).all() for a in checkpoints.load(tmp_path / "run" / "last.safetensors").weights.values())


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
