"""Tensors as grids: one grid per channel, and the cell that shows an element.

In: an array (C, *spatial) of values. Out: grids named `x0`, `x1`, ... of a tensor `x`, and `cell_of("x", (1, 2, 0))`, the grid `x1`, row
2 and column 0. A sequence is one row per channel, a volume one grid per channel and slice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import format_shape
from cnnc.view.page import Cell, CellRole, Grid, Mark
from cnnc.view.unfold.formulas import digits

Text = Callable[[Any], str]


def grids_of(
    name: str,
    title: str,
    values: Array,
    text: Text,
    role: Callable[[Axes], CellRole] | None = None,
    sizes: Axes = (),
    suffix: str = "",
) -> list[Grid]:
    """One grid per channel, and per slice of a volume; `role` gives that of an element by its index.

    The title names the `sizes`, by default those of the values, and ends with `suffix`.
    """
    shape = values.shape
    upper = shape[:1] if values.ndim == 2 else shape[:-2]
    grids = []
    for plane in product(*map(range, upper)):
        cells = []
        for row in range(shape[-2] if values.ndim > 2 else 1):
            indices = [(*plane, row, j) if values.ndim > 2 else (*plane, j) for j in range(shape[-1])]
            cells.append(tuple(Cell(text(values[i]), role(i) if role else "plain") for i in indices))
        named = _title(title, sizes or shape[1:] or shape, shape[0], plane) + suffix
        grids.append(Grid(grid_name(name, plane), named, tuple(cells)))
    return grids


def grid_name(name: str, plane: Axes) -> str:
    """`x1`, of a volume `x1,0`."""
    return f"{name}{','.join(map(str, plane))}"


def mark(name: str, index: Axes, role: CellRole) -> Mark:
    """The mark of an element (channel, *position) of a tensor whose grids are named `name`."""
    if len(index) < 3:
        plane, row, column = index[:-1], 0, index[-1]
    else:
        *upper, row, column = index
        plane = tuple(upper)
    return Mark(grid_name(name, plane), row, column, role)


def _title(name: str, sizes: Axes, channels: int, plane: Axes) -> str:
    """`input 3x3`, or `input 3x3, channel 1` of several."""
    several = [f"channel {plane[0]}"] if plane and channels > 1 else []
    several += [f"slice {','.join(map(str, plane[1:]))}"] if len(plane) > 1 else []
    return ", ".join([f"{name} {format_shape(sizes)}", *several])


def row_grid(name: str, title: str, values: Array, text: Text, **named: Any) -> Grid:
    """A matrix as one grid; a vector as one row."""
    rows = np.atleast_2d(values)
    return Grid(name, title, tuple(tuple(Cell(text(value)) for value in row) for row in rows), **named)


def heat_grid(
    name: str,
    title: str,
    values: Sequence[Sequence[float | None]],
    rows: Sequence[int | str] = (),
    columns: Sequence[int | str] = (),
    padding: Sequence[Sequence[bool]] | None = None,
    blank: str = "0",
) -> Grid:
    """A matrix of numbers as a heat map, with the indices of its rows and columns; None is a structural zero."""
    known = [value for row in values for value in row if value is not None]
    write, largest = digits(known), max(map(abs, known), default=0.0) or 1.0

    def cell(value: float | None, is_padding: bool) -> Cell:
        if is_padding:
            return Cell("0", "padding")
        if value is None:
            return Cell(blank, "zero")
        shade = value / largest if math.isfinite(largest) and math.isfinite(value) else 0.0
        return Cell(write(value), shade=shade)

    masks = padding if padding is not None else [[False] * len(row) for row in values]
    cells = tuple(tuple(map(cell, row, mask)) for row, mask in zip(values, masks, strict=True))
    return Grid(name, title, cells, tuple(map(str, rows)), tuple(map(str, columns)))
