"""Imbalanced classes: weights from the training examples, and epochs that take each class equally often."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnnc.api.progress import TrainingProgress
from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError
from cnnc.network import check
from cnnc.training.balance import class_counts
from cnnc.training.batches import balanced_order, batches_of_epoch, order_of_epoch
from cnnc.training.loop import start
from cnnc.training.run import Run

SOURCE = """input 3
fc 3
train {{ data npz "rare.npz" val=0.25{sampling}; loss {loss}; optimizer sgd lr=0.1; batch 16; epochs 2; seed 5 }}
"""


def rare(counts: tuple[int, ...] = (80, 15, 5)) -> Dataset:
    """Examples whose inputs tell their class and number."""
    labels = np.repeat(np.arange(len(counts)), counts)
    inputs = np.stack([labels, np.arange(len(labels)), np.ones(len(labels))], 1).astype(np.float32)
    split = Split.of(inputs, labels)
    return Dataset("npz", (), split, split)


def started(loss: str = "cross_entropy", sampling: str = "", data: Dataset | None = None) -> Run:
    network = check(SOURCE.format(loss=loss, sampling=sampling))
    return start(network, rare() if data is None else data, Path("unused"))


@pytest.mark.parametrize(("loss", "argument"), [("cross_entropy", "weights"), ("focal", "alpha")])
def test_balanced_weights_count_the_training_share(loss: str, argument: str) -> None:
    run = started(f"{loss} {argument}=balanced")
    counts = class_counts(run.train.targets[0], 3, None)
    assert counts.sum() == 75
    expected = tuple(75 / (3 * count) for count in counts)
    assert getattr(run.recipe.losses[0], argument) == pytest.approx(expected)
    numbers = ", ".join(repr(weight) for weight in getattr(run.recipe.losses[0], argument))
    assert started(f"{loss} {argument}=[{numbers}]").recipe.losses == run.recipe.losses


def test_balanced_weights_of_label_maps_count_positions_without_ignored_ones() -> None:
    maps = np.array([[[0, 0], [0, 9]], [[1, 0], [9, 0]]])
    split = Split.of(np.zeros((2, 1, 2, 2), np.float32), maps)
    source = (
        'input 1x2x2\nconv 3 k=1\ntrain { data npz "maps.npz" val=0; loss cross_entropy ignore=9 weights=balanced }'
    )
    run = start(check(source), Dataset("npz", (), split, split), Path("unused"))
    assert run.recipe.losses[0].balance == (6 / (2 * 5), 6 / (2 * 1), 1.0)


def test_balanced_positives_are_negatives_by_positives_of_each_channel() -> None:
    targets = np.array([[1, 0, 0], [0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], np.float32)
    split = Split.of(np.zeros((4, 3), np.float32), targets)
    source = 'input 3\nfc 3\ntrain { data npz "tags.npz" val=0; loss bce pos_weight=balanced }'
    run = start(check(source), Dataset("npz", (), split, split), Path("unused"))
    assert run.recipe.losses[0].balance == (3.0, 1.0, 3.0)


@pytest.mark.parametrize("counts", [(80, 15, 5), (1, 1, 2), (30, 30, 30), (100, 1)])
def test_an_epoch_takes_each_class_equally_often(counts: tuple[int, ...]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    order = balanced_order(labels, np.random.default_rng(3))
    assert len(order) == len(labels)
    taken = np.bincount(labels[order])
    assert taken.max() - taken.min() <= 1
    for label, count in enumerate(counts):  # within a class each example equally often
        times = Counter(order[labels[order] == label].tolist())
        most = max(times.values())
        assert min(times.values()) >= most - 1 if len(times) == count else most == 1


def test_labels_that_do_not_count_are_not_sampled() -> None:
    labels = np.array([-1, 0, 0, 0, 1, -1])
    order = balanced_order(labels, np.random.default_rng(3))
    assert Counter(labels[order].tolist()) == {0: 3, 1: 3}


def test_balanced_epochs_differ_and_repeat_with_the_seed() -> None:
    run, again = (started(sampling=" sampling=balanced") for _ in range(2))
    first, second = order_of_epoch(run, 0), order_of_epoch(run, 1)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, order_of_epoch(again, 0))
    assert run.steps_per_epoch == started().steps_per_epoch


def test_a_resumed_epoch_takes_the_same_balanced_batches() -> None:
    def taken(step: int) -> list[Array]:
        run = started(sampling=" sampling=balanced")
        run.progress = replace(run.progress, epoch=1, step=step)
        return [batch.inputs[0] for batch in batches_of_epoch(run)]

    for whole, resumed in zip(taken(0)[2:], taken(2), strict=True):
        np.testing.assert_array_equal(whole, resumed)


def test_label_maps_cannot_be_sampled() -> None:
    split = Split.of(np.zeros((2, 1, 2, 2), np.float32), np.zeros((2, 2, 2), np.int64))
    source = 'input 1x2x2\nconv 3 k=1\ntrain { data npz "maps.npz" val=0 sampling=balanced; loss cross_entropy }'
    with pytest.raises(CnncError, match=r"E521.*one label per example; npz has label maps"):
        start(check(source), Dataset("npz", (), split, split), Path("unused"))


@pytest.mark.parametrize(
    ("train", "code"),
    [
        ("data digits; loss cross_entropy weights=[1, 5]", "E520"),
        ("data digits; loss focal alpha=[1, 5, 3] ignore=0", "E520"),
        ("data digits sampling=balanced; loss cross_entropy weights=balanced", "W520"),
    ],
)
def test_the_edit_for_weights_that_do_not_fit_works(train: str, code: str) -> None:
    network = check(f"input 1x8x8\nfc 10\ntrain {{ {train} }}\n")
    (diagnostic,) = network.diagnostics
    assert diagnostic.code == code
    edit, text = diagnostic.edits[0], network.source.text
    assert check(text[: edit.span.start] + edit.text + text[edit.span.end :]).diagnostics == ()


def test_classes_that_weights_name_in_other_frameworks() -> None:
    (diagnostic,) = check("input 1x8x8\nfc 10\ntrain { data digits; loss ce class_weight=balanced }").diagnostics
    assert [edit.text for edit in diagnostic.edits] == ["loss cross_entropy weights=balanced"]


@pytest.mark.parametrize(("loss", "argument"), [("cross_entropy", "weights"), ("focal", "alpha")])
def test_the_numbers_in_place_of_balanced_are_printed_as_a_source_takes_them(loss: str, argument: str) -> None:
    lines: list[str] = []
    run = started(f"{loss} {argument}=balanced")
    TrainingProgress(lines.append, lambda diagnostics: None, with_bar=False).on_start(run)
    (numbers,) = (
        line.partition(" is ")[2] for line in lines if line.startswith(f"loss {loss}: {argument}=balanced is [")
    )
    taken = started(f"{loss} {argument}={numbers}").recipe.losses[0].balance
    assert taken == pytest.approx(run.recipe.losses[0].balance, rel=5e-6)  # six digits are printed
