"""Gradients of unshared convolutions: a matrix product at each position.

input gradient    weightᵀ (P, C·kh·kw, O) @ gradient (P, O, N), added where each patch was read
weight gradient   gradient (P, O, N) @ patchesᵀ (P, N, C·kh·kw)
"""

from __future__ import annotations

from math import prod

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.ops.rows import gather_adjoint
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.local import Local
from cnnc.ops.window import Geometry
from cnnc.reference.local import patch_indices


@backward_of(Local)
def _local(e: StepEmitter, op: Local, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    g, rank = Geometry.of(op.rules(x)), x.rank
    positions, patch = prod(g.out), x.channels * prod(g.k)
    by_position = e.new("Transpose", at.gradient, perm=[*range(2, 2 + rank), 1, 0])
    gradient = e.reshape(by_position, positions, op.out, -1)  # (P, O, N)
    dx = None
    if at.needed[0]:
        weight = e.reshape(e.weight("weight"), positions, op.out, patch)
        patches = e.new("MatMul", e.new("Transpose", weight, perm=[0, 2, 1]), gradient)
        sizes = g.padded_sizes(x.spatial)
        indices = patch_indices(g, x.channels, sizes).reshape(-1)
        elements = gather_adjoint(e, e.reshape(patches, positions * patch, -1), indices, x.channels * prod(sizes), 0, 2)
        padded = e.reshape(e.new("Transpose", elements, perm=[1, 0]), -1, x.channels, *sizes)
        begins = [begin for begin, _ in g.pads]
        ends = [begin + m for begin, m in zip(begins, x.spatial, strict=True)]
        dx = e.slice(padded, begins, ends, range(2, 2 + rank)) if g.padded else padded
    if not at.trains:
        return TensorGradients((dx,))
    patches = e.reshape(f"{node.name}.patches", positions, patch, -1)  # of the forward pass
    dweight = e.new("MatMul", gradient, e.new("Transpose", patches, perm=[0, 2, 1]))
    gradients = {"weight": e.reshape(dweight, *g.out, op.out, x.channels, *g.k)}
    if op.bias:
        gradients["bias"] = e.reduce("Sum", at.gradient, [0])
    return TensorGradients((dx,), gradients)
