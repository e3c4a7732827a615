"""The curves of activation functions: numbers of the engine, derivatives as slopes, gaps where they jump."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from cnnc.network import check
from cnnc.ops.activation import Activation, LogSoftmax, Softmax
from cnnc.ops.base import OPS
from cnnc.view import arrange
from cnnc.view.activation_curves import _with_gaps, activation_chart, activation_curves, formula, values
from cnnc.view.chart_grid import chart_grid
from cnnc.view.drawing import Drawing, Edge, Label, Marker
from tests.view.overlaps import area, overlap

FUNCTIONS = [cls for cls in OPS.values() if issubclass(cls, Activation) and cls not in (Softmax, LogSoftmax)]


def op_of(line: str) -> Activation:
    op = check(f"input 1x4; {line}").require_graph().nodes[-1].op
    assert isinstance(op, Activation)
    return op


@pytest.mark.parametrize("cls", FUNCTIONS, ids=lambda cls: cls.keyword)
def test_the_derivative_is_the_slope_of_the_function(cls: type[Activation]) -> None:
    op = op_of(cls.example)
    x = np.linspace(-4.03, 4.03, 60)
    step = 1e-6
    slope = (values(op, x + step)[0] - values(op, x - step)[0]) / (2 * step)
    np.testing.assert_allclose(values(op, x)[1], slope, atol=1e-7)
    assert formula(op)
    assert "(20" not in formula(op)


@pytest.mark.parametrize(
    ("line", "jumps"),
    [
        ("relu", [0]),
        ("hard_tanh", [-1, 1]),
        ("clip 0 1", [0, 1]),
        ("hard_sigmoid", [-3, 3]),
        ("tanh", []),
        ("gelu", []),
        ("elu", []),
    ],
)
def test_a_derivative_has_gaps_where_it_jumps_and_nowhere_else(line: str, jumps: list[float]) -> None:
    op = op_of(line)
    x = np.linspace(-5, 5, 201)
    points = _with_gaps(op, x, values(op, x)[1])
    assert [point.x for point in points if math.isnan(point.y)] == pytest.approx(jumps, abs=1e-6)


def test_formulas_have_the_arguments() -> None:
    assert formula(op_of("leaky_relu 0.1")) == "f(x) = x where x > 0, else 0.1·x"
    assert formula(op_of("prelu")) == "f(x) = x where x > 0, else slope·x"
    assert formula(op_of("elu")) == "f(x) = x where x > 0, else exp(x) - 1"
    assert formula(op_of("tanh")) == "f(x) = (exp(x) - exp(-x))/(exp(x) + exp(-x))"
    assert formula(op_of("scale 0.5")) == "f(x) = 0.5·x"
    assert formula(op_of("sigmoid")) == "f(x) = 1/(1 + exp(-x))"
    assert formula(op_of("clip 0 1")) == "f(x) = min(max(x, 0), 1)"


def test_no_text_of_the_charts_overlaps() -> None:
    drawing = activation_curves(
        "Activation functions", [(cls.keyword, op_of(cls.example)) for cls in FUNCTIONS], ("A note.",)
    )
    assert drawing.width <= arrange.WIDTH  # of a page, so that no column is cut
    labels = [shape for shape in drawing.shapes if isinstance(shape, Label)]
    assert [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :] if overlap(area(a), area(b))] == []
    assert all(area(label)[2] <= drawing.width and area(label)[3] <= drawing.height for label in labels)


def test_no_two_markers_of_a_curve_touch() -> None:
    markers = [s for s in activation_chart("relu", op_of("relu")).shapes if isinstance(s, Marker) and s.hint]
    for role in ("series1", "series2"):
        xs = sorted(marker.x for marker in markers if marker.role == role)
        assert min(b - a for a, b in pairwise(xs)) > 8
        assert len(xs) > 5


def test_a_grid_moves_each_chart_to_its_own_place() -> None:
    panels = [Drawing(300, 100 + 50 * (n == 1), str(n), "", (Label(0, 0, str(n)),)) for n in range(5)]
    grid = chart_grid("title", "", panels, 3)
    places = {s.text: (s.x, s.y) for s in grid.shapes if isinstance(s, Label) and s.text.isdigit()}
    left, gap = places["0"][0], places["1"][0] - places["0"][0] - 300
    assert gap > 0
    assert [places[str(n)][0] - left for n in range(5)] == [0, 300 + gap, 600 + 2 * gap, 0, 300 + gap]
    assert places["3"][1] - places["0"][1] >= 150
    assert grid.width == 900 + 2 * gap + 2 * left


def test_curves_reach_the_ends_of_the_axis() -> None:
    """The bound 6 of relu6 needs an axis beyond 5, which ends at a round number."""
    drawing = activation_chart("relu6", op_of("relu6"))
    ends = {
        s.text: s.x for s in drawing.shapes if isinstance(s, Label) and s.anchor == "middle" and s.text in ("−5", "10")
    }
    curve = next(s for s in drawing.shapes if isinstance(s, Edge) and s.role == "series1" and len(s.points) > 50)
    assert curve.points[0][0] == pytest.approx(ends["−5"], abs=1)
    assert curve.points[-1][0] == pytest.approx(ends["10"], abs=1)


def test_the_chart_names_its_function() -> None:
    drawing = activation_chart("relu", op_of("relu"))
    assert "max(x, 0)" in drawing.description
