"""Training learns, and its records say what happened."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from cnnc.diagnostics import Diagnostic
from cnnc.network import check
from cnnc.reference.initializers import initialize
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import start, train
from cnnc.training.run import Callback, Epoch, Run, Stopping
from tests.training.conftest import TINY, Trainer, countdown, tiny

pytestmark = pytest.mark.long

LEARNER = """input 1x8x8
conv 16 k=3 p=1; bn; relu
pool max k=2
fc 10
softmax
train { data digits; optimizer adam lr=0.01; batch 32; epochs 5 }
"""


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_small_network_learns_the_digits(trainer: Trainer, tmp_path: Path, optimizer: str) -> None:
    sgd = ("train.optimizer=sgd", "train.optimizer.lr=0.05", "train.optimizer.momentum=0.9")
    network = check(LEARNER, "learner.cnn", sgd if optimizer == "sgd" else ())
    before = start(network, trainer.data, tmp_path).objective.evaluate(
        initialize(network.require_graph(), 0), trainer.data.test
    )
    result = trainer.run(network, tmp_path)
    assert before.accuracy < 0.4
    assert result.test is not None
    assert result.test.total == 360
    assert result.test.accuracy > 0.9


def test_metrics_are_those_that_the_callback_sees(trainer: Trainer, tmp_path: Path) -> None:
    seen: list[Epoch] = []
    steps: list[tuple[int, int]] = []

    class Notes(Callback):
        def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
            steps.append((epoch, step))

        def on_epoch(self, run: Run, epoch: Epoch) -> None:
            seen.append(epoch)

    run = start(tiny(), trainer.data, tmp_path)
    train(run, Notes())
    assert steps == [(epoch, step) for epoch in range(3) for step in range(run.steps_per_epoch)]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    for line, epoch in zip(lines, seen, strict=True):
        assert epoch.validation is not None
        assert line["val_accuracy"] == epoch.validation.accuracy
        assert line["train_loss"] == epoch.train.loss
        assert epoch.train.total == len(run.train)
        assert epoch.validation.total == len(run.validation)
        assert line["seconds"] > 0
        assert line["images_per_second"] > 0
    assert [line["lr"] for line in lines] == pytest.approx([0.01, 0.0075, 0.0025])


def test_best_is_the_best_epoch_and_is_what_the_test_scores(trainer: Trainer, tmp_path: Path) -> None:
    result = trainer.run(tiny("train.epochs=6", "train.optimizer.lr=0.1", "train.schedule=constant"), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    accuracies = [line["val_accuracy"] for line in lines]
    best = checkpoints.load(tmp_path / "best.safetensors")
    assert best.progress.best_epoch == max(range(6), key=lambda i: (accuracies[i], i))
    assert best.progress.epoch == best.progress.best_epoch + 1
    assert best.progress.best_rank == max(accuracies)
    assert result.test == result.run.objective.evaluate(best.weights, trainer.data.test)


@pytest.mark.parametrize("stops", [False, True], ids=["to the end", "stopped"])
def test_curves_are_drawn_at_the_end_where_epochs_are_too_short_to_draw_each(
    trainer: Trainer, tmp_path: Path, stops: bool
) -> None:
    run = start(tiny(), trainer.data, tmp_path)
    run.next_curves = math.inf

    class Watch(Callback):
        def on_epoch(self, run: Run, epoch: Epoch) -> None:
            assert not (tmp_path / "curves.svg").exists()

    train(run, Watch(), Stopping(lambda: stops and run.progress.epoch == 2))
    drawn = (tmp_path / "curves.svg").read_text()
    assert f"at the best epoch, {run.progress.best_epoch + 1} of {run.progress.epoch}" in drawn
    assert run.progress.epoch == (2 if stops else run.recipe.epochs)


def test_without_validation_the_last_epoch_is_the_best(trainer: Trainer, tmp_path: Path) -> None:
    trainer.run(tiny("train.data.val=0"), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(line["val_loss"] is None and line["val_accuracy"] is None for line in lines)
    best, last = (checkpoints.load(tmp_path / f"{name}.safetensors") for name in ("best", "last"))
    for name, weight in best.weights.items():
        np.testing.assert_array_equal(weight, last.weights[name])


def test_the_run_folder_holds_the_text_as_it_was(trainer: Trainer, tmp_path: Path) -> None:
    trainer.run(tiny(), tmp_path)
    assert (tmp_path / "network.cnn").read_text() == TINY
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(checkpoints.RUN_FILES)
    found = checkpoints.load(tmp_path / "best.safetensors")
    assert found.classes == tuple("0123456789")
    assert set(found.versions) >= {"cnnc", "numpy"}
    assert found.threads >= 1
    assert "preprocessing" in (tmp_path / "best.safetensors").read_bytes()[:4000].decode(errors="replace")


class Warnings(Callback):
    """What was warned of, and at which step."""

    def __init__(self) -> None:
        self.steps = 0
        self.found: list[tuple[int, Diagnostic]] = []

    def on_warning(self, run: Run, warning: Diagnostic) -> None:
        self.found.append((self.steps, warning))

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self.steps += 1


@pytest.mark.parametrize(
    ("layer", "word"), [("fc 10", ""), ("scale 60; fc 10", "too large"), ("fc 10 init=zeros", "")], ids=str
)
def test_a_first_loss_far_from_guessing_is_told_once(trainer: Trainer, tmp_path: Path, layer: str, word: str) -> None:
    text = TINY.replace("fc 10", layer).replace("dropout 0.25", "")
    callback = Warnings()
    train(start(check(text, "tiny.cnn"), trainer.data, tmp_path), callback)
    assert [step for step, _ in callback.found] == ([0] if word else [])
    for _, warning in callback.found:
        assert (warning.code, warning.severity) == ("W701", "warning")
        assert "guessing costs 2.303" in warning.message
        assert word in warning.help
        assert warning.span is not None


@pytest.mark.parametrize(("batch", "warnings"), [(1, 0), (7, 0), (8, 1)])
def test_the_first_loss_of_a_few_examples_is_not_told(
    trainer: Trainer, tmp_path: Path, batch: int, warnings: int
) -> None:
    text = TINY.replace("fc 10", "scale 60; fc 10").replace("dropout 0.25", "")
    callback = Warnings()
    run = start(check(text, "tiny.cnn", [f"train.batch={batch}"]), trainer.data, tmp_path)
    train(run, callback, stopping=Stopping(countdown(50)))
    assert len(callback.found) == warnings


def test_a_resumed_run_is_not_warned_again(trainer: Trainer, tmp_path: Path) -> None:
    network = check(TINY.replace("fc 10", "scale 60; fc 10"), "tiny.cnn")
    trainer.run(network, tmp_path, 3)
    callback = Warnings()
    train(start(network, trainer.data, tmp_path, checkpoints.load(tmp_path / "last.safetensors")), callback)
    assert callback.found == []
