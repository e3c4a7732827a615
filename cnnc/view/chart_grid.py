"""Several drawings in one, in rows from left to right.

In: drawings, and what stands above and below them. Out: a drawing as wide as its widest row.

    chart_grid("Training of lenet5", "Loss and accuracy", [loss, accuracy], 2)
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.view.drawing import Drawing, Shape
from cnnc.view.geometry import moved
from cnnc.view.labels import MARGIN, SMALL, TITLE, text_lines

_GAP = 24


def chart_grid(
    title: str,
    description: str,
    drawings: Sequence[Drawing],
    columns: int,
    head: Drawing | None = None,
    notes: Sequence[str] = (),
) -> Drawing:
    """Rows of up to `columns` drawings below a title and the `head`; then the notes. Titles within must be drawn by them."""
    rows = [drawings[first : first + columns] for first in range(0, len(drawings), columns)]
    widths = [sum(each.width for each in row) + _GAP * (len(row) - 1) for row in rows]
    widest = max([*widths, head.width if head is not None else 0, 320])
    lines = text_lines(title, MARGIN, MARGIN, widest, "title", TITLE)
    shapes: list[Shape] = list(lines.labels)
    y = lines.bottom + 8
    if head is not None:
        shapes += moved(head.shapes, MARGIN, y)
        y += head.height + _GAP / 2
    for row in rows:
        x = float(MARGIN)
        for each in row:
            shapes += moved(each.shapes, x, y)
            x += each.width + _GAP
        y += max(each.height for each in row) + _GAP / 2
    for note in notes:
        below = text_lines(note, MARGIN, y, widest, "note", SMALL)
        shapes += below.labels
        y = below.bottom
    return Drawing(widest + 2 * MARGIN, y + MARGIN, title, description, tuple(shapes))
