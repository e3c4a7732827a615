"""Graph to Graph, before emission. Each pass is small, keeps every output, and is verified after it ran.

In: a graph and its weights. Out: another graph that computes the same, and its weights. No pass changes
what it is given. Values that a pass leaves standing keep their names, so that they can be compared with
the trainer's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnnc.graph import Graph, Node, verify
from cnnc.ops.activation import Dropout, DropPath, Identity
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc
from cnnc.ops.norm import BatchNorm
from cnnc.reference.engine import Array, Weights, needed

Pass = Callable[[Graph, Weights], tuple[Graph, Weights]]


def drop_unused(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Removes layers that no output needs; inputs stay, as they are the model's signature."""
    kept = {node.name for node in needed(graph, graph.outputs)} | {node.name for node in graph.inputs}
    return _with_nodes(graph, weights, [node for node in graph.nodes if node.name in kept])


def drop_dropout(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Removes dropout, drop_path and identity, which do nothing in use; one that is an output stays as an identity."""
    instead: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(instead.get(name, name) for name in node.inputs)
        if isinstance(node.op, Dropout | DropPath | Identity) and node.name not in graph.outputs:
            instead[node.name] = inputs[0]
        else:
            nodes.append(node.replace(inputs=inputs))
    return _with_nodes(graph, weights, nodes)


def fold_batch_norm(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Folds a batch norm into the conv, conv_transpose or fc before it, where nothing else reads that layer's value.

    y = (w·x + b − mean)·f + shift with f = scale/sqrt(var + eps), so w' = w·f and b' = (b − mean)·f + shift.
    The value keeps the batch norm's name, the weights that of the layer they belong to. Weights that layers
    share stay as they are.
    """
    folded: dict[str, Node] = {}
    gone: set[str] = set()
    new = dict(weights)
    for node in graph.nodes:
        source = graph.by_name[node.inputs[0]] if node.inputs else None
        if not isinstance(node.op, BatchNorm) or source is None or not isinstance(source.op, Conv | ConvTranspose | Fc):
            continue
        shared = [n for n in graph.nodes if n.parameter_owner == source.parameter_owner]
        if len(graph.consumers[source.name]) > 1 or source.name in graph.outputs or len(shared) > 1:
            continue
        _fold(node, source, weights, new)
        op = source.op.replace(bias=True)
        folded[node.name] = source.replace(name=node.name, op=op, owner=source.parameter_owner)
        gone.add(source.name)
    nodes = [folded.get(node.name, node) for node in graph.nodes if node.name not in gone]
    return _with_nodes(graph, new, nodes)


def _fold(node: Node, source: Node, weights: Weights, new: Weights) -> None:
    assert isinstance(node.op, BatchNorm)
    own = {n: weights[f"{node.parameter_owner}.{n}"].astype(np.float64) for n in ("mean", "var")}
    factor = (own["var"] + node.op.eps) ** -0.5
    shift = np.zeros_like(factor)
    if node.op.affine:
        factor = factor * weights[f"{node.parameter_owner}.scale"]
        shift = weights[f"{node.parameter_owner}.shift"].astype(np.float64)
    prefix = source.parameter_owner
    weight = weights[f"{prefix}.weight"]
    bias = weights.get(f"{prefix}.bias", np.zeros(len(factor)))
    new[f"{prefix}.weight"] = (weight * _spread(factor, source.op, weight)).astype(weight.dtype)
    new[f"{prefix}.bias"] = ((bias - own["mean"]) * factor + shift).astype(weight.dtype)


def _spread(factor: Array, op: Op, weight: Array) -> Array:
    """The factors of output channels in a shape that broadcasts to a weight."""
    if not isinstance(op, ConvTranspose):
        return factor.reshape(-1, *(1,) * (weight.ndim - 1))  # (O, 1, 1, 1)
    # (C, O/groups, kh, kw): the rows of each group meet the outputs of that group
    ofs = np.repeat(factor.reshape(op.groups, -1), weight.shape[0] // op.groups, axis=0)  # (C, O/groups)
    return ofs.reshape(*ofs.shape, *(1,) * (weight.ndim - 2))


def _with_nodes(graph: Graph, weights: Weights, nodes: list[Node]) -> tuple[Graph, Weights]:
    made = verify(Graph(graph.name, tuple(nodes), graph.outputs))
    return made, {name: weights[name] for name in made.weights}


PASSES: tuple[Pass, ...] = (drop_unused, drop_dropout, fold_batch_norm)


def run_passes(graph: Graph, weights: Weights, passes: tuple[Pass, ...] = PASSES) -> tuple[Graph, Weights]:
    """Runs the passes in order."""
    for run in passes:
        graph, weights = run(graph, weights)
    return graph, weights
