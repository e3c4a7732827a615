"""The steps of `augment`: they change images, keep their shape and type, and repeat with their generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import augment
from tests.training.statement_cases import AUGMENTATIONS

IMAGES = np.random.default_rng(0).integers(1, 256, (16, 3, 8, 10), np.uint8)


def statement(**arguments: Any) -> Augment:
    return Augment.make(**arguments)


@pytest.mark.parametrize(("name", "value"), AUGMENTATIONS.items())
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_step_changes_images_and_keeps_their_form(name: str, value: Any, dtype: Any) -> None:
    images = IMAGES if dtype == np.uint8 else (IMAGES / np.float32(255)).astype(np.float32)
    before = images.copy()
    step = statement(**{name: value})
    found = augment(images, step, np.random.default_rng(1))
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    assert (found != images).any()
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(augment(images, step, np.random.default_rng(1)), found)
    assert (augment(images, step, np.random.default_rng(2)) != found).any()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_whether_a_step_moves_pixels_is_declared(name: str) -> None:
    """On an image whose left and right half differ: noise and cutout leave no pixel of one half in the other."""
    images = np.zeros((64, 1, 8, 8), np.float32)
    images[..., 4:] = 1
    found = augment(images, statement(**{name: AUGMENTATIONS[name]}), np.random.default_rng(0))
    moved = bool((found[..., :4] > 0.9).any())
    assert moved == (name in Augment.moving)


def test_steps_are_applied_in_the_order_of_the_arguments() -> None:
    together = augment(IMAGES, statement(**AUGMENTATIONS), np.random.default_rng(3))
    random, one_by_one = np.random.default_rng(3), IMAGES
    for name in ("flip", "crop", "shift", "rotate", "noise", "cutout"):
        one_by_one = augment(one_by_one, statement(**{name: AUGMENTATIONS[name]}), random)
    np.testing.assert_array_equal(together, one_by_one)
