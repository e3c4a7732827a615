"""Kernel, stride, dilation and padding of ONNX operators, as arguments of the language.

Padding comes from three places: the attribute `pads`, the attribute `auto_pad`, and a Pad node before the operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes, WordValue
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import Layer, Unsupported
from cnnc.ops import window

MAX_WINDOW = 2**16  # largest kernel, stride, dilation or padding on one axis


class ImportedWindow(NamedTuple):
    """Arguments that conv and pool share: kernel, stride, dilation and padding `p` in the language's form.

    `pads` are (begin, end) per axis; None where the model gives an `auto_pad` that depends on the size.
    """

    k: Axes
    s: Axes
    d: Axes
    p: Any
    pads: tuple[tuple[int, int], ...] | None


def window_arguments(x: Layer, node: OnnxNode, kernel: Sequence[int]) -> ImportedWindow:
    """Kernel, stride, dilation and padding of a node on the spatial axes of x. Raises Unsupported."""
    rank = x.rank
    if rank < 1:
        raise Unsupported("it works on spatial axes, but its input is a vector")
    k, s, d = tuple(kernel), node.get("strides", (1,) * rank), node.get("dilations", (1,) * rank)
    if not len(k) == len(s) == len(d) == rank or min((*k, *s, *d)) < 1 or max((*k, *s, *d)) > MAX_WINDOW:
        raise Unsupported(f"its kernel, strides and dilations are not one number from 1 to {MAX_WINDOW:,} per axis")
    auto_pad = node.get("auto_pad", "NOTSET")
    words = {"VALID": "valid", "SAME_UPPER": "same", "SAME_LOWER": "same_lower"}
    if auto_pad in words:
        if auto_pad == "VALID":
            return ImportedWindow(k, s, d, 0, ((0, 0),) * rank)
        return ImportedWindow(k, s, d, WordValue(words[auto_pad]), None)
    pads = pad_pairs(node.get("pads", (0,) * 2 * rank), rank)
    return ImportedWindow(k, s, d, padding_argument(pads, x.type.spatial, k, s, d), pads)


def pad_pairs(pads: Sequence[int], rank: int) -> tuple[tuple[int, int], ...]:
    """ONNX's list of padding (all begins, then all ends) as (begin, end) per axis. Raises Unsupported."""
    if len(pads) != 2 * rank or min(pads, default=0) < 0 or max(pads, default=0) > MAX_WINDOW:
        raise Unsupported(f"its pads are not two numbers from 0 to {MAX_WINDOW:,} per axis")
    return tuple(zip(pads[:rank], pads[rank:], strict=True))


def padding_argument(pads: tuple[tuple[int, int], ...], sizes: Axes, k: Axes, s: Axes, d: Axes) -> Any:
    """The argument p for a padding: a word where it means the same at every size, or for uneven padding; else numbers."""
    even = all(b == e for b, e in pads)
    reach = tuple(window.effective(ka, da) for ka, da in zip(k, d, strict=True))
    if even and max(b for b, _ in pads) == 0:
        return 0
    if even and max(s) == 1 and all(e % 2 and b == e // 2 for e, (b, _) in zip(reach, pads, strict=True)):
        return WordValue("same")
    if even and max(s) == 1 and all(e > 2 and b == e - 1 for e, (b, _) in zip(reach, pads, strict=True)):
        return WordValue("full")
    words = ("causal",) if len(k) == 1 and max(s) == 1 else ()
    for word in (*words, "same", "same_lower") if not even and (words or max(s) > 1) else ():
        if window.resolve_padding(word, sizes, k, s, d) == pads:
            return WordValue(word)
    if even:
        return tuple(b for b, _ in pads)
    return (*(b for b, _ in pads), *(e for _, e in pads))


class PaddedLayer(NamedTuple):
    """A layer, and the constant padding that a Pad node adds to its output."""

    layer: Layer
    pads: tuple[tuple[int, int], ...]


def padded_input(ctx: Interpreter, value: float, name: str = "") -> PaddedLayer | None:
    """The Pad node that computes the tensor `name` (by default what the current node reads), if it pads the spatial axes
    with this value; else None.

    It must have no other reader, unless the value is infinite, which no `pad` layer has.
    """
    name = name or ctx.node.input_name(0)
    pad_node = ctx.node_of(name)
    if pad_node is None or pad_node.op != "Pad" or pad_node.domain or not (ctx.used_once(name) or isinf(value)):
        return None
    if pad_node.get("mode", "constant") != "constant":
        return None
    pad_value = _pad_value(ctx, pad_node)
    if pad_value is None or pad_value != value:
        return None
    layer = ctx.layer_of(pad_node.input_name(0))
    sides = pads_per_axis(ctx, pad_node, layer.rank + 2)
    if sides is None or any(s != (0, 0) for s in sides[:2]) or min(n for s in sides for n in s) < 0:
        return None
    return PaddedLayer(layer, tuple(sides[2:]))


def _pad_value(ctx: Interpreter, node: OnnxNode) -> float | None:
    """The constant of a Pad; None where it is computed."""
    if node.input_name(2):
        return ctx.scalar(node.input_name(2))
    return float(node.get("value", 0.0))


def pads_per_axis(ctx: Interpreter, node: OnnxNode, axes: int) -> list[tuple[int, int]] | None:
    """(begin, end) of each axis of a Pad, batch first; None where they are not constants or do not fit the axes."""
    sides = [(0, 0)] * axes
    padded_axes: Sequence[int] = range(axes)
    if "pads" in node.attributes:
        amounts = node.get("pads")
    else:
        array = ctx.values.get(node.input_name(1))
        if not isinstance(array, np.ndarray):
            return None
        amounts = tuple(int(n) for n in array.ravel())
    if node.input_name(3):
        axes_input = ctx.values.get(node.input_name(3))
        if not isinstance(axes_input, np.ndarray):
            return None
        padded_axes = [int(n) % axes for n in axes_input.ravel()]
    if len(amounts) != 2 * len(padded_axes):
        return None
    for position, axis in enumerate(padded_axes):
        sides[axis] = (int(amounts[position]), int(amounts[position + len(padded_axes)]))
    return sides
