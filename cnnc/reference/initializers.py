"""Initial weights.

In: a graph and a seed. Out: an array for each parameter and buffer, by full name (`conv1.weight`). Each is drawn from
the seed and its own name, so that adding a layer does not change the weights of the others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.process_memory import memory_limit
from cnnc.core.random_streams import Stream
from cnnc.core.tensor import GivenNumbers, Parameter
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.graph.needs import require_weights


def require_memory(graph: Graph, copies: int = 1) -> None:
    """Raises CnncError E904 if the machine cannot hold the weights of a graph in float32, or this number of `copies`.

    In training these are the weights, their gradients and the optimizer's slots.
    """
    needed, limit = 4 * copies * sum(p.size for p in graph.weights.values()), memory_limit()
    if not 0 < limit < needed:
        return
    node = max(graph.nodes, key=lambda node: sum(p.size for p in graph.parameters(node)))
    what = "the weights take" if copies == 1 else "weights, gradients and optimizer take at least"
    raise CnncError.of(
        "E904",
        f"{what} {needed / 1e9:,.1f} GB, but this machine has {limit / 1e9:,.1f} GB of memory",
        span=node.span,
        help=f"make {node.name} smaller, which has the most weights; `cnnc check` shows the figures of any network",
    )


def initialize(graph: Graph, seed: int, dtype: Any = np.float32) -> Weights:
    """Initial weights by full name, of the given element type. `Parameter.init` lists the distributions.

    Raises CnncError E904 where they do not fit into the machine's memory, E913 where they are more than the caller's limits.
    """
    require_weights(graph, graph.name)
    require_memory(graph)
    before_relu = _layers_before_relu(graph)
    weights = {}
    for node in graph.nodes:
        for parameter in graph.parameters(node):
            name = f"{node.parameter_owner}.{parameter.name}"
            if name not in weights:
                random = np.random.default_rng(Stream.INITIAL_WEIGHTS.key(seed, name))
                weights[name] = _draw(parameter, random, node.name in before_relu).astype(dtype)
    return weights


def _draw(parameter: Parameter, random: np.random.Generator, relu: bool) -> Array:
    init, shape = parameter.init, parameter.shape
    if init == "auto":
        init = "he" if relu else "xavier"
    match init:
        case GivenNumbers():
            return np.broadcast_to(np.array(init.values).reshape(init.shape), shape)
        case "zeros":
            return np.zeros(shape)
        case "ones":
            return np.ones(shape)
        case float():
            return np.full(shape, init)
        case "he":  # He et al. 2015: variance 2/fan_in
            return random.normal(0, math.sqrt(2 / parameter.fan_in), shape)
        case "xavier":  # Glorot & Bengio 2010: variance 2/(fan_in + fan_out)
            bound = math.sqrt(6 / (parameter.fan_in + parameter.fan_out))
            return random.uniform(-bound, bound, shape)
        case "lecun":  # LeCun et al. 1998: variance 1/fan_in
            return random.normal(0, math.sqrt(1 / parameter.fan_in), shape)
        case "normal":  # Krizhevsky et al. 2012
            return random.normal(0, 0.01, shape)
    raise ValueError(init)


def _layers_before_relu(graph: Graph) -> set[str]:
    """The layers whose output a rectifier reads, directly or through layers that only rescale, merge or rearrange."""
    from cnnc.ops.activation import Activation, Dropout, DropPath, Identity, Scale
    from cnnc.ops.merge import Add, Concat, Maximum, Sub
    from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm
    from cnnc.ops.pool import Pool, Upsample
    from cnnc.ops.reshape import ChannelShuffle, Crop, DepthToSpace, Flatten, Pad, Reshape, Select, Slice, SpaceToDepth

    rescale = Affine | BatchNorm | GroupNorm | InstanceNorm | LayerNorm | Scale | Dropout | DropPath
    rearrange = ChannelShuffle | Crop | DepthToSpace | Flatten | Pad | Reshape | Select | Slice | SpaceToDepth
    transparent = rescale | rearrange | Add | Sub | Maximum | Concat | Identity | Pool | Upsample
    names: set[str] = set()
    for node in reversed(graph.nodes):
        readers = graph.consumers[node.name]
        if any(isinstance(r.op, Activation) and r.op.rectifies for r in readers) or any(
            r.name in names and isinstance(r.op, transparent) for r in readers
        ):
            names.add(node.name)
    return names
