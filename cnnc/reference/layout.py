"""Converts between channels first (outside the engine, as in ONNX) and channels last (inside it)."""

from __future__ import annotations

import numpy as np

from cnnc.core.arrays import Array


def to_channels_last(array: Array) -> Array:
    """(N, C, *spatial) as contiguous (N, *spatial, C); vectors (N, F) stay as they are."""
    if array.ndim < 3:
        return array
    if array.shape[1] == 1:  # one channel: both orders are the same memory
        return np.ascontiguousarray(array).reshape(array.shape[0], *array.shape[2:], 1)
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def to_channels_first(array: Array) -> Array:
    """(N, *spatial, C) as contiguous (N, C, *spatial); vectors (N, F) stay as they are."""
    return array if array.ndim < 3 else np.ascontiguousarray(np.moveaxis(array, -1, 1))
