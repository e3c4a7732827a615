"""Gradients of embeddings."""

from __future__ import annotations

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.sequence import Embed


@backward_of(Embed)
def _embed(e: StepEmitter, op: Embed, node: Node, at: Passed) -> TensorGradients:
    """The gradient of each position is added to the row of the weight that it read."""
    if not at.trains:
        return TensorGradients((None,))
    e.require_opset(16, "adds the gradients of words that occur several times")
    rows = e.reshape(e.new("Transpose", at.gradient, perm=[0, 2, 1]), -1, op.dim)  # (N·T, dim)
    indices = e.reshape(at.inputs[0], -1, 1)
    zeros = e.zeros(e.sizes(op.vocab, op.dim))
    return TensorGradients((None,), {"weight": e.new("ScatterND", zeros, indices, rows, reduction="add")})
