"""Emission of activations, dropout and drop_path."""

from __future__ import annotations

import math

from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.onnx.emit.ops.per_channel import per_channel
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


@emission_of(Abs, Relu, Selu, Sigmoid, Softplus, Tanh)
def _activation(e: Emitter, op: Op, node: Node, inputs: list[str]) -> None:
    e.op(type(op).__name__, inputs)


@emission_of(LeakyRelu)
def _leaky_relu(e: Emitter, op: LeakyRelu, node: Node, inputs: list[str]) -> None:
    e.op("LeakyRelu", inputs, alpha=op.slope)


@emission_of(Elu)
def _elu(e: Emitter, op: Elu, node: Node, inputs: list[str]) -> None:
    e.op("Elu", inputs, alpha=float(op.alpha))


@emission_of(Prelu)
def _prelu(e: Emitter, op: Prelu, node: Node, inputs: list[str]) -> None:
    e.op("PRelu", [*inputs, per_channel(e, "slope", node.type.rank)])


@emission_of(Clip, HardTanh, Relu6)
def _clip(e: Emitter, op: Clip | HardTanh | Relu6, node: Node, inputs: list[str]) -> None:
    lo, hi = (0, 6) if isinstance(op, Relu6) else (op.lo, op.hi)
    e.op("Clip", [*inputs, e.constant(e.inner_name("lo"), lo), e.constant(e.inner_name("hi"), hi)])


@emission_of(HardSigmoid)
def _hard_sigmoid(e: Emitter, op: HardSigmoid, node: Node, inputs: list[str]) -> None:
    e.op("HardSigmoid", inputs, alpha=1 / 6, beta=0.5)  # ONNX's own default for alpha is 0.2


@emission_of(HardSwish)
def _hard_swish(e: Emitter, op: HardSwish, node: Node, inputs: list[str]) -> None:
    if e.opset >= 14:
        e.op("HardSwish", inputs)
        return
    e.op("Mul", [*inputs, e.op("HardSigmoid", inputs, e.inner_name("gate"), alpha=1 / 6, beta=0.5)])


@emission_of(Silu)
def _silu(e: Emitter, op: Silu, node: Node, inputs: list[str]) -> None:
    e.op("Mul", [*inputs, e.op("Sigmoid", inputs, e.inner_name("gate"))])


@emission_of(Mish)
def _mish(e: Emitter, op: Mish, node: Node, inputs: list[str]) -> None:
    if e.opset >= 18:
        e.op("Mish", inputs)
        return
    gate = e.op("Tanh", [e.op("Softplus", inputs, e.inner_name("softplus"))], e.inner_name("gate"))
    e.op("Mul", [*inputs, gate])


@emission_of(Gelu)
def _gelu(e: Emitter, op: Gelu, node: Node, inputs: list[str]) -> None:
    """x·(1 + erf(x/√2))/2, in the order of operations that runtimes recognize and fuse."""
    if e.opset >= 20:
        e.op("Gelu", inputs)
        return
    scaled = e.op("Div", [*inputs, e.constant(e.inner_name("root"), math.sqrt(2))], e.inner_name("scaled"))
    erf = e.op("Erf", [scaled], e.inner_name("erf"))
    gate = e.op("Add", [erf, e.constant(e.inner_name("one"), 1)], e.inner_name("gate"))
    twice = e.op("Mul", [*inputs, gate], e.inner_name("twice"))
    e.op("Mul", [twice, e.constant(e.inner_name("half"), 0.5)])


@emission_of(Softmax, LogSoftmax)
def _softmax(e: Emitter, op: Softmax | LogSoftmax, node: Node, inputs: list[str]) -> None:
    e.op(type(op).__name__, inputs, axis=1)


@emission_of(Scale)
def _scale(e: Emitter, op: Scale, node: Node, inputs: list[str]) -> None:
    e.op("Mul", [*inputs, e.constant(e.inner_name("factor"), op.factor)])


@emission_of(Dropout, DropPath, Identity)
def _nothing(e: Emitter, op: Op, node: Node, inputs: list[str]) -> None:
    e.op("Identity", inputs)  # the passes keep only one that is an output
