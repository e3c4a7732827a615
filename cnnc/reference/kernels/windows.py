"""Where windows lie in a tensor (N, H, W, C), and views of what they see.

Shapes in comments show two spatial axes; everything is written for any number of them.
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
    """An op whose windows `rules` describes, for an input of any number of channels."""

    def rules(self, x: TensorType) -> tuple[AxisRule, ...] | tuple[TransposedRule, ...]: ...


@cache
def geometry_of(op: WindowOp, spatial: Axes) -> Geometry:
    """The geometry of a layer (conv, conv_transpose, filter, pool) on an input (N, *spatial, C)."""
    return Geometry.of(op.rules(TensorType((1, *spatial))))


def pad(x: Array, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    """(N, H, W, C) with borders of `value`; the same array where there are none."""
    if not any(b or e for b, e in pads):
        return np.ascontiguousarray(x)
    spatial = x.shape[1:-1]
    sizes = tuple(m + b + e for m, (b, e) in zip(spatial, pads, strict=True))
    padded = np.full((x.shape[0], *sizes, x.shape[-1]), value, x.dtype)
    padded[interior(spatial, pads)] = x
    return padded


@cache
def interior(spatial: Axes, pads: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
    """The index of the input inside its padded array."""
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
    return view(padded, shape, strides)


def view(array: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """The array's memory seen with another shape and other strides, for reading."""
    if not array.flags.c_contiguous:
        return as_strided(array, shape, strides, writeable=False)
    made: Array = np.ndarray(shape, array.dtype, array, 0, strides)  # a fifth of as_strided's time
    made.flags.writeable = False
    return made


@cache
def taps(g: Geometry) -> tuple[tuple[Axes, tuple[slice, ...]], ...]:
    """Each tap's index in the kernel, and `tap` of it, in order."""
    return tuple((index, tap(index, g)) for index in np.ndindex(*g.k))


def tap(index: Axes, g: Geometry) -> tuple[slice, ...]:
    """The index, in a padded array, of the elements that one tap of all windows reads: (N, OH, OW, C)."""
    return (
        slice(None),
        *(slice(i * d, i * d + s * (out - 1) + 1, s) for i, d, s, out in zip(index, g.d, g.s, g.out, strict=True)),
    )
