"""Augmentation: changes the images of a batch at random, in a table of steps by argument of `augment`.

In: images (N, C, H, W) of a batch, uint8 or float32, the statement, and a random generator. Out: images of the same shape
and type. The caller seeds the generator with the seed, the epoch and the step, so that a resumed run sees the same images.
Where several processes share a batch, each augments its own images as one process would augment all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Rows
from cnnc.recipe.augmentation import Augment

Images = NDArray[Any]
EVERY = slice(None)
"""All images of a batch."""


class ImageRandom:
    """Random numbers for each image: for those at `rows` of a batch of `count`. Numbers are drawn for the whole batch."""

    def __init__(self, generator: np.random.Generator, count: int, rows: Rows) -> None:
        self._generator = generator
        self._count = count
        self._rows = rows

    def uniform(self, low: float, high: float) -> NDArray[np.float64]:
        """A number from low to high for each image."""
        return self._generator.uniform(low, high, self._count)[self._rows]

    def integers(self, low: int, high: int) -> NDArray[np.int64]:
        """A whole number from low to high - 1 for each image."""
        return self._generator.integers(low, high, self._count)[self._rows]

    def normal(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Numbers of the standard normal distribution in this shape for each image."""
        return self._generator.standard_normal((self._count, *shape), np.float32)[self._rows]


AugmentStep = Callable[[Images, Any, ImageRandom], Images]
"""(images, value of the argument, random) -> images"""

AUGMENTATIONS: dict[str, AugmentStep] = {}

F = TypeVar("F", bound=AugmentStep)


def step_of(argument: str) -> Callable[[F], F]:
    """Registers the function of a step, by its argument of `augment`."""

    def register(function: F) -> F:
        AUGMENTATIONS[argument] = function
        return function

    return register


def augment(
    images: Images, statement: Augment, generator: np.random.Generator, batch: int | None = None, rows: Rows = EVERY
) -> Images:
    """The images with the steps of the statement applied, in the order of its arguments.

    They are those at `rows` of a batch of `batch` images; by default the whole batch.
    """
    random = ImageRandom(generator, len(images) if batch is None else batch, rows)
    for name, value in statement.steps:
        images = AUGMENTATIONS[name](images, value, random)
    return images


@step_of("flip")
def _flip(images: Images, how: str, random: ImageRandom) -> Images:
    """Mirrors each image left to right with probability 1/2."""
    chosen = random.uniform(0, 1) < 0.5
    return np.where(chosen[:, None, None, None], images[..., ::-1], images)


@step_of("crop")
@step_of("shift")
def _shift(images: Images, reach: int, random: ImageRandom) -> Images:
    """Shifts each image by up to `reach` pixels along each axis: pads with zeros and crops at a random offset."""
    count, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    top, left = random.integers(0, 2 * reach + 1), random.integers(0, 2 * reach + 1)
    rows = top[:, None] + np.arange(height)  # (N, H)
    columns = left[:, None] + np.arange(width)  # (N, W)
    image = np.arange(count)[:, None, None]
    shifted: Images = padded[image, :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return np.ascontiguousarray(np.moveaxis(shifted, -1, 1))


@step_of("rotate")
def _rotate(images: Images, degrees: float, random: ImageRandom) -> Images:
    """Rotates each image about its center by up to `degrees` either way; bilinear, with zeros outside the image."""
    count, _, height, width = images.shape
    angle = np.radians(random.uniform(-degrees, degrees))[:, None, None]
    y = np.arange(height)[:, None] - (height - 1) / 2
    x = np.arange(width)[None, :] - (width - 1) / 2
    from_y = y * np.cos(angle) - x * np.sin(angle) + (height - 1) / 2  # (N, H, W): the source of each pixel
    from_x = y * np.sin(angle) + x * np.cos(angle) + (width - 1) / 2
    padded = np.pad(images, ((0, 0), (0, 0), (1, 2), (1, 2))).astype(np.float32)
    from_y, from_x = np.clip(from_y, -1, height), np.clip(from_x, -1, width)
    top: NDArray[np.int64] = np.floor(from_y).astype(np.int64)
    left: NDArray[np.int64] = np.floor(from_x).astype(np.int64)
    down = np.expand_dims(from_y - top, -1)
    right = np.expand_dims(from_x - left, -1)
    image = np.arange(count)[:, None, None]

    def corner(i: int, j: int) -> NDArray[np.float32]:
        pixels: NDArray[np.float32] = padded[image, :, top + 1 + i, left + 1 + j]  # (N, H, W, C)
        return pixels

    upper = corner(0, 0) * (1 - right) + corner(0, 1) * right
    lower = corner(1, 0) * (1 - right) + corner(1, 1) * right
    return _like(images, np.moveaxis(upper * (1 - down) + lower * down, -1, 1))


@step_of("brightness")
def _brightness(images: Images, reach: float, random: ImageRandom) -> Images:
    """f·x for each image, with f drawn from 1 - reach to 1 + reach: PyTorch's ColorJitter(brightness=reach)."""
    return _like(images, images * _factors(reach, random))


@step_of("contrast")
def _contrast(images: Images, reach: float, random: ImageRandom) -> Images:
    """m + f·(x - m) for each image, with m its mean grey and f as for brightness: ColorJitter(contrast=reach)."""
    mean = _mean_grey(images)
    return _like(images, mean + (images - mean) * _factors(reach, random))


@step_of("noise")
def _noise(images: Images, deviation: float, random: ImageRandom) -> Images:
    """Adds Gaussian noise; `deviation` is a fraction of the full range, which is 255 for uint8 and 1 for float32."""
    full = 255 if images.dtype == np.uint8 else 1
    return _like(images, images + random.normal(images.shape[1:]) * np.float32(full * deviation))


@step_of("cutout")
def _cutout(images: Images, size: int, random: ImageRandom) -> Images:
    """Sets a square to zeros, its center anywhere in the image (DeVries & Taylor 2017)."""
    height, width = images.shape[2:]
    y, x = random.integers(0, height)[:, None], random.integers(0, width)[:, None]
    offset = 0.5 * (size % 2 == 0)
    rows = np.abs(np.arange(height) - y + offset) < size / 2  # (N, H)
    columns = np.abs(np.arange(width) - x + offset) < size / 2  # (N, W)
    return np.where((rows[:, :, None] & columns[:, None, :])[:, None], images.dtype.type(0), images)


def _factors(reach: float, random: ImageRandom) -> NDArray[np.float32]:
    """A factor for each image, from 1 - reach to 1 + reach, in the shape (N, 1, 1, 1)."""
    return random.uniform(1 - reach, 1 + reach).astype(np.float32).reshape(-1, 1, 1, 1)


def _mean_grey(images: Images) -> NDArray[np.float32]:
    """The mean grey of each image (N, 1, 1, 1): of RGB by the weights of ITU-R BT.601, else the mean over the channels."""
    channels = images.shape[1]
    weights = np.array([0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels)
    grey: NDArray[np.floating] = images.mean((2, 3), dtype=np.float64) @ weights
    return grey.reshape(-1, 1, 1, 1).astype(np.float32)


def _like(images: Images, pixels: NDArray[np.floating]) -> Images:
    """Pixels in the type of the images: for uint8 rounded and clipped to 0..255."""
    if images.dtype == np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255)
    converted: Images = np.ascontiguousarray(pixels).astype(images.dtype)
    return converted
