"""Where a layer's derivative jumps, and how far from there its inputs are.

Central differences mean nothing across a kink. For each kind of layer that has one, `MARGINS` gives the
distance: as long as no input element moves by that much, the layer stays on the same smooth piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnc.graph import Graph
from cnnc.ops.activation import Relu
from cnnc.ops.base import Op
from cnnc.ops.pool import Pool
from cnnc.reference.conv import pad, windows_of
from cnnc.reference.engine import Array, Trace
from cnnc.reference.pool import geometry

Margin = Callable[[Any, tuple[Array, ...]], float]


def relu(op: Relu, inputs: tuple[Array, ...]) -> float:
    return float(np.abs(inputs[0]).min())


def pool(op: Pool, inputs: tuple[Array, ...]) -> float:
    """Half the smallest lead that the winner of a window has over the next."""
    (x,) = inputs
    if op.kind != "max":
        return float("inf")
    g = geometry(op, x.shape[1:-1])
    seen = windows_of(pad(x, g.pads, -np.inf), g)  # (N, OH, OW, kh, kw, C)
    rank = len(g.k)
    ordered = np.sort(seen.reshape(*seen.shape[: 1 + rank], -1, seen.shape[-1]), -2)
    if ordered.shape[-2] == 1:
        return float("inf")
    return float((ordered[..., -1, :] - ordered[..., -2, :]).min()) / 2


MARGINS: dict[type[Op], Margin] = {Relu: relu, Pool: pool}


def crosses(graph: Graph, here: Trace, there: Trace) -> bool:
    """Whether a layer may have met a kink on the way from one run to another; both keep all values."""
    for node in graph.nodes:
        margin = MARGINS.get(type(node.op))
        if margin is None or node.name not in here.values:
            continue
        inputs = tuple(here.values[name] for name in node.inputs)
        moved = max(float(np.abs(here.values[n] - there.values[n]).max()) for n in node.inputs)
        if 2 * moved >= margin(node.op, inputs):
            return True
    return False
