"""Several charts on one drawing, in rows.

In: drawings, such as charts. Out: one `Drawing` with a title, and the others side by side, as many as fit the width.

    chart_grid("Activation functions", "Each function and its derivative", [line_chart(...), line_chart(...)])
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.view.drawing import Drawing, Shape
from cnnc.view.geometry import moved
from cnnc.view.labels import MARGIN, SMALL, TITLE, text_lines

WIDTH = 1080


def chart_grid(
    title: str, description: str, panels: Sequence[Drawing], notes: Sequence[str] = (), width: float = WIDTH
) -> Drawing:
    """The drawing of all panels; each row is as high as its highest panel."""
    across = max((panel.width for panel in panels), default=width)
    columns = max(1, min(len(panels), int(width // across)))
    total = max(across * columns, 360.0)
    head = text_lines(title, MARGIN, MARGIN, total - 2 * MARGIN, "title", TITLE)
    shapes: list[Shape] = list(head.labels)
    y = head.bottom + 6
    for first in range(0, len(panels), columns):
        row = panels[first : first + columns]
        for column, panel in enumerate(row):
            shapes += moved(panel.shapes, column * across, y)
        y += max(panel.height for panel in row)
    for note in notes:
        lines = text_lines(note, MARGIN, y, total - 2 * MARGIN, "note", SMALL)
        shapes += lines.labels
        y = lines.bottom
    return Drawing(total, y + MARGIN, title, description, tuple(shapes))
