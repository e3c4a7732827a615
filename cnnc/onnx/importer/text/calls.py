"""Writes a layer as a call of the language, with default arguments left out.

Example: a `Conv` of 8 outputs with a 3x3 kernel becomes `conv 8 k=3`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cnnc.core.arguments import ArgumentSpec, Indices, LayerName, Padding, PerAxis
from cnnc.core.tensor import format_shape
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.ops import window
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc, Input
from cnnc.ops.local import Local

NameOf = Callable[[Layer], str]
LAYERS_WITH_WIDTH = Conv | ConvTranspose | Fc | Local  # layers whose number of outputs is an argument


class CallText(NamedTuple):
    """A call without its label: the keyword and the arguments; `width_index` is the position of the number of outputs."""

    keyword: str
    arguments: tuple[str, ...]
    width_index: int | None = None

    def text(self, width: str | None = None) -> str:
        """The call as source; `width` replaces the number of outputs."""
        arguments = list(self.arguments)
        if width is not None and self.width_index is not None:
            arguments[self.width_index] = width
        return " ".join([self.keyword, *arguments])


def call_text(layer: Layer, name_of: NameOf, owner: Layer | None = None) -> CallText:
    """The call of a layer.

    `name_of` gives the names of other layers; `owner` is the layer whose parameters it shares, if any.
    """
    op = layer.op
    if isinstance(op, Input):
        shape = op.shape
        if op.symbols:
            shape_text = "x".join(s or str(n) for n, s in zip(shape, op.symbols, strict=True))
        else:
            shape_text = format_shape(shape)
        return CallText(op.keyword, (shape_text, *([f"dtype={op.dtype}"] if op.dtype else [])))
    positional: list[str] = []
    keyword: list[str] = []
    has_width = isinstance(op, LAYERS_WITH_WIDTH)
    for spec in op.arguments:
        text = _argument(layer, spec, name_of, owner)
        if text is None:
            continue
        (positional if spec.positional else keyword).append(text if spec.positional else f"{spec.name}={text}")
    width_index = 0 if has_width and positional[0].isdigit() else None
    return CallText(op.keyword, (*positional, *keyword), width_index)


def _argument(layer: Layer, spec: ArgumentSpec, name_of: NameOf, owner: Layer | None) -> str | None:
    """An argument as source, or None where it is the default."""
    op = layer.op
    value = getattr(op, spec.name)
    if isinstance(spec.kind, LayerName):
        named = owner if spec.name == "share" else layer.layer_arguments.get(spec.name)
        return None if named is None else name_of(named)
    if value is None:
        return None
    if not spec.required and spec.default is not None and value == spec.kind.take(spec.default, layer.inputs[0].rank):
        return None
    depthwise = isinstance(op, Conv) and value == op.groups == layer.inputs[0].type.channels > 1
    if depthwise and spec.name in ("groups", "out"):
        return "c_in"
    return format_argument(value, spec)


def format_argument(value: Any, spec: ArgumentSpec) -> str:
    """The value of an argument as source."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return format_number(value)
    if isinstance(spec.kind, Padding):
        return window.pads_text(value)
    if isinstance(spec.kind, PerAxis):
        return window.short(value)
    if isinstance(spec.kind, Indices):
        return f"[{', '.join(map(str, value))}]"
    if spec.name == "shape":
        return format_shape(value)
    if isinstance(value, tuple) and len(value) == 1 and not isinstance(value[0], tuple) and spec.name != "numbers":
        return format_number(value[0])
    return format_nested(value)


def format_nested(value: Any) -> str:
    """A number, or nested lists of numbers."""
    return f"[{', '.join(format_nested(v) for v in value)}]" if isinstance(value, tuple) else format_number(value)


def format_number(value: float) -> str:
    """The shortest decimal form of a number; whole numbers without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
