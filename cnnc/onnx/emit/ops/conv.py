"""Emission of convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnnc.core.arguments import Axes, Pads
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.onnx.emit.padding import AxisPads, WindowArguments, no_pads, onnx_pads, pad_tensor, runtime_padding
from cnnc.ops import window
from cnnc.ops.conv import Conv, ConvTranspose


@emission_of(Conv)
def _conv(e: Emitter, op: Conv, node: Node, inputs: list[str]) -> None:
    weight = _flipped(e, node) if op.flip else e.weight("weight")
    image, pads = padded_image(e, inputs[0], lambda op: (op.p, op.k, op.s, op.d))
    names = [image, weight, *([e.weight("bias")] if op.bias else [])]
    e.op("Conv", names, kernel_shape=op.k, strides=op.s, dilations=op.d, group=op.groups, pads=pads)


def padded_image(
    e: Emitter, x: str, window_of: Callable[[Any], tuple[Pads, Axes, Axes, Axes]]
) -> tuple[str, list[int]]:
    """The tensor that a convolution reads, and its `pads`; padding that depends on a symbolic size becomes a Pad node.

    `window_of(op)` returns the padding as in the source, kernel, stride and dilation.
    """

    def resolved(op: Any, x: TensorType) -> AxisPads:
        p, k, s, d = window_of(op)
        return window.resolve_padding(p, x.spatial, k, s, d)

    pads = e.same_at_all_sizes(resolved)
    if pads is not None:
        return x, onnx_pads(pads)
    assert e.node is not None
    args = WindowArguments(*window_of(e.node.op))
    return pad_tensor(e, x, runtime_padding(e, x, args), 0), onnx_pads(no_pads(len(args.k)))


def _flipped(e: Emitter, node: Node) -> str:
    """The weight of a true convolution, flipped, as ONNX only computes correlations.

    Stored under its own name, unless a layer that shares it uses it unflipped.
    """
    name = f"{node.parameter_owner}.weight"
    sharing = [n.op for n in e.graph.nodes if n.parameter_owner == node.parameter_owner]
    stored = name if all(isinstance(op, Conv) and op.flip for op in sharing) else f"{name}.turned"
    return e.rotated("weight", stored)


@emission_of(ConvTranspose)
def _conv_transpose(e: Emitter, op: ConvTranspose, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    pads = tuple((rule.begin, rule.end) for rule in op.rules(x))  # independent of the size, for `same` as well
    e.op(
        "ConvTranspose",
        [*inputs, e.weight("weight"), *([e.weight("bias")] if op.bias else [])],
        kernel_shape=op.k,
        strides=op.s,
        dilations=op.d,
        group=op.groups,
        pads=onnx_pads(pads),
        output_padding=op.output_pad,
    )
