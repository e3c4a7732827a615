"""Kinks: points where a layer's derivative jumps, and how far from them its inputs are.

Central differences mean nothing across a kink. For each kind of layer that has one, `MARGINS` gives the
distance: as long as no input element moves by that much, the layer stays on the same smooth piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph
from cnnc.ops.activation import (
    Abs,
    Clip,
    Elu,
    HardSigmoid,
    HardSwish,
    HardTanh,
    LeakyRelu,
    Prelu,
    Relu,
    Relu6,
    Selu,
)
from cnnc.ops.base import Op
from cnnc.ops.merge import Maximum
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool
from cnnc.reference.engine import Trace
from cnnc.reference.kernels.windows import geometry_of, pad, windows_of

Margin = Callable[[Any, tuple[Array, ...]], float]


def relu(op: Relu, inputs: tuple[Array, ...]) -> float:
    return float(np.abs(inputs[0]).min())


def bends_at(*points: float) -> Margin:
    """The margin of an activation function with kinks at these points."""
    return lambda op, inputs: min(float(np.abs(inputs[0] - point).min()) for point in points)


def clip(op: Clip | HardTanh, inputs: tuple[Array, ...]) -> float:
    return bends_at(op.lo, op.hi)(op, inputs)


def half_lead(candidates: Array) -> float:
    """Half the smallest difference, along the last axis, between the largest element and the next."""
    if candidates.shape[-1] == 1:
        return float("inf")
    ordered = np.sort(candidates, -1)
    return float((ordered[..., -1] - ordered[..., -2]).min()) / 2


def global_pool(op: GlobalPool, inputs: tuple[Array, ...]) -> float:
    x = inputs[0]
    rows = np.moveaxis(x.reshape(x.shape[0], -1, x.shape[-1]), 1, -1)  # (N, C, H·W)
    if op.kind == "l2":
        return float(np.sqrt((rows**2).sum(-1)).min()) / 50
    return half_lead(rows) if op.kind == "max" else float("inf")


def unpool(op: Unpool, inputs: tuple[Array, ...]) -> float:
    return pool(op.pool, inputs[1:])


def maxout(op: Maxout, inputs: tuple[Array, ...]) -> float:
    return half_lead(inputs[0].reshape(*inputs[0].shape[:-1], -1, op.n))


def maximum(op: Maximum, inputs: tuple[Array, ...]) -> float:
    return half_lead(np.stack(np.broadcast_arrays(*inputs), -1))


def pool(op: Any, inputs: tuple[Array, ...]) -> float:
    """For max, half the lead of a window's maximum; for norms, the distance from 0, where they have a kink."""
    (x,) = inputs
    if op.kind in ("avg", "weighted"):
        return float("inf")
    g = geometry_of(op, x.shape[1:-1])
    seen = windows_of(pad(x, g.pads, -np.inf if op.kind == "max" else 0.0), g)  # (N, OH, OW, kh, kw, C)
    rank = len(g.k)
    flat = np.moveaxis(seen.reshape(*seen.shape[: 1 + rank], -1, seen.shape[-1]), -2, -1)  # (N, OH, OW, C, kh·kw)
    if op.kind == "max":
        return half_lead(flat)
    if op.order == 1:
        return float(np.abs(x).min())
    return float(np.abs(flat).max(-1).min()) / 50  # near its kink a norm curves too much for central differences


MARGINS: dict[type[Op], Margin] = {
    Relu: relu,
    **dict.fromkeys((Abs, Elu, LeakyRelu, Prelu, Selu), bends_at(0)),
    Relu6: bends_at(0, 6),
    Clip: clip,
    HardTanh: clip,
    **dict.fromkeys((HardSigmoid, HardSwish), bends_at(-3, 3)),
    Pool: pool,
    GlobalPool: global_pool,
    Unpool: unpool,
    Maxout: maxout,
    Maximum: maximum,
}


def crosses(graph: Graph, here: Trace, there: Trace) -> bool:
    """Whether a layer may have crossed a kink between two runs; both must keep all activations (keep_all)."""
    for node in graph.nodes:
        margin = MARGINS.get(type(node.op))
        if margin is None or node.name not in here.values:
            continue
        inputs = tuple(here.values[name] for name in node.inputs)
        moved = max(float(np.abs(here.values[n] - there.values[n]).max()) for n in node.inputs)
        if 2 * moved >= margin(node.op, inputs):
            return True
    return False
