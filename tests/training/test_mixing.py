"""mixup and cutmix: what is mixed, in which proportion, and that targets are mixed alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import ImageRandom
from cnnc.training.maps import TargetColumn
from cnnc.training.mixing import as_probabilities, mix

COUNT = 400
VALUES = np.random.default_rng(0).permutation(COUNT).astype(np.float32)
IMAGES = np.broadcast_to(VALUES[:, None, None, None], (COUNT, 2, 10, 20)).copy()
"""Each image has one value, which names it."""
NEXT = np.roll(np.arange(COUNT), -1)
LABELS = np.random.default_rng(1).integers(0, 5, COUNT)


def mixed(images: Array, target: Array, column: TargetColumn, **arguments: Any) -> tuple[Array, Array]:
    random = ImageRandom(np.random.default_rng(2), len(images), slice(None))
    statement = Augment.make(**arguments)
    found, (of_target,) = mix(images, (target,), (column,), statement, random, np.arange(len(images)), len(images))
    return found, of_target


def one_hot(labels: Array) -> Array:
    return np.eye(5)[labels]


def test_mixup_blends_with_the_next_image_in_a_proportion_of_the_beta_distribution() -> None:
    found, probabilities = mixed(IMAGES, LABELS, TargetColumn(5), mixup=0.4)
    own = (found[:, 0, 0, 0] - VALUES[NEXT]) / (VALUES - VALUES[NEXT])
    assert ((own > -1e-4) & (own < 1 + 1e-4)).all()
    expected = own[:, None] * one_hot(LABELS) + (1 - own)[:, None] * one_hot(LABELS[NEXT])
    np.testing.assert_allclose(probabilities, expected, atol=2e-3)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert own.mean() == pytest.approx(0.5, abs=0.06)
    assert own.var() == pytest.approx(0.25 / (2 * 0.4 + 1), rel=0.15)  # the variance of Beta(0.4, 0.4)


def test_cutmix_pastes_a_rectangle_whose_area_is_the_part_of_the_other_label() -> None:
    found, probabilities = mixed(IMAGES, LABELS, TargetColumn(5), cutmix=1.0)
    is_other = found == VALUES[NEXT][:, None, None, None]
    assert (is_other | (found == VALUES[:, None, None, None])).all()
    assert (is_other[:, 0] == is_other[:, 1]).all()
    other = is_other[:, 0].mean((1, 2))
    for inside in is_other[:, 0]:
        rows, columns = inside.any(1), inside.any(0)
        np.testing.assert_array_equal(inside, rows[:, None] & columns)
        for axis in (rows, columns):
            assert np.abs(np.diff(axis.astype(int))).sum() <= 2
    expected = (1 - other)[:, None] * one_hot(LABELS) + other[:, None] * one_hot(LABELS[NEXT])
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert 0.15 < other.mean() < 0.5


def test_with_both_steps_each_example_is_mixed_by_one_of_them() -> None:
    found, _ = mixed(IMAGES, LABELS, TargetColumn(5), mixup=1.0, cutmix=1.0)
    is_whole = found.max((1, 2, 3)) == found.min((1, 2, 3))
    assert 0.4 < is_whole.mean() < 0.7
    blended = (found != VALUES[:, None, None, None]) & (found != VALUES[NEXT][:, None, None, None])
    assert not blended[~is_whole].any()


def test_label_maps_are_pasted_like_the_pixels() -> None:
    maps = np.broadcast_to(np.arange(COUNT)[:, None, None], (COUNT, 5, 10))
    found, of_maps = mixed(
        np.arange(COUNT, dtype=np.float32)[:, None, None, None] + np.zeros((1, 10, 20)),
        maps,
        TargetColumn(COUNT, True),
        cutmix=1.0,
    )
    shrunk = found[:, 0].reshape(COUNT, 5, 2, 10, 2).mean((2, 4))
    clear = shrunk == np.rint(shrunk)
    assert (shrunk[clear] == of_maps[clear]).mean() > 0.99


def test_numbers_are_blended_and_other_columns_stay() -> None:
    found, values = mixed(IMAGES, VALUES[:, None], TargetColumn(), mixup=0.4)
    np.testing.assert_allclose(values[:, 0], found[:, 0, 0, 0], rtol=1e-6)
    assert mixed(IMAGES, LABELS, TargetColumn(used=False), mixup=0.4)[1].tolist() == LABELS.tolist()


def test_bytes_stay_bytes() -> None:
    images = np.random.default_rng(3).integers(0, 256, (8, 3, 4, 4), np.uint8)
    found, _ = mixed(images, np.zeros(8, np.int64), TargetColumn(2), mixup=1.0)
    assert found.dtype == np.uint8
    assert (found >= np.minimum(images, images[[1, 2, 3, 4, 5, 6, 7, 0]])).all()


def test_a_label_that_does_not_count_has_no_probability() -> None:
    assert as_probabilities(np.array([1, 7]), TargetColumn(3, ignored=7)).tolist() == [[0, 1, 0], [0, 0, 0]]
