"""Targets that are maps move as their images do: the same areas stay the same, at any size of the map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import ImageRandom
from cnnc.training.maps import TargetColumn, augment_batch
from tests.training.statement_cases import AUGMENTATIONS

COUNT, SIDE, IGNORED = 24, 32, 9
ALL = {name: AUGMENTATIONS[name] for name in Augment.moving if name != "time_shift"}
SETTINGS = {**{name: {name: value} for name, value in ALL.items()}, "all": ALL}
EXACT = ("flip", "crop", "shift")


def blobs(height: int = SIDE, width: int = SIDE) -> Array:
    """An ellipse in each image (N, H, W), brighter than 0.5 inside and darker outside, off the centre."""
    random = np.random.default_rng(0)
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    cy, cx = random.uniform(0.3, 0.7, (2, COUNT, 1, 1))
    distance = np.hypot((y[:, None] - cy) / 0.3, (x - cx) / 0.2)
    brightness: Array = np.clip(1.5 - distance, 0.1, 1).astype(np.float32)
    return brightness


def augmented(images: Array, target: Array, column: TargetColumn, **arguments: Any) -> tuple[Array, Array]:
    random = ImageRandom(np.random.default_rng(1), len(images), slice(None))
    found, (moved,) = augment_batch(images, (target,), (column,), Augment.make(**arguments), random)
    assert (moved.shape, moved.dtype) == (target.shape, target.dtype)
    return found, moved


@pytest.mark.parametrize("name", SETTINGS)
def test_a_mask_stays_on_its_image(name: str) -> None:
    images = blobs()
    mask = (images > 0.5).astype(np.int64)
    found, moved = augmented(images[:, None], mask, TargetColumn(2, True, IGNORED), **SETTINGS[name])
    assert (moved != mask).any()
    outside = moved == IGNORED
    assert outside.any() == (name != "flip")
    agree = (found[:, 0] > 0.5) == (moved == 1)
    if name in EXACT:
        assert agree[~outside].all()
        assert (found[:, 0][outside] == 0).all()
    else:  # nearest and bilinear differ at the edge of the ellipse
        assert agree[~outside].mean() > 0.98
        assert (found[:, 0][outside] < 0.5).mean() > 0.99


@pytest.mark.parametrize("size", [(16, 16), (8, 16), (64, 48)], ids=str)
def test_a_mask_of_another_size_covers_the_same_area(size: tuple[int, int]) -> None:
    images, mask = blobs(), (blobs(*size) > 0.5).astype(np.int64)
    found, moved = augmented(images[:, None], mask, TargetColumn(2, True), **ALL)
    in_image = found[:, 0, np.arange(size[0]) * SIDE // size[0]][:, :, np.arange(size[1]) * SIDE // size[1]]
    assert ((in_image > 0.5) == (moved == 1)).mean() > 0.93
    assert set(np.unique(moved)) == {0, 1}, "from outside comes class 0, where all labels count"


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("name", ALL)
def test_an_image_to_compare_with_moves_as_the_input_does(name: str, dtype: Any) -> None:
    images = np.random.default_rng(2).integers(0, 256, (COUNT, 3, 9, 12)).astype(dtype)
    found, moved = augmented(images, images.copy(), TargetColumn(is_map=True), **{name: ALL[name]})
    assert (found != images).any()
    near_border = 0 if name in EXACT else 2  # bilinear fades to zero within a pixel, of which a map takes half
    inner = (..., slice(near_border, 9 - near_border), slice(near_border, 12 - near_border))
    difference = np.abs(found[inner].astype(float) - moved[inner])
    assert np.quantile(difference, 0.97) <= (0 if name in EXACT else 1 if dtype == np.uint8 else 1e-3)


def test_label_maps_of_series_move_in_time() -> None:
    series = np.arange(1, 101, dtype=np.float32).reshape(5, 1, 20)
    labels = series[:, 0].astype(np.int64)
    found, moved = augmented(series, labels, TargetColumn(101, True, 0), time_shift=4)
    np.testing.assert_array_equal(moved, found[:, 0].astype(np.int64))
    assert (moved != labels).any()


@pytest.mark.parametrize("name", [n for n in AUGMENTATIONS if n not in (*Augment.moving, *Augment.mixing)])
def test_other_steps_leave_targets_as_they_are(name: str) -> None:
    images = blobs()[:, None]
    mask = (images[:, 0] > 0.5).astype(np.int64)
    found, moved = augmented(images, mask, TargetColumn(2, True, IGNORED), **{name: AUGMENTATIONS[name]})
    assert (found != images).any()
    assert moved is mask


def test_labels_of_whole_images_do_not_move() -> None:
    labels = np.arange(COUNT)
    _, moved = augmented(blobs()[:, None], labels, TargetColumn(COUNT), **ALL)
    assert moved is labels
