"""Sums, products, quotients, powers, maxima and Concat.

With two computed operands they are merges; with a constant per channel a bias, `affine`, `scale` or `normalize`. The
activations that exporters write as such operators (GELU, SiLU, Mish, hard_swish, hard_sigmoid) are recognized here.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.activation import clip
from cnnc.onnx.importer.ops.constants import as_argument, is_close, per_channel, shortest_float
from cnnc.onnx.importer.ops.norm import decomposed_layer_norm, decomposed_lrn
from cnnc.onnx.importer.ops.pool import decomposed_lp_pool
from cnnc.onnx.importer.ops.pool_from_conv import pool_of_coverage
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import HandlerResult, Interpreter, handles
from cnnc.onnx.importer.recognize.values import Layer, LayerOutput, Unsupported
from cnnc.ops.activation import Gelu, HardSigmoid, HardSwish, Mish, Relu6, Scale, Sigmoid, Silu, Softplus, Tanh
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc, Input
from cnnc.ops.filter import Filter
from cnnc.ops.merge import Add, Concat, Maximum, Mul, Sub
from cnnc.ops.norm import Affine, GroupNorm, InstanceNorm, LayerNorm, Normalize
from cnnc.ops.pool import Maxout, Pool
from cnnc.ops.reshape import Select

_WITH_BIAS = Conv | ConvTranspose | Fc


def _operands(ctx: Interpreter) -> tuple[LayerOutput | Array, LayerOutput | Array]:
    """Both inputs of the current node. Raises Unsupported, UnsupportedInput."""
    if len(ctx.node.inputs) != 2 or ctx.node.get("broadcast") is not None:
        raise Unsupported("it does not have exactly two inputs")
    a, b = (ctx.value_of(name) for name in ctx.node.inputs)
    return a, b


def _merge(ctx: Interpreter, cls: type[Op], values: list[LayerOutput]) -> Layer:
    """A merge of tensors. Raises Unsupported where they differ in their number of axes: ONNX would then align the batch
    of one with another axis of the other."""
    layers = [ctx.as_layer(v) for v in values]
    if len({layer.rank for layer in layers}) > 1:
        shapes = " and ".join(str(layer.type) for layer in layers)
        raise Unsupported(f"its inputs have different numbers of axes: {shapes}")
    return ctx.add(cls, layers)


# --- sums --------------------------------------------------------------------------------------------------


@handles("Add", "Sum")
def _add(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    inputs = [ctx.value_of(name) for name in node.inputs]
    tensors = [i for i in inputs if isinstance(i, LayerOutput)]
    constants = [i for i in inputs if isinstance(i, np.ndarray)]
    total: Layer | LayerOutput = tensors[0] if len(tensors) == 1 else _merge(ctx, Add, tensors)
    for array in constants:
        x = ctx.as_layer(total) if isinstance(total, LayerOutput) else total
        total = _add_constant(ctx, x, array)
    return total


def _add_constant(ctx: Interpreter, x: Layer, array: Array) -> Layer:
    """x plus a constant: the missing bias or shift of the layer x where nothing else reads it, else a `normalize`."""
    shift = per_channel(ctx, array, x)
    initializers = [n for n in ctx.node.inputs if isinstance(ctx.values[n], np.ndarray)]
    if all(ctx.used_once(n) for n in ctx.node.inputs if isinstance(ctx.values[n], LayerOutput)):
        each = np.broadcast_to(shift, (x.type.channels,))
        if isinstance(x.op, _WITH_BIAS) and not x.op.bias and x.initializers and array.dtype == np.float32:
            return _replace_layer(ctx, x, x.op.replace(bias=True), {**x.weights, "bias": each}, initializers)
        if isinstance(x.op, Affine | GroupNorm | InstanceNorm | LayerNorm) and (
            x.lacks_shift or x.lacks_scale_and_shift
        ):
            return _replace_layer(ctx, x, x.op, {**x.weights, "shift": each}, initializers)
        if isinstance(x.op, Normalize) and x.lacks_shift:
            return _replace_layer(ctx, x, x.op, {}, [])
    return ctx.add(Normalize, x, mean=as_argument(-shift), std=1)


def _replace_layer(ctx: Interpreter, x: Layer, op: Op, weights: dict[str, Array], initializers: list[str]) -> Layer:
    """Adds a layer in place of x, whose output nothing else reads."""
    replacement = ctx.add_op(op, x.inputs, weights, (*x.initializers, *initializers), x.layer_arguments)
    replacement.node_name = x.node_name
    return replacement


@handles("Sub")
def _sub(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    a, b = _operands(ctx)
    if isinstance(a, LayerOutput) and isinstance(b, LayerOutput):
        return _merge(ctx, Sub, [a, b])
    if isinstance(a, LayerOutput):
        x = ctx.as_layer(a)
        return ctx.add(Normalize, x, mean=as_argument(per_channel(ctx, np.asarray(b), x)), std=1)
    assert isinstance(b, LayerOutput)
    negative = ctx.add(Scale, ctx.as_layer(b), factor=-1)
    return ctx.add(Normalize, negative, mean=as_argument(-per_channel(ctx, np.asarray(a), negative)), std=1)


@handles("Neg")
def _neg(ctx: Interpreter, node: OnnxNode) -> Layer:
    return ctx.add(Scale, ctx.layer(), factor=-1)


@handles("Mean")
def _mean(ctx: Interpreter, node: OnnxNode) -> Layer:
    values = [ctx.tensor(position) for position in range(len(node.inputs))]
    if len(values) == 1:
        return ctx.as_layer(values[0])
    return ctx.add(Scale, _merge(ctx, Add, values), factor=shortest_float(1 / len(values)))


# --- products ----------------------------------------------------------------------------------------------


@handles("Mul")
def _mul(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    recognized = _decomposed_gelu(ctx, node) or _decomposed_hard_swish(ctx, node)
    if recognized is not None:
        return recognized
    a, b = _operands(ctx)
    if isinstance(a, LayerOutput) and isinstance(b, LayerOutput):
        return (
            _self_gated(ctx, ctx.as_layer(a), ctx.as_layer(b))
            or _self_gated(ctx, ctx.as_layer(b), ctx.as_layer(a))
            or _merge(ctx, Mul, [a, b])
        )
    value, array = (a, b) if isinstance(a, LayerOutput) else (b, a)
    assert isinstance(value, LayerOutput)
    return _multiply_constant(ctx, value, np.asarray(array))


def _self_gated(ctx: Interpreter, x: Layer, gate: Layer) -> Layer | None:
    """SiLU, hard_swish or Mish: x times a function of x; None for other products."""
    source = gate.inputs[0] if gate.inputs else None
    if isinstance(gate.op, Sigmoid) and source is x:
        return ctx.add(Silu, x)
    if isinstance(gate.op, HardSigmoid) and source is x:
        return ctx.add(HardSwish, x)
    if isinstance(gate.op, Tanh) and source is not None and isinstance(source.op, Softplus) and source.inputs[0] is x:
        return ctx.add(Mish, x)
    return None


def _multiply_constant(ctx: Interpreter, value: LayerOutput, array: Array) -> HandlerResult:
    """A tensor times a constant: the scale of a normalization before it, an `affine`, or a `scale`."""
    x = ctx.as_layer(value)
    input_layer = _undo_byte_scaling(x, 1 / float(array.ravel()[0]) if array.size == 1 and array.ravel()[0] else 0)
    if input_layer is not None:
        return input_layer
    factor = per_channel(ctx, array, x)
    if not factor.ndim:
        hard_sigmoid = _hard_sigmoid(ctx, x, 1 / float(factor) if factor else 0.0)
        if hard_sigmoid is not None:
            return hard_sigmoid
        return ctx.add(Scale, x, factor=shortest_float(factor)) if factor != 1 else value
    initializers = [n for n in ctx.node.inputs if isinstance(ctx.values[n], np.ndarray)]
    only_reader = all(ctx.used_once(n) for n in ctx.node.inputs if isinstance(ctx.values[n], LayerOutput))
    if only_reader and isinstance(x.op, GroupNorm | InstanceNorm | LayerNorm) and x.lacks_scale_and_shift:
        layer = _replace_layer(ctx, x, x.op, {**x.weights, "scale": factor}, initializers)
    else:
        layer = ctx.add(Affine, x, {"scale": factor, "shift": np.zeros_like(factor)}, initializers)
    layer.lacks_shift = True
    return layer


def _hard_sigmoid(ctx: Interpreter, x: Layer, divisor: float) -> Layer | None:
    """hard_sigmoid, written as relu6(x + 3)/6; None for other quotients."""
    if not is_close(divisor, 6) or not isinstance(x.op, Relu6):
        return None
    shifted = x.inputs[0]
    if isinstance(shifted.op, Normalize) and shifted.op.mean == (-3,) and shifted.op.std == (1,):
        return ctx.add(HardSigmoid, shifted.inputs[0])
    return None


def _undo_byte_scaling(x: Layer, divisor: float) -> Layer | None:
    """The uint8 input whose values 0..255 are divided by 255: the language does so by itself. None for others."""
    source = x.inputs[0] if x.inputs else None
    if isinstance(x.op, Scale) and x.op.factor == 255 and source is not None and is_close(divisor, 255):
        return source if isinstance(source.op, Input) and source.op.dtype == "uint8" else None
    return None


def _decomposed_gelu(ctx: Interpreter, node: OnnxNode) -> Layer | None:
    """GELU, x·(1 + erf(x/√2))/2, with its factors in any order; None for other products."""
    for gate in _factors(ctx, node.outputs[0], frozenset())[1]:
        x = _erf_argument(ctx, gate)
        if x is None:
            continue
        factor, names = _factors(ctx, node.outputs[0], frozenset((x, gate)))
        if sorted(names) == sorted((x, gate)) and is_close(factor, 0.5):
            return ctx.add(Gelu, ctx.layer_of(x))
    return None


def _decomposed_hard_swish(ctx: Interpreter, node: OnnxNode) -> Layer | None:
    """hard_swish, x·relu6(x + 3)/6, with its factors in any order; None for other products."""
    for gate in _factors(ctx, node.outputs[0], frozenset())[1]:
        x = _relu6_argument(ctx, gate)
        if x is None:
            continue
        factor, names = _factors(ctx, node.outputs[0], frozenset((x, gate)))
        if sorted(names) == sorted((x, gate)) and is_close(factor, 1 / 6):
            return ctx.add(HardSwish, ctx.layer_of(x))
    return None


def _relu6_argument(ctx: Interpreter, name: str) -> str | None:
    """The name of x where a tensor is relu6(x + 3), else None."""
    value, clip_node = ctx.values.get(name), ctx.node_of(name)
    layer = value.layer if isinstance(value, LayerOutput) else None
    if layer is None or not isinstance(layer.op, Relu6) or clip_node is None:
        return None
    add = ctx.node_of(clip_node.input_name(0))
    if add is None or add.op != "Add" or 3 not in [ctx.scalar(n) for n in add.inputs]:
        return None
    return next((n for n in add.inputs if ctx.scalar(n) is None), None)


def _erf_argument(ctx: Interpreter, name: str) -> str | None:
    """The name of x where a tensor is 1 + erf(x/√2), else None."""
    add = ctx.node_of(name)
    if add is None or add.op != "Add" or 1 not in [ctx.scalar(n) for n in add.inputs]:
        return None
    erf = next(
        (producer for n in add.inputs if (producer := ctx.node_of(n)) is not None and producer.op == "Erf"), None
    )
    scaled = ctx.node_of(erf.input_name(0)) if erf is not None else None
    if scaled is None or scaled.op not in ("Mul", "Div"):
        return None
    x = next((n for n in scaled.inputs if ctx.scalar(n) is None), "")
    return x if is_close(_factors(ctx, scaled.outputs[0], frozenset((x,)))[0], 1 / sqrt(2)) else None


def _factors(ctx: Interpreter, name: str, kept: frozenset[str], depth: int = 0) -> tuple[float, list[str]]:
    """A tensor as a number times tensors; splits products, and quotients by numbers, but not the tensors in `kept`."""
    number = ctx.scalar(name)
    if number is not None:
        return number, []
    producer = ctx.node_of(name)
    if producer is None or producer.op not in ("Mul", "Div") or len(producer.inputs) != 2 or depth > 3 or name in kept:
        return 1.0, [name]
    if producer.op == "Div":
        divisor = ctx.scalar(producer.inputs[1])
        if not divisor:
            return 1.0, [name]
        factor, names = _factors(ctx, producer.inputs[0], kept, depth + 1)
        return factor / divisor, names
    factors, parts = zip(*(_factors(ctx, n, kept, depth + 1) for n in producer.inputs), strict=True)
    return factors[0] * factors[1], [*parts[0], *parts[1]]


# --- quotients and powers ----------------------------------------------------------------------------------


@handles("Div")
def _div(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    for pattern in (decomposed_lrn, decomposed_layer_norm, _decomposed_hard_swish):
        recognized = pattern(ctx, node)
        if recognized is not None:
            return recognized
    a, b = _operands(ctx)
    if not isinstance(a, LayerOutput) or not isinstance(b, np.ndarray):
        raise Unsupported("it divides by a computed tensor, which no layer does")
    x = ctx.as_layer(a)
    if isinstance(x.op, Pool | Filter) and b.size > 1:
        mean = pool_of_coverage(ctx, x, b)
        if mean is not None:
            return mean
    number = float(b.ravel()[0]) if b.size == 1 else 0.0
    recognized_layer = _undo_byte_scaling(x, number) or _hard_sigmoid(ctx, x, number)
    if recognized_layer is not None:
        return recognized_layer
    divisor = per_channel(ctx, b, x)
    if not divisor.all():
        raise Unsupported("it divides by 0")
    if isinstance(x.op, Normalize) and x.op.std == (1,) and ctx.used_once(node.inputs[0]) and (divisor > 0).all():
        return _replace_layer(ctx, x, x.op.replace(std=tuple(shortest_float(v) for v in divisor.ravel())), {}, [])
    if (divisor > 0).all():
        return ctx.add(Normalize, x, mean=0, std=as_argument(divisor))
    return _multiply_constant(
        ctx, a, np.asarray(1 / divisor, np.float32).reshape(-1, *(1,) * x.rank if divisor.ndim else ())
    )


@handles("Pow")
def _pow(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    exponent = ctx.scalar(node.input_name(1))
    recognized = decomposed_lp_pool(ctx, node, exponent)
    if recognized is not None:
        return recognized
    value = ctx.tensor()
    if exponent == 1:
        return value
    if exponent != 2:
        raise Unsupported("the language has no power other than the square, which is a product")
    return _merge(ctx, Mul, [value, value])


# --- maxima, minima, Concat --------------------------------------------------------------------------------


@handles("Max", "Min")
def _max(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    inputs = [ctx.value_of(name) for name in node.inputs]
    tensors = [i for i in inputs if isinstance(i, LayerOutput)]
    bounds = [i for i in inputs if isinstance(i, np.ndarray)]
    if any(b.size != 1 for b in bounds):
        raise Unsupported("one of its constants is not a single number")
    pick: Callable[[list[float]], float] = max if node.op == "Max" else min
    if len(tensors) > 1 and node.op == "Min":
        raise Unsupported("the language has no minimum of several tensors, only `maximum`")
    result: HandlerResult = tensors[0] if len(tensors) == 1 else _maxout(ctx, tensors) or _merge(ctx, Maximum, tensors)
    if not bounds:
        return result
    value = ctx.output_of(result) if isinstance(result, Layer) else result
    assert isinstance(value, LayerOutput)
    bound = pick([float(b.ravel()[0]) for b in bounds])
    return clip(ctx, value, bound, None) if node.op == "Max" else clip(ctx, value, None, bound)


def _maxout(ctx: Interpreter, values: list[LayerOutput]) -> Layer | None:
    """maxout, the maximum of n slices of the channels that begin at 0, 1, ... n - 1 with a step of n; else None."""
    layers = [v.layer for v in values]
    n = len(layers)
    source = layers[0].inputs[0] if layers[0] is not None and layers[0].inputs else None
    if source is None or source.type.channels % n:
        return None
    for offset, layer in enumerate(layers):
        expected = tuple(range(offset, source.type.channels, n))
        if layer is None or not isinstance(layer.op, Select) or layer.inputs[0] is not source:
            return None
        if layer.op.indices != expected or layer.op.axis:
            return None
    return ctx.add(Maxout, source, n=n)


@handles("Concat")
def _concat(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    values = [ctx.tensor(position) for position in range(len(node.inputs))]
    if len(values) == 1:
        return values[0]
    axis = node.get("axis", 1) % len(values[0].shape)
    if axis != 1:
        raise Unsupported(f"it joins along axis {axis}; concat joins along the channels")
    return ctx.add(Concat, [ctx.as_layer(v) for v in values])
