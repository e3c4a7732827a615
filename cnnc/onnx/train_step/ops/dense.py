"""Gradients of fully connected and bilinear layers."""

from __future__ import annotations

from cnnc.graph.graph import Node
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.dense import Bilinear, Fc


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


@backward_of(Bilinear)
def _bilinear(e: StepEmitter, op: Bilinear, node: Node, at: Passed) -> TensorGradients:
    """Of y = aᵀ·M·b: dM = dy·a·bᵀ, da = dy·M·b, db = dy·Mᵀ·a, each summed over the outputs."""
    first, second = e.graph.input_types(node)
    a, b = (e.reshape(x, -1, type_.size) for x, type_ in zip(at.inputs, (first, second), strict=True))
    dy = e.reshape(at.gradient, -1, op.out, 1)
    left = e.reshape(e.new("Mul", dy, e.reshape(a, -1, 1, first.size)), -1, op.out * first.size)  # (N, O·A)
    da = db = None
    stacked = e.arranged("weight", (op.out * first.size, second.size))
    if at.needed[0]:
        right = e.reshape(f"{node.name}.right", -1, op.out, first.size)  # M·b of the forward pass, (N, O, A)
        da = e.reshape(e.reduce("Sum", e.new("Mul", dy, right), [1]), -1, *first.shape)
    if at.needed[1]:
        db = e.reshape(e.new("Gemm", left, stacked), -1, *second.shape)
    if not at.trains:
        return TensorGradients((da, db))
    dweight = e.reshape(e.new("Gemm", left, b, transA=1), op.out, first.size, second.size)
    return TensorGradients((da, db), {"weight": dweight})
