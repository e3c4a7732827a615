"""Gradients of activations."""

from __future__ import annotations

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.activation import Relu


@backward_of(Relu)
def _relu(e: StepEmitter, op: Relu, node: Node, at: Passed) -> TensorGradients:
    positive = e.new("Greater", at.output, e.number(0))
    return TensorGradients((e.new("Where", positive, at.gradient, e.number(0)),))
