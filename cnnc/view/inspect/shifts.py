"""What shifts of the input change: whether the activations of a layer move along, and how many of them change.

In: the activations of a layer for the input and for the input shifted to the right, with the fill 0 at the left. Out: numbers,
charts and tables. The axis of the shift is the last spatial one.

    axis = shift_axes(graph)["pool1"]
    aligned_difference(before, after, axis, 2, 28)      # 0.0: the feature maps moved by one
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.analysis import ReceptiveField, receptive_fields
from cnnc.graph.graph import Graph, Node
from cnnc.view.axis import Axis
from cnnc.view.chart import Curve, CurvePoint, line_chart
from cnnc.view.document import Table
from cnnc.view.drawing import Drawing
from cnnc.view.number_text import number_text

TOLERANCE = 1e-5
"""An activation counts as changed if it changes by more than this part of the largest activation of its layer."""
CURVES = 8
_KEPT = frozenset(("dropout", "drop_path", "identity", "flatten", "reshape"))


class ShiftAxis(NamedTuple):
    """The axis of the shift at a layer: its receptive field, and the stride up to there, by whose multiples shifts compare.

    `period` is the least common multiple of the steps of all layers up to this one: of an upsampled map it is the stride
    before the upsampling.
    """

    field: ReceptiveField
    period: int


class LayerShift(NamedTuple):
    """What a shift changes in one layer: the share of its activations that change where they are, and the largest difference
    after moving them back, inside the part that no border touches. None where that cannot be compared.
    """

    changed: float
    aligned: float | None


def shift_axes(graph: Graph) -> dict[str, ShiftAxis]:
    """The axis of the shift at each layer that has it."""
    fields, periods = receptive_fields(graph), dict[str, int]()
    axes = {}
    for node in graph.nodes:
        period = math.lcm(*(periods[name] for name in node.inputs)) if node.inputs else 1
        field = fields[node.name]
        if field:
            period = math.lcm(period, max(1, Fraction(field[-1].step).numerator))
        periods[node.name] = period
        if node.type.spatial and len(field) == len(node.type.spatial):
            axes[node.name] = ShiftAxis(field[-1], period)
    return axes


def layer_shift(before: Array, after: Array, axis: ShiftAxis | None, shift: int, width: int) -> LayerShift:
    """The change of a layer's activations (N, ..., width of the layer, C) under a shift of an input of this width."""
    largest = float(np.abs(before).max(initial=0.0))
    changed = float((np.abs(after - before) > TOLERANCE * largest).mean()) if before.size else 0.0
    return LayerShift(changed, None if axis is None else aligned_difference(before, after, axis, shift, width))


def aligned_difference(before: Array, after: Array, axis: ShiftAxis, shift: int, width: int) -> float | None:
    """The largest difference after moving back, of activations whose receptive field touches neither padding nor fill.

    None where the shift is not a multiple of the stride, or no such activation exists.
    """
    if shift % axis.period:
        return None
    moved = Fraction(shift) / axis.field.step if axis.field.step else Fraction(0)
    if moved.denominator != 1:
        return None
    by, count = int(moved), before.shape[-2]
    inside = [
        j
        for j in range(by, count)
        if axis.field.first + axis.field.step * j >= shift
        if axis.field.first + axis.field.step * j + axis.field.size <= width
    ]
    if not inside:
        return None
    a, b = inside[0], inside[-1] + 1
    return float(np.abs(after[..., a:b, :] - before[..., a - by : b - by, :]).max())


def accuracy_chart(shifts: Sequence[int], accuracy: Sequence[float], changed: Sequence[float]) -> Drawing:
    """Accuracy, and the share of predictions that change, over the shift."""
    curves = [
        Curve(name, tuple(CurvePoint(d, y) for d, y in zip(shifts, values, strict=True)))
        for name, values in (("accuracy", accuracy), ("changed predictions", changed))
    ]
    text = "Accuracy and the share of predictions that change, over the shift of the input to the right"
    return line_chart(
        "Accuracy under shifts", text, curves, Axis("shift in pixels"), Axis("share of the examples", low=0, high=1)
    )


def layer_chart(shifts: Sequence[int], layers: Mapping[str, Sequence[LayerShift]]) -> Drawing:
    """The share of changed activations over the shift, a curve for each layer."""
    curves = [
        Curve(name, tuple(CurvePoint(d, each.changed) for d, each in zip(shifts, values, strict=True)))
        for name, values in layers.items()
    ]
    text = "For each layer the share of its activations that change when the input is shifted, without moving them back"
    y = Axis("share of the activations that change", low=0, high=1)
    return line_chart("Changed activations", text, curves, Axis("shift in pixels"), y)


def charted(graph: Graph) -> list[str]:
    """The layers of the chart: pools with their inputs, and the output; of many, layers at equal distances."""
    names = []
    for node in graph.nodes:
        if "pool" in node.op.keyword:
            names += [name for name in node.inputs if graph.by_name[name].inputs] + [node.name]
    if not names:
        names = [node.name for node in compared(graph) if node.inputs]
    names = list(dict.fromkeys([*names, graph.outputs[0]]))
    if len(names) <= CURVES:
        return names
    return [names[round(i * (len(names) - 1) / (CURVES - 1))] for i in range(CURVES)]


def compared(graph: Graph) -> list[Node]:
    """The layers whose activations are compared: those that compute something on numbers."""
    return [node for node in graph.nodes if node.type.dtype != "int64" and node.op.keyword not in _KEPT]


def changed_table(graph: Graph, shifts: Sequence[int], layers: Mapping[str, Sequence[LayerShift]]) -> Table:
    """The share of changed activations of each layer under each shift."""
    rows = tuple(
        (name, graph.by_name[name].op.keyword, *(f"{each.changed:.1%}" for each in values))
        for name, values in layers.items()
    )
    heads = ("layer", "kind", *(f"{d} px" for d in shifts))
    title = "Share of the activations that change where they are (invariance: 0 %)"
    return Table(heads, rows, (False, False, *[True] * len(shifts)), title)


def aligned_table(
    axes: Mapping[str, ShiftAxis], shifts: Sequence[int], layers: Mapping[str, Sequence[LayerShift]]
) -> Table:
    """The largest difference of each layer after moving its feature maps back."""
    rows = tuple(
        (name, str(axes[name].period), *("–" if v.aligned is None else number_text(v.aligned) for v in values))
        for name, values in layers.items()
        if name in axes
    )
    heads = ("layer", "stride", *(f"{d} px" for d in shifts))
    title = "Largest difference after moving the feature maps back (equivariance: 0)"
    return Table(heads, rows, (False, True, *[True] * len(shifts)), title)
