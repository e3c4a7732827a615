"""Layers that rearrange elements, or take a part of them.

Their order is defined channels first, as in the language: `flatten` of (N, 4, 4, 16) goes through (N, 16, 4, 4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.reshape import (
    ChannelShuffle,
    Crop,
    DepthToSpace,
    Flatten,
    Pad,
    Reshape,
    Select,
    Slice,
    SpaceToDepth,
)
from cnnc.reference.kernels.windows import interior, pad
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.registry import Gradients, Mode, NoWeights, Outcome, backward_of, forward_of

Shape = tuple[int, ...]
Index = tuple[slice, ...]


def type_of(x: Array) -> TensorType:
    """The language's type (C, *spatial) of an array of the engine, (N, *spatial, C)."""
    return TensorType((x.shape[-1], *x.shape[1:-1]))


def array_axis(axis: int) -> int:
    """The axis of an engine's array for an axis of the language: channels (0) are last, spatial axes stay."""
    return axis or -1


@forward_of(Flatten, Reshape)
def reshape(op: Flatten | Reshape, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    x = to_channels_first(inputs[0])
    shape = op.shape if isinstance(op, Reshape) else (-1,)
    return Outcome(to_channels_last(x.reshape(x.shape[0], *shape)), x.shape)


@backward_of(Flatten, Reshape)
def reshape_backward(
    op: Flatten | Reshape, weights: NoWeights, shape: Shape, gradient: Array, needs_dx: bool
) -> Gradients:
    return Gradients((to_channels_last(to_channels_first(gradient).reshape(shape)),))


@forward_of(Pad)
def pad_layer(op: Pad, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    return Outcome(pad(x, op.sides, op.value), x.shape[1:-1])


@backward_of(Pad)
def pad_backward(op: Pad, weights: NoWeights, spatial: Shape, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients((gradient[interior(spatial, op.sides)],))


# --- a part of the input: the rest gets no gradient ------------------------------------------------------------------


@forward_of(Crop)
def crop(op: Crop, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    index = (slice(None), *(slice(b, b + n) for b, n in zip(op.begins(type_of(x)), op.size, strict=True)))
    return Outcome(x[index], (x.shape, index))


@forward_of(Slice)
def slice_layer(op: Slice, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    index = [slice(None)] * x.ndim
    index[array_axis(op.axis)] = slice(*op.bounds(type_of(x)))
    return Outcome(x[tuple(index)], (x.shape, tuple(index)))


@backward_of(Crop, Slice)
def part_backward(
    op: Crop | Slice, weights: NoWeights, saved: tuple[Shape, Index], gradient: Array, needs_dx: bool
) -> Gradients:
    shape, index = saved
    dx = np.zeros(shape, gradient.dtype)
    dx[index] = gradient
    return Gradients((dx,))


@forward_of(Select)
def select(op: Select, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    return Outcome(np.take(x, op.positions(type_of(x)), array_axis(op.axis)), type_of(x))


@backward_of(Select)
def select_backward(op: Select, weights: NoWeights, x: TensorType, gradient: Array, needs_dx: bool) -> Gradients:
    axis = array_axis(op.axis)
    rows = np.moveaxis(gradient, axis, 0)  # (selected, ...)
    dx = sum_rows_by_index(rows, np.array(op.positions(x)), x.shape[op.axis])
    return Gradients((np.ascontiguousarray(np.moveaxis(dx, 0, axis)),))


def sum_rows_by_index(rows: Array, indices: NDArray[np.int64], count: int) -> Array:
    """`count` rows, each the sum of the rows with its index: rows[i] is added to row indices[i] (np.add.at).

    Sorts the rows, so that one call of `reduceat` sums those of each index; np.add.at takes ten times as long.
    """
    total = np.zeros((count, *rows.shape[1:]), rows.dtype)
    if indices.size:
        order = np.argsort(indices, kind="stable")
        present, starts = np.unique(indices[order], return_index=True)
        total[present] = np.add.reduceat(rows[order], starts, axis=0)
    return total


# --- between channels, and between channels and space ------------------------------------------------------------------


@forward_of(ChannelShuffle)
def channel_shuffle(op: ChannelShuffle, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return Outcome(_shuffle(inputs[0], op.groups))


@backward_of(ChannelShuffle)
def channel_shuffle_backward(
    op: ChannelShuffle, weights: NoWeights, saved: None, gradient: Array, needs_dx: bool
) -> Gradients:
    return Gradients((_shuffle(gradient, gradient.shape[-1] // op.groups),))


def _shuffle(x: Array, groups: int) -> Array:
    """Channels (groups, C/groups) as (C/groups, groups)."""
    # (..., C) to (..., groups, C/groups) to (..., C/groups, groups) to (..., C)
    return x.reshape(*x.shape[:-1], groups, -1).swapaxes(-1, -2).reshape(x.shape)


@forward_of(DepthToSpace)
def depth_to_space(op: DepthToSpace, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return Outcome(_to_space(inputs[0], op.n))


@backward_of(DepthToSpace)
def depth_to_space_backward(
    op: DepthToSpace, weights: NoWeights, saved: None, gradient: Array, needs_dx: bool
) -> Gradients:
    return Gradients((_to_depth(gradient, op.n),))


@forward_of(SpaceToDepth)
def space_to_depth(op: SpaceToDepth, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return Outcome(_to_depth(inputs[0], op.n))


@backward_of(SpaceToDepth)
def space_to_depth_backward(
    op: SpaceToDepth, weights: NoWeights, saved: None, gradient: Array, needs_dx: bool
) -> Gradients:
    return Gradients((_to_space(gradient, op.n),))


def _to_space(x: Array, n: int) -> Array:
    count, height, width, channels = x.shape
    # (N, H, W, n·n·C) to (N, H, W, n, n, C) to (N, H, n, W, n, C) to (N, H·n, W·n, C)
    parts = x.reshape(count, height, width, n, n, channels // n**2).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(count, height * n, width * n, channels // n**2)


def _to_depth(x: Array, n: int) -> Array:
    count, height, width, channels = x.shape
    # (N, H·n, W·n, C) to (N, H, n, W, n, C) to (N, H, W, n, n, C) to (N, H, W, n·n·C)
    parts = x.reshape(count, height // n, n, width // n, n, channels).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(count, height // n, width // n, n**2 * channels)
