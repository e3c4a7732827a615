"""Layers that rearrange values. No size that may vary is written down, but that of a crop from the middle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnc.export.emitter import Emitter, emission_of, padded, sides
from cnnc.graph import Node
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

_END = 2**63 - 1  # of an axis, whatever its size (ONNX Slice)


@emission_of(Flatten)
def _flatten(e: Emitter, op: Flatten, node: Node, inputs: list[str]) -> None:
    e.op("Flatten", inputs, axis=1)


@emission_of(Reshape)
def _reshape(e: Emitter, op: Reshape, node: Node, inputs: list[str]) -> None:
    e.op("Reshape", [*inputs, e.integers("shape", [0, *op.shape])])  # 0: the batch, whatever it is


@emission_of(Pad)
def _pad(e: Emitter, op: Pad, node: Node, inputs: list[str]) -> None:
    padded(e, inputs, sides(op.sides), op.value, node.name)


@emission_of(Crop)
def _crop(e: Emitter, op: Crop, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    begins = op.begins(x)
    _slice_axes(e, inputs, begins, [b + n for b, n in zip(begins, op.size, strict=True)], range(2, 2 + x.rank))


@emission_of(Slice)
def _slice(e: Emitter, op: Slice, node: Node, inputs: list[str]) -> None:
    _slice_axes(e, inputs, [op.begin], [_END if op.end is None else op.end], [op.axis + 1])


def _slice_axes(e: Emitter, inputs: list[str], starts: Sequence[int], ends: Sequence[int], axes: Sequence[int]) -> None:
    """A part of these axes; negatives count from the end, as in the language."""
    e.op("Slice", [*inputs, e.integers("starts", starts), e.integers("ends", ends), e.integers("axes", axes)])


@emission_of(Select)
def _select(e: Emitter, op: Select, node: Node, inputs: list[str]) -> None:
    e.op("Gather", [*inputs, e.integers("indices", op.indices)], axis=op.axis + 1)


@emission_of(ChannelShuffle)
def _channel_shuffle(e: Emitter, op: ChannelShuffle, node: Node, inputs: list[str]) -> None:
    # one Gather, where a reshape would have to name the sizes behind the channels
    order = np.arange(node.type.channels).reshape(op.groups, -1).T.reshape(-1)
    e.op("Gather", [*inputs, e.integers("order", order.tolist())], axis=1)


@emission_of(DepthToSpace)
def _depth_to_space(e: Emitter, op: DepthToSpace, node: Node, inputs: list[str]) -> None:
    e.op("DepthToSpace", inputs, blocksize=op.n, mode="DCR")


@emission_of(SpaceToDepth)
def _space_to_depth(e: Emitter, op: SpaceToDepth, node: Node, inputs: list[str]) -> None:
    e.op("SpaceToDepth", inputs, blocksize=op.n)
