"""Gradients of fully connected layers."""

from __future__ import annotations

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.dense import Fc


@backward_of(Fc)
def _fc(e: StepEmitter, op: Fc, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    dx = None
    if at.needed[0]:
        dx = e.new("Gemm", at.gradient, e.weight("weight"))
        dx = e.reshape(dx, -1, *x.shape) if x.rank else dx
    if not at.trains:
        return TensorGradients((dx,))
    flat = e.new("Flatten", at.inputs[0], axis=1) if x.rank else at.inputs[0]
    gradients = {"weight": e.new("Gemm", at.gradient, flat, transA=1)}
    if op.bias:
        gradients["bias"] = e.reduce("Sum", at.gradient, [0])
    return TensorGradients((dx,), gradients)
