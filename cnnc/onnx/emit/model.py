"""Graph and weights to an ONNX model.

In: a graph (after passes) and its weights. Out: a ModelProto with IR version and opset set on purpose, the
names of the source, a symbolic batch, explicit padding, and a type for every tensor. It proves nothing:
see verify.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

import onnx
from onnx import helper

import cnnc.onnx.emit.ops  # noqa: F401  fills the table
from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.onnx.emit.emitter import BATCH, EMISSIONS, Emitter
from cnnc.onnx.emit.size_family import SizeFamily
from cnnc.onnx.run.session import can_load
from cnnc.ops.dense import Input

DEFAULT_OPSET = 17
# The IR version that came with each opset (onnx/docs/Versioning.md): what older runtimes can load.
_IR_VERSION = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}


def emit(
    graph: Graph,
    weights: Mapping[str, Array],
    metadata: Mapping[str, str],
    opset: int = DEFAULT_OPSET,
    *,
    family: SizeFamily | None = None,
    batch: int | str = BATCH,
    external_tensors: dict[str, Array] | None = None,
) -> onnx.ModelProto:
    """The model, with symbols as sizes where there is a `family`; large weights go into `outside` where it is given.

    Raises CnncError E804 for an opset that cnnc does not emit or the installed onnxruntime does not run.
    """
    require_opset(opset)
    e = Emitter(graph, weights, opset, family, batch, external_tensors)
    for node in graph.nodes:
        e.node = node
        EMISSIONS[type(node.op)](e, node.op, node, [e.tensor(name) for name in node.inputs])
    inner = [n for n in graph.nodes if not isinstance(n.op, Input) and n.name not in graph.outputs]
    made = helper.make_graph(
        e.nodes,
        _identifier(graph.name),
        e.inputs,
        [e.value_info(graph.by_name[name]) for name in graph.outputs],
        list(e.initializers.values()),
        value_info=[e.value_info(node) for node in inner],
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSION[opset],
        producer_name="cnnc",
        producer_version=metadata.get("cnnc.version", ""),
    )
    helper.set_model_props(model, dict(metadata))
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    if not external_tensors:
        onnx.checker.check_model(model, full_check=True)
    return model


def require_opset(opset: int) -> None:
    """Raises CnncError E804 for an opset that cnnc does not emit, or the installed packages do not know."""
    newest = newest_opset()
    if not min(_IR_VERSION) <= opset <= newest:
        bound = "" if newest == max(_IR_VERSION) else f" with onnxruntime {version('onnxruntime')} as it is installed"
        raise CnncError.of("E804", f"opset {opset} is not supported", help=f"{min(_IR_VERSION)} to {newest} are{bound}")


@cache
def newest_opset() -> int:
    """The newest opset that cnnc emits, the installed onnx describes and the installed onnxruntime loads."""
    known = [n for n in _IR_VERSION if n <= onnx.defs.onnx_opset_version()]
    return next(opset for opset in sorted(known, reverse=True) if can_load(opset, _IR_VERSION[opset]))


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "net"
