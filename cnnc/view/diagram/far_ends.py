"""Shapes at the ends of long lines: where a skip or the line to a new column arrives, its beginning is out of sight.

In: a `DiagramLayout` and the `Diagram`. Out: a `PlacedShape` for each long line near whose end there is room for one.

    far_shapes(layout_of(diagram), diagram)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from cnnc.view.diagram.diagram import Diagram
from cnnc.view.diagram.nested import LABEL, DiagramLayout, PlacedLine, PlacedShape
from cnnc.view.diagram.sized import NOTE
from cnnc.view.geometry import Point
from cnnc.view.text_width import text_width

FAR = 300
"""A line that is longer than this and bends has the shape at its end too."""
ROOM = 22
"""Above the layout, for the shapes beside lines that run along its top."""
_STEP, _CLEAR, _APART, _CELL = 2, 2, 5, 120
_ABOVE, _BELOW = 0.75 * NOTE, 0.2 * NOTE

Area = tuple[float, float, float, float]


def far_shapes(layout: DiagramLayout, diagram: Diagram) -> list[PlacedShape]:
    """The shapes, none of which meets a box, a line, a border or another text."""
    texts = {(e.tensor, e.target): e.shape for e in diagram.edges if diagram.by_name[e.target].role != "end"}
    taken = _Taken(layout)
    shapes = []
    for line in far_lines(layout):
        text = texts.get((line.tensor, line.target), "")
        width = text_width(text, NOTE)
        for x, y in _places(line.points, width) if text else ():
            area = (x - _CLEAR, y - _ABOVE - _CLEAR, x + width + _CLEAR, y + _BELOW + _CLEAR)
            if taken.is_free(area):
                taken.add((area[0] - _APART, area[1], area[2] + _APART, area[3]))
                shapes.append(PlacedShape(line.tensor, text, x, y))
                break
    return shapes


def far_lines(layout: DiagramLayout) -> Iterator[PlacedLine]:
    """The long lines that end at a box, each with all of its pieces."""
    pieces = {(line.tensor, _rounded(line.points[-1])): line for line in layout.lines if not line.arrow}
    for line in layout.lines:
        points = line.points
        while line.arrow and (before := pieces.get((line.tensor, _rounded(points[0])))):
            points = before.points + points[1:]
        corners = _corners(points)
        length = sum(abs(x1 - x0) + abs(y1 - y0) for (x0, y0), (x1, y1) in pairwise(corners))
        if line.arrow and len(corners) > 2 and length > FAR:
            yield line._replace(points=corners)


def _rounded(point: Point) -> Point:
    return round(point[0], 1), round(point[1], 1)


def _corners(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """The points at which a line bends, and its ends."""
    kept = list(points[:1])
    for point, after in pairwise(points[1:]):
        along_x = abs(kept[-1][1] - point[1]) < 0.01 and abs(point[1] - after[1]) < 0.01
        along_y = abs(kept[-1][0] - point[0]) < 0.01 and abs(point[0] - after[0]) < 0.01
        if not (along_x or along_y):
            kept.append(point)
    return (*kept, points[-1])


def _places(points: tuple[Point, ...], width: float) -> Iterator[Point]:
    """Where a text of this width would stand beside the last two pieces of a line, the nearest to its end first."""
    for start, end in reversed(list(pairwise(points[-3:]))):
        if abs(start[0] - end[0]) < 0.01:
            low, high = sorted((start[1], end[1]))
            y = high - _BELOW - _CLEAR - 1
            while y - _ABOVE > low + _CLEAR:
                yield end[0] + LABEL + _CLEAR, y
                yield end[0] - LABEL - _CLEAR - width, y
                y -= _STEP
        else:
            low, high = sorted((start[0], end[0]))
            count = int(max(0.0, high - low - width - 2 * LABEL) // _STEP)
            lefts = [low + LABEL + _STEP * k for k in range(count + 1)]
            for x in reversed(lefts) if end[0] > start[0] else lefts:
                yield x, end[1] - _BELOW - _CLEAR - 1
                yield x, end[1] + _ABOVE + _CLEAR + 1


class _Taken:
    """The areas of boxes, borders, lines and texts, found by the cells of a grid that they reach into."""

    def __init__(self, layout: DiagramLayout) -> None:
        self.width, self.height = layout.width, layout.height
        self.cells: dict[tuple[int, int], list[Area]] = {}
        for box in layout.boxes:
            self.add((box.x, box.y, box.x + box.width, box.y + box.sized.height))
        for frame in layout.frames:
            left, top, right, bottom = frame.x, frame.y, frame.x + frame.width, frame.y + frame.height
            for area in ((left, top, right, top + 22), (left, bottom, right, bottom)):
                self.add(area)
            for x in (left, right):
                self.add((x, top, x, bottom))
        for line in layout.lines:
            for (x0, y0), (x1, y1) in pairwise(line.points):
                self.add((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))
        for shape in layout.shapes:
            right = shape.x + text_width(shape.text, NOTE)
            self.add((shape.x - _APART, shape.y - _ABOVE, right + _APART, shape.y + _BELOW))

    def add(self, area: Area) -> None:
        """Takes an area."""
        for cell in _cells(area):
            self.cells.setdefault(cell, []).append(area)

    def is_free(self, area: Area) -> bool:
        """Whether an area is within the drawing and meets no other."""
        left, top, right, bottom = area
        if left < 0 or top < -ROOM or right > self.width or bottom > self.height:
            return False
        near = (other for cell in _cells(area) for other in self.cells.get(cell, ()))
        return not any(x0 < right and left < x1 + 0.01 and y0 < bottom and top < y1 + 0.01 for x0, y0, x1, y1 in near)


def _cells(area: Area) -> Iterable[tuple[int, int]]:
    left, top, right, bottom = (int(side // _CELL) for side in area)
    return ((i, j) for i in range(left, right + 1) for j in range(top, bottom + 1))
