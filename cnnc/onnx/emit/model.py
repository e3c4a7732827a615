"""Emission: a graph and its weights become an ONNX model.

Input: a graph (after the passes) and its weights. Output: a ModelProto with explicit IR version and opset, layer names
from the source, a symbolic batch, explicit padding, and a type for every tensor. The result is not verified here: see
verify.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

import onnx
from onnx import helper

import cnnc.onnx.emit.ops  # noqa: F401  fills EMISSIONS
from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.onnx.emit.emitter import BATCH, EMISSIONS, Emitter
from cnnc.onnx.emit.size_family import SizeFamily
from cnnc.onnx.run.session import can_load
from cnnc.onnx.wire_format import file_parts
from cnnc.ops.dense import Input

DEFAULT_OPSET = 17
# The IR version released with each opset (onnx/docs/Versioning.md), so that older runtimes can load the model.
_IR_VERSION = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}
OLDEST_OPSET = min(_IR_VERSION)


def emit(
    graph: Graph,
    weights: Mapping[str, Array],
    metadata: Mapping[str, str],
    opset: int = DEFAULT_OPSET,
    *,
    family: SizeFamily | None = None,
    batch: int | str = BATCH,
    content: dict[str, Array] | None = None,
) -> onnx.ModelProto:
    """The ONNX model of a graph.

    `weights` are arrays by `layer.parameter`. With a `family`, symbolic sizes stay symbols. `batch` is the first axis of
    every tensor, a size or a symbol. `content`, if given, receives the arrays of large initializers by name, and the model
    holds only their names and types. `metadata` becomes the model's metadata properties. Raises CnncError E804 for an opset that cnnc does not emit or
    the installed onnxruntime does not run.
    """
    require_opset(opset)
    e = Emitter(graph, weights, opset, family, batch, content)
    for node in graph.nodes:
        e.node = node
        EMISSIONS[type(node.op)](e, node.op, node, [e.tensor(name) for name in node.inputs])
    inner = [n for n in graph.nodes if not isinstance(n.op, Input) and n.name not in graph.outputs]
    outputs = [e.value_info(graph.by_name[name]) for name in graph.outputs]
    model = assemble(e, outputs, [e.value_info(node) for node in inner], metadata)
    return model if content is not None else complete(model, e.content)


def assemble(
    e: Emitter, outputs: list[onnx.ValueInfoProto], inner: list[onnx.ValueInfoProto], metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """The checked model of all that an emitter collected; `inner` are the types of tensors that are not outputs."""
    onnx_graph = helper.make_graph(
        e.nodes, _identifier(e.graph.name), e.inputs, outputs, list(e.initializers.values()), value_info=inner
    )
    model = helper.make_model(
        onnx_graph,
        opset_imports=[helper.make_opsetid("", e.opset)],
        ir_version=_IR_VERSION[e.opset],
        producer_name="cnnc",
        producer_version=metadata.get("cnnc.version", ""),
    )
    helper.set_model_props(model, dict(metadata))
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    _check(model)
    return model


def complete(model: onnx.ModelProto, content: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with the arrays of its large initializers inside."""
    whole: onnx.ModelProto = onnx.ModelProto.FromString(b"".join(file_parts(model, content)))
    return whole


def _check(model: onnx.ModelProto) -> None:
    """Runs onnx's checker with the large initializers, whose data are elsewhere, as inputs."""
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    del checked.graph.initializer[:]
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            checked.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            checked.graph.initializer.append(tensor)
    onnx.checker.check_model(checked, full_check=True)


def require_opset(opset: int) -> None:
    """Raises CnncError E804 for an opset that cnnc does not emit or the installed packages do not support."""
    newest = newest_opset()
    if not OLDEST_OPSET <= opset <= newest:
        bound = (
            "" if newest == max(_IR_VERSION) else f" (limited by the installed onnxruntime {version('onnxruntime')})"
        )
        raise CnncError.of("E804", f"opset {opset} is not supported", help=f"use {OLDEST_OPSET} to {newest}{bound}")


@cache
def newest_opset() -> int:
    """The newest opset that cnnc emits, the installed onnx defines and the installed onnxruntime loads."""
    known = [n for n in _IR_VERSION if n <= onnx.defs.onnx_opset_version()]
    return next(opset for opset in sorted(known, reverse=True) if can_load(opset, _IR_VERSION[opset]))


def _identifier(name: str) -> str:
    """A graph name of letters, digits and underscores."""
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "net"
