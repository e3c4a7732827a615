"""What reshapes and transposes do together, and the layer that does it.

In: a value that moves lead to from what a layer made. Out: layers of the language that do the same.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.recognize.values import Refusal, Value
from cnnc.ops.base import Op
from cnnc.ops.reshape import ChannelShuffle, DepthToSpace, Flatten, Reshape, Select, SpaceToDepth

MAX_ELEMENTS = 2**24
Layers = list[tuple[type[Op], dict[str, Any]]]


def recognise(value: Value, batch: int) -> Layers:
    """The layers, one after another. Raises Refusal where there are none."""
    shape = value.root.shape
    if not 2 <= len(value.shape) <= 5 or value.shape[0] != batch:
        raise Refusal(f"the language has no tensor of the shape {'x'.join(map(str, value.shape))}, batch first")
    places = _places(value, batch)  # (*value.shape[1:]): from where each element comes
    made = places.shape
    if np.array_equal(places.ravel(), np.arange(places.size)):
        return _reshaped(shape, made)
    order = _channel_order(places, shape)
    if order is not None:
        return [shuffle_or_select(order), *_reshaped(shape, made)]
    for layers in _space_and_depth(places, shape):
        return layers
    raise Refusal("it moves values from one axis to another, which no layer does")


def _places(value: Value, batch: int) -> Array:
    size = value.root.type.size
    if batch * size > MAX_ELEMENTS:
        raise Refusal("the tensor is too large to see how its axes are moved")
    found = np.arange(batch * size).reshape(batch, *value.root.shape)
    for move in value.moves:
        found = found.reshape(move.axes) if move.kind == "reshape" else found.transpose(move.axes)
    first: Array = found[0]
    steps = (np.arange(batch) * size).reshape(-1, *(1,) * first.ndim)
    if not np.array_equal(found, first + steps):
        raise Refusal("it moves values from one sample of the batch to another")
    return first


def _reshaped(shape: tuple[int, ...], made: tuple[int, ...]) -> Layers:
    if shape == made:
        return []
    return [(Flatten, {})] if len(made) == 1 else [(Reshape, {"shape": made})]


def _channel_order(places: Array, shape: tuple[int, ...]) -> list[int] | None:
    """Which channel each channel comes from, where whole channels are moved."""
    rows = places.reshape(shape[0], -1)  # (C, places)
    inner = prod(shape[1:])
    if (rows[:, 0] % inner).any() or not np.array_equal(rows, rows[:, :1] + np.arange(inner)):
        return None
    return [int(n) for n in rows[:, 0] // inner]


def shuffle_or_select(order: list[int]) -> tuple[type[Op], dict[str, Any]]:
    """The layer that puts channels in this order: a channel_shuffle where it is one."""
    count = len(order)
    if sorted(order) == list(range(count)) and count > 1 and order != list(range(count)):
        groups = count // order[1] if order[1] and count % order[1] == 0 else 0
        if groups and order == np.arange(count).reshape(groups, -1).T.ravel().tolist():
            return ChannelShuffle, {"groups": groups}
    return Select, {"indices": tuple(order)}


def crd_order(channels: int, n: int) -> list[int]:
    """The channels of depth_to_space in ONNX's mode CRD, in the order of its mode DCR: (n·n, C) from (C, n·n)."""
    return [int(c) for c in np.arange(channels).reshape(-1, n * n).T.ravel()]


def dcr_order(channels: int, n: int) -> list[int]:
    """The channels that space_to_depth makes of so many, in the order of ONNX's mode CRD: (C, n·n) from (n·n, C)."""
    return [int(c) for c in np.arange(channels * n * n).reshape(n * n, channels).T.ravel()]


def _space_and_depth(places: Array, shape: tuple[int, ...]) -> list[Layers]:
    """depth_to_space and space_to_depth, in either order of the channels."""
    if len(shape) != 3 or places.ndim != 3:
        return []
    c, h, w = shape
    index = np.arange(places.size).reshape(shape)
    n = places.shape[1] // h if places.shape[1] > h else 0
    if n > 1 and places.shape == (c // (n * n), h * n, w * n) and c % (n * n) == 0:
        made = index.reshape(n, n, c // (n * n), h, w).transpose(2, 3, 0, 4, 1).reshape(places.shape)
        if np.array_equal(places, made):
            return [[(DepthToSpace, {"n": n})]]
        other = index.reshape(c // (n * n), n, n, h, w).transpose(0, 3, 1, 4, 2).reshape(places.shape)
        if np.array_equal(places, other):
            return [[(Select, {"indices": tuple(crd_order(c, n))}), (DepthToSpace, {"n": n})]]
    n = h // places.shape[1] if places.shape[1] < h else 0
    if n > 1 and places.shape == (c * n * n, h // n, w // n) and h % n == 0 and w % n == 0:
        cut = index.reshape(c, h // n, n, w // n, n)
        if np.array_equal(places, cut.transpose(2, 4, 0, 1, 3).reshape(places.shape)):
            return [[(SpaceToDepth, {"n": n})]]
        if np.array_equal(places, cut.transpose(0, 2, 4, 1, 3).reshape(places.shape)):
            return [[(SpaceToDepth, {"n": n}), (Select, {"indices": tuple(dcr_order(c, n))})]]
    return []
