"""Builds the graph that scores a network: in inference, with its weights as inputs, from a batch to loss and metrics.

Inputs are those of the step graph (build.py) without learning rate, seed and slots. Outputs are `train.loss`, the sums of
the metrics and their counts, as there, and the network's own outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from cnnc.graph.graph import Graph, needed_nodes
from cnnc.onnx.emit.model import DEFAULT_OPSET, assemble, complete, require_opset
from cnnc.onnx.train_step.build import add_losses, add_metrics, add_target_inputs, require_numbers, target_inputs
from cnnc.onnx.train_step.inference import emit_inference
from cnnc.onnx.train_step.step_emitter import StepEmitter
from cnnc.recipe.recipe import Recipe
from cnnc.training.objective import term_of


def build_scoring(
    graph: Graph, recipe: Recipe, metadata: Mapping[str, str], opset: int = DEFAULT_OPSET
) -> onnx.ModelProto:
    """The model that scores. Raises CnncError E804 for an opset that cnnc does not emit."""
    require_opset(opset)
    require_numbers(recipe)
    terms = [term_of(graph, loss, len(graph.outputs)) for loss in recipe.losses]
    e = StepEmitter(graph, opset)
    of_input = {graph.inputs[0].name for term in terms if term.column is None}
    read = {term.node.name for term in terms} | of_input | set(graph.outputs)
    emit_inference(e, needed_nodes(graph, read))
    targets = target_inputs(terms)
    add_target_inputs(e, targets)
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
