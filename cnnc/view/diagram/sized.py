"""The boxes of a diagram: their texts, and how large they are.

In: a `DiagramNode` or a `DiagramGroup`. Out: a `SizedBox` with its texts relative to its upper left corner. The first line
is what the source writes with the layer's name at the right, the second one counts layers and parameters.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.view.diagram.diagram import DiagramGroup, DiagramNode
from cnnc.view.drawing import Label
from cnnc.view.text_width import shortened, text_width

SIZE, NOTE = 13, 11
PAD = 9
MOST = 300
"""Longer texts are cut off with `…`; the whole is shown on hovering."""
_FIRST, _SECOND = 17, 33


class SizedBox(NamedTuple):
    """The least width of a box, its height, and its texts: at the left, at the right, and in a second line."""

    width: float
    height: float
    title: str
    name: str
    note: str

    def labels(self, x: float, y: float, width: float, node: DiagramNode) -> list[Label]:
        """The texts in a box of this width with its upper left corner at (x, y)."""
        pad = PAD + (3 if node.role == "block" else 0)
        labels = [Label(x + pad, y + _FIRST, self.title, "start", node.role, SIZE)]
        if not self.name and not self.note:
            labels = [Label(x + width / 2, y + _FIRST, self.title, "middle", node.role, SIZE)]
        if self.name:
            labels.append(Label(x + width - pad, y + _FIRST, self.name, "end", node.role, NOTE))
        if self.note:
            labels.append(Label(x + pad, y + _SECOND, self.note, "start", node.role, NOTE))
        return labels


def sized(node: DiagramNode) -> SizedBox:
    """The box of a node."""
    title = shortened(node.title, MOST, SIZE)
    is_output = node.role == "end" and node.title.startswith("output")
    name = "" if is_output or node.short_name == node.title else shortened(node.short_name, MOST / 2, NOTE)
    note = shortened(_note(node), MOST, NOTE)
    inner = 6 if node.role == "block" else 0
    first = text_width(title, SIZE) + (text_width(name, NOTE) + 14 if name else 0)
    width = max(first, text_width(note, NOTE)) + 2 * PAD + inner
    return SizedBox(max(width, 70.0), 40.0 if note else 25.0, title, name, note)


def _note(node: DiagramNode) -> str:
    parts = []
    if node.role == "block":
        parts.append(counted(node.layers, "layer"))
    if node.owner:
        parts.append(f"parameters of {node.owner}")
    elif node.parameters:
        parts.append(counted(node.parameters, "parameter"))
    return ", ".join(parts)


class FrameTexts(NamedTuple):
    """The texts of a frame, at the left and at the right above its layers."""

    left: str
    right: str

    @property
    def widths(self) -> tuple[float, float]:
        """How wide they are."""
        return text_width(self.left, NOTE, bold=True), text_width(self.right, NOTE)


def frame_texts(group: DiagramGroup, room: float) -> FrameTexts:
    """The name and the call of a block, at most `room` wide if that is not little, and its parameters."""
    right = counted(group.parameters, "parameter") if group.parameters else ""
    return FrameTexts(shortened(group.label, max(170.0, room / 1.2), NOTE), right)


def counted(number: int, word: str) -> str:
    """`1 layer`, `1,200 layers`."""
    return f"{number:,} {word}{'s' if number != 1 else ''}"
