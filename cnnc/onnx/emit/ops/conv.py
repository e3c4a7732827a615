"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnnc.core.arguments import Axes, Pads
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.onnx.emit.padding import Frame, Sides, padded, sides, worked_out, zeros
from cnnc.ops import window
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.reference.conv import rotate_180


@emission_of(Conv)
def _conv(e: Emitter, op: Conv, node: Node, inputs: list[str]) -> None:
    weight = _turned(e, node) if op.flip else e.weight("weight")
    image, pads = padded_image(e, inputs[0], lambda op: (op.p, op.k, op.s, op.d))
    names = [image, weight, *([e.weight("bias")] if op.bias else [])]
    e.op("Conv", names, kernel_shape=op.k, strides=op.s, dilations=op.d, group=op.groups, pads=pads)


def padded_image(e: Emitter, x: str, of: Callable[[Any], tuple[Pads, Axes, Axes, Axes]]) -> tuple[str, list[int]]:
    """What a convolution reads, and its `pads`; padding that depends on the size goes into a node of its own.

    `of(op)` are the padding of the text, kernel, stride and dilation.
    """

    def resolved(op: Any, x: TensorType) -> Sides:
        p, k, s, d = of(op)
        return window.resolve(p, x.spatial, k, s, d)

    pads = e.alike(resolved)
    if pads is not None:
        return x, sides(pads)
    assert e.node is not None
    frame = Frame(*of(e.node.op))
    return padded(e, x, worked_out(e, x, frame), 0), sides(zeros(len(frame.k)))


def _turned(e: Emitter, node: Node) -> str:
    """The weight as ONNX, which only correlates, needs it: turned, and stored so.

    Under its own name, unless a layer that shares it uses it as it is.
    """
    name = f"{node.parameter_owner}.weight"
    sharing = [n.op for n in e.graph.nodes if n.parameter_owner == node.parameter_owner]
    stored = name if all(isinstance(op, Conv) and op.flip for op in sharing) else f"{name}.turned"
    return stored if stored in e.initializers else e.constant(stored, np.ascontiguousarray(rotate_180(e.weights[name])))


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
        pads=sides(tuple((rule.begin, rule.end) for rule in op.rules(x))),  # of `same` too, whatever the size is
        output_padding=op.output_pad,
    )
