"""Activations, and dropout. Those that several operators make together are found in arithmetic.py."""

from __future__ import annotations

import numpy as np

from cnnc.onnx.importer.ops.parts import near, real, spread
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter, Made, import_of
from cnnc.onnx.importer.recognize.values import Layer, Refusal, Value
from cnnc.ops.activation import (
    Abs,
    Clip,
    Dropout,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
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

_LARGEST = real(np.finfo(np.float32).max)
_PLAIN: dict[str, type[Op]] = {
    "Abs": Abs,
    "HardSwish": HardSwish,
    "Mish": Mish,
    "Relu": Relu,
    "Sigmoid": Sigmoid,
    "Softplus": Softplus,
    "Tanh": Tanh,
}


@import_of(*_PLAIN)
def _plain(c: Interpreter, step: Step) -> Layer:
    return c.add(_PLAIN[step.op], c.layer())


@import_of("LeakyRelu")
def _leaky_relu(c: Interpreter, step: Step) -> Layer:
    return c.add(LeakyRelu, c.layer(), slope=real(step.get("alpha", 0.01)))


@import_of("Elu")
def _elu(c: Interpreter, step: Step) -> Layer:
    return c.add(Elu, c.layer(), alpha=real(step.get("alpha", 1.0)))


@import_of("Celu")
def _celu(c: Interpreter, step: Step) -> Layer:
    alpha = step.get("alpha", 1.0)
    if alpha == 1:
        return c.add(Elu, c.layer())
    if not alpha:
        raise Refusal("its alpha is 0")
    shrunk = c.add(Scale, c.layer(), factor=real(1 / alpha))  # alpha·elu(x/alpha)
    return c.add(Scale, c.add(Elu, shrunk), factor=real(alpha))


@import_of("Selu")
def _selu(c: Interpreter, step: Step) -> Layer:
    alpha, gamma = step.get("alpha", 1.6732632423543772), step.get("gamma", 1.0507009873554805)
    if near(alpha, 1.6732632423543772) and near(gamma, 1.0507009873554805):
        return c.add(Selu, c.layer())
    return c.add(Scale, c.add(Elu, c.layer(), alpha=real(alpha)), factor=real(gamma))


@import_of("Gelu")
def _gelu(c: Interpreter, step: Step) -> Layer:
    if step.get("approximate", "none") != "none":
        raise Refusal("it approximates by tanh; gelu is by erf")
    return c.add(Gelu, c.layer())


@import_of("Swish")
def _swish(c: Interpreter, step: Step) -> Layer:
    if step.get("alpha", 1.0) != 1:
        raise Refusal("its alpha is not 1")
    return c.add(Silu, c.layer())


@import_of("HardSigmoid")
def _hard_sigmoid(c: Interpreter, step: Step) -> Layer:
    alpha, beta = step.get("alpha", 0.2), step.get("beta", 0.5)
    if near(alpha, 1 / 6) and near(beta, 0.5):
        return c.add(HardSigmoid, c.layer())
    if alpha <= 0:
        raise Refusal("its alpha is not above 0")
    # alpha·x + beta is (x - mean)/std
    line = c.add(Normalize, c.layer(), mean=real(-beta / alpha), std=real(1 / alpha))
    return c.add(Clip, line, lo=0, hi=1)


@import_of("PRelu")
def _prelu(c: Interpreter, step: Step) -> Layer:
    x = c.layer()
    slope = spread(c, c.constant(1, "slope"), x)
    if not slope.ndim:
        return c.add(LeakyRelu, x, slope=real(slope)) if x.type.channels > 1 else _one_slope(c, x, slope)
    return c.add(Prelu, x, {"slope": slope}, [step.input(1)])


def _one_slope(c: Interpreter, x: Layer, slope: object) -> Layer:
    return c.add(Prelu, x, {"slope": np.reshape(np.asarray(slope), (1,))}, [c.step.input(1)])


@import_of("Clip")
def _clip(c: Interpreter, step: Step) -> Made:
    bounds = []
    for place, key in ((1, "min"), (2, "max")):
        given = step.get(key)
        if given is None and step.input(place):
            array = c.constant(place, key)
            if array.size != 1:
                raise Refusal(f"its {key} is not one number")
            given = float(array.ravel()[0])
        bounds.append(given)
    return clip(c, c.tensor(), *bounds)


def clip(c: Interpreter, value: Value, lo: float | None, hi: float | None) -> Made:
    """min(max(x, lo), hi), each where it is given."""
    low = -_LARGEST if lo is None or lo <= -_LARGEST else real(lo)
    high = _LARGEST if hi is None or hi >= _LARGEST else real(hi)
    if (low, high) == (-_LARGEST, _LARGEST):
        return value
    x = c.plain(value)
    if (low, high) == (0, 6):
        return c.add(Relu6, x)
    if (low, high) == (0, _LARGEST):
        return c.add(Relu, x)
    return c.add(Clip, x, lo=low, hi=high)


@import_of("ThresholdedRelu")
def _thresholded(c: Interpreter, step: Step) -> Layer:
    if step.get("alpha", 1.0) != 0:
        raise Refusal("its threshold is not 0")
    return c.add(Relu, c.layer())


@import_of("Softmax", "LogSoftmax")
def _softmax(c: Interpreter, step: Step) -> Layer:
    cls: type[Op] = Softmax if step.op == "Softmax" else LogSoftmax
    x = c.layer()
    axes = x.rank + 2
    axis = step.get("axis", 1 if c.model.opset < 13 else -1) % axes
    if axis == 1 and (c.model.opset >= 13 or x.rank == 0 or all(n == 1 for n in x.type.spatial)):
        return c.add(cls, x)
    if c.model.opset < 13 and axis == 1:  # over all that a sample has
        return c.add(Reshape, c.add(cls, c.add(Flatten, x)), shape=x.shape)
    raise Refusal(f"it works along axis {axis}; softmax is over the channels")


@import_of("Dropout")
def _dropout(c: Interpreter, step: Step) -> Made:
    training = c.optional(2, "training_mode")
    if training is not None and bool(training.ravel()[0]):
        raise Refusal("it is in training")
    ratio = step.get("ratio", 0.5)
    if step.input(1):
        ratio = float(c.constant(1, "ratio").ravel()[0])
    value = c.tensor()
    if not 0 <= ratio < 1 or value.root.type.dtype != "float32":
        return value
    return c.add(Dropout, c.plain(value), p=real(ratio))


@import_of("Where")
def _where(c: Interpreter, step: Step) -> Made:
    """x where it is large, else softplus(x), as PyTorch's exporter writes its softplus."""
    greater = c.maker(step.input(0))
    soft = c.values.get(step.input(2))
    layer = soft.layer if isinstance(soft, Value) else None
    if greater is None or greater.op != "Greater" or layer is None or not isinstance(layer.op, Softplus):
        raise Refusal("the language has no layer for it")
    threshold = c.scalar(greater.input(1))
    x = c.layer(1)
    if threshold is None or threshold < 15 or greater.input(0) != step.input(1) or layer.inputs[0] is not x:
        raise Refusal("the language has no layer for it")
    return c.add(Softplus, x)


@import_of("Identity")
def _identity(c: Interpreter, step: Step) -> Made:
    value = c.tensor()
    if step.outputs[0] in c.model.outputs:
        return c.add(Identity, c.plain(value))
    return value
