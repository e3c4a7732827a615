"""Reverse-mode differentiation of an emitted graph: adds the nodes that compute the gradients of weights and inputs.

In: an emitter that holds the forward pass, and seeds, the gradients of some layers' outputs. Out: names of tensors. A
tensor with several readers gets the sum of their gradients, and so do weights that several layers share; frozen weights
get none, and where no trainable weight lies upstream nothing is propagated.
"""

from __future__ import annotations

from collections.abc import Mapping

import cnnc.onnx.train_step.ops  # noqa: F401  fills BACKWARDS
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.onnx.emit.emitter import EMISSIONS
from cnnc.onnx.train_step.step_emitter import BACKWARDS, GRADIENT, TRAINING_EMISSIONS, Passed, StepBackward, StepEmitter
from cnnc.reference.engine import differentiated, trains


def emit_forward(e: StepEmitter, nodes: list[Node]) -> None:
    """Adds the forward pass of these layers, as in training."""
    for node in nodes:
        with e.stage(node):
            emission = TRAINING_EMISSIONS.get(type(node.op), EMISSIONS[type(node.op)])
            e.saved[node.name] = emission(e, node.op, node, [e.tensor(name) for name in node.inputs])


def differentiate(
    e: StepEmitter, graph: Graph, seeds: Mapping[str, str], *, needs_input_gradients: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """The gradients of the weights by full name, and with `needs_input_gradients` those of the inputs by name.

    `seeds` are the gradients of some layers' outputs. Raises CnncError E810 for a layer whose gradient ONNX cannot express.
    """
    wanted = differentiated(graph, needs_input_gradients)
    pending = {name: [seed] for name, seed in seeds.items()}
    weights: dict[str, list[str]] = {}
    for node in reversed(needed_nodes(graph, seeds)):
        if node.name not in wanted or not node.inputs:
            continue
        with e.stage(node, GRADIENT):
            # without any, only layers whose output does not vary with it read the layer
            gradient = _sum(e, pending.pop(node.name, [])) or e.zeros(e.new("Shape", e.tensor(node.name)))
            needed = tuple(name in wanted for name in node.inputs)
            inputs = [e.tensor(name) for name in node.inputs]
            trained = trains(graph, node)
            at = Passed(inputs, e.tensor(node.name), gradient, needed, trained, e.saved[node.name])
            result = _backward(node)(e, node.op, node, at)
        for name, tensor in zip(node.inputs, result.inputs, strict=True):
            if tensor is not None and name in wanted:
                pending.setdefault(name, []).append(tensor)
        for short, tensor in result.weights.items() if trained else ():
            weights.setdefault(f"{node.parameter_owner}.{short}", []).append(tensor)
    totals = {}
    for full, tensors in weights.items():
        with e.stage(graph.by_name[full.rpartition(".")[0]], GRADIENT):
            totals[full] = _sum(e, tensors)
    input_gradients = {}
    for node in graph.inputs:
        if node.name in pending and needs_input_gradients:
            with e.stage(node, GRADIENT):
                input_gradients[node.name] = _sum(e, pending[node.name])
    return totals, input_gradients


def _sum(e: StepEmitter, tensors: list[str]) -> str:
    if len(tensors) < 2:
        return tensors[0] if tensors else ""
    return e.new("Add" if len(tensors) == 2 else "Sum", *tensors)


def _backward(node: Node) -> StepBackward:
    if type(node.op) not in BACKWARDS:
        message = f"the training step cannot be exported: ONNX has no way to compute the gradient of {node.op.keyword}"
        raise CnncError(
            Diagnostic(
                "E810", message, node.span, label="this layer", calls=node.calls, help="train it with `cnnc train`"
            )
        )
    return BACKWARDS[type(node.op)]
