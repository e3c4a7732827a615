"""Graph to Graph, before emission. Each pass is small, keeps every output, and is verified after it ran.

In: a graph and its weights. Out: another graph that computes the same, and its weights. No pass changes
what it is given. Values that a pass leaves standing keep their names, so that they can be compared with
the trainer's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from hashlib import blake2b

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, Node, needed_nodes, verify
from cnnc.ops.activation import Dropout, DropPath, Identity
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc
from cnnc.ops.norm import Affine, BatchNorm, Normalize

Pass = Callable[[Graph, Weights], tuple[Graph, Weights]]


def drop_unused(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Removes layers that no output needs; inputs stay, as they are the model's signature."""
    kept = {node.name for node in needed_nodes(graph, graph.outputs)} | {node.name for node in graph.inputs}
    return _with_nodes(graph, weights, [node for node in graph.nodes if node.name in kept])


def drop_identity(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Removes identity, dropout and drop_path, which do nothing in use; one that is an output stays as an identity."""
    instead: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(instead.get(name, name) for name in node.inputs)
        if isinstance(node.op, Dropout | DropPath | Identity) and node.name not in graph.outputs:
            instead[node.name] = inputs[0]
        else:
            nodes.append(node.replace(inputs=inputs))
    return _with_nodes(graph, weights, nodes)


def fold_scale(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Folds batch norm and affine into the conv, conv_transpose or fc before them, where nothing else reads that value.

    Both are y = (w·x + b)·f + g a channel, so w' = w·f and b' = b·f + g. The value keeps the later layer's name, the
    weights that of the layer they belong to. Weights that layers share stay as they are.
    """
    new = dict(weights)
    kept: dict[str, Node] = {}
    for node in graph.nodes:
        kept[node.name] = node
        source = kept.get(node.inputs[0]) if isinstance(node.op, BatchNorm | Affine) else None
        if source is None or not isinstance(source.op, Conv | ConvTranspose | Fc) or not _folds(graph, source):
            continue
        prefix, (factor, shift) = source.parameter_owner, _line(node, new)
        weight = new[f"{prefix}.weight"]
        bias = new.get(f"{prefix}.bias", np.zeros(len(factor))) if source.op.bias else np.zeros(len(factor))
        new[f"{prefix}.weight"] = weight * _spread(factor, source.op, weight)
        new[f"{prefix}.bias"] = bias * factor + shift
        kept[node.name] = source.replace(name=node.name, op=source.op.replace(bias=True), owner=prefix)
        del kept[source.name]
    return _with_nodes(graph, _rounded(new, weights), list(kept.values()))


def _folds(graph: Graph, node: Node) -> bool:
    """Whether a node's value may go: one layer reads it, and its weights are its own."""
    shared = [n for n in graph.nodes if n.parameter_owner == node.parameter_owner and graph.parameters(n)]
    return len(graph.consumers[node.name]) == 1 and node.name not in graph.outputs and len(shared) == 1


def _line(node: Node, weights: Weights) -> tuple[Array, Array]:
    """Factor and shift of a batch norm or affine, a channel each, in float64."""
    own = {n: weights[f"{node.parameter_owner}.{n}"].astype(np.float64) for n in _LINE if _has(node, n)}
    factor = own.get("scale", np.ones(1))
    shift = own.get("shift", np.zeros(1))
    if isinstance(node.op, BatchNorm):
        factor = factor * (own["var"] + node.op.eps) ** -0.5
        shift = shift - own["mean"] * factor
    return factor, shift


_LINE = ("scale", "shift", "mean", "var")


def _has(node: Node, name: str) -> bool:
    return any(p.name == name for p in node.op.parameters(node.type))


def _spread(factor: Array, op: Op, weight: Array) -> Array:
    """The factors of output channels in a shape that broadcasts to a weight."""
    if not isinstance(op, ConvTranspose):
        return factor.reshape(-1, *(1,) * (weight.ndim - 1))  # (O, 1, 1, 1)
    # (C, O/groups, kh, kw): the rows of each group meet the outputs of that group
    ofs = np.repeat(factor.reshape(op.groups, -1), weight.shape[0] // op.groups, axis=0)  # (C, O/groups)
    return ofs.reshape(*ofs.shape, *(1,) * (weight.ndim - 2))


def fold_normalize(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Folds `normalize` into the conv or fc that alone reads it: w·(x − m)/s is (w/s)·x less Σ w·m/s.

    Only where the border of the image stays what it was: without padding, or with a mean of 0, as zeros around the
    normalized image are means around the other. Not where the mean is many deviations, which would cost digits.
    """
    new = dict(weights)
    instead: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        if instead.keys() & set(node.inputs):
            before = graph.by_name[node.inputs[0]]
            prefix = node.parameter_owner
            divisor, mean = _per_input(before, node, new[f"{prefix}.weight"])
            weight = new[f"{prefix}.weight"] / divisor
            moved = (weight * mean).reshape(len(weight), -1).sum(1, dtype=np.float64)
            new[f"{prefix}.weight"] = weight
            new[f"{prefix}.bias"] = (new[f"{prefix}.bias"] if _has_bias(node) else 0) - moved
            node = node.replace(inputs=(instead[before.name],), op=node.op.replace(bias=True))
        if isinstance(node.op, Normalize) and _goes_into_next(graph, node):
            instead[node.name] = node.inputs[0]
        else:
            nodes.append(node)
    return _with_nodes(graph, _rounded(new, weights), nodes)


_MOST_DEVIATIONS = 16


def _goes_into_next(graph: Graph, node: Node) -> bool:
    assert isinstance(node.op, Normalize)
    readers = graph.consumers[node.name]
    if len(readers) != 1 or node.name in graph.outputs or not isinstance(readers[0].op, Conv | Fc):
        return False
    mean, std = (np.abs(values) for values in (node.op.mean, node.op.std))
    reader = readers[0]
    padded = isinstance(reader.op, Conv) and any(r.begin or r.end for r in reader.op.rules(node.type))
    words = isinstance(reader.op, Conv) and isinstance(reader.op.p, str) and reader.op.p != "valid"
    alone = len([n for n in graph.nodes if n.parameter_owner == reader.parameter_owner]) == 1
    return alone and (not (padded or words) or not mean.any()) and bool((mean <= _MOST_DEVIATIONS * std).all())


def _per_input(normalize: Node, node: Node, weight: Array) -> tuple[Array, Array]:
    """Standard deviation and mean in a shape that goes with a weight, by the input channel that each element meets."""
    assert isinstance(normalize.op, Normalize)
    channels, ones = normalize.type.channels, (1,) * (weight.ndim - 2)
    found = []
    for values in (normalize.op.std, normalize.op.mean):
        each = np.broadcast_to(np.asarray(values, np.float64), channels)
        if isinstance(node.op, Conv):  # (groups, C/groups), then (O, C/groups, 1, 1): a group's outputs meet its inputs
            each = np.repeat(each.reshape(node.op.groups, -1), node.op.out // node.op.groups, axis=0)
            found.append(each.reshape(*each.shape, *ones))
        else:  # fc flattens, channels first: (1, C·H·W)
            found.append(np.repeat(each, normalize.type.size // channels)[None])
    return found[0], found[1]


def _has_bias(node: Node) -> bool:
    return isinstance(node.op, Conv | Fc) and node.op.bias


def share_weights(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Stores weights that are the same number for number once: a layer takes those of the first of its kind that has them."""
    known: dict[tuple[object, ...], str] = {}
    nodes = []
    for node in graph.nodes:
        names = [f"{node.parameter_owner}.{p.name}" for p in graph.parameters(node)]
        if names:
            key = (type(node.op), *(_digest(n, weights[n]) for n in names))
            owner = known.setdefault(key, node.parameter_owner)
            node = node.replace(owner=owner) if owner != node.parameter_owner else node
        nodes.append(node)
    return _with_nodes(graph, weights, nodes)


def _digest(name: str, array: Array) -> tuple[object, ...]:
    return name.rpartition(".")[2], array.shape, blake2b(np.ascontiguousarray(array).data).digest()


def _rounded(new: Weights, old: Weights) -> Weights:
    """Folded weights, which were worked out in float64, in the element type that the others have."""
    dtype = next((array.dtype for array in old.values()), np.dtype(np.float32))
    return {name: array if array is old.get(name) else array.astype(dtype) for name, array in new.items()}


def _with_nodes(graph: Graph, weights: Weights, nodes: list[Node]) -> tuple[Graph, Weights]:
    made = verify(graph.replace(nodes=tuple(nodes)))
    return made, {name: weights[name] for name in made.weights}


PASSES: dict[str, Pass] = {
    run.__name__.replace("_", "-"): run
    for run in (drop_unused, drop_identity, fold_scale, fold_normalize, share_weights)
}


def chosen(without: Sequence[str] = ()) -> tuple[Pass, ...]:
    """All passes but those named. Raises CnncError E010 for a name that is none."""
    for name in without:
        if name not in PASSES:
            known = ", ".join(PASSES)
            near = get_close_matches(name, PASSES, 1)
            raise CnncError.of(
                "E010", f"there is no pass `{name}`", help=f"did you mean `{near[0]}`?" if near else f"they are {known}"
            )
    return tuple(run for name, run in PASSES.items() if name not in without)


def run_passes(graph: Graph, weights: Weights, passes: Sequence[Pass] | None = None) -> tuple[Graph, Weights]:
    """Runs the passes in order, all of them where none are named."""
    for run in PASSES.values() if passes is None else passes:
        graph, weights = run(graph, weights)
    return graph, weights
