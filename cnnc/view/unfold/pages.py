"""Pages that show how the outputs of a layer come about: its input, kernel and output as grids, and one step per output.

In: `LayerNumbers`. Out: a `Page`. Example: `forward_page(layer, at=(0, 0, 1))` is the convolution of a matrix with a kernel, with
the window of output (0, 1) marked and its sum as the formula of the step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import format_shape
from cnnc.ops.window import AxisRule
from cnnc.view.page import Band, Cell, CellRole, Grid, Mark, Page, Step
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.terms import reads

MAX_STEPS = 400
"""The most positions that a page steps through."""

MAX_PLANES = 8
"""The most channels that are shown as grids."""

MAX_LINE = 88
"""The length from which a formula is broken."""


def forward_page(layer: LayerNumbers, at: Axes | None = None, title: str = "Convolution") -> Page:
    """The layer's input, kernel and output. The current step is that of output `at` (channel, *position), or the first."""
    y = layer.outputs()
    positions = list(layer.positions())
    current = positions.index(at) if at is not None else 0
    first = max(0, min(current - MAX_STEPS // 2, len(positions) - MAX_STEPS))
    shown = positions[first : first + MAX_STEPS]
    notes = []
    if len(shown) < len(positions):
        notes.append(f"{len(shown)} of {len(positions):,} positions are shown, from {first} on")
    bands, more = _forward_bands(layer, y, positions[current])
    steps = tuple(_step(layer, position, y[position]) for position in shown)
    described = f"{title}: {steps[current - first].lines[0]}"
    return Page(title, described, bands, steps, current - first, (*notes, *more))


def _forward_bands(layer: LayerNumbers, y: Array, current: Axes) -> tuple[tuple[Band, ...], list[str]]:
    inputs, outputs = _input_planes(layer), _planes("y", "output", y, layer)
    kernels = _kernel_planes(layer, current[0])
    notes = [
        f"{name}: {MAX_PLANES} of {len(planes)} channels are shown"
        for name, planes in (("input", inputs), ("output", outputs))
        if len(planes) > MAX_PLANES
    ]
    if not kernels:
        pairs = list(zip(inputs, outputs, strict=True))[:MAX_PLANES]
        return tuple(Band(pair, ("→",)) for pair in pairs), notes
    pairs = list(zip(inputs, kernels, strict=True))[:MAX_PLANES]
    if len(pairs) == len(outputs) == 1:
        return (Band((*pairs[0], outputs[0]), ("∗", "=")),), notes
    rows = [Band(pair, ("∗",)) for pair in pairs]
    return (*rows, Band(tuple(outputs[:MAX_PLANES]), ("",) * (min(len(outputs), MAX_PLANES) - 1))), notes


def _step(layer: LayerNumbers, output: Axes, value: Any) -> Step:
    name = output_name(layer, output)
    rules = layer.op.rules(layer.type)
    begins = tuple(r.begin if isinstance(r, AxisRule) else 0 for r in rules)
    marks = []
    for channel, *position in reads(layer.op, layer.type, output):
        shifted = tuple(i + begin for i, begin in zip(position, begins, strict=True))
        grid, row, column = _cell_of("x", (channel, *shifted))
        marks.append(Mark(grid, row, column, "read"))
    marks.append(Mark(*_cell_of("y", output), "result"))
    panels = tuple(_kernel_planes(layer, output[0])) if layer.output_shape[0] > 1 else ()
    return Step(name, formula_lines(layer, output, value), tuple(marks), panels)


def output_name(layer: LayerNumbers, output: Axes) -> str:
    """`S(0,1)`; with its channel first where the layer has several: `S(2,0,1)`."""
    index = output if layer.output_shape[0] > 1 or len(output) == 1 else output[1:]
    return f"S({','.join(map(str, index))})"


def formula_lines(layer: LayerNumbers, output: Axes, value: Any) -> tuple[str, ...]:
    """`S(0,1) = 3·1 + (-1)·0 = 3`, broken before a `+` where it is long."""
    left, formula, result = output_name(layer, output), layer.formula(output), layer.text(value)
    equal = "≈" if isinstance(value, float) else "="
    whole = f"{left} = {formula}" + (f" {equal} {result}" if result != formula else "")
    return broken(whole, len(left) + 1)


def broken(formula: str, indent: int) -> tuple[str, ...]:
    """A long formula in several lines; the following ones begin below its first `=`, with the operator."""
    lines = [""]
    for part in re.split(r"(?= [+=≈] )|(?<=, )", formula):
        if lines[-1].strip() and len(lines[-1]) + len(part) > MAX_LINE:
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * indent + part.lstrip())
        else:
            lines[-1] += part
    return tuple(lines)


# --- grids -----------------------------------------------------------------------------------------------------------


def _cell_of(name: str, index: Axes) -> tuple[str, int, int]:
    """The grid, row and column that show an element (channel, *position) of a tensor whose planes are named `name`."""
    *plane, row, column = index if len(index) > 2 else (index[0], 0, index[1]) if len(index) == 2 else (0, 0, index[0])
    return f"{name}{','.join(map(str, plane))}", row, column


def _planes(name: str, title: str, values: Array, layer: LayerNumbers, roles: Any = None) -> list[Grid]:
    """One grid per channel, and per slice of a volume."""
    flat = values.reshape(values.shape[0], 1, -1) if values.ndim == 2 else values
    flat = values.reshape(1, 1, -1) if values.ndim == 1 else flat
    grids = []
    for plane in product(*map(range, flat.shape[:-2])):
        rows = flat[plane]
        cells = tuple(
            tuple(Cell(layer.text(value), roles((*plane, i, j)) if roles else "plain") for j, value in enumerate(row))
            for i, row in enumerate(rows)
        )
        grids.append(Grid(f"{name}{','.join(map(str, plane))}", _title(title, values.shape, plane), cells))
    return grids


def _title(name: str, shape: Axes, plane: Sequence[int]) -> str:
    """`input 3x3`, or `input 3x3, channel 1` of several."""
    size = format_shape(shape[1:]) if len(shape) > 1 else str(shape[0])
    return f"{name} {size}" + (f", channel {','.join(map(str, plane))}" if shape[0] > 1 else "")


def _input_planes(layer: LayerNumbers) -> list[Grid]:
    """The input with its padding around it."""
    rules = layer.op.rules(layer.type)
    pads = [(r.begin, r.end) if isinstance(r, AxisRule) else (0, 0) for r in rules]
    if not any(begin or end for begin, end in pads):
        return _planes("x", "input", layer.x, layer)
    sizes = layer.type.spatial
    begins = [begin for begin, _ in pads]
    shape = (layer.x.shape[0], *(m + begin + end for m, (begin, end) in zip(sizes, pads, strict=True)))

    def role(index: Axes) -> CellRole:
        position = index[-len(sizes) :]
        is_data = all(0 <= i - b < m for i, b, m in zip(position, begins, sizes, strict=True))
        return "plain" if is_data else "padding"

    padded = np.empty(shape, object)
    for index in product(*map(range, shape)):
        position = tuple(i - b for i, b in zip(index[1:], begins, strict=True))
        if layer.circular:
            position = tuple(i % m for i, m in zip(position, sizes, strict=True))
        is_data = all(0 <= i < m for i, m in zip(position, sizes, strict=True))
        padded[index] = layer.x[(index[0], *position)] if is_data else 0
    grids = _planes("x", "input", padded, layer, role)
    named = (_title("input", layer.x.shape, grid.name[1:].split(",")) for grid in grids)  # type: ignore[arg-type]
    how = "and what follows it" if layer.circular else "with padding"
    return [grid._replace(title=f"{title}, {how}") for grid, title in zip(grids, named, strict=True)]


def _kernel_planes(layer: LayerNumbers, output_channel: int) -> list[Grid]:
    """The kernel of one output channel as it is laid over the input: turned if the layer is a true convolution."""
    if layer.weight is None:
        return []
    weight = layer.weight[output_channel]
    turned = getattr(layer.op, "flip", False)
    if turned:
        weight = weight[(slice(None), *(slice(None, None, -1) for _ in weight.shape[1:]))]
    of = f" {output_channel}" if layer.output_shape[0] > 1 else ""
    return _planes("w", f"{'turned ' if turned else ''}kernel{of}", weight, layer)
