"""Constants, shapes, element types and Expand: operators that become arrays, or no layer at all."""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import TensorProto

from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import HandlerResult, Interpreter, handles
from cnnc.onnx.importer.recognize.values import LayerOutput, Unsupported
from cnnc.ops.activation import Scale
from cnnc.ops.pool import Upsample


@handles("Constant")
def _constant(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for key, value in node.attributes.items():
        if key == "value" and isinstance(value, np.ndarray):
            return value
        if key in kinds:
            return np.asarray(value, kinds[key])
    raise Unsupported("its value has a type that cnnc does not read")


@handles("Shape")
def _shape(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    name = node.input_name(0)
    shape = (ctx.batch, *ctx.uint8_inputs[name].shape) if name in ctx.uint8_inputs else ctx.tensor().shape
    count = len(shape)
    begin, end = node.get("start", 0), node.get("end", count)
    return np.asarray(shape[begin:end], np.int64)


@handles("Size")
def _size(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    return np.asarray(prod(ctx.tensor().shape), np.int64)


@handles("Cast")
def _cast(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    to = node.get("to")
    if node.input_name(0) in ctx.uint8_inputs and to == TensorProto.FLOAT:
        # removed again where a division by 255 follows (arithmetic.py)
        return ctx.add(Scale, ctx.uint8_inputs[node.input_name(0)], factor=255)
    value = ctx.tensor()
    if to != {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}.get(value.root.type.dtype):
        raise Unsupported("it changes the element type, which no layer does")
    return value


@handles("CastLike")
def _cast_like(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    value, like = ctx.tensor(), ctx.input_value(1)
    dtype = like.root.type.dtype if isinstance(like, LayerOutput) else str(like.dtype) if like is not None else ""
    if dtype != value.root.type.dtype:
        raise Unsupported("it changes the element type, which no layer does")
    return value


@handles("Expand")
def _expand(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    value = ctx.tensor()
    target = tuple(int(n) for n in ctx.constant(1, "shape").ravel())
    if len(target) > len(value.shape):
        raise Unsupported("it adds an axis")
    target = (1,) * (len(value.shape) - len(target)) + target
    if any(w not in (1, n) and n != 1 for w, n in zip(target, value.shape, strict=True)):
        raise Unsupported("its target shape does not broadcast with that of its input")
    factors = [max(w, n) // n for w, n in zip(target, value.shape, strict=True)]
    if max(factors) == 1:
        return value
    if factors[:2] != [1, 1]:
        raise Unsupported("it repeats the batch or the channels")
    return ctx.add(Upsample, ctx.as_layer(value), n=tuple(factors[2:]))
