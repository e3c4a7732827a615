"""Constants of a model as numbers of the language: shortest decimal forms, and arrays that broadcast per channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import Layer, Unsupported


def shortest_float(value: Any) -> float:
    """The number with the fewest decimal digits that is the same float32: 0.1, not 0.10000000149."""
    return float(str(np.float32(value)))


def is_close(a: float | None, b: float) -> bool:
    """Whether a number equals another up to the rounding of float32; False for None."""
    return a is not None and abs(a - b) <= 1e-6 * max(1.0, abs(b))


def per_channel(ctx: Interpreter, array: Array, x: Layer) -> Array:
    """A constant that ONNX broadcasts to the output of x, as one number () or one for each channel (C,).

    Raises Unsupported where it varies along another axis.
    """
    full = (ctx.batch, *x.shape)
    if array.size == 1 and (array.ndim < len(full) - 1 or x.type.channels != 1 or array.ndim > len(full)):
        return array.reshape(())
    if array.ndim > len(full):
        raise Unsupported("one of its constants has more axes than the tensor")
    aligned = array.reshape((1,) * (len(full) - array.ndim) + array.shape)
    if any(m not in (1, n) for m, n in zip(aligned.shape, full, strict=True)):
        raise Unsupported("one of its constants does not broadcast to the shape of the tensor")
    rows = aligned.reshape(aligned.shape[0], aligned.shape[1], -1)
    if not (rows == rows[:1, :, :1]).all():
        raise Unsupported("one of its constants varies within a channel; a layer has one number per channel")
    channels = rows[0, :, 0]
    return channels if channels.size == x.type.channels else np.broadcast_to(channels, (x.type.channels,))


def as_argument(array: Array) -> tuple[float, ...] | float:
    """A constant as an argument of the language: a list of numbers, or one number."""
    values = tuple(shortest_float(v) for v in array.ravel())
    return values[0] if len(values) == 1 else values
