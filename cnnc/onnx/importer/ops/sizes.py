"""Constants, sizes, element types: what becomes an array, or nothing at all."""

from __future__ import annotations

from math import prod

import numpy as np
from onnx import TensorProto

from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter, Made, import_of
from cnnc.onnx.importer.recognize.values import Refusal, Value
from cnnc.ops.activation import Scale
from cnnc.ops.pool import Upsample

MAX_NUMBERS = 2**24


@import_of("Constant")
def _constant(c: Interpreter, step: Step) -> Made:
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for key, value in step.attributes.items():
        if key == "value" and isinstance(value, np.ndarray):
            return value
        if key in kinds:
            return np.asarray(value, kinds[key])
    raise Refusal("its value is of a kind that cnnc does not read")


@import_of("Shape")
def _shape(c: Interpreter, step: Step) -> Made:
    name = step.input(0)
    shape = (c.batch, *c.bytes[name].shape) if name in c.bytes else c.tensor().shape
    count = len(shape)
    begin, end = step.get("start", 0), step.get("end", count)
    return np.asarray(shape[begin:end], np.int64)


@import_of("Size")
def _size(c: Interpreter, step: Step) -> Made:
    return np.asarray(prod(c.tensor().shape), np.int64)


@import_of("Cast")
def _cast(c: Interpreter, step: Step) -> Made:
    to = step.get("to")
    if step.input(0) in c.bytes and to == TensorProto.FLOAT:
        return c.add(Scale, c.bytes[step.input(0)], factor=255)  # which arithmetic takes away again where it can
    value = c.tensor()
    if to != {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}.get(value.root.type.dtype):
        raise Refusal("it changes the element type, which no layer does")
    return value


@import_of("CastLike")
def _cast_like(c: Interpreter, step: Step) -> Made:
    value, like = c.tensor(), c.get(1)
    dtype = like.root.type.dtype if isinstance(like, Value) else str(like.dtype) if like is not None else ""
    if dtype != value.root.type.dtype:
        raise Refusal("it changes the element type, which no layer does")
    return value


@import_of("Expand")
def _expand(c: Interpreter, step: Step) -> Made:
    value = c.tensor()
    wanted = tuple(int(n) for n in c.constant(1, "shape").ravel())
    if len(wanted) > len(value.shape):
        raise Refusal("it adds an axis")
    wanted = (1,) * (len(value.shape) - len(wanted)) + wanted
    if any(w not in (1, n) and n != 1 for w, n in zip(wanted, value.shape, strict=True)):
        raise Refusal("its shape does not go with the tensor's")
    factors = [max(w, n) // n for w, n in zip(wanted, value.shape, strict=True)]
    if max(factors) == 1:
        return value
    if factors[:2] != [1, 1]:
        raise Refusal("it repeats the batch or the channels")
    return c.add(Upsample, c.plain(value), n=tuple(factors[2:]))
