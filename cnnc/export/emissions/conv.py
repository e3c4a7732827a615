"""Convolutions."""

from __future__ import annotations

from cnnc.export.emitter import Emitter, emission_of, sides
from cnnc.graph import Node
from cnnc.ops import window
from cnnc.ops.conv import Conv


@emission_of(Conv)
def _conv(e: Emitter, op: Conv, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    names = [*inputs, e.weight("weight"), *([e.weight("bias")] if op.bias else [])]
    pads = window.resolve(op.p, x.spatial, op.k, op.s, op.d)
    e.op("Conv", names, kernel_shape=op.k, strides=op.s, dilations=op.d, group=op.groups, pads=sides(pads))
