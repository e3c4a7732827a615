"""Colours: what each role and each shade looks like on a light and on a dark background.

In: a role or a shade. Out: a `Look`. SVG, HTML and PNG all draw by this module, PNG by the light palette.

Roles differ in the width, dashes and hatching of their border and in the weight of their text, not only in colour: they
stay apart in grey. Heat maps run from blue (-1) over the background (0) to orange (1), which readers with any colour vision
tell apart; blue is always darker than orange of the same strength, so that the sign also shows in grey.

    LIGHT.look("read").line     # "#0a58ca"
    LIGHT.heat(-1.0)            # ("#1f5fb0", "#ffffff"): fill, and text that is readable on it
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from cnnc.view.drawing import MarkerForm, Role

LEVELS = 20
"""Steps of a heat map from 0 to 1; as many more to -1."""


class Form(NamedTuple):
    """What stays the same in light and dark: the border's width and dashes, hatching, and bold text."""

    width: float = 1
    dash: tuple[float, ...] = ()
    hatched: bool = False
    bold: bool = False


class Look(NamedTuple):
    """The colours of a role: of an area, of lines, and of text; `fill` is "none" for a role without area."""

    fill: str
    line: str
    text: str


class Palette(NamedTuple):
    """The colours for one kind of background; `mark` is that of the borders of marked cells on a heat map."""

    background: str
    looks: dict[Role, Look]
    mark: str
    negative: tuple[str, ...]
    positive: tuple[str, ...]

    def look(self, role: Role) -> Look:
        """The colours of a role."""
        return self.looks[role]

    def heat(self, shade: float) -> tuple[str, str]:
        """The fill of a shade from -1 to 1, and black or white, whichever is readable on it."""
        return _heat(self.negative if shade < 0 else self.positive, abs(level(shade)))


FORMS: dict[Role, Form] = {
    "plain": Form(1),
    "read": Form(2),
    "weight": Form(2, (5, 2)),
    "result": Form(3, bold=True),
    "padding": Form(1, (1, 2), hatched=True),
    "zero": Form(1, (1, 3)),
    "faint": Form(1, (3, 3)),
    "title": Form(2, bold=True),
    "text": Form(1.5),
    "note": Form(1),
    "axis": Form(1),
    "series1": Form(2),
    "series2": Form(2, (7, 3)),
    "series3": Form(2, (2, 3)),
    "series4": Form(2, (8, 3, 2, 3)),
    "end": Form(2.5),
    "conv": Form(2),
    "dense": Form(3.5),
    "pool": Form(2, (6, 3)),
    "norm": Form(1.5, (1.5, 2.5)),
    "activation": Form(1),
    "merge": Form(3),
    "dropout": Form(1.5, (8, 3, 2, 3)),
    "reshape": Form(1, (3, 3)),
    "block": Form(1.5),
    "frame": Form(1, (2, 2)),
}
MARKERS: dict[Role, MarkerForm] = {
    "series1": "circle",
    "series2": "square",
    "series3": "triangle",
    "series4": "diamond",
}
MARKING: tuple[Role, ...] = ("read", "weight", "result")
"""Roles that mark a cell: on a heat map, their border has the palette's colour of marks, which stands out from any shade."""

LIGHT = Palette(
    "#ffffff",
    {
        "plain": Look("#ffffff", "#87909a", "#1f2328"),
        "read": Look("#dbeafe", "#0a58ca", "#0b1f3f"),
        "weight": Look("#ffedd5", "#a84300", "#3b1a00"),
        "result": Look("#d6f5df", "#0f6b32", "#06290f"),
        "padding": Look("#f1f3f5", "#87909a", "#57606a"),
        "zero": Look("#ffffff", "#b4bcc5", "#656d76"),
        "faint": Look("#ffffff", "#b4bcc5", "#656d76"),
        "title": Look("none", "#1f2328", "#1f2328"),
        "text": Look("none", "#1f2328", "#1f2328"),
        "note": Look("none", "#57606a", "#57606a"),
        "axis": Look("none", "#c5ccd3", "#57606a"),
        "series1": Look("#0067a3", "#0067a3", "#0067a3"),
        "series2": Look("#b84500", "#b84500", "#b84500"),
        "series3": Look("#00734f", "#00734f", "#00734f"),
        "series4": Look("#8a3f8f", "#8a3f8f", "#8a3f8f"),
        "end": Look("#ffffff", "#1f2328", "#1f2328"),
        "conv": Look("#cfe3fb", "#0a58ca", "#0b1f3f"),
        "dense": Look("#e9d8fb", "#6f2dbd", "#2a0d4d"),
        "pool": Look("#ffe0bd", "#a84300", "#3b1a00"),
        "norm": Look("#f0f2f4", "#57606a", "#1f2328"),
        "activation": Look("#d9f2dd", "#0f6b32", "#06290f"),
        "merge": Look("#ffd9e2", "#b0103f", "#4a0018"),
        "dropout": Look("#fff6cc", "#7a6000", "#332800"),
        "reshape": Look("#ffffff", "#57606a", "#1f2328"),
        "block": Look("#e3f3f5", "#0b6470", "#04282d"),
        "frame": Look("none", "#6b747d", "#1f2328"),
    },
    "#000000",
    ("#ffffff", "#b4d3ee", "#659fd6", "#1f5fb0"),
    ("#ffffff", "#ffe3c2", "#fdb566", "#e97b0e"),
)
DARK = Palette(
    "#0d1117",
    {
        "plain": Look("#0d1117", "#6e7681", "#e6edf3"),
        "read": Look("#10305e", "#79b8ff", "#e9f2ff"),
        "weight": Look("#4d2600", "#ffa657", "#fff1e3"),
        "result": Look("#0f4423", "#7ee787", "#eafff0"),
        "padding": Look("#1b212a", "#6e7681", "#a3acb6"),
        "zero": Look("#0d1117", "#484f58", "#9198a1"),
        "faint": Look("#0d1117", "#484f58", "#9198a1"),
        "title": Look("none", "#e6edf3", "#e6edf3"),
        "text": Look("none", "#e6edf3", "#e6edf3"),
        "note": Look("none", "#9aa4af", "#9aa4af"),
        "axis": Look("none", "#3d444d", "#9aa4af"),
        "series1": Look("#58a6ff", "#58a6ff", "#58a6ff"),
        "series2": Look("#ff9b57", "#ff9b57", "#ff9b57"),
        "series3": Look("#3fd6a0", "#3fd6a0", "#3fd6a0"),
        "series4": Look("#d2a8ff", "#d2a8ff", "#d2a8ff"),
        "end": Look("#0d1117", "#e6edf3", "#e6edf3"),
        "conv": Look("#10305e", "#79b8ff", "#e9f2ff"),
        "dense": Look("#3a1e5c", "#d2a8ff", "#f6edff"),
        "pool": Look("#4d2600", "#ffa657", "#fff1e3"),
        "norm": Look("#22272e", "#9198a1", "#e6edf3"),
        "activation": Look("#0f4423", "#7ee787", "#eafff0"),
        "merge": Look("#5c1028", "#ff8fa8", "#fff0f3"),
        "dropout": Look("#3d3200", "#e3c84b", "#fff8da"),
        "reshape": Look("#0d1117", "#9198a1", "#e6edf3"),
        "block": Look("#0b3a40", "#66d1de", "#e8fbfd"),
        "frame": Look("none", "#7d858f", "#e6edf3"),
    },
    "#ffffff",
    ("#0d1117", "#0f2c52", "#174a8c", "#1f63bd"),
    ("#0d1117", "#5a350c", "#96560f", "#d07c14"),
)


def level(shade: float) -> int:
    """The step of a heat map that shows a shade, from -LEVELS to LEVELS; not-a-number is 0."""
    return round(max(-1.0, min(1.0, shade)) * LEVELS) if shade == shade else 0


@lru_cache(maxsize=1024)
def _heat(stops: tuple[str, ...], step: int) -> tuple[str, str]:
    place = step / LEVELS * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    pairs = zip(_channels(stops[first]), _channels(stops[first + 1]), strict=True)
    fill = "#" + "".join(f"{round(low + (high - low) * (place - first)):02x}" for low, high in pairs)
    return fill, max("#000000", "#ffffff", key=lambda text: contrast(text, fill))


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def luminance(colour: str) -> float:
    """The relative luminance of a colour `#rrggbb`, as the Web Content Accessibility Guidelines define it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """The contrast of two colours, from 1 to 21; text is readable from 4.5."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
