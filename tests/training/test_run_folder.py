"""The files of a run folder: what they say about the epochs, the best one and the test set."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from cnnc.diagnostics import CnncError
from cnnc.training import checkpoint as checkpoints
from cnnc.training import run_folder
from cnnc.training.loop import start
from cnnc.training.run import Run
from cnnc.training.run_folder import save, save_metrics
from tests.training.conftest import Trainer, saved, tiny

SHORT = ("train.batch=1000", "train.epochs=3")


def test_the_files_of_a_run_agree_about_its_epochs(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after a stop within the second epoch."""
    drawn: list[tuple[int | None, Mapping[str, float]]] = []
    real = run_folder.save_curves

    def curves(run: Run, lines: list[str], score: Mapping[str, float] = {}) -> None:
        drawn.append((len(lines), score))
        real(run, lines, score)

    monkeypatch.setattr(run_folder, "save_curves", curves)
    trainer.run(tiny(*SHORT), tmp_path / "run", steps=3)
    (first,) = saved(tmp_path / "run").metrics
    assert first["epoch"] == 1
    trainer.run(tiny(*SHORT), tmp_path / "run")
    metrics = saved(tmp_path / "run").metrics
    assert [line["epoch"] for line in metrics] == [1, 2, 3]
    assert metrics[0] == first
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"} <= first.keys()
    best = checkpoints.best_epoch(tmp_path / "run")
    assert best is not None
    score = json.loads((tmp_path / "run" / "test.json").read_text())
    assert score["epoch"] == best
    assert drawn[-1] == (3, score), "the curves show the score on the test set"
    accuracies = (
        rf"validation accuracy {metrics[best - 1]['val_accuracy']:.4g}, .*test accuracy {score['accuracy']:.4g}"
    )
    assert re.search(f"best epoch {best}: .*{accuracies}", (tmp_path / "run" / "curves.svg").read_text())


def test_curves_are_drawn_in_a_twentieth_of_the_time(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, an epoch and a drawing take a second each."""
    seconds, drawn = count(0), list[int]()
    monkeypatch.setattr("cnnc.training.run_folder.time.monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(run_folder, "save_curves", lambda run, lines: drawn.append(len(lines)))
    run = start(tiny(), trainer.data, tmp_path)
    lines: list[str] = []
    for _ in range(45):
        lines.append("{}")
        save_metrics(run, lines)
    assert drawn == [1, 21, 41]
    assert len(checkpoints.metric_lines(tmp_path)) == 45


def test_one_weight_that_is_not_finite_is_never_saved(trainer: Trainer, tmp_path: Path) -> None:
    run = start(tiny(), trainer.data, tmp_path)
    save(run, "last")
    before = (tmp_path / "last.safetensors").read_bytes()
    run.weights["fc1.bias"][3] = np.nan
    with pytest.raises(CnncError, match=r"training diverged at epoch 1, step 1: .*fc1 is the first layer") as error:
        save(run, "last")
    assert error.value.diagnostics[0].code == "E701"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"last.safetensors": before}
