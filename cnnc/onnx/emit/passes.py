"""Passes: Graph to Graph, before emission. Each is small, keeps every output, and the result is checked after each.

Input: a graph and its weights. Output: a new graph that computes the same, and its weights; no pass changes its arguments.
Layers that a pass keeps also keep their names, so that verification can compare them with the NumPy network.

Worked case: `conv 8 k=3 bias=false; bn; relu; dropout; fc 10` over 3x8x8. drop-identity removes the dropout. fold-scale
multiplies the weight (8, 3, 3, 3) of conv1 by scale/sqrt(var + eps) (8,) and gives it the bias shift - mean·scale/sqrt(var
+ eps); the convolution takes the name bn1. What is left: bn1 (Conv), relu1, fc1.
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
from cnnc.ops.local import Local
from cnnc.ops.norm import Affine, BatchNorm, Normalize

Pass = Callable[[Graph, Weights], tuple[Graph, Weights]]


def drop_unused(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Removes layers that no output depends on; inputs stay, as they are the model's signature."""
    kept = {node.name for node in needed_nodes(graph, graph.outputs)} | {node.name for node in graph.inputs}
    return _replace_nodes(graph, weights, [node for node in graph.nodes if node.name in kept])


def drop_identity(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Removes identity, dropout and drop_path, which do nothing at inference; one that is an output becomes an identity."""
    replacements: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(replacements.get(name, name) for name in node.inputs)
        if isinstance(node.op, Dropout | DropPath | Identity) and node.name not in graph.outputs:
            replacements[node.name] = inputs[0]
        else:
            nodes.append(node.replace(inputs=inputs))
    return _replace_nodes(graph, weights, nodes)


def fold_scale(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Folds batch norm and affine into the conv, conv_transpose, local or fc before them, where no other layer reads its output.

    Both compute y = (w·x + b)·f + g per channel, so w' = w·f and b' = b·f + g. The merged layer takes the name of the
    later one; the weights keep the name of their layer. Shared weights are not changed.
    """
    new = dict(weights)
    kept: dict[str, Node] = {}
    for node in graph.nodes:
        kept[node.name] = node
        source = kept.get(node.inputs[0]) if isinstance(node.op, BatchNorm | Affine) else None
        if (
            source is None
            or not isinstance(source.op, Conv | ConvTranspose | Fc | Local)
            or not _can_fold_scale(graph, source)
        ):
            continue
        prefix, (factor, shift) = source.parameter_owner, _factor_and_shift(node, new)
        weight, op = new[f"{prefix}.weight"], source.op.replace(bias=True)
        (shape,) = (p.shape for p in op.parameters(*graph.input_types(source)) if p.name == "bias")
        each = (-1, *(1,) * (len(shape) - 1))  # (O,), of a local (O, 1, 1)
        bias = new[f"{prefix}.bias"] if source.op.bias else np.zeros(shape)
        new[f"{prefix}.weight"] = (weight * _broadcast_factor(factor, source.op, weight)).astype(weight.dtype)
        new[f"{prefix}.bias"] = (bias * factor.reshape(each) + shift.reshape(each)).astype(weight.dtype)
        kept[node.name] = source.replace(name=node.name, op=op, owner=prefix)
        del kept[source.name]
    return _replace_nodes(graph, new, list(kept.values()))


def _can_fold_scale(graph: Graph, node: Node) -> bool:
    """Whether the layer after this one can be folded into it: one layer reads its output, and its weights are not shared."""
    shared = [n for n in graph.nodes if n.parameter_owner == node.parameter_owner and graph.parameters(n)]
    return len(graph.consumers[node.name]) == 1 and node.name not in graph.outputs and len(shared) == 1


def _factor_and_shift(node: Node, weights: Weights) -> tuple[Array, Array]:
    """The factor and shift (C,) of a batch norm or affine, in float64."""
    parameters = {
        n: weights[f"{node.parameter_owner}.{n}"].astype(np.float64)
        for n in _SCALE_PARAMETERS
        if _has_parameter(node, n)
    }
    factor = parameters.get("scale", np.ones(1))
    shift = parameters.get("shift", np.zeros(1))
    if isinstance(node.op, BatchNorm):
        factor = factor * (parameters["var"] + node.op.eps) ** -0.5
        shift = shift - parameters["mean"] * factor
    return factor, shift


_SCALE_PARAMETERS = ("scale", "shift", "mean", "var")


def _has_parameter(node: Node, name: str) -> bool:
    return any(p.name == name for p in node.op.parameters(node.type))


def _broadcast_factor(factor: Array, op: Op, weight: Array) -> Array:
    """The factors (O,) of the output channels in a shape that broadcasts to the weight."""
    if isinstance(op, Local):
        return factor.reshape(-1, *(1,) * (1 + len(op.k)))  # of (OH, OW, O, C, kh, kw)
    if not isinstance(op, ConvTranspose):
        return factor.reshape(-1, *(1,) * (weight.ndim - 1))  # (O, 1, 1, 1)
    # (C, O/groups, kh, kw): input channels of a group meet the output channels of that group
    by_input = np.repeat(factor.reshape(op.groups, -1), weight.shape[0] // op.groups, axis=0)  # (C, O/groups)
    return by_input.reshape(*by_input.shape, *(1,) * (weight.ndim - 2))


def fold_normalize(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Folds `normalize` into the conv or fc that alone reads it: w·(x − m)/s = (w/s)·x − Σ w·m/s.

    Only without padding or with a mean of 0: zeros around the normalized image would have to become means around the
    original one. Not where the mean exceeds 16 standard deviations, which would cost precision.
    """
    new = dict(weights)
    replacements: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        if replacements.keys() & set(node.inputs):
            before = graph.by_name[node.inputs[0]]
            prefix = node.parameter_owner
            divisor, mean = _input_statistics(before, node, new[f"{prefix}.weight"])
            stored = new[f"{prefix}.weight"].dtype
            weight = new[f"{prefix}.weight"] / divisor
            moved = (weight * mean).reshape(len(weight), -1).sum(1, dtype=np.float64)
            new[f"{prefix}.weight"] = weight.astype(stored)
            new[f"{prefix}.bias"] = ((new[f"{prefix}.bias"] if _has_bias(node) else 0) - moved).astype(stored)
            node = node.replace(inputs=(replacements[before.name],), op=node.op.replace(bias=True))
        if isinstance(node.op, Normalize) and _can_fold_normalize(graph, node):
            replacements[node.name] = node.inputs[0]
        else:
            nodes.append(node)
    return _replace_nodes(graph, new, nodes)


_MAX_MEAN_IN_STDS = 16


def _can_fold_normalize(graph: Graph, node: Node) -> bool:
    """Whether `fold_normalize` may fold this normalize into its reader."""
    assert isinstance(node.op, Normalize)
    readers = graph.consumers[node.name]
    if len(readers) != 1 or node.name in graph.outputs or not isinstance(readers[0].op, Conv | Fc):
        return False
    mean, std = (np.abs(values) for values in (node.op.mean, node.op.std))
    reader = readers[0]
    padded = isinstance(reader.op, Conv) and any(r.begin or r.end for r in reader.op.rules(node.type))
    symbolic = isinstance(reader.op, Conv) and isinstance(reader.op.p, str) and reader.op.p != "valid"
    unshared = len([n for n in graph.nodes if n.parameter_owner == reader.parameter_owner]) == 1
    return unshared and (not (padded or symbolic) or not mean.any()) and bool((mean <= _MAX_MEAN_IN_STDS * std).all())


def _input_statistics(normalize: Node, node: Node, weight: Array) -> tuple[Array, Array]:
    """The standard deviation and mean of the input channel that each weight element multiplies, broadcastable to it."""
    assert isinstance(normalize.op, Normalize)
    channels, ones = normalize.type.channels, (1,) * (weight.ndim - 2)
    statistics = []
    for values in (normalize.op.std, normalize.op.mean):
        each = np.broadcast_to(np.asarray(values, np.float64), channels)
        if isinstance(node.op, Conv):
            # (groups, C/groups), then (O, C/groups, 1, 1): output channels of a group meet its input channels
            each = np.repeat(each.reshape(node.op.groups, -1), node.op.out // node.op.groups, axis=0)
            statistics.append(each.reshape(*each.shape, *ones))
        else:  # fc flattens, channels first: (1, C·H·W)
            statistics.append(np.repeat(each, normalize.type.size // channels)[None])
    return statistics[0], statistics[1]


def _has_bias(node: Node) -> bool:
    return isinstance(node.op, Conv | Fc) and node.op.bias


def share_weights(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    """Stores identical weights once: a layer uses those of the first layer of its kind that has the same ones."""
    owners: dict[tuple[object, ...], str] = {}
    nodes = []
    for node in graph.nodes:
        names = [f"{node.parameter_owner}.{p.name}" for p in graph.parameters(node)]
        if names:
            key = (type(node.op), *(_digest(n, weights[n]) for n in names))
            owner = owners.setdefault(key, node.parameter_owner)
            node = node.replace(owner=owner) if owner != node.parameter_owner else node
        nodes.append(node)
    return _replace_nodes(graph, weights, nodes)


def _digest(name: str, array: Array) -> tuple[object, ...]:
    return name.rpartition(".")[2], array.shape, blake2b(np.ascontiguousarray(array).data).digest()


def _replace_nodes(graph: Graph, weights: Weights, nodes: list[Node]) -> tuple[Graph, Weights]:
    replaced = verify(graph.replace(nodes=tuple(nodes)))
    return replaced, {name: weights[name] for name in replaced.weights}


PASSES: dict[str, Pass] = {
    run.__name__.replace("_", "-"): run
    for run in (drop_unused, drop_identity, fold_scale, fold_normalize, share_weights)
}


def select_passes(without: Sequence[str] = ()) -> tuple[Pass, ...]:
    """All passes except those named. Raises CnncError E010 for an unknown name."""
    for name in without:
        if name not in PASSES:
            known = ", ".join(PASSES)
            near = get_close_matches(name, PASSES, 1)
            raise CnncError.of(
                "E010",
                f"there is no pass `{name}`",
                help=f"did you mean `{near[0]}`?" if near else f"the passes are {known}",
            )
    return tuple(run for name, run in PASSES.items() if name not in without)


def run_passes(graph: Graph, weights: Weights, passes: Sequence[Pass] | None = None) -> tuple[Graph, Weights]:
    """Runs these passes in order; all of them by default."""
    for run in PASSES.values() if passes is None else passes:
        graph, weights = run(graph, weights)
    return graph, weights
