"""Texts as labels: one below the other, broken into lines.

In: texts and the width they may fill. Out: labels, and where the next line would begin.

    text_lines("A note", 16, 40, 300, "note", SMALL)     # TextLines([Label(16, 52, "A note", ...)], 57.5)
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.view.drawing import Label, Role
from cnnc.view.text_width import text_width, wrapped

MARGIN = 16
BODY, SMALL, TITLE = 13, 12, 18
LINE = 19
"""Height of a line of text at the size BODY."""


class TextLines(NamedTuple):
    """Labels one below the other, and where the next line would begin."""

    labels: list[Label]
    bottom: float


def text_lines(
    text: str, x: float, y: float, width: float, role: Role, size: float, *, mono: bool = False
) -> TextLines:
    """A text broken into lines of at most this width, from y downwards."""
    if not text:
        return TextLines([], y)
    height = size * LINE / BODY
    lines = wrapped(text, width, size, mono=mono, bold=role == "title")
    labels = [Label(x, y + size + i * height, line, "start", role, size, mono) for i, line in enumerate(lines)]
    return TextLines(labels, y + len(lines) * height)


class TextColumn:
    """Texts below one another, broken into lines; `y` is where the next one begins."""

    def __init__(self, y: float, width: float) -> None:
        self.y, self.width = y, width
        self.labels: list[Label] = []

    def add(self, text: str, role: Role, size: float, *, mono: bool = False, after: float = 0) -> None:
        """Adds a text, and leaves room after it; nothing if it is empty."""
        if text:
            lines = text_lines(text, MARGIN, self.y, self.width, role, size, mono=mono)
            self.labels += lines.labels
            self.y = lines.bottom + after


def label_width(label: Label) -> float:
    """An upper limit of the width of a label."""
    return text_width(label.text, label.size, mono=label.mono, bold=label.role == "title")
