"""Moments of a training: they change nothing in it, say what the run says, and are few."""

from __future__ import annotations

import json
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset, Split
from cnnc.network import check
from cnnc.reference import engine
from cnnc.reference.parallel import processes
from cnnc.training import checkpoint as checkpoints
from cnnc.training import live_moments
from cnnc.training.live_moments import POINTS, LiveMoments, LossHistory
from cnnc.training.loop import start, train
from cnnc.training.ranks import Ranks
from cnnc.training.run import Callback, Callbacks, Run, Stopping
from cnnc.training.samples import SampleSet
from cnnc.view.live.moment import Moment, SamplePrediction, Series
from tests.training.conftest import Trainer, countdown, saved, tiny


def watched(
    trainer: Trainer, folder: Path, *settings: str, steps: int | None = None, workers: Workers | None = None
) -> tuple[LiveMoments, list[Moment]]:
    """Trains with a clock on which every step takes ten seconds, so that every step is shown anew."""
    last = folder / "last.safetensors"
    resume = checkpoints.load(last) if last.exists() else None
    shown: list[Moment] = []
    seconds = count(0, 10)
    moments = LiveMoments(shown.append, clock=lambda: float(next(seconds)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_moments, "SHARE", 1e9)  # predictions and kernels may take all the time
        run = start(tiny(*settings), trainer.data, folder, resume)
        train(run, Callbacks(moments, workers or Workers()), Stopping(countdown(steps)))
    return moments, shown


class Workers(Callback):
    """Notes whether batches are shared with worker processes."""

    seen = False

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self.seen = any(True for _ in run.engine.process_memory())


@pytest.mark.long
@pytest.mark.parametrize("workers", [False, True])
def test_training_is_bit_identical(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: bool
) -> None:
    """Also where a batch is shared by two processes, and where the run is stopped and resumed."""
    if workers:
        monkeypatch.setenv("CNNC_THREADS", "2")
        monkeypatch.setattr(processes, "MIN_RUN_MACS", 0)
        for cost in ("SHARD_WORK", "BATCH_SUM_WORK", "PARAMETER_WORK"):
            monkeypatch.setattr(engine, cost, 1)
    trainer.run(tiny(), tmp_path / "plain")
    noted = Workers()
    _, shown = watched(trainer, tmp_path / "watched", workers=noted)
    assert noted.seen is workers
    assert len(shown) > 30
    for steps in (4, 9, None):
        watched(trainer, tmp_path / "pieces", steps=steps)
    assert saved(tmp_path / "watched") == saved(tmp_path / "plain")
    assert saved(tmp_path / "pieces") == saved(tmp_path / "plain")


@pytest.mark.long
def test_moments_say_what_the_run_says(trainer: Trainer, tmp_path: Path) -> None:
    moments, shown = watched(trainer, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    first, last = shown[0], shown[-1]
    assert (first.state, first.epoch, first.step, first.run, first.losses, first.counts) == (
        "training", 0, 0, None, (), None,
    )  # fmt: skip
    assert (last.state, last.epoch, last.step) == ("finished", 3, 0)
    assert last.run is not None
    assert [dict(row) for row in last.run.rows] == lines
    assert dict(last.run.test).items() <= json.loads((tmp_path / "test.json").read_text()).items()
    assert "Test accuracy" in last.end
    assert last.counts is not None
    assert sum(last.counts.right) / sum(last.counts.total) == lines[-1]["val_accuracy"]
    assert sum(last.counts.total) == 144
    assert last.memory > 1e6
    ends = [moment for moment in shown if moment.epoch == 1 and not moment.step]
    assert ends[0].run is not None
    assert [row["epoch"] for row in ends[0].run.rows] == [1]
    assert moments.kept[0] is first
    assert moments.kept[-1] is last
    assert all(a.seconds <= b.seconds for a, b in pairwise(shown))
    left = [moment.left for moment in shown if moment.left is not None]
    assert left[0] > left[len(left) // 2] > left[-1] == 0


@pytest.mark.long
def test_moments_keep_what_was(trainer: Trainer, tmp_path: Path) -> None:
    """Training changes the weights in place; the kernels of earlier moments stay."""
    moments, _ = watched(trainer, tmp_path)
    pixels = [moment.learned.kernels[0].pixels.tobytes() for moment in moments.kept]
    assert len(set(pixels)) > len(pixels) / 2


@pytest.mark.long
def test_a_resumed_run_shows_the_earlier_epochs(trainer: Trainer, tmp_path: Path) -> None:
    watched(trainer, tmp_path, steps=15)
    _, shown = watched(trainer, tmp_path)
    assert (shown[0].epoch, shown[0].step) == (1, 4)
    assert shown[0].run is not None
    assert [row["epoch"] for row in shown[0].run.rows] == [1]


def test_a_stopped_run(trainer: Trainer, tmp_path: Path) -> None:
    moments, shown = watched(trainer, tmp_path, steps=5)
    assert (shown[-1].state, shown[-1].step) == ("stopped", 5)
    assert moments.advanced


@pytest.mark.long
def test_a_run_that_is_complete_has_nothing_to_replay(trainer: Trainer, tmp_path: Path) -> None:
    watched(trainer, tmp_path)
    moments, shown = watched(trainer, tmp_path)
    assert shown[-1].state == "finished"
    assert not moments.advanced


@pytest.mark.long
def test_a_long_training_keeps_few_moments(trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_moments, "MOST", 8)
    moments, shown = watched(trainer, tmp_path, "train.epochs=12")
    assert 4 <= len(moments.kept) <= 9
    assert (moments.kept[0], moments.kept[-1]) == (shown[0], shown[-1])
    positions = np.array([moment.epoch * 11 + moment.step for moment in moments.kept])
    gaps = np.diff(positions)
    assert gaps.max() <= 3 * gaps[:-1].min(), "spread evenly"


def test_losses_become_means_of_more_steps() -> None:
    history, losses = LossHistory(), np.random.default_rng(0).random(5000)
    for step, loss in enumerate(losses):
        history.add((step + 1) / 100, float(loss))
    points = history.points()
    assert POINTS / 2 - 1 <= len(points) <= POINTS
    size = 5000 // len(points)
    assert points[0][1] == pytest.approx(losses[: round(points[0][0] * 100)].mean())
    assert [round(x * 100) for x, _ in points[:3]] == [32, 64, 96]
    assert size >= 20


# --- samples -----------------------------------------------------------------------------------------------------


def run_of(
    text: str, inputs: Array, targets: Array | None, classes: tuple[str, ...] = (), vocabulary: tuple[str, ...] = ()
) -> Run:
    """An untrained run on these examples."""
    split = Split((inputs,), () if targets is None else (targets,))
    network = check(text)
    network.require_graph()
    return start(network, Dataset("made", classes, split, split, vocabulary), Path("unused"))


IMAGES = np.arange(40 * 64, dtype=np.float32).reshape(40, 1, 8, 8) / 2560
RECIPE = 'train {{ data npz "x.npz" val={val}; loss {loss}; batch 8; epochs 1 }}'


def predictions(run: Run) -> tuple[SampleSet, tuple[SamplePrediction, ...]]:
    samples = SampleSet(run)
    return samples, samples.predictions(run)


def test_samples_of_a_classifier_cover_all_classes(trainer: Trainer) -> None:
    samples, found = predictions(start(tiny(), trainer.data, Path("unused")))
    assert len(samples) == 12
    assert {sample.target for sample in samples.shown} == set("0123456789")
    for sample, prediction in zip(samples.shown, found, strict=True):
        assert prediction.right is (prediction.shown == sample.target)
        assert prediction.probability is not None
        assert 0.1 <= prediction.probability <= 1


def test_samples_without_validation_data_are_training_examples(trainer: Trainer, tmp_path: Path) -> None:
    from dataclasses import replace

    run = start(tiny(), trainer.data, tmp_path)
    run = replace(run, train=trainer.data.train, validation=run.validation.select(np.arange(0)))
    moments = LiveMoments(lambda moment: None)
    train(run, moments)
    assert moments.subject is not None
    assert "training images" in moments.subject.samples_title
    counts = moments.kept[-1].counts
    assert counts is not None
    assert sum(counts.total) == 1437 // 20
    assert "training" in counts.on


def test_counts_of_a_share_say_so(trainer: Trainer, tmp_path: Path) -> None:
    """Of several processes, the first sees only the examples that it scores itself."""

    class FirstOfTwo(Ranks):
        size = 2

    run = start(tiny(), trainer.data, tmp_path)
    run.engine.ranks = FirstOfTwo()
    moments = LiveMoments(lambda moment: None)
    train(run, moments)
    counts = moments.kept[-1].counts
    assert counts is not None
    assert sum(counts.total) < len(run.validation)
    assert counts.on == f"the first process's share of {len(run.validation)} validation images"


def test_an_autoencoder_shows_its_output_as_an_image() -> None:
    text = f"net A\ninput 1x8x8\nconv 1 k=3 p=1; sigmoid\n{RECIPE.format(val=0.2, loss='mse target=input')}"
    samples, found = predictions(run_of(text, IMAGES, None))
    assert len(samples) == 8
    assert samples.shown[0].target is None
    assert isinstance(found[0].shown, np.ndarray)
    assert found[0].shown.shape == (8, 8)
    assert not samples.classes


def test_a_regression_shows_numbers() -> None:
    text = f"net R\ninput 5\nfc 2\n{RECIPE.format(val=0.2, loss='mse')}"
    samples, found = predictions(run_of(text, np.ones((40, 5), np.float32), np.full((40, 2), 0.25, np.float32)))
    assert (samples.shown[0].shown, samples.shown[0].target) == ("1 1 1 1 1", "0.25 0.25")
    assert len(str(found[0].shown).split()) == 2
    assert found[0].right is None


def test_a_series_is_a_curve_on_the_scale_of_its_target() -> None:
    text = f"net S\ninput 1x50\nconv 1 k=3 p=1\n{RECIPE.format(val=0.2, loss='mse')}"
    series = np.random.default_rng(0).random((40, 1, 50)).astype(np.float32)
    samples, found = predictions(run_of(text, series, 7 * series))
    target, output = samples.shown[0].target, found[0].shown
    assert isinstance(target, Series)
    assert isinstance(output, Series)
    assert (output.low, output.high) == (target.low, target.high)
    assert target.high > 6


def test_a_segmentation_shows_maps_of_classes() -> None:
    text = f"net M\ninput 1x8x8\nconv 3 k=3 p=1; softmax\n{RECIPE.format(val=0.2, loss='cross_entropy')}"
    labels = np.random.default_rng(0).integers(0, 3, (40, 8, 8))
    samples, found = predictions(run_of(text, IMAGES, labels))
    assert isinstance(samples.shown[0].target, np.ndarray)
    assert set(np.unique(samples.shown[0].target)) == {0, 128, 255}
    assert isinstance(found[0].shown, np.ndarray)
    assert samples.classes == ("0", "1", "2")


def test_words_are_shown_as_words() -> None:
    text = (
        "net W\ninput 4 dtype=int64\nembed 6 vocab=9\nconv 4 k=2; relu; global_pool max\nfc 2\nsoftmax\n"
        + RECIPE.format(val=0.2, loss="cross_entropy")
    )
    words = np.tile(np.array([2, 3, 1, 0]), (40, 1))
    run = run_of(text, words, np.arange(40) % 2, classes=("<b>bad</b>", "good"), vocabulary=("a", "film"))
    samples, found = predictions(run)
    assert samples.shown[0].shown == "a film <unknown>"
    assert {sample.target for sample in samples.shown} == {"<b>bad</b>", "good"}
    assert found[0].shown in ("<b>bad</b>", "good")


def test_weights_that_are_not_finite_have_predictions_and_kernels(trainer: Trainer) -> None:
    run = start(tiny(), trainer.data, Path("unused"))
    for array in run.weights.values():
        array[...] = np.nan
    moments = LiveMoments(lambda moment: None)
    with np.errstate(all="ignore"):
        moments.on_start(run)
    assert all(prediction.probability is None for prediction in moments.kept[0].learned.predictions)
