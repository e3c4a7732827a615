"""Emission of inputs and of fully connected and bilinear layers."""

from __future__ import annotations

from onnx import TensorProto

from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.ops.dense import Bilinear, Fc, Input


@emission_of(Input)
def _input(e: Emitter, op: Input, node: Node, inputs: list[str]) -> None:
    fed = op.fed()
    e.inputs.append(e.value_info(node, fed))
    if fed.dtype == "uint8":
        cast = e.op("Cast", [node.name], e.inner_name("cast"), to=TensorProto.FLOAT)
        e.renamed[node.name] = e.op("Div", [cast, e.constant(e.inner_name("range"), 255)], e.inner_name("scaled"))


@emission_of(Fc)
def _fc(e: Emitter, op: Fc, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    e.op(
        "Gemm", [_flat(e, x, inputs[0], "flat"), e.weight("weight"), *([e.weight("bias")] if op.bias else [])], transB=1
    )


def _flat(e: Emitter, x: TensorType, name: str, suffix: str) -> str:
    return name if x.rank == 0 else e.op("Flatten", [name], e.inner_name(suffix), axis=1)


@emission_of(Bilinear)
def _bilinear(e: Emitter, op: Bilinear, node: Node, inputs: list[str]) -> None:
    """aᵀ·(M·b) for each output: one Gemm with all matrices stacked, then a product with a and a sum."""
    first, second = e.graph.input_types(node)
    a, b = _flat(e, first, inputs[0], "a"), _flat(e, second, inputs[1], "b")
    stacked = e.arranged("weight", (op.out * first.size, second.size))  # (O·A, B)
    right = e.op("Gemm", [b, stacked], e.inner_name("right"), transB=1)  # (N, O·A)
    if op.out > 1:
        right = e.op("Reshape", [right, e.integers("matrices", [0, op.out, -1])], e.inner_name("rows"))  # (N, O, A)
        a = e.op("Unsqueeze", [a, e.integers("one", [1])], e.inner_name("row"))  # (N, 1, A)
    products = e.op("Mul", [right, a], e.inner_name("products"))
    e.op("ReduceSum", [products, e.integers("last", [-1])], keepdims=int(op.out == 1))
