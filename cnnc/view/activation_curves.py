"""Activation functions and their derivatives as charts.

In: layers that compute each element by itself, with the names to show. Out: a `Drawing`. The values are those of the NumPy
engine's forward functions, and the derivatives those of its backward functions.

    activation_curves("Activation functions", [("relu", Relu.make())])
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.activation import Activation, LogSoftmax, Softmax
from cnnc.reference import activation  # noqa: F401  fills the tables
from cnnc.reference.registry import BACKWARD, FORWARD, Mode
from cnnc.view.axis import Axis
from cnnc.view.chart import Curve, CurvePoint, line_chart
from cnnc.view.chart_grid import chart_grid
from cnnc.view.drawing import Drawing

OVER_CHANNELS = (Softmax, LogSoftmax)
"""Functions of all channels at a position, which have no curve."""
_LOW, _HIGH, _POINTS = -5.0, 5.0, 201
_JUMP, _HALVINGS = 0.02, 30
_COLUMNS, _CHART_WIDTH, _CHART_HEIGHT = 3, 290, 300
"""Charts in a row, and the size of each: a row fits the width of a page."""


def values(op: Activation, x: Array) -> tuple[Array, Array]:
    """The function and its derivative at the elements of a vector."""
    column = np.asarray(x, np.float64).reshape(-1, 1)
    type_ = TensorType((1,))
    weights = {p.name: np.full(p.shape, p.init, np.float64) for p in op.parameters(type_)}
    outcome = FORWARD[type(op)](op, weights, (column.copy(),), Mode(training=True))
    output = outcome.output.reshape(-1).copy()
    gradient = BACKWARD[type(op)](op, weights, outcome.saved, np.ones_like(column), True).inputs[0]
    assert gradient is not None
    return output, np.asarray(gradient).reshape(-1)


def formula(op: Activation) -> str:
    """The layer's formula with its arguments, as `f(x) = ...`; without one, that in the first line of its description."""
    explained = [line for line in op.explain(TensorType((1,))) if line.startswith("y = ")]
    if explained:
        return _as_function(explained[0].removeprefix("y = "))
    text = (type(op).__doc__ or "").splitlines()[0].rstrip(".")
    text = re.sub(r" \((?:[A-Z]|ONNX)[^()]*(?:\([^()]*\)[^()]*)*\)", "", text)
    for spec in op.arguments:
        value = getattr(op, spec.name)
        text = text.replace(spec.name.upper(), f"{value:g}") if isinstance(value, int | float) else text
    return _as_function(re.split(r";|, (?=which|as in|also|a smooth|with one|the hyperbolic)", text)[0])


def _as_function(text: str) -> str:
    """A formula, written as that of all the others: without a factor of 1, cases as `where ..., else ...`."""
    text = re.sub(r"(?<![\w.])1·(?:\((.*)\)$)?", r"\1", text)
    return "f(x) = " + re.sub(r" for (x > 0), (.*) otherwise", r" where \1, else \2", text)


def activation_chart(name: str, op: Activation) -> Drawing:
    """The chart of one function."""
    bounds = [float(getattr(op, key)) for key in ("lo", "hi") if hasattr(op, key)]
    if type(op).__name__ == "Relu6":
        bounds = [0, 6]
    low = _LOW * math.ceil(max([1, *((b - 1) / _LOW for b in bounds)]))  # multiples of 5, where the axis ends
    high = _HIGH * math.ceil(max([1, *((b + 1) / _HIGH for b in bounds)]))
    x = np.linspace(low, high, _POINTS)
    y, slope = values(op, x)
    function = Curve("f(x)", tuple(CurvePoint(float(a), float(b)) for a, b in zip(x, y, strict=True)))
    derivative = Curve("f'(x)", _with_gaps(op, x, slope))
    return line_chart(
        name,
        f"{name}: {formula(op)}",
        [function, derivative],
        Axis("x", low=low, high=high),
        Axis(formula(op)),
        _CHART_WIDTH,
        _CHART_HEIGHT,
    )


def _with_gaps(op: Activation, x: Array, slope: Array) -> tuple[CurvePoint, ...]:
    """The points of a derivative, with a gap where it jumps: a jump stays however close the points are."""
    points: list[CurvePoint] = []
    for i, (a, b) in enumerate(zip(x, slope, strict=True)):
        if i and abs(b - slope[i - 1]) > _JUMP:
            left, right = _narrowed(op, float(x[i - 1]), float(a))
            ends = values(op, np.array([left, right]))[1]
            if abs(ends[1] - ends[0]) > _JUMP:
                points += [
                    CurvePoint(left, float(ends[0])),
                    CurvePoint(left, math.nan),
                    CurvePoint(right, float(ends[1])),
                ]
        points.append(CurvePoint(float(a), float(b)))
    return tuple(points)


def _narrowed(op: Activation, left: float, right: float) -> tuple[float, float]:
    """Halves an interval again and again, and keeps the half across which the derivative changes more."""
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        ends = values(op, np.array([left, middle, right]))[1]
        left, right = (left, middle) if abs(ends[1] - ends[0]) > abs(ends[2] - ends[1]) else (middle, right)
    return left, right


def activation_curves(title: str, functions: Sequence[tuple[str, Activation]], notes: Sequence[str] = ()) -> Drawing:
    """The charts of several functions."""
    panels = [activation_chart(name, op) for name, op in functions]
    names = ", ".join(name for name, _ in functions)
    return chart_grid(title, f"Function and derivative of {names}.", panels, _COLUMNS, notes=notes)
