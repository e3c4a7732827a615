"""Gradients of pooling, unpooling, upsampling and maxout."""

from __future__ import annotations

from functools import reduce
from math import prod

import numpy as np
from onnx import numpy_helper

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Node
from cnnc.onnx.emit.ops.pool import counted_weights, max_indices
from cnnc.onnx.train_step.ops.conv import convolve, single_channel_adjoint
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.window import Geometry
from cnnc.reference.pool import interpolation_phases

# --- pool --------------------------------------------------------------------------------------------------------


@backward_of(Pool)
def _pool(e: StepEmitter, op: Pool, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    gradient = {"max": _max, "avg": _mean, "weighted": _mean, "l2": _norm, "lp": _norm}[op.kind]
    return TensorGradients((gradient(e, op, x, at),))


def _max(e: StepEmitter, op: Pool, x: TensorType, at: Passed) -> str:
    """Adds each gradient at the index of the maximum, which MaxPool returns as its second output.

    MaxUnpool stores where ScatterElements adds, which is the same where no windows overlap.
    """
    (maximum,) = (n for n in e.nodes if n.output[0] == at.output)
    indices, read = max_indices(e, maximum), maximum.input[0]
    shape = e.new("Shape", read)
    if op.overlaps:
        e.require_opset(16, "adds where windows overlap")
        zeros, index, value = e.zeros(shape), e.reshape(indices, -1), e.reshape(at.gradient, -1)
        flat = e.new("ScatterElements", e.reshape(zeros, -1), index, value, axis=0, reduction="add")
        image = e.new("Reshape", flat, shape)
    else:
        ones = (1,) * x.rank  # no constraint on `shape`, which alone sets the sizes
        image = e.new("MaxUnpool", at.gradient, indices, shape, kernel_shape=ones, strides=ones)
    return image if read == at.inputs[0] else _without_padding(e, image, _pads_of_copy(e, read), x)


def _pads_of_copy(e: StepEmitter, padded: str) -> list[int]:
    """The elements that the Pad node of a forward pass puts before each spatial axis."""
    (pad,) = (n for n in e.nodes if n.output[0] == padded)
    amounts = numpy_helper.to_array(e.initializers[pad.input[1]]).tolist()
    return list(amounts[2 : len(amounts) // 2])


def _without_padding(e: StepEmitter, image: str, begins: list[int], x: TensorType) -> str:
    ends = [begin + m for begin, m in zip(begins, x.spatial, strict=True)]
    return e.slice(image, begins, ends, range(2, 2 + x.rank))


def _mean(e: StepEmitter, op: Pool, x: TensorType, at: Passed) -> str:
    """A weighted mean of each window: each element gets its weight, over the sum of the weights that count."""
    exponents = op.tap_exponents() if op.kind == "weighted" else [(0.0,) * k for k in op.k]
    axes = [np.exp(np.subtract(a, max(a))) for a in exponents]
    taps = [a / a.sum() for a in axes]
    sums = reduce(np.multiply.outer, [np.asarray(axis) for axis in counted_weights(op, x, taps)])
    gradient = at.gradient
    if not np.allclose(sums, 1, rtol=1e-12, atol=0):
        gradient = e.new("Div", gradient, e.constant(e.inner_name("seen"), sums[None, None]))
    return single_channel_adjoint(e, gradient, reduce(np.multiply.outer, taps), Geometry.of(op.rules(x)), x)


def _norm(e: StepEmitter, op: Pool, x: TensorType, at: Passed) -> str:
    """dy/dx = sign(x)·(|x|/y)^(p - 1), and 0 where the whole window is 0."""
    order, g, ones = op.order, Geometry.of(op.rules(x)), np.ones(op.k)
    if order == 1:
        return e.new("Mul", e.new("Sign", at.inputs[0]), single_channel_adjoint(e, at.gradient, ones, g, x))
    factor = e.new("Div", at.gradient, _power(e, _or_one(e, at.output), order - 1))
    spread = single_channel_adjoint(e, factor, ones, g, x)
    (value,) = at.inputs
    if order > 2:
        value = e.new("Mul", e.new("Sign", value), _power(e, e.new("Abs", value), order - 1))
    return e.new("Mul", value, spread)


def _or_one(e: StepEmitter, y: str) -> str:
    """y, with 1 in place of 0, to divide by."""
    return e.new("Add", y, e.choose(e.new("Equal", y, e.number(0)), 1, 0))


def _power(e: StepEmitter, x: str, exponent: int) -> str:
    return x if exponent == 1 else e.new("Pow", x, e.number(exponent))


# --- global_pool -------------------------------------------------------------------------------------------------


@backward_of(GlobalPool)
def _global_pool(e: StepEmitter, op: GlobalPool, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    count = x.size // x.channels
    if op.kind == "avg":
        share = e.new("Mul", at.gradient, e.number(1 / count))
        return TensorGradients((e.new("Expand", share, e.new("Shape", at.inputs[0])),))
    if op.kind == "l2":
        return TensorGradients((e.new("Mul", at.inputs[0], e.new("Div", at.gradient, _or_one(e, at.output))),))
    rows, gradient = e.reshape(at.inputs[0], -1, x.channels, count, 1), e.reshape(at.gradient, -1, x.channels, 1, 1)
    return TensorGradients((e.reshape(_to_maximum(e, rows, gradient, count), -1, *x.shape),))


def _to_maximum(e: StepEmitter, x: str, gradient: str, size: int) -> str:
    """The gradient (N, C, 1, R) at the first maximum along axis 2 of x (N, C, size, R), and 0 elsewhere."""
    best = e.new("ArgMax", x, axis=2, keepdims=1)
    numbers = e.constant(e.inner_name("numbers"), np.arange(size).reshape(size, 1), np.int64)
    return e.where(e.new("Equal", best, numbers), gradient)


# --- unpool ------------------------------------------------------------------------------------------------------


@backward_of(Unpool)
def _unpool(e: StepEmitter, op: Unpool, node: Node, at: Passed) -> TensorGradients:
    """Each element gets the gradient at the position that it was moved to. The pool's input only selects positions."""
    (x, _), (positions, origin) = e.graph.input_types(node), at.saved
    gradient = at.gradient
    if origin != at.inputs[1]:
        (pad,) = (n for n in e.nodes if n.output[0] == origin)
        gradient = e.new("Pad", gradient, pad.input[1], e.number(0))
    taken = e.new("Gather", e.reshape(gradient, -1), positions, axis=0)
    return TensorGradients((e.reshape(taken, -1, *x.shape), None))


# --- upsample ----------------------------------------------------------------------------------------------------


@backward_of(Upsample)
def _upsample(e: StepEmitter, op: Upsample, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    if op.mode == "nearest":
        ones = tuple(1 for _ in op.n)
        g = Geometry(op.n, op.n, ones, tuple((0, 0) for _ in op.n), x.spatial)
        images = e.reshape(at.gradient, -1, 1, *node.type.spatial)
        kernel = e.constant(e.inner_name("ones"), np.ones((1, 1, *op.n)))
        return TensorGradients((e.reshape(convolve(e, images, kernel, g, 1), -1, *x.shape),))
    gradient, sizes = at.gradient, list(node.type.spatial)
    for axis, (m, n) in enumerate(zip(x.spatial, op.n, strict=True)):
        # (N·C·before, m·n, after) to (N·C·before, m, after)
        rows = e.reshape(gradient, -1, sizes[axis], prod(sizes[axis + 1 :]))
        matrix = e.constant(e.inner_name(f"interpolation{axis}"), _interpolation_matrix(m, n).T)
        gradient, sizes[axis] = e.new("MatMul", matrix, rows), m
    return TensorGradients((e.reshape(gradient, -1, *x.shape),))


def _interpolation_matrix(m: int, n: int) -> Array:
    """The weights (m·n, m) of linear interpolation to n times as many elements."""
    matrix = np.zeros((m * n, m))
    for r, (low, share) in enumerate(interpolation_phases(n)):
        for q in range(m):
            for element, weight in ((q + low, 1 - share), (q + low + 1, share)):
                matrix[q * n + r, min(max(element, 0), m - 1)] += weight
    return matrix


# --- maxout ------------------------------------------------------------------------------------------------------


@backward_of(Maxout)
def _maxout(e: StepEmitter, op: Maxout, node: Node, at: Passed) -> TensorGradients:
    (x,) = e.graph.input_types(node)
    parts, rest = x.channels // op.n, x.size // x.channels
    rows = e.reshape(at.inputs[0], -1, parts, op.n, rest)
    gradient = e.reshape(at.gradient, -1, parts, 1, rest)
    return TensorGradients((e.reshape(_to_maximum(e, rows, gradient, op.n), -1, *x.shape),))
