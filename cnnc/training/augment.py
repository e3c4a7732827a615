"""Augmentation: other pictures of the same thing, drawn anew for every batch.

In: a batch of images (N, C, H, W), of bytes or float32, what to do, and a source of random numbers. Out: a batch of the
same shape and kind. The caller makes the source from the seed, the epoch and the step, so that a resumed run
sees the same pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.recipe.statements import Augment

Images = NDArray[Any]


def augment(images: Images, how: Augment, random: np.random.Generator) -> Images:
    """The batch with each step applied that `how` asks for, in the order of its fields."""
    if how.flip is not None:
        images = _flip(images, random)
    for reach in (how.crop, how.shift):
        if reach:
            images = _shift(images, reach, random)
    if how.rotate:
        images = _rotate(images, how.rotate, random)
    if how.noise:
        images = _noise(images, how.noise, random)
    if how.cutout:
        images = _cutout(images, how.cutout, random)
    return images


def _flip(images: Images, random: np.random.Generator) -> Images:
    """Left to right, every second image or so."""
    chosen = random.random(len(images)) < 0.5
    return np.where(chosen[:, None, None, None], images[..., ::-1], images)


def _shift(images: Images, reach: int, random: np.random.Generator) -> Images:
    """By up to `reach` pixels each way: a window of the same size cut at random from the image padded with zeros."""
    count, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    top, left = random.integers(0, 2 * reach + 1, (2, count))
    rows = top[:, None] + np.arange(height)  # (N, H)
    columns = left[:, None] + np.arange(width)  # (N, W)
    which = np.arange(count)[:, None, None]
    moved: Images = padded[which, :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return np.ascontiguousarray(np.moveaxis(moved, -1, 1))


def _rotate(images: Images, degrees: float, random: np.random.Generator) -> Images:
    """About the centre by up to `degrees` either way, bilinear, zeros coming in at the corners."""
    count, _, height, width = images.shape
    angle = np.radians(random.uniform(-degrees, degrees, count))[:, None, None]
    y = np.arange(height)[:, None] - (height - 1) / 2
    x = np.arange(width)[None, :] - (width - 1) / 2
    from_y = y * np.cos(angle) - x * np.sin(angle) + (height - 1) / 2  # (N, H, W): where each pixel comes from
    from_x = y * np.sin(angle) + x * np.cos(angle) + (width - 1) / 2
    padded = np.pad(images, ((0, 0), (0, 0), (1, 2), (1, 2))).astype(np.float32)
    from_y, from_x = np.clip(from_y, -1, height), np.clip(from_x, -1, width)
    top: NDArray[np.int64] = np.floor(from_y).astype(np.int64)
    left: NDArray[np.int64] = np.floor(from_x).astype(np.int64)
    down = np.expand_dims(from_y - top, -1)
    right = np.expand_dims(from_x - left, -1)
    which = np.arange(count)[:, None, None]

    def corner(i: int, j: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = padded[which, :, top + 1 + i, left + 1 + j]  # (N, H, W, C)
        return found

    upper = corner(0, 0) * (1 - right) + corner(0, 1) * right
    lower = corner(1, 0) * (1 - right) + corner(1, 1) * right
    return _like(images, np.moveaxis(upper * (1 - down) + lower * down, -1, 1))


def _noise(images: Images, deviation: float, random: np.random.Generator) -> Images:
    """Gaussian noise, its standard deviation in units of the full range."""
    full = 255 if images.dtype == np.uint8 else 1
    return _like(images, images + random.standard_normal(images.shape, np.float32) * np.float32(full * deviation))


def _cutout(images: Images, size: int, random: np.random.Generator) -> Images:
    """A square of zeros, its centre anywhere in the image (DeVries & Taylor 2017)."""
    count, _, height, width = images.shape
    y, x = random.integers(0, height, (count, 1)), random.integers(0, width, (count, 1))
    centre = 0.5 * (size % 2 == 0)
    rows = np.abs(np.arange(height) - y + centre) < size / 2  # (N, H)
    columns = np.abs(np.arange(width) - x + centre) < size / 2  # (N, W)
    return np.where((rows[:, :, None] & columns[:, None, :])[:, None], images.dtype.type(0), images)


def _like(images: Images, values: NDArray[np.floating]) -> Images:
    """Values as the images are: bytes are rounded and cut to their range, floats stay what they are."""
    if images.dtype == np.uint8:
        values = np.clip(np.rint(values), 0, 255)
    made: Images = np.ascontiguousarray(values).astype(images.dtype)
    return made
