"""Gradients of layers that rearrange elements, or take a part of them."""

from __future__ import annotations

import numpy as np

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.ops.rows import gather_adjoint
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
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


@backward_of(Flatten, Reshape)
def _reshape(e: StepEmitter, op: Flatten | Reshape, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    return TensorGradients((e.reshape(at.gradient, -1, *x.shape),))


@backward_of(Pad)
def _pad(e: StepEmitter, op: Pad, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    begins = [begin for begin, _ in op.sides]
    ends = [begin + m for begin, m in zip(begins, x.spatial, strict=True)]
    return TensorGradients((e.slice(at.gradient, begins, ends, range(2, 2 + x.rank)),))


@backward_of(Crop)
def _crop(e: StepEmitter, op: Crop, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    begins = op.begins(x)
    ends = [m - begin - n for m, begin, n in zip(x.spatial, begins, op.size, strict=True)]
    return TensorGradients((_with_zeros(e, at.gradient, [0, 0, *begins], [0, 0, *ends]),))


@backward_of(Slice)
def _slice(e: StepEmitter, op: Slice, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    begin, end = op.bounds(x)
    amounts = [[n if axis == op.axis + 1 else 0 for axis in range(x.rank + 2)] for n in (begin, x.shape[op.axis] - end)]
    return TensorGradients((_with_zeros(e, at.gradient, *amounts),))


def _with_zeros(e: StepEmitter, gradient: str, begins: list[int], ends: list[int]) -> str:
    """The gradient of the whole of which a part was taken: zeros around it."""
    return e.new("Pad", gradient, e.sizes(*begins, *ends), e.number(0)) if any(begins) or any(ends) else gradient


@backward_of(Select)
def _select(e: StepEmitter, op: Select, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    indices = np.array(op.positions(x))
    return TensorGradients((gather_adjoint(e, at.gradient, indices, x.shape[op.axis], op.axis + 1, x.rank + 2),))


@backward_of(ChannelShuffle)
def _channel_shuffle(e: StepEmitter, op: ChannelShuffle, node: Node, at: Passed) -> TensorGradients:
    order = np.arange(node.type.channels).reshape(-1, op.groups).T.reshape(-1)
    return TensorGradients((e.new("Gather", at.gradient, e.sizes(*order.tolist()), axis=1),))


@backward_of(DepthToSpace)
def _depth_to_space(e: StepEmitter, op: DepthToSpace, node: Node, at: Passed) -> TensorGradients:
    return TensorGradients((e.new("SpaceToDepth", at.gradient, blocksize=op.n),))


@backward_of(SpaceToDepth)
def _space_to_depth(e: StepEmitter, op: SpaceToDepth, node: Node, at: Passed) -> TensorGradients:
    return TensorGradients((e.new("DepthToSpace", at.gradient, blocksize=op.n, mode="DCR"),))
