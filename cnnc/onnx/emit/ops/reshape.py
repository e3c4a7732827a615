"""Emission of layers that rearrange elements. Symbolic sizes do not become constants."""

from __future__ import annotations

import numpy as np

from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import AXIS_END, Emitter, emission_of
from cnnc.onnx.emit.padding import PadAmounts, pad_tensor
from cnnc.onnx.emit.shape_arithmetic import layer_sizes, spatial_sizes
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


@emission_of(Flatten)
def _flatten(e: Emitter, op: Flatten, node: Node, inputs: list[str]) -> None:
    e.op("Flatten", inputs, axis=1)


@emission_of(Reshape)
def _reshape(e: Emitter, op: Reshape, node: Node, inputs: list[str]) -> None:
    shapes = e.at_all_sizes(lambda op, x: op.shape)
    varying = [axis for axis, size in enumerate(op.shape) if any(shape[axis] != size for shape in shapes)]
    if len(varying) == 1:  # ONNX infers one size, -1
        shapes = [tuple(-1 if axis == varying[0] else n for axis, n in enumerate(op.shape))]
    target = layer_sizes(e, "shape", [(0, *shape) for shape in shapes])  # 0 copies the batch
    e.op("Reshape", [*inputs, target.name])


@emission_of(Pad)
def _pad(e: Emitter, op: Pad, node: Node, inputs: list[str]) -> None:
    sides = e.at_all_sizes(lambda op, x: op.sides)
    if all(other == sides[0] for other in sides):
        padding = PadAmounts(op.sides)
    else:
        begins, ends = (layer_sizes(e, f"side{i}", [[pair[i] for pair in other] for other in sides]) for i in (0, 1))
        padding = PadAmounts(None, begins, ends)
    pad_tensor(e, inputs[0], padding, op.value, node.name)


@emission_of(Crop)
def _crop(e: Emitter, op: Crop, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    fixed = e.same_at_all_sizes(lambda op, x: (op.begins(x), op.size))
    axes = e.integers("axes", range(2, 2 + x.rank))
    if fixed is not None:
        begins, size = fixed
        ends = e.integers("ends", [b + n for b, n in zip(begins, size, strict=True)])
        e.op("Slice", [*inputs, e.integers("starts", begins), ends, axes])
        return
    part = layer_sizes(e, "part", e.at_all_sizes(lambda op, x: op.size))
    if op.offset is None:
        begin = (spatial_sizes(e, inputs[0]) - part) // 2
    else:
        begin = layer_sizes(e, "starts", e.at_all_sizes(lambda op, x: op.offset))
    e.op("Slice", [*inputs, begin.name, (begin + part).name, axes])


@emission_of(Slice)
def _slice(e: Emitter, op: Slice, node: Node, inputs: list[str]) -> None:
    """Negative indices count from the end, as in the language."""
    begins = layer_sizes(e, "starts", e.at_all_sizes(lambda op, x: [op.begin]))
    ends = layer_sizes(e, "ends", e.at_all_sizes(lambda op, x: [AXIS_END if op.end is None else op.end]))
    e.op("Slice", [*inputs, begins.name, ends.name, e.integers("axes", [op.axis + 1])])


@emission_of(Select)
def _select(e: Emitter, op: Select, node: Node, inputs: list[str]) -> None:
    e.op("Gather", [*inputs, e.integers("indices", op.indices)], axis=op.axis + 1)


@emission_of(ChannelShuffle)
def _channel_shuffle(e: Emitter, op: ChannelShuffle, node: Node, inputs: list[str]) -> None:
    # one Gather, as a reshape would fix the spatial sizes
    order = np.arange(node.type.channels).reshape(op.groups, -1).T.reshape(-1)
    e.op("Gather", [*inputs, e.integers("order", order.tolist())], axis=1)


@emission_of(DepthToSpace)
def _depth_to_space(e: Emitter, op: DepthToSpace, node: Node, inputs: list[str]) -> None:
    e.op("DepthToSpace", inputs, blocksize=op.n, mode="DCR")


@emission_of(SpaceToDepth)
def _space_to_depth(e: Emitter, op: SpaceToDepth, node: Node, inputs: list[str]) -> None:
    e.op("SpaceToDepth", inputs, blocksize=op.n)
