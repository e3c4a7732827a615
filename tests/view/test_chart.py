"""Shows that a line chart leaves out what it cannot show, and that its texts do not overlap."""

from __future__ import annotations

from math import nan

import pytest

from cnnc.view.axis import Axis
from cnnc.view.chart import Curve, CurvePoint, line_chart
from cnnc.view.drawing import Drawing, Edge, Label, Marker
from tests.view.overlaps import area, outside, overlap


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
