"""Graph and weights to an ONNX model.

In: a graph (after passes) and its weights. Out: a ModelProto with IR version and opset set on purpose, the
names of the source, a symbolic batch, explicit padding, and a type for every tensor. It proves nothing:
see verify.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper

import cnnc.export.emissions  # noqa: F401  fills the table
from cnnc.diagnostics import CnncError
from cnnc.export.emitter import EMISSIONS, Emitter, value_info
from cnnc.graph import Graph
from cnnc.ops.dense import Input
from cnnc.reference.engine import Array

DEFAULT_OPSET = 17
# The IR version that came with each opset (onnx/docs/Versioning.md): what older runtimes can load.
_IR_VERSION = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12}


def emit(
    graph: Graph, weights: Mapping[str, Array], metadata: Mapping[str, str], opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """The model. Raises CnncError E804 for an opset that cnnc does not emit."""
    if opset not in _IR_VERSION:
        raise CnncError.of(
            "E804", f"opset {opset} is not supported", help=f"{min(_IR_VERSION)} to {max(_IR_VERSION)} are"
        )
    e = Emitter(graph, weights, opset)
    for node in graph.nodes:
        e.node = node
        EMISSIONS[type(node.op)](e, node.op, node, [e.tensor(name) for name in node.inputs])
    values = {node.name: node for node in graph.nodes if not isinstance(node.op, Input)}
    outputs = [value_info(n, graph.by_name[n].type.shape, graph.by_name[n].type.dtype) for n in graph.outputs]
    inner = [value_info(n, node.type.shape, node.type.dtype) for n, node in values.items() if n not in graph.outputs]
    made = helper.make_graph(
        e.nodes, _identifier(graph.name), e.inputs, outputs, list(e.initializers.values()), value_info=inner
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSION[opset],
        producer_name="cnnc",
        producer_version=metadata.get("cnnc.version", ""),
    )
    helper.set_model_props(model, dict(metadata))
    return _complete(model)


def _complete(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the types of inner tensors added, checked in full."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "net"
