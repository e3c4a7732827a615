"""Gradients of layers that rearrange elements, or take a part of them."""

from __future__ import annotations

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.reshape import Flatten, Reshape


@backward_of(Flatten, Reshape)
def _reshape(e: StepEmitter, op: Flatten | Reshape, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    return TensorGradients((e.reshape(at.gradient, -1, *x.shape),))
