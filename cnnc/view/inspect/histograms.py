"""How weights and activations are distributed: histograms, dead and constant channels, saturated units, NaN and infinity.

In: a graph, its weights, and the outputs of its layers on some examples, batch by batch. Out: the section `histograms`.

    statistics = ActivationStatistics(graph)
    statistics.add(forward(graph, weights, feeds, keep_all=True).values)
    histogram_section(graph, weights, statistics, "256 examples of the test set")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.core.listing import listed
from cnnc.graph.graph import Graph, Node
from cnnc.view.document import Item, Section, Table
from cnnc.view.drawing import Box, Drawing, Edge, Label, Role, Shape
from cnnc.view.labels import BODY, SMALL, text_lines
from cnnc.view.number_text import number_text
from cnnc.view.text_width import text_width

BINS = 40
_RELU = frozenset(("relu", "relu6"))
_SATURATING: Mapping[str, tuple[float, float]] = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
_CLOSE = 0.01
"""How close to its limit a sigmoid or tanh counts as saturated."""
_NAMED = 12
_TERMS = (
    "A channel is idle if it is dead (after relu: never above 0) or constant (the same number everywhere). "
    "Saturated is the share of outputs of sigmoid and tanh within 0.01 of a limit."
)
_LAYOUT = frozenset(("input", "dropout", "drop_path", "identity", "flatten", "reshape", "concat"))


class Histogram(NamedTuple):
    """How many numbers are in each of the bins between `edges`, and how many are not finite."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]
    not_finite: int = 0


def histogram_of(values: NDArray[Any]) -> Histogram:
    """The histogram of all numbers of an array."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Histogram((), (), values.size)
    counts, edges = np.histogram(finite.astype(np.float64), BINS)
    return Histogram(tuple(map(int, counts)), tuple(map(float, edges)), values.size - finite.size)


class LayerActivations(NamedTuple):
    """What a layer gives on all examples: its histogram, the least and the largest activation of each channel, and shares.

    Only finite activations count, except for the shares of zeros and of saturated ones. A channel without any has the least
    activation infinity and the largest minus infinity.
    """

    histogram: Histogram
    least: NDArray[np.float64]
    largest: NDArray[np.float64]
    mean: float
    zero: float
    saturated: float | None


def layer_activations(node: Node, values: Array) -> LayerActivations:
    """The statistics of the outputs (N, ..., C) of a layer."""
    flat = values.reshape(-1, values.shape[-1])
    limits = _SATURATING.get(node.op.keyword)
    saturated = None
    if limits is not None:
        saturated = float(((values < limits[0] + _CLOSE) | (values > limits[1] - _CLOSE)).mean())
    is_finite = np.isfinite(flat)
    finite = flat[is_finite]
    return LayerActivations(
        histogram_of(values),
        np.where(is_finite, flat, np.inf).min(0).astype(np.float64),
        np.where(is_finite, flat, -np.inf).max(0).astype(np.float64),
        float(finite.mean(dtype=np.float64)) if finite.size else np.nan,
        float((flat == 0).mean()),
        saturated,
    )


def idle_channels(node: Node, activations: LayerActivations) -> list[int]:
    """Channels that are never above 0 after a relu, and those of one value elsewhere; none without a finite activation.

    One number alone does not count as constant: there is nothing that it is equal to.
    """
    if node.op.keyword in _RELU:
        return [int(c) for c in np.flatnonzero((activations.largest <= 0) & (activations.least <= 0))]
    histogram = activations.histogram
    if sum(histogram.counts) + histogram.not_finite <= len(activations.least):
        return []
    return [int(c) for c in np.flatnonzero(activations.least == activations.largest)]


def histogram_section(
    graph: Graph, weights: Mapping[str, Array], activations: Mapping[str, LayerActivations], on: str, note: str = ""
) -> Section:
    """Tables and histograms of weights and activations; `on` says which examples, `note` why there are none."""
    shown = [node for node in graph.nodes if node.name in activations and node.op.keyword not in _LAYOUT]
    names = [name for name, parameter in graph.weights.items() if name in weights]
    items: list[Item] = []
    if shown:
        items.append(_activation_table(shown, activations, on))
        plots = [(node.name, activations[node.name].histogram) for node in shown]
        items.append(histogram_sheet("Activations", f"Counts in {BINS} bins, on {on}.", plots))
    if names:
        items.append(_weight_table(names, weights))
        plots = [(name, histogram_of(weights[name])) for name in names if weights[name].size > 1]
        items.append(histogram_sheet("Parameters and buffers", f"Counts in {BINS} bins.", plots)) if plots else None
    lines = [*_findings(shown, activations, on), *_bad_weights(names, weights)]
    if shown:
        lines.append(_TERMS)
    numbers = {
        "examples": on,
        "activations": {node.name: _activation_numbers(node, activations[node.name]) for node in shown},
        "weights": {name: _weight_numbers(weights[name]) for name in names},
    }
    return Section("histograms", "Histograms", tuple(lines), tuple(items), (note,) if note else (), numbers)


def _findings(nodes: Sequence[Node], activations: Mapping[str, LayerActivations], on: str) -> list[str]:
    lines = []
    for node in nodes:
        idle = idle_channels(node, activations[node.name])
        if idle:
            kind = f"{_are(idle)} dead: never above 0" if node.op.keyword in _RELU else f"{_are(idle)} constant"
            lines.append(f"{node.name}: {_channels(idle)} {kind} on {on}.")
        not_finite = activations[node.name].histogram.not_finite
        if not_finite:
            lines.append(f"{node.name}: {not_finite:,} activations are NaN or infinite.")
    if nodes and not lines:
        lines.append(f"No layer has a dead or constant channel on {on}.")
    return lines


def _channels(idle: Sequence[int]) -> str:
    return f"channel{'s' * (len(idle) > 1)} {listed(map(str, idle), _NAMED)}"


def _are(idle: Sequence[int]) -> str:
    return "are" if len(idle) > 1 else "is"


def _bad_weights(names: Sequence[str], weights: Mapping[str, Array]) -> list[str]:
    lines = []
    for name in names:
        nan, infinite = int(np.isnan(weights[name]).sum()), int(np.isinf(weights[name]).sum())
        if nan or infinite:
            lines.append(f"{name}: {nan:,} weights are NaN, {infinite:,} infinite, of {weights[name].size:,}.")
    return lines


def _activation_table(nodes: Sequence[Node], activations: Mapping[str, LayerActivations], on: str) -> Table:
    rows = []
    for node in nodes:
        a = activations[node.name]
        idle, count = idle_channels(node, a), len(a.largest)
        kind = f"{len(idle)} of {count}" + (" dead" if node.op.keyword in _RELU else " constant") if idle else "0"
        saturated = f"{a.saturated:.1%}" if a.saturated is not None else ""
        ends = (_finite_text(float(a.least.min())), _finite_text(a.mean), _finite_text(float(a.largest.max())))
        rows.append((node.name, *ends, f"{a.zero:.1%}", saturated, kind))
    heads = ("layer", "least", "mean", "largest", "zeros", "saturated", "idle channels")
    return Table(heads, tuple(rows), (False, *[True] * 6), f"Activations on {on}")


def _finite_text(value: float) -> str:
    return number_text(value) if np.isfinite(value) else "–"


def _weight_table(names: Sequence[str], weights: Mapping[str, Array]) -> Table:
    rows = []
    for name in names:
        n = _weight_numbers(weights[name])
        texts = (number_text(n[key]) if n[key] is not None else "" for key in ("norm", "least", "mean", "largest"))
        rows.append((name, f"{weights[name].size:,}", *texts, f"{n['not_finite']:,}"))
    heads = ("name", "count", "norm", "least", "mean", "largest", "NaN or infinite")
    return Table(
        heads, tuple(rows), (False, *[True] * 6), "Parameters and buffers; the norm is the root of the sum of squares"
    )


def _weight_numbers(values: Array) -> dict[str, Any]:
    finite = values[np.isfinite(values)].astype(np.float64)
    some = finite.size > 0
    return {
        "count": int(values.size),
        "norm": float(np.linalg.norm(finite)) if some else None,
        "least": float(finite.min()) if some else None,
        "mean": float(finite.mean()) if some else None,
        "largest": float(finite.max()) if some else None,
        "not_finite": int(values.size - finite.size),
        "histogram": histogram_of(values)._asdict(),
    }


def _activation_numbers(node: Node, a: LayerActivations) -> dict[str, Any]:
    return {
        "least": float(a.least.min()),
        "mean": a.mean,
        "largest": float(a.largest.max()),
        "zeros": a.zero,
        "saturated": a.saturated,
        "channels": len(a.largest),
        "dead" if node.op.keyword in _RELU else "constant": idle_channels(node, a),
        "histogram": a.histogram._asdict(),
    }


# Drawing

_MARGIN, _WIDE, _HIGH, _GAP, _ACROSS = 16, 200, 80, 24, 4
_SHOWN, _FLAT = 64, 4
"""The height of the highest bar that is not cut, and how many times the second largest count a bar is that is cut."""


def histogram_sheet(title: str, description: str, plots: Sequence[tuple[str, Histogram]]) -> Drawing:
    """Small histograms in rows: the least and the largest number below each, and a line at 0."""
    width = 2 * _MARGIN + _ACROSS * (_WIDE + _GAP) - _GAP
    head = text_lines(title, _MARGIN, _MARGIN, width - 2 * _MARGIN, "title", BODY + 1)
    if any(max(histogram.counts, default=0) > _top(histogram) for _, histogram in plots):
        description += " A hatched bar is higher than shown."
    below = text_lines(description, _MARGIN, head.bottom, width - 2 * _MARGIN, "note", SMALL)
    shapes: list[Shape] = [*head.labels, *below.labels]
    y = below.bottom + 8
    for first in range(0, len(plots), _ACROSS):
        row = plots[first : first + _ACROSS]
        names = [
            text_lines(name, _MARGIN + i * (_WIDE + _GAP), y, _WIDE, "text", SMALL) for i, (name, _) in enumerate(row)
        ]
        top = max(lines.bottom for lines in names) + 4
        for i, (name, histogram) in enumerate(row):
            shapes += [*names[i].labels, *_histogram(name, histogram, _MARGIN + i * (_WIDE + _GAP), top)]
        y = top + _HIGH + 30
    return Drawing(width, y, title, description, tuple(shapes), below.bottom)


def _top(histogram: Histogram) -> int:
    """The count that is as high as the plot: the largest, or the second where the largest would hide all others."""
    largest, second = sorted((0, 0, *histogram.counts))[:-3:-1]
    return second if 0 < second * _FLAT < largest else largest


def _histogram(name: str, histogram: Histogram, x: float, y: float) -> list[Shape]:
    bottom = y + _HIGH
    shapes: list[Shape] = [Edge(((x, bottom), (x + _WIDE, bottom)), "note")]
    if not histogram.counts:
        return [*shapes, Label(x, bottom + 16, "no finite number", "start", "note", SMALL)]
    step, top = _WIDE / len(histogram.counts), _top(histogram)
    for i, count in enumerate(histogram.counts):
        if count:
            high = min(_HIGH, max(1.0, _SHOWN * count / top))
            hint = f"{number_text(histogram.edges[i])} to {number_text(histogram.edges[i + 1])}: {count:,}"
            role: Role = "series1" if count <= top else "padding"
            inset = 1 if count <= top else 0  # the border is 2 wide
            shapes.append(Box(x + i * step + inset, bottom - high, step - 2 * inset, high - inset, role, hint=hint))
    low, high_end = histogram.edges[0], histogram.edges[-1]
    if low < 0 < high_end:
        zero = x + _WIDE * -low / (high_end - low)
        shapes.append(Edge(((zero, y), (zero, bottom + 4)), "faint"))
        if text_width(number_text(low), SMALL) + 12 < zero - x < _WIDE - text_width(number_text(high_end), SMALL) - 12:
            shapes.append(Label(zero, bottom + 16, "0", "middle", "note", SMALL))
    shapes.append(Label(x, bottom + 16, number_text(low), "start", "note", SMALL))
    shapes.append(Label(x + _WIDE, bottom + 16, number_text(high_end), "end", "note", SMALL))
    return shapes
