"""Where the windows of a layer lie in a tensor (N, H, W, C), and views of what they read.

Shapes in comments show two spatial axes; everything works for any number of them. For a 3x3 image, a 2x2 kernel,
stride 1 and no padding, `Geometry` is k=(2, 2) s=(1, 1) d=(1, 1) pads=((0, 0), (0, 0)) out=(2, 2):

    image  0 1 2    window (0, 0) reads 0 1 3 4    tap (0, 1) reads 1 2 4 5, one element for each window
           3 4 5    window (0, 1) reads 1 2 4 5
           6 7 8    ...
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.window import AxisRule, Geometry, TransposedRule


class WindowOp(Protocol):
    """A layer with windows: conv, conv_transpose, filter, pool. Its rules do not depend on the number of channels."""

    def rules(self, x: TensorType) -> tuple[AxisRule, ...] | tuple[TransposedRule, ...]:
        """The window rule of each spatial axis, for an input of this type (C, *spatial)."""
        ...


@cache
def geometry_of(op: WindowOp, spatial: Axes) -> Geometry:
    """The geometry of a layer whose input is (N, *spatial, C); see `Geometry.of`."""
    return Geometry.of(op.rules(TensorType((1, *spatial))))


def pad(x: Array, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    """(N, H, W, C) with borders of `value`, (begin, end) per axis; without borders the same array, made contiguous."""
    if not any(b or e for b, e in pads):
        return np.ascontiguousarray(x)
    spatial = x.shape[1:-1]
    sizes = tuple(m + b + e for m, (b, e) in zip(spatial, pads, strict=True))
    padded = np.full((x.shape[0], *sizes, x.shape[-1]), value, x.dtype)
    padded[interior(spatial, pads)] = x
    return padded


@cache
def interior(spatial: Axes, pads: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
    """The index of the unpadded input (N, *spatial, C) inside its padded array."""
    return (slice(None), *(slice(b, b + m) for m, (b, _) in zip(spatial, pads, strict=True)))


def windows_of(padded: Array, g: Geometry) -> Array:
    """A view (N, OH, OW, kh, kw, C) of a padded input: element [n, i, j, a, b, c] is x[n, i·s + a·d, j·s + b·d, c]."""
    n, *steps, channel = padded.strides
    shape = (padded.shape[0], *g.out, *g.k, padded.shape[-1])
    strides = (
        n,
        *(step * s for step, s in zip(steps, g.s, strict=True)),
        *(step * d for step, d in zip(steps, g.d, strict=True)),
        channel,
    )
    return strided_view(padded, shape, strides)


def strided_view(array: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """A read-only view of the array's memory with this shape and these strides (in bytes)."""
    if not array.flags.c_contiguous:
        return as_strided(array, shape, strides, writeable=False)
    view: Array = np.ndarray(shape, array.dtype, array, 0, strides)  # takes a fifth of as_strided's time
    view.flags.writeable = False
    return view


@cache
def taps(g: Geometry) -> tuple[tuple[Axes, tuple[slice, ...]], ...]:
    """For each element of the kernel, in order: its index (a, b), and `tap_slices` of it."""
    return tuple((index, tap_slices(index, g)) for index in np.ndindex(*g.k))


def tap_slices(index: Axes, g: Geometry) -> tuple[slice, ...]:
    """The index, in a padded array, of the elements (N, OH, OW, C) that one tap reads: one for each window."""
    return (
        slice(None),
        *(slice(i * d, i * d + s * (out - 1) + 1, s) for i, d, s, out in zip(index, g.d, g.s, g.out, strict=True)),
    )
