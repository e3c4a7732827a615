"""Gradients of activations, and dropout with its mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cnnc.graph.graph import Node
from cnnc.onnx.emit.ops.per_channel import per_channel
from cnnc.onnx.train_step.random_bits import uniform_at_least
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of, training_emission_of
from cnnc.ops.activation import (
    Abs,
    Clip,
    Dropout,
    DropPath,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    HardTanh,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Mish,
    Prelu,
    Relu,
    Relu6,
    Scale,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from cnnc.ops.base import Op
from cnnc.reference.activation import SELU_ALPHA, SELU_GAMMA

Slope = Callable[[StepEmitter, Any, str, str], str]
"""(emitter, op, input, output) -> the derivative at each element."""


def slope_of(*ops: type[Op]) -> Callable[[Slope], Slope]:
    """Registers the backward of activations of single elements: the gradient times the derivative."""

    def register(slope: Slope) -> Slope:
        @backward_of(*ops)
        def _times_slope(e: StepEmitter, op: Op, node: Node, at: Passed) -> TensorGradients:
            return TensorGradients((e.new("Mul", at.gradient, slope(e, op, at.inputs[0], at.output)),))

        return slope

    return register


# --- piecewise linear --------------------------------------------------------------------------------------------


@backward_of(Relu)
def _relu(e: StepEmitter, op: Relu, node: Node, at: Passed) -> TensorGradients:
    return TensorGradients((e.where(e.new("Greater", at.output, e.number(0)), at.gradient),))


@slope_of(LeakyRelu)
def _leaky_relu(e: StepEmitter, op: LeakyRelu, x: str, y: str) -> str:
    return e.choose(e.new("Greater", x, e.number(0)), 1, op.slope)


@backward_of(Prelu)
def _prelu(e: StepEmitter, op: Prelu, node: Node, at: Passed) -> TensorGradients:
    """He et al. 2015, equation 8: the gradient of a channel's slope is Σ gradient·min(x, 0)."""
    (x,), rank = at.inputs, node.type.rank
    below = e.new("Mul", at.gradient, e.new("Min", x, e.number(0)))
    slope = e.new("Where", e.new("Greater", x, e.number(0)), e.number(1), per_channel(e, "slope", rank))
    return TensorGradients(
        (e.new("Mul", at.gradient, slope),), {"slope": e.reduce("Sum", below, [0, *range(2, 2 + rank)])}
    )


@backward_of(Clip, HardTanh, Relu6)
def _clip(e: StepEmitter, op: Clip | HardTanh | Relu6, node: Node, at: Passed) -> TensorGradients:
    """At lo and hi the derivative is 1 for clip, 0 for hard_tanh and relu6."""
    lo, hi = (0, 6) if isinstance(op, Relu6) else (op.lo, op.hi)
    above, below = ("GreaterOrEqual", "LessOrEqual") if isinstance(op, Clip) else ("Greater", "Less")
    (x,) = at.inputs
    inside = e.new("And", e.new(above, x, e.number(lo)), e.new(below, x, e.number(hi)))
    return TensorGradients((e.where(inside, at.gradient),))


@slope_of(HardSigmoid)
def _hard_sigmoid(e: StepEmitter, op: HardSigmoid, x: str, y: str) -> str:
    return e.choose(e.new("Less", e.new("Abs", x), e.number(3)), 1 / 6, 0)


@slope_of(HardSwish)
def _hard_swish(e: StepEmitter, op: HardSwish, x: str, y: str) -> str:
    """x·h with h = clip(x/6 + 1/2, 0, 1): h + x·h'."""
    h = e.new("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    inside = e.new("Less", e.new("Abs", x), e.number(3))
    return e.new("Add", h, e.new("Mul", x, e.choose(inside, 1 / 6, 0)))


@slope_of(Abs)
def _abs(e: StepEmitter, op: Abs, x: str, y: str) -> str:
    return e.new("Sign", x)


# --- smooth --------------------------------------------------------------------------------------------------------


@slope_of(Elu, Selu)
def _elu(e: StepEmitter, op: Elu | Selu, x: str, y: str) -> str:
    alpha, gamma = (SELU_ALPHA, SELU_GAMMA) if isinstance(op, Selu) else (op.alpha, 1)
    low = e.new("Mul", e.new("Exp", e.new("Min", x, e.number(0))), e.number(alpha * gamma))
    return e.new("Where", e.new("Greater", x, e.number(0)), e.number(gamma), low)


@slope_of(Sigmoid)
def _sigmoid(e: StepEmitter, op: Sigmoid, x: str, y: str) -> str:
    return e.new("Mul", y, e.new("Sub", e.number(1), y))


@slope_of(Tanh)
def _tanh(e: StepEmitter, op: Tanh, x: str, y: str) -> str:
    return e.new("Sub", e.number(1), e.new("Mul", y, y))


@slope_of(Softplus)
def _softplus(e: StepEmitter, op: Softplus, x: str, y: str) -> str:
    return e.new("Sigmoid", x)


@slope_of(Silu)
def _silu(e: StepEmitter, op: Silu, x: str, y: str) -> str:
    """x·s with s = sigmoid(x): s + y·(1 - s)."""
    s = e.new("Sigmoid", x)
    return e.new("Add", s, e.new("Mul", y, e.new("Sub", e.number(1), s)))


@slope_of(Mish)
def _mish(e: StepEmitter, op: Mish, x: str, y: str) -> str:
    """x·t with t = tanh(log(1 + exp(x))): t + x·(1 - t²)·sigmoid(x)."""
    t = e.new("Tanh", e.new("Softplus", x))
    bend = e.new("Sub", e.number(1), e.new("Mul", t, t))
    return e.new("Add", t, e.new("Mul", e.new("Mul", x, bend), e.new("Sigmoid", x)))


@slope_of(Gelu)
def _gelu(e: StepEmitter, op: Gelu, x: str, y: str) -> str:
    """x·Φ(x): Φ(x) + x·φ(x), the normal distribution and density."""
    erf = e.new("Erf", e.new("Mul", x, e.number(2**-0.5)))
    phi = e.new("Add", e.new("Mul", erf, e.number(0.5)), e.number(0.5))
    bell = e.new("Exp", e.new("Mul", e.new("Mul", x, x), e.number(-0.5)))
    return e.new("Add", phi, e.new("Mul", e.new("Mul", x, bell), e.number((2 * math.pi) ** -0.5)))


# --- over the channels ---------------------------------------------------------------------------------------------


@backward_of(Softmax)
def _softmax(e: StepEmitter, op: Softmax, node: Node, at: Passed) -> TensorGradients:
    mean = e.reduce("Sum", e.new("Mul", at.gradient, at.output), [1], keepdims=True)
    return TensorGradients((e.new("Mul", at.output, e.new("Sub", at.gradient, mean)),))


@backward_of(LogSoftmax)
def _log_softmax(e: StepEmitter, op: LogSoftmax, node: Node, at: Passed) -> TensorGradients:
    total = e.reduce("Sum", at.gradient, [1], keepdims=True)
    return TensorGradients((e.new("Sub", at.gradient, e.new("Mul", e.new("Exp", at.output), total)),))


# --- scale, identity, dropout ----------------------------------------------------------------------------------------


@backward_of(Scale)
def _scale(e: StepEmitter, op: Scale, node: Node, at: Passed) -> TensorGradients:
    return TensorGradients((e.new("Mul", at.gradient, e.number(op.factor)),))


@backward_of(Identity)
def _identity(e: StepEmitter, op: Identity, node: Node, at: Passed) -> TensorGradients:
    return TensorGradients((at.gradient,))


@training_emission_of(Dropout, DropPath)
def _dropout(e: StepEmitter, op: Dropout | DropPath, node: Node, inputs: list[str]) -> str | None:
    """Multiplies by a mask of 0 and 1/(1 - p), which is returned; None where p is 0 and nothing is dropped."""
    if op.p == 0:
        e.op("Identity", inputs)
        return None
    shape = e.new("Shape", *inputs)
    if isinstance(op, DropPath):  # one number per sample
        batch = e.slice(shape, [0], [1], [0])
        shape = e.new("Concat", batch, e.sizes(*[1] * (node.type.rank + 1)), axis=0)
    mask = e.choose(uniform_at_least(e, shape, op.p), 1 / (1 - op.p), 0)
    e.op("Mul", [*inputs, mask])
    return mask


@backward_of(Dropout, DropPath)
def _dropout_backward(e: StepEmitter, op: Dropout | DropPath, node: Node, at: Passed) -> TensorGradients:
    return TensorGradients((at.gradient if at.saved is None else e.new("Mul", at.gradient, at.saved),))
