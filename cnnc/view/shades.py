"""Numbers as pixels: what an image, or the result of a filter, looks like.

In: floats (H, W, C), where an image has values from 0 to 1. Out: uint8 pixels, grey (H, W) or RGB (H, W, 3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Values = NDArray[np.floating[Any]]

_SCORES = ((10, 40, 95), (140, 140, 140), (255, 220, 160))


def image_pixels(values: Values) -> Pixels:
    """Values from 0 (black) to 1 (white); others are clipped."""
    return _without_channel(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8))


def signed_pixels(values: Values, largest: float) -> Pixels:
    """Values from -largest (black) over 0 (grey) to largest (white), in each channel."""
    return image_pixels(values / (2 * largest or 1) + 0.5)


def score_pixels(values: Values) -> Pixels:
    """Values (H, W) from -1 (dark blue) over 0 (grey) to 1 (light orange): brighter where larger, so in grey as well."""
    channels = [np.interp(values, (-1, 0, 1), stops) for stops in zip(*_SCORES, strict=True)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def reduced(values: Values, factor: int) -> Values:
    """The means of squares of `factor` by `factor` pixels; squares at the lower and right edge may be smaller."""
    if factor == 1:
        return values
    for axis in (0, 1):
        size = values.shape[axis]
        starts = np.arange(0, size, factor)
        counts = np.minimum(factor, size - starts)
        sums = np.add.reduceat(values, starts, axis)
        values = sums / counts.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return values


def _without_channel(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
