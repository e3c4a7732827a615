"""Pooling."""

from __future__ import annotations

import numpy as np

from cnnc.export.emitter import Emitter, emission_of, padded, sides
from cnnc.graph import Node
from cnnc.ops import window
from cnnc.ops.pool import Pool
from cnnc.reference.pool import counts, geometry


@emission_of(Pool)
def _pool(e: Emitter, op: Pool, node: Node, inputs: list[str]) -> None:
    # Explicit padding for what ceil rounds up: runtimes differ in the corners of ceil_mode.
    (x,) = e.graph.input_types(node)
    g = geometry(op, x.spatial)
    if op.kind == "max":
        pads = sides(g.pads)
        if any(max(sides) >= k for sides, k in zip(g.pads, op.k, strict=True)):
            # a dilated window may be padded by more than it has elements, which onnxruntime's MaxPool refuses
            inputs, pads = [padded(e, inputs, pads, -np.inf)], [0] * len(pads)
        e.op("MaxPool", inputs, kernel_shape=op.k, strides=op.stride, dilations=op.d, pads=pads)
        return
    asked = window.resolve(op.p, x.spatial, op.k, op.stride, op.d)
    if all(d == 1 for d in op.d) and not (op.count_pad and asked != g.pads):
        e.op(
            "AveragePool",
            inputs,
            kernel_shape=op.k,
            strides=op.stride,
            pads=sides(g.pads),
            count_include_pad=int(op.count_pad),
        )
        return
    # dilated (AveragePool has no dilations before opset 19), or ceil with counted padding: sum, then divide
    ones = e.constant(e.inner("ones"), np.ones((x.channels, 1, *op.k)))
    total = e.op(
        "Conv",
        [*inputs, ones],
        e.inner("sum"),
        kernel_shape=op.k,
        strides=op.stride,
        dilations=op.d,
        group=x.channels,
        pads=sides(g.pads),
    )
    per_window = np.moveaxis(counts(op, x.spatial, g), -1, 0)[None]  # (1, 1, OH, OW)
    e.op("Div", [total, e.constant(e.inner("counts"), per_window)])
