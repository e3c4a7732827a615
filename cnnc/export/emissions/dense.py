"""Inputs and fully connected layers."""

from __future__ import annotations

from onnx import TensorProto

from cnnc.export.emitter import Emitter, emission_of, value_info
from cnnc.graph import Node
from cnnc.ops.dense import Fc, Input


@emission_of(Input)
def _input(e: Emitter, op: Input, node: Node, inputs: list[str]) -> None:
    fed = op.fed()
    e.inputs.append(value_info(node.name, fed.shape, fed.dtype))
    if fed.dtype == "uint8":
        cast = e.op("Cast", [node.name], e.inner("cast"), to=TensorProto.FLOAT)
        e.renamed[node.name] = e.op("Div", [cast, e.constant(e.inner("range"), 255)], e.inner("scaled"))


@emission_of(Fc)
def _fc(e: Emitter, op: Fc, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    flat = inputs if x.rank == 0 else [e.op("Flatten", inputs, e.inner("flat"), axis=1)]
    e.op("Gemm", [*flat, e.weight("weight"), *([e.weight("bias")] if op.bias else [])], transB=1)
