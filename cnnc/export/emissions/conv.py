"""Convolutions."""

from __future__ import annotations

import numpy as np

from cnnc.export.emitter import Emitter, emission_of, sides
from cnnc.graph import Node
from cnnc.ops import window
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.reference.conv import turned


@emission_of(Conv)
def _conv(e: Emitter, op: Conv, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    names = [*inputs, _turned(e, node) if op.flip else e.weight("weight"), *([e.weight("bias")] if op.bias else [])]
    pads = window.resolve(op.p, x.spatial, op.k, op.s, op.d)
    e.op("Conv", names, kernel_shape=op.k, strides=op.s, dilations=op.d, group=op.groups, pads=sides(pads))


def _turned(e: Emitter, node: Node) -> str:
    """The weight as ONNX, which only correlates, needs it: turned, and stored so.

    Under its own name, unless a layer that shares it uses it as it is.
    """
    name = f"{node.parameter_owner}.weight"
    sharing = [n.op for n in e.graph.nodes if n.parameter_owner == node.parameter_owner]
    stored = name if all(isinstance(op, Conv) and op.flip for op in sharing) else f"{name}.turned"
    return stored if stored in e.initializers else e.constant(stored, np.ascontiguousarray(turned(e.weights[name])))


@emission_of(ConvTranspose)
def _conv_transpose(e: Emitter, op: ConvTranspose, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    e.op(
        "ConvTranspose",
        [*inputs, e.weight("weight"), *([e.weight("bias")] if op.bias else [])],
        kernel_shape=op.k,
        strides=op.s,
        dilations=op.d,
        group=op.groups,
        pads=sides([(rule.begin, rule.end) for rule in op.rules(x)]),  # of `same` too, whatever the size is
        output_padding=op.output_pad,
    )
