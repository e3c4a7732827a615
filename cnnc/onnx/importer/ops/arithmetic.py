"""Sums, products and quotients: merges of layers, constants along the channels, and activations in pieces."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.activation import clip
from cnnc.onnx.importer.ops.means import corrected
from cnnc.onnx.importer.ops.norm import layer_norm_in_pieces, lrn_in_pieces
from cnnc.onnx.importer.ops.parts import near, numbers, real, spread
from cnnc.onnx.importer.ops.pool import lp_in_pieces
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter, Made, import_of
from cnnc.onnx.importer.recognize.values import Layer, Refusal, Value
from cnnc.ops.activation import Gelu, HardSigmoid, HardSwish, Mish, Relu6, Scale, Sigmoid, Silu, Softplus, Tanh
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc, Input
from cnnc.ops.filter import Filter
from cnnc.ops.merge import Add, Concat, Maximum, Mul, Sub
from cnnc.ops.norm import Affine, GroupNorm, InstanceNorm, LayerNorm, Normalize
from cnnc.ops.pool import Maxout, Pool
from cnnc.ops.reshape import Select

_LEARNED = Conv | ConvTranspose | Fc


def _sides(c: Interpreter) -> tuple[Value | Array, Value | Array]:
    if len(c.step.inputs) != 2 or c.step.get("broadcast") is not None:
        raise Refusal("it does not have two inputs")
    a, b = (c.named(name) for name in c.step.inputs)
    return a, b


def _merge(c: Interpreter, cls: type[Op], values: list[Value]) -> Layer:
    """A merge of tensors with equally many axes: ONNX would align the batch of one with another axis of the other."""
    layers = [c.plain(v) for v in values]
    if len({layer.rank for layer in layers}) > 1:
        shapes = " and ".join(str(layer.type) for layer in layers)
        raise Refusal(f"it joins tensors of different numbers of axes, {shapes}")
    return c.add(cls, layers)


# --- sums --------------------------------------------------------------------------------------------------


@import_of("Add", "Sum")
def _add(c: Interpreter, step: Step) -> Made:
    given = [c.named(name) for name in step.inputs]
    tensors = [g for g in given if isinstance(g, Value)]
    constants = [g for g in given if isinstance(g, np.ndarray)]
    made: Layer | Value = tensors[0] if len(tensors) == 1 else _merge(c, Add, tensors)
    for array in constants:
        x = c.plain(made) if isinstance(made, Value) else made
        made = _shifted(c, x, array)
    return made


def _shifted(c: Interpreter, x: Layer, array: Array) -> Layer:
    """x and a constant: the bias of the layer before it where that has none, else a shift of its own."""
    shift = spread(c, array, x)
    names = [n for n in c.step.inputs if isinstance(c.values[n], np.ndarray)]
    if all(c.sole(n) for n in c.step.inputs if isinstance(c.values[n], Value)):
        each = np.broadcast_to(shift, (x.type.channels,))
        if isinstance(x.op, _LEARNED) and not x.op.bias and x.keys and array.dtype == np.float32:
            return _again(c, x, x.op.replace(bias=True), {**x.weights, "bias": each}, names)
        if isinstance(x.op, Affine | GroupNorm | InstanceNorm | LayerNorm) and (x.half or x.bare):
            return _again(c, x, x.op, {**x.weights, "shift": each}, names)
        if isinstance(x.op, Normalize) and x.half:
            return _again(c, x, x.op, {}, [])
    return c.add(Normalize, x, mean=numbers(-shift), std=1)


def _again(c: Interpreter, x: Layer, op: Op, weights: dict[str, Array], keys: list[str]) -> Layer:
    """A layer in the place of another, which nothing else reads."""
    made = c.add_op(op, x.inputs, weights, (*x.keys, *keys), x.names)
    made.step = x.step
    return made


@import_of("Sub")
def _sub(c: Interpreter, step: Step) -> Made:
    a, b = _sides(c)
    if isinstance(a, Value) and isinstance(b, Value):
        return _merge(c, Sub, [a, b])
    if isinstance(a, Value):
        x = c.plain(a)
        return c.add(Normalize, x, mean=numbers(spread(c, np.asarray(b), x)), std=1)
    assert isinstance(b, Value)
    negative = c.add(Scale, c.plain(b), factor=-1)
    return c.add(Normalize, negative, mean=numbers(-spread(c, np.asarray(a), negative)), std=1)


@import_of("Neg")
def _neg(c: Interpreter, step: Step) -> Layer:
    return c.add(Scale, c.layer(), factor=-1)


@import_of("Mean")
def _mean(c: Interpreter, step: Step) -> Layer:
    values = [c.tensor(place) for place in range(len(step.inputs))]
    if len(values) == 1:
        return c.plain(values[0])
    return c.add(Scale, _merge(c, Add, values), factor=real(1 / len(values)))


# --- products ----------------------------------------------------------------------------------------------


@import_of("Mul")
def _mul(c: Interpreter, step: Step) -> Made:
    found = _gelu(c, step)
    if found is not None:
        return found
    a, b = _sides(c)
    if isinstance(a, Value) and isinstance(b, Value):
        return _gated(c, c.plain(a), c.plain(b)) or _gated(c, c.plain(b), c.plain(a)) or _merge(c, Mul, [a, b])
    value, array = (a, b) if isinstance(a, Value) else (b, a)
    assert isinstance(value, Value)
    return _scaled(c, value, np.asarray(array))


def _gated(c: Interpreter, x: Layer, gate: Layer) -> Layer | None:
    """x times a function of x that is an activation of its own."""
    reads = gate.inputs[0] if gate.inputs else None
    if isinstance(gate.op, Sigmoid) and reads is x:
        return c.add(Silu, x)
    if isinstance(gate.op, HardSigmoid) and reads is x:
        return c.add(HardSwish, x)
    if isinstance(gate.op, Tanh) and reads is not None and isinstance(reads.op, Softplus) and reads.inputs[0] is x:
        return c.add(Mish, x)
    return None


def _scaled(c: Interpreter, value: Value, array: Array) -> Made:
    x = c.plain(value)
    pixels = _scaled_pixels(c, x, 1 / float(array.ravel()[0]) if array.size == 1 and array.ravel()[0] else 0)
    if pixels is not None:
        return pixels
    factor = spread(c, array, x)
    if not factor.ndim:
        sixth = _sixth(c, x, 1 / float(factor) if factor else 0.0)
        if sixth is not None:
            return sixth
        return c.add(Scale, x, factor=real(factor)) if factor != 1 else value
    names = [n for n in c.step.inputs if isinstance(c.values[n], np.ndarray)]
    sole = all(c.sole(n) for n in c.step.inputs if isinstance(c.values[n], Value))
    if sole and isinstance(x.op, GroupNorm | InstanceNorm | LayerNorm) and x.bare:
        made = _again(c, x, x.op, {**x.weights, "scale": factor}, names)
    else:
        made = c.add(Affine, x, {"scale": factor, "shift": np.zeros_like(factor)}, names)
    made.half = True
    return made


def _sixth(c: Interpreter, x: Layer, divisor: float) -> Layer | None:
    """relu6(x + 3)/6, which is hard_sigmoid."""
    if not near(divisor, 6) or not isinstance(x.op, Relu6):
        return None
    shifted = x.inputs[0]
    if isinstance(shifted.op, Normalize) and shifted.op.mean == (-3,) and shifted.op.std == (1,):
        return c.add(HardSigmoid, shifted.inputs[0])
    return None


def _scaled_pixels(c: Interpreter, x: Layer, divisor: float) -> Layer | None:
    """Bytes as numbers of 0..255, once they are divided by 255: what the language makes of an input of uint8."""
    source = x.inputs[0] if x.inputs else None
    if isinstance(x.op, Scale) and x.op.factor == 255 and source is not None and near(divisor, 255):
        return source if isinstance(source.op, Input) and source.op.dtype == "uint8" else None
    return None


def _gelu(c: Interpreter, step: Step) -> Layer | None:
    """x·(1 + erf(x/√2))/2, in whatever order it is multiplied."""
    for gate in _product(c, step.outputs[0], frozenset())[1]:
        x = _gated_by_erf(c, gate)
        if x is None:
            continue
        factor, names = _product(c, step.outputs[0], frozenset((x, gate)))
        if sorted(names) == sorted((x, gate)) and near(factor, 0.5):
            return c.add(Gelu, c.layer_named(x))
    return None


def _gated_by_erf(c: Interpreter, name: str) -> str | None:
    """The x of 1 + erf(x/√2)."""
    add = c.maker(name)
    if add is None or add.op != "Add" or 1 not in [c.scalar(n) for n in add.inputs]:
        return None
    erf = next((m for n in add.inputs if (m := c.maker(n)) is not None and m.op == "Erf"), None)
    scaled = c.maker(erf.input(0)) if erf is not None else None
    if scaled is None or scaled.op not in ("Mul", "Div"):
        return None
    x = next((n for n in scaled.inputs if c.scalar(n) is None), "")
    return x if near(_product(c, scaled.outputs[0], frozenset((x,)))[0], 1 / sqrt(2)) else None


def _product(c: Interpreter, name: str, whole: frozenset[str], depth: int = 0) -> tuple[float, list[str]]:
    """A value as a number times other values: products, and quotients by numbers, taken apart but for those of `whole`."""
    number = c.scalar(name)
    if number is not None:
        return number, []
    maker = c.maker(name)
    if maker is None or maker.op not in ("Mul", "Div") or len(maker.inputs) != 2 or depth > 3 or name in whole:
        return 1.0, [name]
    if maker.op == "Div":
        divisor = c.scalar(maker.inputs[1])
        if not divisor:
            return 1.0, [name]
        factor, names = _product(c, maker.inputs[0], whole, depth + 1)
        return factor / divisor, names
    factors, parts = zip(*(_product(c, n, whole, depth + 1) for n in maker.inputs), strict=True)
    return factors[0] * factors[1], [*parts[0], *parts[1]]


# --- quotients and powers ----------------------------------------------------------------------------------


@import_of("Div")
def _div(c: Interpreter, step: Step) -> Made:
    for pattern in (lrn_in_pieces, layer_norm_in_pieces):
        found = pattern(c, step)
        if found is not None:
            return found
    a, b = _sides(c)
    if not isinstance(a, Value) or not isinstance(b, np.ndarray):
        raise Refusal("it divides by what is computed, which no layer does")
    x = c.plain(a)
    if isinstance(x.op, Pool | Filter) and b.size > 1:
        mean = corrected(c, x, b)
        if mean is not None:
            return mean
    one = float(b.ravel()[0]) if b.size == 1 else 0.0
    special = _scaled_pixels(c, x, one) or _sixth(c, x, one)
    if special is not None:
        return special
    divisor = spread(c, b, x)
    if not divisor.all():
        raise Refusal("it divides by 0")
    if isinstance(x.op, Normalize) and x.op.std == (1,) and c.sole(step.inputs[0]) and (divisor > 0).all():
        return _again(c, x, x.op.replace(std=tuple(real(v) for v in divisor.ravel())), {}, [])
    if (divisor > 0).all():
        return c.add(Normalize, x, mean=0, std=numbers(divisor))
    return _scaled(c, a, np.asarray(1 / divisor, np.float32).reshape(-1, *(1,) * x.rank if divisor.ndim else ()))


@import_of("Pow")
def _pow(c: Interpreter, step: Step) -> Made:
    exponent = c.scalar(step.input(1))
    found = lp_in_pieces(c, step, exponent)
    if found is not None:
        return found
    value = c.tensor()
    if exponent == 1:
        return value
    if exponent != 2:
        raise Refusal("of powers the language has the square alone, as a product")
    return _merge(c, Mul, [value, value])


# --- the largest and the least -----------------------------------------------------------------------------


@import_of("Max", "Min")
def _max(c: Interpreter, step: Step) -> Made:
    given = [c.named(name) for name in step.inputs]
    tensors = [g for g in given if isinstance(g, Value)]
    bounds = [g for g in given if isinstance(g, np.ndarray)]
    if any(b.size != 1 for b in bounds):
        raise Refusal("a constant of it is not one number")
    pick: Callable[[list[float]], float] = max if step.op == "Max" else min
    if len(tensors) > 1 and step.op == "Min":
        raise Refusal("the least of several tensors has no layer; `maximum` is the largest")
    made: Made = tensors[0] if len(tensors) == 1 else _maxout(c, tensors) or _merge(c, Maximum, tensors)
    if not bounds:
        return made
    value = c.value(made) if isinstance(made, Layer) else made
    assert isinstance(value, Value)
    bound = pick([float(b.ravel()[0]) for b in bounds])
    return clip(c, value, bound, None) if step.op == "Max" else clip(c, value, None, bound)


def _maxout(c: Interpreter, values: list[Value]) -> Layer | None:
    """The largest of n slices of the channels that begin at 0, 1, ... n - 1 and step by n."""
    layers = [v.layer for v in values]
    n = len(layers)
    first = layers[0].inputs[0] if layers[0] is not None and layers[0].inputs else None
    if first is None or first.type.channels % n:
        return None
    for r, layer in enumerate(layers):
        wanted = tuple(range(r, first.type.channels, n))
        if layer is None or not isinstance(layer.op, Select) or layer.inputs[0] is not first:
            return None
        if layer.op.indices != wanted or layer.op.axis:
            return None
    return c.add(Maxout, first, n=n)


@import_of("Concat")
def _concat(c: Interpreter, step: Step) -> Made:
    values = [c.tensor(place) for place in range(len(step.inputs))]
    if len(values) == 1:
        return values[0]
    axis = step.get("axis", 1) % len(values[0].shape)
    if axis != 1:
        raise Refusal(f"it joins along axis {axis}; concat joins channels")
    return c.add(Concat, [c.plain(v) for v in values])
