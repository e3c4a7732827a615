"""Fixed filters."""

from __future__ import annotations

import numpy as np

from cnnc.export.emitter import Emitter, emission_of, sides
from cnnc.graph import Node
from cnnc.ops import window
from cnnc.ops.filter import Filter


@emission_of(Filter)
def _filter(e: Emitter, op: Filter, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    ones = (1,) * x.rank
    kernel = e.constant(e.inner("kernel"), np.broadcast_to(np.asarray(op.kernel()), (x.channels, 1, *op.k)))
    pads = sides(window.resolve(op.p, x.spatial, op.k, op.s, ones))
    e.op("Conv", [*inputs, kernel], kernel_shape=op.k, strides=op.s, dilations=ones, group=x.channels, pads=pads)
