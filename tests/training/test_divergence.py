"""A loss that is no number any more: said as E701, and the last good weights are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.diagnostics import CnncError, Exit
from cnnc.network import check
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import start, train
from cnnc.training.numpy_engine import NumpyEngine
from cnnc.training.run import Run, StepBatch, Stopping
from tests.training.conftest import Trainer, tiny

HUGE = ("train.optimizer=sgd", "train.optimizer.lr=1e30")
PLAIN = "input 1x8x8\nconv 4 k=3\nrelu\nfc 10\nsoftmax\ntrain { data digits; optimizer sgd lr=1e30; epochs 2 }"


def diverged(trainer: Trainer, text: str, folder: Path) -> CnncError:
    with pytest.raises(CnncError) as caught:
        trainer.run(check(text, "net.cnn"), folder)
    assert [d.code for d in caught.value.diagnostics] == ["E701"]
    assert caught.value.status is Exit.DIVERGED
    return caught.value


def test_it_says_where_and_what_to_try(trainer: Trainer, tmp_path: Path) -> None:
    (diagnostic,) = diverged(trainer, PLAIN, tmp_path).diagnostics
    assert diagnostic.message.startswith("training diverged at epoch 1, step ")
    assert "the first layer that is not finite" in diagnostic.message
    assert diagnostic.span is not None
    assert "--set train.optimizer.lr=" in diagnostic.help
    assert str(tmp_path / "last.safetensors") in diagnostic.help


def test_the_last_good_checkpoint_loads(trainer: Trainer, tmp_path: Path) -> None:
    trainer.run(tiny(), tmp_path, 15)
    before = (tmp_path / "last.safetensors").read_bytes()
    resumed = checkpoints.load(tmp_path / "last.safetensors")
    with pytest.raises(CnncError) as caught:
        train(start(tiny(*HUGE), trainer.data, tmp_path, resumed))
    assert caught.value.status is Exit.DIVERGED
    assert (tmp_path / "last.safetensors").read_bytes() == before
    for weight in checkpoints.load(tmp_path / "last.safetensors").weights.values():
        assert np.isfinite(weight).all()


@pytest.mark.parametrize("steps", range(3))
def test_weights_that_are_no_numbers_are_never_saved(trainer: Trainer, tmp_path: Path, steps: int) -> None:
    """Stopped just after the step that broke them, before any loss shows it."""
    run = start(check(PLAIN, "net.cnn", ["train.optimizer.lr=1e40"]), trainer.data, tmp_path)
    made = [0]

    def asked() -> bool:
        made[0] += 1
        return made[0] > steps

    if steps == 0:
        assert train(run, stopping=Stopping(asked)).stopped
    else:
        with pytest.raises(CnncError) as caught:
            train(run, stopping=Stopping(asked))
        assert caught.value.status is Exit.DIVERGED
    for weight in checkpoints.load(tmp_path / "last.safetensors").weights.values():
        assert np.isfinite(weight).all()


def test_broken_in_the_last_step_of_an_epoch(trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No later step sees the damage; neither best nor last may take it."""
    real = NumpyEngine.step

    def step(engine: NumpyEngine, run: Run, batch: StepBatch) -> object:
        made = real(engine, run, batch)
        if (batch.epoch, batch.step) == (1, run.steps_per_epoch - 1):
            run.weights["fc1.weight"][0, 0] = np.nan
        return made

    monkeypatch.setattr(NumpyEngine, "step", step)
    with pytest.raises(CnncError) as caught:
        trainer.run(tiny(), tmp_path)
    assert caught.value.status is Exit.DIVERGED
    assert "fc1" in caught.value.diagnostics[0].message
    for name in ("last", "best"):
        found = checkpoints.load(tmp_path / f"{name}.safetensors")
        assert found.progress.epoch == 1
        assert np.isfinite(found.weights["fc1.weight"]).all()
