"""Builds the graph that scores a network: in inference, with its weights as inputs, from a batch to loss and metrics.

Inputs are those of the step graph (build.py) without learning rate, seed and slots. Outputs are `train.loss`, the sums of
the metrics and their counts, as there, and the network's own outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import TensorProto

import cnnc.onnx.emit.ops  # noqa: F401  fills EMISSIONS
from cnnc.graph.graph import Graph, needed_nodes
from cnnc.onnx.emit.emitter import BATCH, EMISSIONS
from cnnc.onnx.emit.model import DEFAULT_OPSET, assemble, complete, require_opset
from cnnc.onnx.train_step.build import add_losses, add_metrics, target_inputs
from cnnc.onnx.train_step.step_emitter import StepEmitter
from cnnc.recipe.recipe import Recipe
from cnnc.training.objective import term_of


def build_scoring(
    graph: Graph, recipe: Recipe, metadata: Mapping[str, str], opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """The model that scores. Raises CnncError E804 for an opset that cnnc does not emit."""
    require_opset(opset)
    terms = [term_of(graph, loss, len(graph.outputs)) for loss in recipe.losses]
    e = StepEmitter(graph, opset)
    of_input = {graph.inputs[0].name for term in terms if term.column is None}
    read = {term.node.name for term in terms} | of_input | set(graph.outputs)
    for node in needed_nodes(graph, read):
        with e.stage(node):
            EMISSIONS[type(node.op)](e, node.op, node, [e.tensor(name) for name in node.inputs])
    targets = target_inputs(terms)
    for target in targets:
        kind = TensorProto.INT64 if target.kind == "labels" else TensorProto.FLOAT
        e.add_input(target.name, (BATCH, *target.shape), kind)
    infos = [*add_losses(e, terms, targets).infos, *add_metrics(e, recipe, terms, targets)]
    infos += [e.value_info(graph.by_name[name]) for name in graph.outputs]
    _drop_unused(e, {info.name for info in infos})
    return complete(assemble(e, infos, [], metadata), e.content)


def _drop_unused(e: StepEmitter, wanted: set[str]) -> None:
    """Removes the nodes and constants that no output depends on: the gradients of the losses."""
    kept = []
    for node in reversed(e.nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    e.nodes[:] = reversed(kept)
    for name in [name for name in e.initializers if name not in wanted]:
        del e.initializers[name]
