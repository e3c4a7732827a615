"""A line chart: curves over two axes with round ticks.

In: curves and axes. Out: a drawing. Curves differ in colour, dashes and the form of their markers. Points that an axis
does not show (not finite, or not positive on a logarithmic one) are left out, and the line has a gap there.

    error = Curve("plain", (CurvePoint(1200, 0.031), CurvePoint(54000, 0.012, "deeper")))
    line_chart("Error", "Test error over parameters", [error], Axis("parameters", log=True), Axis("test error"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from math import ceil, floor, inf
from typing import NamedTuple

from cnnc.view.axis import Axis, AxisScale, scale_of
from cnnc.view.chart_labels import labels_beside
from cnnc.view.drawing import Box, Drawing, Edge, Label, Marker, MarkerForm, Role, Shape
from cnnc.view.labels import MARGIN, SMALL, TITLE, label_width, text_lines
from cnnc.view.palette import MARKERS
from cnnc.view.text_width import text_width

_ROLES: tuple[Role, ...] = tuple(MARKERS)
_FORMS: tuple[MarkerForm, ...] = tuple(MARKERS.values())
_SAMPLE = 30
"""The length of the line in the legend."""
_LOWEST, _TICK_ROOM = 160, 26
"""The least height and width of the area of the curves, and the height of the texts below it."""
_RING = 14
"""The size of a ring around a marker."""
_APART, _FEW, _CROWD = 14, 10, 60
"""Markers closer than this would hide the line: then it has only about this many, at other points than its neighbours. The
curves of a crowd share this many.
"""


class CurvePoint(NamedTuple):
    """A point, with a label beside it, or shown on hovering where there is no room for it."""

    x: float
    y: float
    label: str = ""


class Curve(NamedTuple):
    """Points joined by a line in their order.

    `look` is the number of its colour, dashes and marker (default: its position among the curves). A `thin` curve has a thin
    line and hollow markers; of one without `line`, only the markers are drawn. `ring` is the index of a point with a ring.
    """

    name: str
    points: tuple[CurvePoint, ...]
    look: int | None = None
    thin: bool = False
    line: bool = True
    ring: int | None = None


def line_chart(
    title: str, description: str, curves: Sequence[Curve], x: Axis, y: Axis, width: float = 640, height: float = 400
) -> Drawing:
    """The drawing of curves over two axes, higher than asked if its texts leave too little room for the curves."""
    head = text_lines(title, MARGIN, MARGIN, width - 2 * MARGIN, "title", TITLE)
    legend, bottom = _legend(curves, head.bottom + 6, width)
    y_title = text_lines(y.title, MARGIN, bottom + 4, width - 2 * MARGIN, "note", SMALL)
    top = round(y_title.bottom + 8) + 0.5
    x_title = text_lines(x.title, 0, 0, width - 2 * MARGIN, "note", SMALL)
    high = max(_LOWEST, round(height - top - _TICK_ROOM - x_title.bottom - 8))
    across = scale_of(x, (point.x for curve in curves for point in curve.points), max(3, int(width / 110)))
    up = scale_of(y, (point.y for curve in curves for point in curve.points), max(3, int(high / 40)))
    left = round(MARGIN + max(text_width(text, SMALL) for _, text in up.ticks) + 8) + 0.5
    right = width - max(MARGIN, text_width(across.ticks[-1][1], SMALL) / 2 + 4)
    plot = Box(left, top, max(_LOWEST, round(right - left)), high)
    below = [
        label._replace(x=width / 2, y=top + high + _TICK_ROOM + label.y, anchor="middle") for label in x_title.labels
    ]
    shapes: list[Shape] = [*head.labels, *legend, *y_title.labels, *below, *plot_shapes(curves, plot, across, up)]
    return Drawing(
        max(width, plot.x + plot.width + MARGIN),
        max(height, top + high + _TICK_ROOM + x_title.bottom + 8),
        title,
        description,
        tuple(shapes),
    )


def plot_shapes(
    curves: Sequence[Curve], plot: Box, across: AxisScale, up: AxisScale, marks: Sequence[Shape] = ()
) -> list[Shape]:
    """The axes around an area, with their ticks and numbers, the marks, and the curves above them."""

    def place(point: CurvePoint) -> tuple[float, float]:
        return plot.x + plot.width * across.part(point.x), plot.y + plot.height * (1 - up.part(point.y))

    def shows(point: CurvePoint) -> bool:
        return across.shows(point.x) and up.shows(point.y)

    return [*_axes(plot, across, up), *marks, *_curves(curves, plot, shows, place)]


# Axes


def _axes(plot: Box, across: AxisScale, up: AxisScale) -> Iterable[Shape]:
    bottom, right = plot.y + plot.height, plot.x + plot.width
    end = -inf
    for value, text in across.ticks:
        x = plot.x + plot.width * across.part(value)
        yield Edge(((x, plot.y), (x, bottom)), "axis")
        half = text_width(text, SMALL) / 2
        if x - half > end:
            yield Label(x, bottom + 18, text, "middle", "note", SMALL)
            end = x + half + 4
    for value, text in up.ticks:
        y = bottom - plot.height * up.part(value)
        yield Edge(((plot.x, y), (right, y)), "axis")
        yield Label(plot.x - 8, y + 4, text, "end", "note", SMALL)
    yield Edge(((plot.x, plot.y), (plot.x, bottom), (right, bottom)), "note")


# Curves


LOOKS = 16
"""How many curves differ."""


def curve_look(number: int) -> tuple[Role, MarkerForm]:
    """The role and marker of a curve."""
    return _ROLES[number % 4], _FORMS[(number + number // 4) % 4]


def _look(curve: Curve, number: int) -> tuple[Role, MarkerForm]:
    return curve_look(number if curve.look is None else curve.look)


def _legend(curves: Sequence[Curve], y: float, width: float) -> tuple[list[Shape], float]:
    """A sample and the name of each curve, and the y below them."""
    shapes: list[Shape] = []
    x, used = float(MARGIN), 0.0
    for number, curve in enumerate(curves):
        role, form = _look(curve, number)
        name = text_lines(curve.name, 0, 0, width - 2 * MARGIN - _SAMPLE - 6, "text", SMALL)
        needed = _SAMPLE + 6 + max((label_width(label) for label in name.labels), default=0) + 18
        if x > MARGIN and x + needed > width - MARGIN:
            x, y, used = MARGIN, y + used, 0.0
        if curve.line:
            shapes.append(Edge(((x, y + 8), (x + _SAMPLE, y + 8)), role, thin=curve.thin))
        shapes.append(Marker(x + _SAMPLE / 2, y + 8, form, role, hollow=curve.thin))
        shapes += [label._replace(x=x + _SAMPLE + 6, y=y + label.y) for label in name.labels]
        x, used = x + needed, max(used, name.bottom, 18)
    return shapes, y + used


def _curves(
    curves: Sequence[Curve],
    plot: Box,
    shows: Callable[[CurvePoint], bool],
    place: Callable[[CurvePoint], tuple[float, float]],
) -> list[Shape]:
    """The rings, the lines, then the markers, then the labels that have room."""
    rings: list[Marker] = []
    lines: list[Edge] = []
    markers: list[Marker] = []
    labelled: list[tuple[str, Marker]] = []
    few = max(3, min(_FEW, _CROWD // max(1, len(curves))))
    room = plot.width / _APART if few == _FEW else few
    for number, curve in enumerate(curves):
        role, form = _look(curve, number)
        shown = [shows(point) for point in curve.points]
        if curve.line:
            runs = _runs(curve.points, shown)
            lines += [Edge(_thinned(list(map(place, run))), role, thin=curve.thin) for run in runs]
        every = ceil(len(curve.points) / few) if len(curve.points) > room else 1
        for index in _marked(curve, shown, every, number * every // len(curves)):
            point = curve.points[index]
            marker = Marker(*place(point), form, role, hint=_point_text(curve, point), hollow=curve.thin)
            markers.append(marker)
            if index == curve.ring:
                rings.append(marker._replace(size=_RING, hint="", hollow=True))
            if point.label:
                labelled.append((point.label, marker))
    return [*rings, *lines, *markers, *labels_beside(labelled, markers, lines, plot)]


def _runs(points: Sequence[CurvePoint], shown: Sequence[bool]) -> Iterator[list[CurvePoint]]:
    """The points between gaps, where there are at least two."""
    for is_shown, run in groupby(zip(points, shown, strict=True), lambda pair: pair[1]):
        part = [point for point, _ in run]
        if is_shown and len(part) > 1:
            yield part


def _thinned(places: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The first, highest, lowest and last of the places in each column of pixels: with thousands, the line looks the same."""
    kept: list[tuple[float, float]] = []
    for _, column in groupby(enumerate(places), lambda pair: floor(pair[1][0])):
        numbered = list(column)
        heights = sorted(numbered, key=lambda pair: pair[1][1])
        ends = {pair[0]: pair[1] for pair in (numbered[0], heights[0], heights[-1], numbered[-1])}
        kept += [ends[index] for index in sorted(ends)]
    return tuple(kept)


def _marked(curve: Curve, shown: Sequence[bool], every: int, first: int) -> Iterator[int]:
    """The points that have a marker: one in `every` from `first` on, the last, and those with a ring, a label or no line.

    A marker that would touch that of the last point is left out.
    """
    last = len(curve.points) - 1
    for index, point in enumerate(curve.points):
        has_line = curve.line and any((*shown[max(0, index - 1) : index], *shown[index + 1 : index + 2]))
        is_one = index % every == first and (last - index) * 2 >= every
        if shown[index] and (is_one or index in (last, curve.ring) or point.label or not has_line):
            yield index


def _point_text(curve: Curve, point: CurvePoint) -> str:
    name = f"{curve.name}, {point.label}" if point.label else curve.name
    return f"{name}: {point.x:.6g}, {point.y:.6g}"
