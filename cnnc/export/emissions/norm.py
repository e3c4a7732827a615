"""Layers that bring values to a common scale."""

from __future__ import annotations

import numpy as np

from cnnc.export.emitter import Emitter, emission_of
from cnnc.graph import Node
from cnnc.ops.norm import BatchNorm, Normalize


@emission_of(BatchNorm)
def _batch_norm(e: Emitter, op: BatchNorm, node: Node, inputs: list[str]) -> None:
    channels = node.type.channels
    scale = e.weight("scale") if op.affine else e.constant(e.inner("scale"), np.ones(channels))
    shift = e.weight("shift") if op.affine else e.constant(e.inner("shift"), np.zeros(channels))
    e.op("BatchNormalization", [*inputs, scale, shift, e.weight("mean"), e.weight("var")], epsilon=op.eps)


@emission_of(Normalize)
def _normalize(e: Emitter, op: Normalize, node: Node, inputs: list[str]) -> None:
    ones = (1,) * node.type.rank
    mean = e.constant(e.inner("mean"), np.reshape(op.mean, (-1, *ones)))
    std = e.constant(e.inner("std"), np.reshape(op.std, (-1, *ones)))
    e.op("Div", [e.op("Sub", [*inputs, mean], e.inner("centred")), std])
