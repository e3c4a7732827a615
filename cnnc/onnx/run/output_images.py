"""Outputs with two spatial axes as images.

In: the output of one example, (C, H, W). Out: `OutputImages`: grey or RGB pixels, and a note on how numbers became brightness.
One channel is a grey image, three are RGB, other numbers of channels are one grey image per channel. Example: of the
values -4, 0 and 2, 0 is mid-grey and -4 black.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array

MAX_CHANNELS = 16
"""An output with more channels is not drawn."""
_SLACK = 1e-3  # what an image may exceed 0..1 by, by rounding


class OutputImages(NamedTuple):
    """Images (H, W) or (H, W, 3) by the part of the output that they show, "" for all of it; `note` for the user, or ""."""

    images: dict[str, NDArray[np.uint8]]
    note: str = ""


def is_map(values: Array) -> bool:
    """Whether an output has two spatial axes of more than one element."""
    return values.ndim == 3 and values.size > values.shape[0]


def draw_map(values: Array, is_image: bool) -> OutputImages:
    """The images of an output (C, H, W); `is_image` says that the network was trained to output an image from 0 to 1."""
    channels = len(values)
    if channels not in (1, 3) and channels > MAX_CHANNELS:
        return OutputImages({}, f"has {channels:,} channels: it is written as .npy only")
    pixels, note = _pixels(values, is_image)
    if channels == 1:
        return OutputImages({"": pixels[0]}, note)
    if channels == 3:
        # (C, H, W) -> (H, W, C)
        return OutputImages({"": np.ascontiguousarray(np.moveaxis(pixels, 0, -1))}, note)
    return OutputImages({f"channel{number}": channel for number, channel in enumerate(pixels)}, note)


def _pixels(values: Array, is_image: bool) -> tuple[NDArray[np.uint8], str]:
    """Values as bytes, and how: 0..1 as they are, otherwise scaled by the largest magnitude."""
    if values.dtype == np.uint8:
        return values, ""
    numbers = np.nan_to_num(values.astype(np.float64), nan=0, posinf=0, neginf=0)
    least, largest = numbers.min(), max(numbers.max(), -numbers.min())
    note = ""
    if is_image:
        beyond = bool(least < -_SLACK or numbers.max() > 1 + _SLACK)
        note = "exceeds the range 0 to 1: the .png is clipped, the .npy is not" if beyond else ""
    elif least < 0:
        numbers = 0.5 + 0.5 * numbers / largest
        note = "has negative values: in the .png 0 is mid-grey, the largest magnitude is black or white"
    elif largest > 1:
        numbers = numbers / largest
        note = "exceeds 1: in the .png 0 is black, the largest value is white"
    if not np.isfinite(values).all():
        note = f"{note}; " if note else ""
        note += "has values that are not finite: in the .png they are drawn as 0"
    return np.floor(np.clip(numbers, 0, 1) * 255 + 0.5).astype(np.uint8), note


def label_pixels(labels: NDArray[Any]) -> dict[str, NDArray[np.uint8]]:
    """A label map as one image of class indices; none where it is not two-dimensional or has more than 256 classes."""
    return {"": labels} if labels.ndim == 2 and labels.dtype == np.uint8 else {}
