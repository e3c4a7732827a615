"""Where the labels of a chart stand: beside their markers, where there is room.

In: texts with their markers, and what they must not cover. Out: labels.

    labels_beside([("conv1", marker)], [marker], lines, plot)     # [Label(48, 94, "conv1", ...)]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from cnnc.view.drawing import Box, Edge, Label, Marker
from cnnc.view.geometry import Point
from cnnc.view.labels import SMALL
from cnnc.view.text_width import text_width

Area = tuple[float, float, float, float]
_BESIDE = (
    (0.0, 8, -6),
    (0.0, 8, 14),
    (-1.0, -8, -6),
    (-1.0, -8, 14),
    (-0.5, 0, -9),
    (-0.5, 0, 18),
    (0.0, 9, 4),
    (-1.0, -9, 4),
)
"""Positions of a label around its marker: how many of its widths and how many pixels to the right, and how many down."""


def labels_beside(
    labelled: Sequence[tuple[str, Marker]], markers: Sequence[Marker], lines: Sequence[Edge], plot: Box
) -> list[Label]:
    """Texts beside their markers, where they cover no marker and no other label, and as little of the lines as can be.

    `markers` and `lines` are all of the chart, `plot` the area that labels stay in. A text without room is left out.
    """
    if not labelled:
        return []
    taken = [(m.x - m.size / 2, m.y - m.size / 2, m.x + m.size / 2, m.y + m.size / 2) for m in markers]
    on_lines = [point for line in lines for pair in pairwise(line.points) for point in _between(*pair)]
    inside = (plot.x, plot.y, plot.x + plot.width, plot.y + plot.height)
    labels = []
    for text, marker in labelled:
        width = text_width(text, SMALL)
        places = [(marker.x + widths * width + x, marker.y + y) for widths, x, y in _BESIDE]
        areas = {place: _label_area(*place, width) for place in places}
        free = [p for p in places if _within(areas[p], inside) and not any(_overlap(areas[p], a) for a in taken)]
        if free:
            x, y = min(free, key=lambda p: sum(_overlap((*q, *q), areas[p]) for q in on_lines))
            labels.append(Label(x, y, text, "start", "text", SMALL))
            taken.append(areas[x, y])
    return labels


def _label_area(x: float, y: float, width: float) -> Area:
    return x, y - SMALL * 0.8, x + width, y + SMALL * 0.25


def _between(start: Point, end: Point) -> Iterator[Point]:
    """Points on a line, some 4 pixels apart."""
    parts = max(1, int(max(abs(end[0] - start[0]), abs(end[1] - start[1])) / 4))
    return (
        (start[0] + (end[0] - start[0]) * k / parts, start[1] + (end[1] - start[1]) * k / parts)
        for k in range(parts + 1)
    )


def _overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _within(a: Area, b: Area) -> bool:
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]
