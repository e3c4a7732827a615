"""Matrix products: fully connected layers, bilinear forms, embeddings."""

from __future__ import annotations

import numpy as np

from cnnc.core.arguments import Word
from cnnc.core.arrays import Array
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter, import_of
from cnnc.onnx.importer.recognize.values import Layer, Refusal, Value
from cnnc.ops.dense import Bilinear, Fc
from cnnc.ops.reshape import Flatten


def flat_source(c: Interpreter, name: str) -> Layer:
    """The layer whose elements, in one row, are this matrix (N, F): what a flatten read, as fc flattens by itself."""
    layer = c.layer_named(name)
    if layer.rank:
        raise Refusal("it multiplies the last of several axes by a matrix; fc works on vectors")
    return layer.inputs[0] if isinstance(layer.op, Flatten) and c.sole(name) else layer


def fc(c: Interpreter, name: str, weight: Array, bias: Array | None, keys: list[str]) -> Layer:
    """A fully connected layer; the weight is (O, I)."""
    x = flat_source(c, name)
    if weight.ndim != 2 or weight.shape[1] != x.type.size:
        raise Refusal("its matrix does not have a row for each input")
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return c.add(Fc, x, weights, keys, out=weight.shape[0], bias=bias is not None)


@import_of("Gemm")
def _gemm(c: Interpreter, step: Step) -> Layer:
    weight = c.constant(1, "matrix").astype(np.float32)
    bias = c.optional(2, "bias")
    if step.get("transA", 0):
        raise Refusal("it transposes its input")
    if weight.ndim != 2:
        raise Refusal("its matrix has not two axes")
    matrix = weight if step.get("transB", 0) else np.ascontiguousarray(weight.T)
    alpha, beta = step.get("alpha", 1.0), step.get("beta", 1.0)
    matrix = matrix if alpha == 1 else matrix * np.float32(alpha)
    if bias is not None:
        if bias.ndim == 2 and bias.shape[0] != 1:
            raise Refusal("its bias differs from sample to sample")
        bias = np.broadcast_to(bias.reshape(-1), (matrix.shape[0],)) * np.float32(beta)
        if not beta:
            bias = None
    return fc(c, step.input(0), matrix, bias, [n for n in step.inputs[1:3] if n])


@import_of("MatMul")
def _matmul(c: Interpreter, step: Step) -> Layer:
    if not isinstance(c.get(0), Value) or not isinstance(c.get(1), np.ndarray):
        raise Refusal("it multiplies two tensors that are both computed, or a constant by one")
    weight = c.constant(1, "matrix")
    if weight.ndim != 2:
        raise Refusal("its matrix has not two axes")
    return fc(c, step.input(0), np.ascontiguousarray(weight.T), None, [step.input(1)])


def bilinear(c: Interpreter, step: Step, axes: tuple[int, ...], keep: bool) -> Layer | None:
    """aᵀ·(M·b), as a sum over the products of a vector with a fully connected layer of another (see export)."""
    product = c.maker(step.input(0))
    if product is None or product.op != "Mul":
        return None
    for first, second in (product.inputs, product.inputs[::-1]):
        shaped, row = c.maker(first), c.maker(second)
        dense, many = shaped, False
        if shaped is not None and shaped.op == "Reshape" and row is not None and row.op == "Unsqueeze":
            dense, many = c.maker(shaped.input(0)), True
        if dense is None or dense.op not in ("Gemm", "MatMul"):
            continue
        value = c.values[dense.outputs[0]]
        left = c.values[row.input(0)] if many and row is not None else c.values[second]
        if not isinstance(value, Value) or not isinstance(left, Value) or keep == many:
            continue
        a = flat_source(c, row.input(0) if many and row is not None else second)
        right = value.layer
        if right is None or not isinstance(right.op, Fc) or right.op.bias or axes not in ((-1,), (2 if many else 1,)):
            continue
        out = right.op.out // a.type.size
        if out * a.type.size != right.op.out or (out > 1) != many:
            continue
        shapes = [v.shape for v in (c.values[first], c.values[second]) if isinstance(v, Value)]
        if many and shapes != [(c.batch, out, a.type.size), (c.batch, 1, a.type.size)]:
            continue
        weight = right.weights["weight"].reshape(out, a.type.size, -1)
        (b,) = right.inputs
        return c.add(
            Bilinear, (a, b), {"weight": weight}, right.keys, {"a": a, "b": b}, a=Word("a"), b=Word("b"), out=out
        )
    return None
