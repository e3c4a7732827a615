"""Recognizes the layers that a chain of reshapes and transposes amounts to.

In: a `LayerOutput` with rearrangements. Out: layers of the language that move the elements in the same way. The chain
is applied to an array of element indices, so that what counts is where the elements go, not how the model says it.

Example: for an output 4x6x8 and a batch N, Reshape to (N, 2, 2, 6, 8), Transpose by (0, 2, 1, 3, 4) and Reshape to
(N, 4, 6, 8) take the channels in the order 0, 2, 1, 3: `channel_shuffle 2`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.recognize.values import LayerOutput, Rearrangement, Unsupported
from cnnc.ops.base import Op
from cnnc.ops.reshape import ChannelShuffle, DepthToSpace, Flatten, Reshape, Select, SpaceToDepth

MAX_TRACED_ELEMENTS = 2**24  # of a tensor whose elements are followed through its rearrangements
EXPORT_CHANNELS_FIRST = (
    "export the model channels first, with `--inputs-as-nchw` of tf2onnx or in Keras after "
    "keras.config.set_image_data_format('channels_first')"
)
LayerCalls = list[tuple[type[Op], dict[str, Any]]]
"""Op classes with their arguments, applied one after another."""


def rearranging_layers(value: LayerOutput, batch: int) -> LayerCalls:
    """The layers that turn the output of `value.root` into `value`. Raises Unsupported where there are none."""
    shape = value.root.shape
    if not 2 <= len(value.shape) <= 5 or value.shape[0] != batch:
        raise Unsupported(f"the language has no tensor of the shape {'x'.join(map(str, value.shape))}, batch first")
    source = _source_indices(value, batch)  # (*value.shape[1:])
    target_shape = source.shape
    if np.array_equal(source.ravel(), np.arange(source.size)):
        return _reshape(shape, target_shape)
    order = _channel_order(source, shape)
    if order is not None:
        return [shuffle_or_select(order), *_reshape(shape, target_shape)]
    layers = _space_and_depth(source, shape)
    if layers is not None:
        return layers
    raise NoLayerMoves(_is_channels_last(source, shape))


def without_detours(shape: tuple[int, ...], steps: Iterable[Rearrangement]) -> tuple[Rearrangement, ...]:
    """The steps on a tensor of this shape without reshapes that the next step reshapes again, or that change nothing."""
    kept: list[Rearrangement] = []
    shapes = [shape]
    for step in steps:
        if step.kind == "reshape":
            if kept and kept[-1].kind == "reshape":
                kept.pop()
                shapes.pop()
            if step.axes == shapes[-1]:
                continue
        kept.append(step)
        shapes.append(step.axes if step.kind == "reshape" else tuple(shapes[-1][a] for a in step.axes))
    return tuple(kept)


class NoLayerMoves(Unsupported):
    """A rearrangement that no layer computes."""

    def __init__(self, channels_last: bool) -> None:
        if channels_last:
            super().__init__("its input is channels last (NHWC), and layers are channels first", EXPORT_CHANNELS_FIRST)
        else:
            super().__init__("it moves elements from one axis to another, which no layer does")


def permutation_of(value: LayerOutput, batch: int) -> Array | None:
    """For each element of one example, its flat index in the output of the root; None where it is not a permutation."""
    source = _source_indices(value, batch).ravel()
    return source if np.array_equal(np.sort(source), np.arange(value.root.type.size)) else None


def _is_channels_last(source: Array, shape: tuple[int, ...]) -> bool:
    """Whether a rearrangement makes an output of this shape channels last, or the reverse, reshaped or not."""
    index = np.arange(source.size)
    last = np.moveaxis(index.reshape(shape), 0, -1)
    first = np.moveaxis(index.reshape(shape), -1, 0)
    return any(np.array_equal(source.ravel(), order.ravel()) for order in (last, first))


def _source_indices(value: LayerOutput, batch: int) -> Array:
    """For each element of one example, its flat index in the output of `value.root`. Raises Unsupported."""
    size = value.root.type.size
    if batch * size > MAX_TRACED_ELEMENTS:
        raise Unsupported(
            f"the tensor has more than {MAX_TRACED_ELEMENTS:,} elements, too many to see how it is transposed"
        )
    indices = np.arange(batch * size).reshape(batch, *value.root.shape)
    for step in value.rearrangements:
        indices = indices.reshape(step.axes) if step.kind == "reshape" else indices.transpose(step.axes)
    first: Array = indices[0]
    offsets = (np.arange(batch) * size).reshape(-1, *(1,) * first.ndim)
    if not np.array_equal(indices, first + offsets):
        raise Unsupported("it moves elements from one example of the batch to another")
    return first


def _reshape(shape: tuple[int, ...], target: tuple[int, ...]) -> LayerCalls:
    if shape == target:
        return []
    return [(Flatten, {})] if len(target) == 1 else [(Reshape, {"shape": target})]


def _channel_order(source: Array, shape: tuple[int, ...]) -> list[int] | None:
    """The source channel of each channel, where whole channels are moved; else None."""
    rows = source.reshape(shape[0], -1)  # (C, elements per channel)
    per_channel = prod(shape[1:])
    if (rows[:, 0] % per_channel).any() or not np.array_equal(rows, rows[:, :1] + np.arange(per_channel)):
        return None
    return [int(n) for n in rows[:, 0] // per_channel]


def shuffle_or_select(order: list[int]) -> tuple[type[Op], dict[str, Any]]:
    """The layer that puts channels in this order: channel_shuffle where it is one, else select."""
    count = len(order)
    if sorted(order) == list(range(count)) and count > 1 and order != list(range(count)):
        groups = count // order[1] if order[1] and count % order[1] == 0 else 0
        if groups and order == np.arange(count).reshape(groups, -1).T.ravel().tolist():
            return ChannelShuffle, {"groups": groups}
    return Select, {"indices": tuple(order)}


def crd_to_dcr_order(channels: int, n: int) -> list[int]:
    """The order that turns input channels of DepthToSpace in mode CRD, (C, n·n), into those of mode DCR, (n·n, C)."""
    return [int(c) for c in np.arange(channels).reshape(-1, n * n).T.ravel()]


def dcr_to_crd_order(channels: int, n: int) -> list[int]:
    """The order that turns output channels of space_to_depth, (n·n, C), into those of mode CRD, (C, n·n).

    `channels` is C, the number of input channels.
    """
    return [int(c) for c in np.arange(channels * n * n).reshape(n * n, channels).T.ravel()]


def _space_and_depth(source: Array, shape: tuple[int, ...]) -> LayerCalls | None:
    """depth_to_space or space_to_depth, with channels in the order DCR or CRD; None where it is neither."""
    if len(shape) != 3 or source.ndim != 3:
        return None
    c, h, w = shape
    index = np.arange(source.size).reshape(shape)
    n = source.shape[1] // h if source.shape[1] > h else 0
    if n > 1 and source.shape == (c // (n * n), h * n, w * n) and c % (n * n) == 0:
        dcr = index.reshape(n, n, c // (n * n), h, w).transpose(2, 3, 0, 4, 1).reshape(source.shape)
        if np.array_equal(source, dcr):
            return [(DepthToSpace, {"n": n})]
        crd = index.reshape(c // (n * n), n, n, h, w).transpose(0, 3, 1, 4, 2).reshape(source.shape)
        if np.array_equal(source, crd):
            return [(Select, {"indices": tuple(crd_to_dcr_order(c, n))}), (DepthToSpace, {"n": n})]
    n = h // source.shape[1] if source.shape[1] < h else 0
    if n > 1 and source.shape == (c * n * n, h // n, w // n) and h % n == 0 and w % n == 0:
        blocks = index.reshape(c, h // n, n, w // n, n)
        if np.array_equal(source, blocks.transpose(2, 4, 0, 1, 3).reshape(source.shape)):
            return [(SpaceToDepth, {"n": n})]
        if np.array_equal(source, blocks.transpose(0, 2, 4, 1, 3).reshape(source.shape)):
            return [(SpaceToDepth, {"n": n}), (Select, {"indices": tuple(dcr_to_crd_order(c, n))})]
    return None
