"""A layer as a call of the language: its words, defaults left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cnnc.core.arguments import ArgumentSpec, Indices, LayerName, Padding, PerAxis
from cnnc.core.tensor import format_shape
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.ops import window
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc, Input

NameOf = Callable[[Layer], str]
WIDE = Conv | ConvTranspose | Fc  # layers with a width of their own


class Phrase(NamedTuple):
    """A call without its label: the keyword, and its words. `width` is the place of the number of outputs among them."""

    keyword: str
    words: tuple[str, ...]
    width: int | None = None

    def text(self, width: str | None = None) -> str:
        """The call; `width` stands in the place of its own number."""
        words = list(self.words)
        if width is not None and self.width is not None:
            words[self.width] = width
        return " ".join([self.keyword, *words])


def phrase(layer: Layer, name_of: NameOf, owner: Layer | None = None) -> Phrase:
    """The call that makes a layer; `name_of` gives the names of others."""
    op = layer.op
    if isinstance(op, Input):
        shape = op.shape
        if op.symbols:
            shape_text = "x".join(s or str(n) for n, s in zip(shape, op.symbols, strict=True))
        else:
            shape_text = format_shape(shape)
        return Phrase(op.keyword, (shape_text, *([f"dtype={op.dtype}"] if op.dtype else [])))
    values: list[str] = []
    keys: list[str] = []
    wide = isinstance(op, WIDE)
    for spec in op.arguments:
        text = _argument(layer, spec, name_of, owner)
        if text is None:
            continue
        (values if spec.positional else keys).append(text if spec.positional else f"{spec.name}={text}")
    width = 0 if wide and values[0].isdigit() else None
    return Phrase(op.keyword, (*values, *keys), width)


def _argument(layer: Layer, spec: ArgumentSpec, name_of: NameOf, owner: Layer | None) -> str | None:
    """An argument as it is written, or None where it goes without saying."""
    op = layer.op
    value = getattr(op, spec.name)
    if isinstance(spec.kind, LayerName):
        named = owner if spec.name == "share" else layer.names.get(spec.name)
        return None if named is None else name_of(named)
    if value is None:
        return None
    if not spec.required and spec.default is not None and value == spec.kind.take(spec.default, layer.inputs[0].rank):
        return None
    depthwise = isinstance(op, Conv) and value == op.groups == layer.inputs[0].type.channels > 1
    if depthwise and spec.name in ("groups", "out"):
        return "c_in"
    return written(value, spec)


def written(value: Any, spec: ArgumentSpec) -> str:
    """A value as the language writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(spec.kind, Padding):
        return window.pads_text(value)
    if isinstance(spec.kind, PerAxis):
        return window.short(value)
    if isinstance(spec.kind, Indices):
        return f"[{', '.join(map(str, value))}]"
    if spec.name == "shape":
        return format_shape(value)
    if isinstance(value, tuple) and len(value) == 1 and not isinstance(value[0], tuple) and spec.name != "numbers":
        return number(value[0])
    return nested(value)


def nested(value: Any) -> str:
    return f"[{', '.join(nested(v) for v in value)}]" if isinstance(value, tuple) else number(value)


def number(value: float) -> str:
    """A number by its shortest text; whole ones without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
