"""The share of the training data that is held back to validate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError, Exit
from cnnc.training.loop import split, start
from tests.training.conftest import tiny


def numbered(count: int) -> Split:
    """Images that can be told apart: each holds its own number."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
    return Split.of(images, np.arange(count, dtype=np.int64))


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("count", [1, 2, 10, 201])
def test_disjoint_and_whole(count: int, share: float) -> None:
    kept, held = split(numbered(count), share, 5)
    assert len(held) == round(count * share)
    assert sorted([*kept.labels, *held.labels]) == list(range(count))
    for part in (kept, held):
        np.testing.assert_array_equal(part.images[:, 0, 0, 0], part.labels)


def test_same_seed_same_split() -> None:
    first, second = split(numbered(100), 0.2, 9), split(numbered(100), 0.2, 9)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)


def test_another_seed_another_split() -> None:
    held = {tuple(split(numbered(100), 0.2, seed)[1].labels) for seed in range(5)}
    assert len(held) == 5


def test_drawn_from_everywhere() -> None:
    held = split(numbered(250), 0.4, 0)[1].labels
    assert 80 < np.mean(held) < 170


def test_nothing_left_to_train_on(tmp_path: Path) -> None:
    one = Split.of(np.zeros((1, 1, 8, 8), np.uint8), np.zeros(1, np.int64))
    with pytest.raises(CnncError) as caught:
        start(tiny("train.data.val=0.9"), Dataset("digits", ("0",), one, one), tmp_path)
    assert [d.code for d in caught.value.diagnostics] == ["E607"]
    assert caught.value.status is Exit.DATA
