"""Activations, softmax and dropout. Activations that end in a Mul or Div (SiLU, GELU, ...) are in arithmetic.py."""

from __future__ import annotations

import numpy as np

from cnnc.onnx.importer.ops.constants import is_close, per_channel, shortest_float
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import HandlerResult, Interpreter, handles
from cnnc.onnx.importer.recognize.values import Layer, LayerOutput, Unsupported
from cnnc.ops.activation import (
    Abs,
    Clip,
    Dropout,
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
from cnnc.ops.norm import Normalize
from cnnc.ops.reshape import Flatten, Reshape

_LARGEST = shortest_float(np.finfo(np.float32).max)
_PLAIN: dict[str, type[Op]] = {
    "Abs": Abs,
    "HardSwish": HardSwish,
    "Mish": Mish,
    "Relu": Relu,
    "Sigmoid": Sigmoid,
    "Softplus": Softplus,
    "Tanh": Tanh,
}


@handles(*_PLAIN)
def _plain(ctx: Interpreter, node: OnnxNode) -> Layer:
    return ctx.add(_PLAIN[node.op], ctx.layer())


@handles("LeakyRelu")
def _leaky_relu(ctx: Interpreter, node: OnnxNode) -> Layer:
    return ctx.add(LeakyRelu, ctx.layer(), slope=shortest_float(node.get("alpha", 0.01)))


@handles("Elu")
def _elu(ctx: Interpreter, node: OnnxNode) -> Layer:
    return ctx.add(Elu, ctx.layer(), alpha=shortest_float(node.get("alpha", 1.0)))


@handles("Celu")
def _celu(ctx: Interpreter, node: OnnxNode) -> Layer:
    alpha = node.get("alpha", 1.0)
    if alpha == 1:
        return ctx.add(Elu, ctx.layer())
    if not alpha:
        raise Unsupported("its alpha is 0")
    scaled = ctx.add(Scale, ctx.layer(), factor=shortest_float(1 / alpha))  # alpha·elu(x/alpha)
    return ctx.add(Scale, ctx.add(Elu, scaled), factor=shortest_float(alpha))


@handles("Selu")
def _selu(ctx: Interpreter, node: OnnxNode) -> Layer:
    alpha, gamma = node.get("alpha", 1.6732632423543772), node.get("gamma", 1.0507009873554805)
    if is_close(alpha, 1.6732632423543772) and is_close(gamma, 1.0507009873554805):
        return ctx.add(Selu, ctx.layer())
    return ctx.add(Scale, ctx.add(Elu, ctx.layer(), alpha=shortest_float(alpha)), factor=shortest_float(gamma))


@handles("Gelu")
def _gelu(ctx: Interpreter, node: OnnxNode) -> Layer:
    if node.get("approximate", "none") != "none":
        raise Unsupported("it uses the tanh approximation; gelu is computed with erf")
    return ctx.add(Gelu, ctx.layer())


@handles("Swish")
def _swish(ctx: Interpreter, node: OnnxNode) -> Layer:
    if node.get("alpha", 1.0) != 1:
        raise Unsupported("its alpha is not 1")
    return ctx.add(Silu, ctx.layer())


@handles("HardSigmoid")
def _hard_sigmoid(ctx: Interpreter, node: OnnxNode) -> Layer:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    if is_close(alpha, 1 / 6) and is_close(beta, 0.5):
        return ctx.add(HardSigmoid, ctx.layer())
    if alpha <= 0:
        raise Unsupported("its alpha is not positive")
    # alpha·x + beta is (x - mean)/std
    linear = ctx.add(Normalize, ctx.layer(), mean=shortest_float(-beta / alpha), std=shortest_float(1 / alpha))
    return ctx.add(Clip, linear, lo=0, hi=1)


@handles("PRelu")
def _prelu(ctx: Interpreter, node: OnnxNode) -> Layer:
    x = ctx.layer()
    slope = per_channel(ctx, ctx.constant(1, "slope"), x)
    if not slope.ndim:
        return ctx.add(LeakyRelu, x, slope=shortest_float(slope)) if x.type.channels > 1 else _one_slope(ctx, x, slope)
    return ctx.add(Prelu, x, {"slope": slope}, [node.input_name(1)])


def _one_slope(ctx: Interpreter, x: Layer, slope: object) -> Layer:
    return ctx.add(Prelu, x, {"slope": np.reshape(np.asarray(slope), (1,))}, [ctx.node.input_name(1)])


@handles("Clip")
def _clip(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    bounds = []
    for position, key in ((1, "min"), (2, "max")):
        bound = node.get(key)
        if bound is None and node.input_name(position):
            array = ctx.constant(position, key)
            if array.size != 1:
                raise Unsupported(f"its {key} is not one number")
            bound = float(array.ravel()[0])
        bounds.append(bound)
    return clip(ctx, ctx.tensor(), *bounds)


def clip(ctx: Interpreter, value: LayerOutput, lo: float | None, hi: float | None) -> HandlerResult:
    """min(max(x, lo), hi); a bound that is None is left out.

    From 0 to 6 it becomes relu6, from -1 to 1 hard_tanh, which differ from clip only in the derivative at the bounds.
    """
    low = -_LARGEST if lo is None or lo <= -_LARGEST else shortest_float(lo)
    high = _LARGEST if hi is None or hi >= _LARGEST else shortest_float(hi)
    if (low, high) == (-_LARGEST, _LARGEST):
        return value
    x = ctx.as_layer(value)
    if (low, high) == (0, 6):
        return ctx.add(Relu6, x)
    if (low, high) == (-1, 1):
        return ctx.add(HardTanh, x)
    if (low, high) == (0, _LARGEST):
        return ctx.add(Relu, x)
    return ctx.add(Clip, x, lo=low, hi=high)


@handles("ThresholdedRelu")
def _thresholded_relu(ctx: Interpreter, node: OnnxNode) -> Layer:
    if node.get("alpha", 1.0) != 0:
        raise Unsupported("its threshold is not 0")
    return ctx.add(Relu, ctx.layer())


@handles("Softmax", "LogSoftmax")
def _softmax(ctx: Interpreter, node: OnnxNode) -> Layer:
    cls: type[Op] = Softmax if node.op == "Softmax" else LogSoftmax
    x = ctx.layer()
    axes = x.rank + 2
    along_axis = ctx.model.opset >= 13 or node.get("along_axis")  # else over all axes from this one on
    axis = node.get("axis", 1 if ctx.model.opset < 13 else -1) % axes
    if axis == 1 and (along_axis or x.rank == 0 or all(n == 1 for n in x.type.spatial)):
        return ctx.add(cls, x)
    if not along_axis and axis == 1:  # over all elements of an example
        return ctx.add(Reshape, ctx.add(cls, ctx.add(Flatten, x)), shape=x.shape)
    raise Unsupported(f"it works along axis {axis}; softmax works along the channels")


@handles("Dropout")
def _dropout(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    training = ctx.optional_constant(2, "training_mode")
    if training is not None and bool(training.ravel()[0]):
        raise Unsupported("it is in training mode")
    ratio = node.get("ratio", 0.5)
    if node.input_name(1):
        ratio = float(ctx.constant(1, "ratio").ravel()[0])
    value = ctx.tensor()
    if not 0 <= ratio < 1 or value.root.type.dtype != "float32":
        return value
    return ctx.add(Dropout, ctx.as_layer(value), p=shortest_float(ratio))


@handles("Where")
def _where(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    """x where x > threshold, else softplus(x): how PyTorch's exporter writes softplus."""
    greater = ctx.node_of(node.input_name(0))
    otherwise = ctx.values.get(node.input_name(2))
    layer = otherwise.layer if isinstance(otherwise, LayerOutput) else None
    if greater is None or greater.op != "Greater" or layer is None or not isinstance(layer.op, Softplus):
        raise Unsupported("the language has no layer for it")
    threshold = ctx.scalar(greater.input_name(1))
    x = ctx.layer(1)
    if threshold is None or threshold < 15 or greater.input_name(0) != node.input_name(1) or layer.inputs[0] is not x:
        raise Unsupported("the language has no layer for it")
    return ctx.add(Softplus, x)


@handles("Identity")
def _identity(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    value = ctx.tensor()
    if node.outputs[0] in ctx.model.outputs:
        return ctx.add(Identity, ctx.as_layer(value))
    return value
