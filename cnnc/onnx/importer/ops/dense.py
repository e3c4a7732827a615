"""Matrix products: fully connected layers, bilinear forms, embeddings."""

from __future__ import annotations

import numpy as np

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import Interpreter, handles
from cnnc.onnx.importer.recognize.values import Layer, LayerOutput, Unsupported
from cnnc.ops.dense import Bilinear, Fc
from cnnc.ops.reshape import Flatten


def flat_source(ctx: Interpreter, name: str) -> Layer:
    """The layer whose flattened output is a tensor (N, F): the input of a flatten that only this node reads, since fc
    flattens by itself. Raises Unsupported."""
    layer = ctx.layer_of(name)
    if layer.rank:
        raise Unsupported("it multiplies the last of several axes by a matrix; the input of fc is a vector")
    return layer.inputs[0] if isinstance(layer.op, Flatten) and ctx.used_once(name) else layer


def fc(ctx: Interpreter, name: str, weight: Array, bias: Array | None, initializers: list[str]) -> Layer:
    """A fully connected layer; the weight is (O, I)."""
    x = flat_source(ctx, name)
    if weight.ndim != 2 or weight.shape[1] != x.type.size:
        raise Unsupported("the shape of its matrix does not fit its input")
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return ctx.add(Fc, x, weights, initializers, out=weight.shape[0], bias=bias is not None)


@handles("Gemm")
def _gemm(ctx: Interpreter, node: OnnxNode) -> Layer:
    weight = ctx.constant(1, "matrix").astype(np.float32, copy=False)
    bias = ctx.optional_constant(2, "bias")
    if node.get("transA", 0):
        raise Unsupported("it transposes its input")
    if weight.ndim != 2:
        raise Unsupported("its matrix does not have two axes")
    matrix = weight if node.get("transB", 0) else weight.T
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    matrix = matrix if alpha == 1 else matrix * np.float32(alpha)
    if bias is not None:
        if bias.ndim == 2 and bias.shape[0] != 1:
            raise Unsupported("its bias differs between examples")
        bias = np.broadcast_to(bias.reshape(-1), (matrix.shape[0],)) * np.float32(beta)
        if not beta:
            bias = None
    return fc(ctx, node.input_name(0), matrix, bias, [n for n in node.inputs[1:3] if n])


@handles("MatMul")
def _matmul(ctx: Interpreter, node: OnnxNode) -> Layer:
    if not isinstance(ctx.input_value(0), LayerOutput) or not isinstance(ctx.input_value(1), np.ndarray):
        raise Unsupported("its second operand is not a constant, or its first is")
    weight = ctx.constant(1, "matrix")
    if weight.ndim != 2:
        raise Unsupported("its matrix does not have two axes")
    return fc(ctx, node.input_name(0), weight.T, None, [node.input_name(1)])


def bilinear(ctx: Interpreter, node: OnnxNode, axes: tuple[int, ...], keep: bool) -> Layer | None:
    """The bilinear form aᵀ·(M·b), exported as the sum over a times a fully connected layer of b; None for other sums.

    `axes` and `keep` are those of the ReduceSum. See cnnc/onnx/emit/ops/dense.py.
    """
    product = ctx.node_of(node.input_name(0))
    if product is None or product.op != "Mul":
        return None
    for first, second in (product.inputs, product.inputs[::-1]):
        product_side, row = ctx.node_of(first), ctx.node_of(second)
        dense, several_outputs = product_side, False
        if product_side is not None and product_side.op == "Reshape" and row is not None and row.op == "Unsqueeze":
            dense, several_outputs = ctx.node_of(product_side.input_name(0)), True
        if dense is None or dense.op not in ("Gemm", "MatMul"):
            continue
        value = ctx.values[dense.outputs[0]]
        left = ctx.values[row.input_name(0)] if several_outputs and row is not None else ctx.values[second]
        if not isinstance(value, LayerOutput) or not isinstance(left, LayerOutput) or keep == several_outputs:
            continue
        a = flat_source(ctx, row.input_name(0) if several_outputs and row is not None else second)
        right = value.layer
        if (
            right is None
            or not isinstance(right.op, Fc)
            or right.op.bias
            or axes not in ((-1,), (2 if several_outputs else 1,))
        ):
            continue
        out = right.op.out // a.type.size
        if out * a.type.size != right.op.out or (out > 1) != several_outputs:
            continue
        shapes = [v.shape for v in (ctx.values[first], ctx.values[second]) if isinstance(v, LayerOutput)]
        if several_outputs and shapes != [(ctx.batch, out, a.type.size), (ctx.batch, 1, a.type.size)]:
            continue
        weight = right.weights["weight"].reshape(out, a.type.size, -1)
        (b,) = right.inputs
        return ctx.add(
            Bilinear,
            (a, b),
            {"weight": weight},
            right.initializers,
            {"a": a, "b": b},
            a=WordValue("a"),
            b=WordValue("b"),
            out=out,
        )
    return None
