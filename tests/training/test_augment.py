"""The steps of `augment`: they change images, keep their shape and type, and repeat with their generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import augment
from tests.training.statement_cases import AUGMENTATIONS

CHANGES = {name: value for name, value in AUGMENTATIONS.items() if name not in Augment.mixing}
IMAGES = np.random.default_rng(0).integers(1, 256, (16, 3, 8, 10), np.uint8)


def statement(**arguments: Any) -> Augment:
    return Augment.make(**arguments)


@pytest.mark.parametrize(("name", "value"), CHANGES.items())
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


@pytest.mark.parametrize("name", CHANGES)
def test_whether_a_step_moves_pixels_is_declared(name: str) -> None:
    """On an image whose left and right part differ: noise and cutout leave no pixel of one part in the other."""
    images = np.zeros((64, 1, 8, 8), np.float32)
    images[..., 6:] = 1
    found = augment(images, statement(**{name: AUGMENTATIONS[name]}), np.random.default_rng(0))
    moved = bool((found[..., :6] > 0.9).any())
    assert moved == (name in Augment.moving)


def test_steps_are_applied_in_the_order_of_the_arguments() -> None:
    together = augment(IMAGES, statement(**AUGMENTATIONS), np.random.default_rng(3))
    random, one_by_one = np.random.default_rng(3), IMAGES
    for name in (
        *(
            "flip",
            "crop",
            "shift",
            "rotate",
            "zoom",
            "perspective",
            "brightness",
            "contrast",
            "blur",
            "noise",
            "cutout",
        ),
        *("jitter", "scaling", "time_shift", "time_mask"),
    ):
        one_by_one = augment(one_by_one, statement(**{name: AUGMENTATIONS[name]}), random)
    np.testing.assert_array_equal(together, one_by_one)


# --- brightness and contrast: the formulas of PyTorch's ColorJitter, pixel by pixel ---------------------------------

GREY_WEIGHTS = {1: [1.0], 2: [0.5, 0.5], 3: [0.299, 0.587, 0.114]}


def images_of(channels: int, dtype: Any) -> Any:
    pixels = np.random.default_rng(4).integers(0, 256, (6, channels, 5, 7), np.uint8)
    return pixels if dtype == np.uint8 else (pixels / 255 - 0.5).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", GREY_WEIGHTS)
@pytest.mark.parametrize("step", ["brightness", "contrast"])
def test_brightness_and_contrast_by_their_formulas(step: str, channels: int, dtype: Any) -> None:
    images = images_of(channels, dtype)
    found = augment(images, statement(**{step: 0.4}), np.random.default_rng(5))
    factors = np.random.default_rng(5).uniform(0.6, 1.4, len(images))
    for image, result, factor in zip(images, found, factors, strict=True):
        mean = 0.0
        if step == "contrast":
            greys = [
                sum(w * float(c) for w, c in zip(GREY_WEIGHTS[channels], image[:, i, j], strict=True))
                for i in range(5)
                for j in range(7)
            ]
            mean = sum(greys) / len(greys)
        for place, pixel in np.ndenumerate(image):
            expected = factor * float(pixel) + (1 - factor) * mean
            if dtype == np.uint8:
                assert abs(float(result[place]) - min(max(expected, 0), 255)) <= 0.5 + 1e-4
            else:
                assert result[place] == pytest.approx(expected, abs=1e-6)


def test_bytes_are_clipped_and_other_numbers_are_not() -> None:
    """Full white, half of the images brightened: bytes stay white, other numbers exceed 1."""
    white = np.full((64, 1, 4, 4), 255, np.uint8)
    found = augment(white, statement(brightness=1), np.random.default_rng(0))
    assert ((found == 255).mean((1, 2, 3)) == 1).sum() > 20
    assert found.min() < 128
    assert augment(np.ones((64, 1, 4, 4), np.float32), statement(brightness=1), np.random.default_rng(0)).max() > 1.5


def test_contrast_keeps_an_image_of_one_grey_and_its_mean() -> None:
    grey = np.full((8, 3, 4, 4), 100, np.uint8)
    np.testing.assert_array_equal(augment(grey, statement(contrast=1), np.random.default_rng(0)), grey)
    images = images_of(1, np.float32)
    found = augment(images, statement(contrast=0.5), np.random.default_rng(0))
    assert found.mean((1, 2, 3)) == pytest.approx(images.mean((1, 2, 3)), abs=1e-6)
    assert (np.abs(found.std((1, 2, 3)) / images.std((1, 2, 3)) - 1) > 0.01).any()


def test_steps_that_are_off_draw_nothing() -> None:
    """So a recipe without brightness and contrast trains as it did before they existed."""
    off = statement(shift=2, brightness=0, contrast=0, noise=0.1)
    np.testing.assert_array_equal(
        augment(IMAGES, off, np.random.default_rng(6)),
        augment(IMAGES, statement(shift=2, noise=0.1), np.random.default_rng(6)),
    )
