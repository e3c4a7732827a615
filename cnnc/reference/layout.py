"""The border of the engine: channels first outside, as in ONNX; channels last inside."""

from __future__ import annotations

import numpy as np

from cnnc.core.arrays import Array


def to_channels_last(array: Array) -> Array:
    """(N, C, *spatial) to (N, *spatial, C); vectors stay."""
    if array.ndim < 3:
        return array
    if array.shape[1] == 1:  # one channel: the same memory
        return np.ascontiguousarray(array).reshape(array.shape[0], *array.shape[2:], 1)
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def to_channels_first(array: Array) -> Array:
    """(N, *spatial, C) to (N, C, *spatial); vectors stay."""
    return array if array.ndim < 3 else np.ascontiguousarray(np.moveaxis(array, -1, 1))
