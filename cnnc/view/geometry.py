"""The outlines of bends, arrowheads, markers and rectangles, which SVG and PNG draw alike; shapes at another place.

In: the points of an edge, a marker, or shapes. Out: points, or shapes.

    arrowhead(Edge(((0, 0), (10, 0)), arrow=True))     # ((10, 0), (2, 4.0), (2, -4.0))
"""

from __future__ import annotations

from collections.abc import Iterable
from math import hypot
from typing import NamedTuple

from cnnc.view.drawing import Drawing, Edge, Label, Marker, Polygon, Shape

Point = tuple[float, float]
ARROW = 8
"""The length and width of an arrowhead."""


class Bend(NamedTuple):
    """A rounded corner: a quadratic curve from `start` to `end`, drawn towards `control`."""

    start: Point
    control: Point
    end: Point


def bends(edge: Edge) -> list[Bend]:
    """The bends of an edge, in their order; of radius 0 if the edge has sharp corners."""
    points = line_points(edge)
    result = []
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(edge.corner, _distance(before, at) / 2, _distance(at, after) / 2)
        result.append(Bend(_towards(at, before, radius), at, _towards(at, after, radius)))
    return result


def polyline(edge: Edge, parts: int = 6) -> list[Point]:
    """An edge as straight pieces, its bends in `parts` pieces each."""
    ends = line_points(edge)
    points = [ends[0]]
    for start, control, end in bends(edge):
        points.append(start)
        if start == end:
            continue
        for k in range(1, parts + 1):
            t = k / parts
            weights = ((1 - t) ** 2, 2 * t * (1 - t), t * t)
            x, y = (sum(w * p[axis] for w, p in zip(weights, (start, control, end), strict=True)) for axis in (0, 1))
            points.append((x, y))
    return [*points, ends[-1]]


def line_points(edge: Edge) -> tuple[Point, ...]:
    """The points of the line of an edge: it ends within the arrowhead, so that its width does not blunt the tip."""
    if not edge.arrow:
        return edge.points
    tip, before = _last(edge)
    return *edge.points[:-1], _towards(tip, before, min(ARROW, _distance(before, tip)) / 2)


def _last(edge: Edge) -> tuple[Point, Point]:
    """The end of an edge and the last point that differs from it."""
    tip = edge.points[-1]
    return tip, next((p for p in reversed(edge.points) if p != tip), (tip[0] - 1, tip[1]))


def arrowhead(edge: Edge) -> tuple[Point, Point, Point]:
    """The triangle at the end of an edge: its tip, and the two other corners."""
    tip, before = _last(edge)
    x, y = _towards(tip, before, ARROW)
    length = _distance(before, tip)
    across = ((before[1] - tip[1]) / length * ARROW / 2, (tip[0] - before[0]) / length * ARROW / 2)
    return tip, (x + across[0], y + across[1]), (x - across[0], y - across[1])


def marker_points(marker: Marker) -> list[Point]:
    """The corners of a marker; none for a circle."""
    x, y, half = marker.x, marker.y, marker.size / 2
    if marker.form == "square":
        return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    if marker.form == "triangle":
        return [(x, y - half * 1.2), (x + half * 1.2, y + half), (x - half * 1.2, y + half)]
    if marker.form == "diamond":
        return [(x, y - half * 1.3), (x + half * 1.3, y), (x, y + half * 1.3), (x - half * 1.3, y)]
    return []


def rectangle(x: float, y: float, width: float, height: float) -> tuple[Point, ...]:
    """The points of an edge around a rectangle, from its upper left corner to the right and back to it."""
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)


def moved(shapes: Iterable[Shape], x: float, y: float) -> list[Shape]:
    """Shapes x further to the right and y further down."""
    return [_moved(shape, x, y) for shape in shapes]


def _moved(shape: Shape, x: float, y: float) -> Shape:
    if isinstance(shape, Edge | Polygon):
        return shape._replace(points=tuple((left + x, top + y) for left, top in shape.points))
    return shape._replace(x=shape.x + x, y=shape.y + y)


def _distance(first: Point, second: Point) -> float:
    return hypot(second[0] - first[0], second[1] - first[1])


def _towards(start: Point, end: Point, length: float) -> Point:
    """The point at this distance from start in the direction of end."""
    whole = _distance(start, end) or 1.0
    return start[0] + (end[0] - start[0]) * length / whole, start[1] + (end[1] - start[1]) * length / whole


def without_head(drawing: Drawing) -> Drawing:
    """The drawing without its title and description at the top."""
    below = [s for s in drawing.shapes if not (isinstance(s, Label) and s.y <= drawing.head)]
    shapes = tuple(moved(below, 0, -drawing.head))
    return drawing._replace(height=drawing.height - drawing.head, shapes=shapes, head=0)
