"""Writes layers of other frameworks as statements of this language.

In: what a layer is and its arguments, as numbers with one value per axis. Out: lines such as `conv 64 k=3 p=1`. The modules
of the formats read; only this one writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

Axes = int | Sequence[int]


class Lines(NamedTuple):
    """Translated statements; `cut` if something of the network was not translated."""

    statements: tuple[str, ...]
    cut: bool


class Untranslated(Exception):
    """A layer or argument without a translation: the lines end before it."""


ACTIVATIONS = {
    "relu": "relu",
    "relu6": "relu6",
    "leaky": "leaky_relu 0.1",
    "leakyrelu": "leaky_relu",
    "leaky_relu": "leaky_relu",
    "prelu": "prelu",
    "elu": "elu",
    "selu": "selu",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "mish": "mish",
    "sigmoid": "sigmoid",
    "logistic": "sigmoid",
    "hardsigmoid": "hard_sigmoid",
    "hard_sigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "hard_swish": "hard_swish",
    "tanh": "tanh",
    "softmax": "softmax",
    "logsoftmax": "log_softmax",
    "log_softmax": "log_softmax",
    "softplus": "softplus",
    "linear": "",
    "none": "",
    "": "",
}


def activation(name: Any) -> list[str]:
    """The line of an activation; none for the identity. Raises Untranslated."""
    line = ACTIVATIONS.get(str(name or "").lower())
    if line is None:
        raise Untranslated(name)
    return [line] if line else []


def input_shape(channels: int | str, *sizes: int | str | None) -> str:
    """`input 3x32x32`; an open size becomes a symbol."""
    symbols = {1: "T", 2: "HW", 3: "DHW"}.get(len(sizes), "")
    parts = [str(size or symbols[i]) for i, size in enumerate(sizes)]
    return f"input {'x'.join([str(channels), *parts])}"


def conv(
    out: Any, k: Any, s: Any = 1, p: Any = 0, d: Any = 1, groups: Any = 1, bias: bool = True, op: str = "conv"
) -> str:
    """`conv 64 k=3 s=2 p=1`. Raises Untranslated for an argument that is not a number."""
    words = [op, whole(out), f"k={axes(k)}"]
    words += [f"s={axes(s)}"] if axes(s) != "1" else []
    words += [f"p={axes(p)}"] if axes(p) != "0" else []
    words += [f"d={axes(d)}"] if axes(d) != "1" else []
    words += [f"groups={whole(groups)}"] if groups != 1 else []
    words += [] if bias else ["bias=false"]
    return " ".join(words)


def pool(kind: str, k: Any, s: Any = None, p: Any = 0, ceil: bool = False) -> str:
    """`pool max k=2`; without `s` the windows do not overlap."""
    words = ["pool", kind, f"k={axes(k)}"]
    words += [f"s={axes(s)}"] if s is not None and axes(s) != axes(k) else []
    words += [f"p={axes(p)}"] if axes(p) != "0" else []
    words += ["ceil=true"] if ceil else []
    return " ".join(words)


def dropout(p: Any) -> str:
    return "dropout" if p in (None, 0.5) else f"dropout {number(p)}"


def axes(value: Any) -> str:
    """`3`, `3x5` or `[0, 0, 1, 1]`, or a word such as `same`. Raises Untranslated."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        parts = [whole(v) for v in value]
        if len(parts) > 3:
            return f"[{', '.join(parts)}]"
        return parts[0] if parts and len(set(parts)) == 1 else "x".join(parts)
    return whole(value)


def whole(value: Any) -> str:
    """A whole number. Raises Untranslated."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise Untranslated(value)
    return str(value)


def number(value: Any) -> str:
    """A number. Raises Untranslated."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Untranslated(value)
    return f"{value:g}"


def to_number(text: str) -> Any:
    """The number, boolean or list of numbers that a configuration has as a value; the text itself if it is neither."""
    stripped = text.strip().strip(",").strip()
    if stripped[:1] in ("[", "("):
        return [to_number(part) for part in stripped.strip("[]()").replace(",", " ").split()]
    if stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    for kind in (int, float):
        try:
            return kind(stripped)
        except ValueError:
            continue
    return stripped.strip("\"'")


class Translation:
    """Collects statements until something has no translation."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.cut = False

    def add(self, *lines: str) -> None:
        for line in lines:
            if line.startswith("fc") and re.search("x[A-Z]", "".join(self.statements[:1])) and not self._is_pooled():
                raise Untranslated("an fc on an image of unknown size")
            self.statements.append(line)

    def _is_pooled(self) -> bool:
        return any(s.startswith(("global_pool", "fc")) for s in self.statements)

    def lines(self) -> Lines:
        return Lines(tuple(self.statements), self.cut)
