"""Builds the graph that goes with a step graph: inference with the weights as inputs, named and shaped as in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

import cnnc.onnx.emit.ops  # noqa: F401  fills EMISSIONS
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.onnx.emit.emitter import EMISSIONS
from cnnc.onnx.emit.model import DEFAULT_OPSET, assemble, complete, require_opset
from cnnc.onnx.train_step.step_emitter import StepEmitter


def build_inference(
    graph: Graph, outputs: Sequence[str], metadata: Mapping[str, str], opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """A model whose inputs are those of the network, then weights and buffers; its outputs are these layers' activations.

    Raises CnncError E804 for an opset that cnnc does not emit.
    """
    require_opset(opset)
    e = StepEmitter(graph, opset)
    emit_inference(e, needed_nodes(graph, tuple(outputs)))
    infos = [e.value_info(graph.by_name[name]) for name in outputs]
    return complete(assemble(e, infos, [], metadata), e.content)


def emit_inference(e: StepEmitter, nodes: Sequence[Node]) -> None:
    """Adds these layers as in inference."""
    for node in nodes:
        with e.stage(node):
            EMISSIONS[type(node.op)](e, node.op, node, [e.tensor(name) for name in node.inputs])
