"""Shows that a line chart has round ticks, leaves out what it cannot show, and that its texts do not overlap."""

from __future__ import annotations

from math import inf, nan

import pytest

from cnnc.view.chart import Axis, Curve, CurvePoint, line_chart, scale_of
from cnnc.view.drawing import Drawing, Edge, Label, Marker
from tests.view.test_arrange import area, outside, overlap


def ticks(axis: Axis, *values: float, about: int = 5) -> list[str]:
    return [text for _, text in scale_of(axis, values, about).ticks]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((0, 1), ["0", "1"]),
        ((0.012, 0.031), ["0.010", "0.015", "0.020", "0.025", "0.030", "0.035"]),
        ((1, 300), ["0", "100", "200", "300"]),
        ((-3, 4), ["−4", "−2", "0", "2", "4"]),
        ((0, 120_000), ["0", "50,000", "100,000", "150,000"]),
        ((5, 5), ["4", "5", "6"]),
        ((0.5, 0.5), ["0.44", "0.46", "0.48", "0.50", "0.52", "0.54", "0.56"]),
        ((1, 2, 3), ["1", "2", "3"]),
        ((), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((nan, inf, 2.0, 3.0), ["2.0", "2.2", "2.4", "2.6", "2.8", "3.0"]),
        ((0, 2e-7), ["0", "5e-8", "1e-7", "1.5e-7", "2e-7"]),
    ],
)
def test_round_ticks(values: tuple[float, ...], texts: list[str]) -> None:
    assert ticks(Axis(""), *values) == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((1200, 300_000), ["1,000", "3,000", "10,000", "30,000", "100,000", "300,000"]),
        ((300, 50_000_000), ["100", "10,000", "1,000,000", "100,000,000"]),
        ((0.02, 0.4), ["0.02", "0.05", "0.1", "0.2", "0.5"]),
        ((1, 1e12), ["1", "1,000", "1,000,000", "1e9", "1e12"]),
        ((0, -1, 10, 20), ["10", "20"]),
        ((), ["1", "2", "5", "10"]),
        ((7, 7), ["2", "5", "10", "20"]),
    ],
)
def test_round_ticks_of_a_logarithm(values: tuple[float, ...], texts: list[str]) -> None:
    assert ticks(Axis("", log=True), *values) == texts


def test_limits_of_an_axis() -> None:
    assert ticks(Axis("", low=0, high=10), 3.0, 4.0) == ["0", "2", "4", "6", "8", "10"]
    assert ticks(Axis("", log=True, low=0, high=100), 10, 20) == ["10", "20", "50", "100"]  # a logarithm has no 0
    assert ticks(Axis("", low=5), 3.0, 4.0) == ["3.5", "4.0", "4.5", "5.0", "5.5"]  # no number is above the limit
    assert ticks(Axis("", log=True, low=5), 3, 4) == ["2", "5", "10"]


def chart(points: int = 6, curves: int = 2, label: str = "c={}") -> Drawing:
    each = [
        tuple(CurvePoint(1000 * 3**i + k, 0.05 / (i + 1) + 0.01 * k, label.format(i)) for i in range(points))
        for k in range(curves)
    ]
    named = [Curve(f"curve {k}", points) for k, points in enumerate(each)]
    return line_chart("Error", "Test error over parameters", named, Axis("parameters", log=True), Axis("test error"))


def long_texts() -> Drawing:
    curves = [Curve("a name " + "x" * 30 * k, (CurvePoint(1, k), CurvePoint(2, 1e6 * k))) for k in range(6)]
    return line_chart("A long title " * 9, "", curves, Axis("x" * 90), Axis("y " * 60), 300, 200)


@pytest.mark.parametrize(
    "drawing", [chart(), chart(3, 6), chart(12, 4, "a long name {}"), chart(0, 1), chart(0, 0), long_texts()]
)
def test_texts_do_not_overlap(drawing: Drawing) -> None:
    labels = [shape for shape in drawing.shapes if isinstance(shape, Label)]
    assert [(a, b) for i, a in enumerate(labels) for b in labels[:i] if overlap(area(a), area(b))] == []
    assert outside(drawing._replace(shapes=tuple(labels))) == []


def test_labels_have_room_or_are_hints() -> None:
    drawing = chart(6, 2)
    texts = [shape.text for shape in drawing.shapes if isinstance(shape, Label)]
    hints = [shape.hint for shape in drawing.shapes if isinstance(shape, Marker) and shape.hint]
    assert {"c=0", "c=5"} <= set(texts)
    assert "curve 0, c=0: 1000, 0.05" in hints
    assert len(hints) == 12


def test_sixteen_curves_differ() -> None:
    drawing = chart(3, 16)
    looks = [(shape.role, shape.form) for shape in drawing.shapes if isinstance(shape, Marker) and not shape.hint]
    assert len(set(looks)) == 16


def test_a_gap_where_a_point_is_missing() -> None:
    points = tuple(CurvePoint(i, nan if i == 2 else i) for i in range(6))
    drawing = line_chart("", "", [Curve("a", points)], Axis("x"), Axis("y"))
    runs = [len(shape.points) for shape in drawing.shapes if isinstance(shape, Edge) and shape.role == "series1"]
    assert runs == [2, 2, 3]  # the sample of the legend, then the two parts


def test_long_curves_have_few_markers() -> None:
    points = tuple(CurvePoint(i, 1 / (i + 1)) for i in range(300))
    drawing = line_chart("", "", [Curve("a", points)], Axis("x"), Axis("y"))
    markers = [shape for shape in drawing.shapes if isinstance(shape, Marker)]
    assert 5 < len(markers) < 20
    assert max(marker.x for marker in markers) > 600
