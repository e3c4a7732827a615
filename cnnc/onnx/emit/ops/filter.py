"""Emission of fixed filters, as depthwise convolutions with constant kernels."""

from __future__ import annotations

import numpy as np

from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.onnx.emit.ops.conv import padded_image
from cnnc.ops.filter import Filter


@emission_of(Filter)
def _filter(e: Emitter, op: Filter, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    ones = (1,) * x.rank
    kernel = e.constant(e.inner_name("kernel"), np.broadcast_to(np.asarray(op.kernel()), (x.channels, 1, *op.size)))
    image, pads = padded_image(e, inputs[0], lambda op: (op.p, op.size, op.s, ones))
    e.op("Conv", [image, kernel], kernel_shape=op.size, strides=op.s, dilations=ones, group=x.channels, pads=pads)
