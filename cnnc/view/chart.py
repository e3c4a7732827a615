"""A line chart: curves over two axes with round ticks.

In: curves and axes. Out: a drawing. Curves differ in colour, dashes and the form of their markers. Points that are not
finite, or not positive on a logarithmic axis, are left out, and the line has a gap there.

    error = Curve("plain", (CurvePoint(1200, 0.031), CurvePoint(54000, 0.012, "deeper")))
    line_chart("Error", "Test error over parameters", [error], Axis("parameters", log=True), Axis("test error"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from math import ceil, floor, inf, isfinite, log10
from typing import NamedTuple

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


class Axis(NamedTuple):
    """An axis; without `low` and `high` it fits the points."""

    title: str
    log: bool = False
    low: float | None = None
    high: float | None = None


class AxisScale(NamedTuple):
    """Where numbers stand on an axis: from `low` to `high`, which are logarithms if `log`, and the ticks with their texts."""

    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def part(self, value: float) -> float:
        """The position of a number, from 0 to 1."""
        return ((log10(value) if self.log else value) - self.low) / (self.high - self.low)

    def shows(self, value: float) -> bool:
        """Whether a number is on the axis."""
        return isfinite(value) and (value > 0 or not self.log) and -1e-9 <= self.part(value) <= 1 + 1e-9


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


def scale_of(axis: Axis, values: Iterable[float], about: int) -> AxisScale:
    """The scale of an axis that fits these numbers, with about this number of ticks, at round numbers."""
    usable = [value for value in values if isfinite(value) and (value > 0 or not axis.log)]
    low = min(usable, default=1.0 if axis.log else 0.0)
    high = max(usable, default=10.0 if axis.log else 1.0)
    low = axis.low if axis.low is not None and (axis.low > 0 or not axis.log) else low
    high = axis.high if axis.high is not None and (axis.high > 0 or not axis.log) else high
    if axis.log:
        return _log_scale(low, high, about)
    whole = len(usable) > 0 and all(isinstance(value, int) for value in usable)  # epochs, not accuracies of 0.0 and 1.0
    return _linear_scale(low, high, about, 1.0 if whole else 0.0)


def _linear_scale(low: float, high: float, about: int, least_step: float) -> AxisScale:
    if not high > low:
        room = abs(low) / 10 or 0.5
        low, high = min(low, high) - room, max(low, high) + room
    step = max(round_step((high - low) / about), least_step)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    ticks = tuple((k * step, tick_text(k * step, step)) for k in range(first, last + 1))
    return AxisScale(first * step, last * step, False, ticks)


def round_step(least: float) -> float:
    """The smallest of ..., 0.1, 0.2, 0.5, 1, 2, 5, 10, ... that is at least this."""
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _log_scale(low: float, high: float, about: int) -> AxisScale:
    if not high > low:
        low, high = min(low, high) / 2, max(low, high) * 2
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        first = max((i for i, tick in enumerate(ticks) if tick <= low * (1 + 1e-9)), default=0)
        last = min((i for i, tick in enumerate(ticks) if tick >= high * (1 - 1e-9)), default=len(ticks) - 1)
        kept = ticks[first : last + 1]
        if len(kept) <= about + 1:
            break
    kept = kept[:: max(1, ceil(len(kept) / (about + 1)))]
    ends = min(low, kept[0]), max(high, kept[-1])
    return AxisScale(log10(ends[0]), log10(ends[1]), True, tuple((tick, _power_text(tick)) for tick in kept))


def tick_text(value: float, step: float) -> str:
    """A number as text, with as many decimals as the step between ticks needs."""
    if abs(value) < step / 1000:
        return "0"
    if abs(value) >= 1e9 or step < 1e-5:
        mantissa, _, exponent = f"{value:.4g}".partition("e")
        return mantissa + (f"e{int(exponent)}" if exponent else "")
    return f"{value:,.{max(0, -floor(log10(step) + 1e-9))}f}".replace("-", "−")


def _power_text(value: float) -> str:
    """A number of a logarithmic axis: 0.0001, but 1e-5."""
    if value >= 0.99e-4:
        return tick_text(value, value)
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


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


def _legend(curves: Sequence[Curve], y: float, width: float) -> tuple[list[Shape], float]:
    """A sample and the name of each curve, and the y below them."""
    shapes: list[Shape] = []
    x, used = float(MARGIN), 0.0
    for number, curve in enumerate(curves):
        role, form = curve_look(number if curve.look is None else curve.look)
        name = text_lines(curve.name, 0, 0, width - 2 * MARGIN - _SAMPLE - 6, "text", SMALL)
        needed = _SAMPLE + 6 + max((label_width(label) for label in name.labels), default=0) + 18
        if x > MARGIN and x + needed > width - MARGIN:
            x, y, used = MARGIN, y + used, 0.0
        shapes.append(Edge(((x, y + 8), (x + _SAMPLE, y + 8)), role))
        shapes.append(Marker(x + _SAMPLE / 2, y + 8, form, role))
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
    wanted: list[tuple[CurvePoint, Marker]] = []
    few = max(3, min(_FEW, _CROWD // max(1, len(curves))))
    room = plot.width / _APART if few == _FEW else few
    for number, curve in enumerate(curves):
        role, form = curve_look(number if curve.look is None else curve.look)
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
                wanted.append((point, marker))
    return [*rings, *lines, *markers, *_labels(wanted, markers, lines, plot)]


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
    """The points that have a marker: one in `every` from `first` on, the last, and those with a ring, a label or no line."""
    last = len(curve.points) - 1
    for index, point in enumerate(curve.points):
        has_line = curve.line and any((*shown[max(0, index - 1) : index], *shown[index + 1 : index + 2]))
        if shown[index] and (index % every == first or index in (last, curve.ring) or point.label or not has_line):
            yield index


def _point_text(curve: Curve, point: CurvePoint) -> str:
    name = f"{curve.name}, {point.label}" if point.label else curve.name
    return f"{name}: {point.x:.6g}, {point.y:.6g}"


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


def _labels(
    wanted: Sequence[tuple[CurvePoint, Marker]], markers: Sequence[Marker], lines: Sequence[Edge], plot: Box
) -> list[Label]:
    """Labels beside their markers, where they cover no marker and no other label, and as little of the lines as can be."""
    if not wanted:
        return []
    taken = [(m.x - m.size / 2, m.y - m.size / 2, m.x + m.size / 2, m.y + m.size / 2) for m in markers]
    on_lines = [
        point for line in lines for pair in zip(line.points, line.points[1:], strict=False) for point in _between(*pair)
    ]
    inside = (plot.x, plot.y, plot.x + plot.width, plot.y + plot.height)
    labels = []
    for point, marker in wanted:
        width = text_width(point.label, SMALL)
        places = [(marker.x + widths * width + x, marker.y + y) for widths, x, y in _BESIDE]
        areas = {place: _label_area(*place, width) for place in places}
        free = [p for p in places if _within(areas[p], inside) and not any(_overlap(areas[p], a) for a in taken)]
        if free:
            x, y = min(free, key=lambda p: sum(_overlap((*q, *q), areas[p]) for q in on_lines))
            labels.append(Label(x, y, point.label, "start", "text", SMALL))
            taken.append(areas[x, y])
    return labels


def _label_area(x: float, y: float, width: float) -> Area:
    return x, y - SMALL * 0.8, x + width, y + SMALL * 0.25


def _between(start: tuple[float, float], end: tuple[float, float]) -> Iterator[tuple[float, float]]:
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
