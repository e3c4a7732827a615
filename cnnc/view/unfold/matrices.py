"""A convolution as a product of matrices: im2col, and the Toeplitz matrix W with h = W·x.

In: `LayerNumbers`. Out: arrays, and a `Page` of each.

    im2col   one column per output position, with the elements that its window reads: kernel row · matrix = result row
    W        one row per output, one column per input element: the weight between the two, 0 where there is none
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.ops.dense import Fc
from cnnc.ops.local import Local
from cnnc.view.page import Band, Cell, Grid, Mark, Page, Step
from cnnc.view.unfold.formulas import index_text
from cnnc.view.unfold.forward_page import LARGE, formula_lines, input_grids, output_name, read_cells
from cnnc.view.unfold.grids import grids_of, mark, row_grid
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.steps import steps_around

MAX_MATRIX = 1 << 20
"""The most entries of a matrix."""


class Im2col(NamedTuple):
    """`kernel` (O, C·k) times `values` (C·k, positions) is the output as (O, positions), less the bias.

    `elements` are the flat indices of the values in the input, -1 for padding.
    """

    kernel: Array
    elements: Array
    values: Array


def im2col(layer: LayerNumbers) -> Im2col:
    """The matrices of a convolution without groups."""
    channels, *sizes = layer.output_shape
    positions = list(product(*map(range, sizes)))
    kernel = np.stack([_flat_kernel(layer, o) for o in range(channels)])
    _require_size(kernel.shape[1], len(positions))
    elements = np.full((kernel.shape[1], len(positions)), -1, np.int64)
    for column, position in enumerate(positions):
        for row, term in enumerate(layer.sum_at((0, *position)).terms):
            if term.element is not None:
                elements[row, column] = np.ravel_multi_index(term.element, layer.x.shape)
    flat = np.append(layer.x.reshape(-1), np.array([Fraction(0)], object))  # -1 reads the 0
    return Im2col(kernel, elements, flat[elements])


def _flat_kernel(layer: LayerNumbers, channel: int) -> Array:
    kernel = layer.kernel_at((channel, *(0 for _ in layer.output_shape[1:])))
    return np.asarray(kernel).reshape(-1)


class ToeplitzMatrix(NamedTuple):
    """W (outputs, input elements), and which of its entries are weights: the others are 0 whatever the weights are."""

    entries: Array
    is_weight: Array


def toeplitz(layer: LayerNumbers) -> ToeplitzMatrix:
    """The matrix of a layer whose outputs are sums."""
    shape = math.prod(layer.output_shape), layer.x.size
    _require_size(*shape)
    entries, is_weight = np.full(shape, Fraction(0), object), np.zeros(shape, np.bool_)
    for row, output in enumerate(layer.positions()):
        total = layer.sum_at(output)
        for term in total.terms:
            if term.element is not None:
                at = row, int(np.ravel_multi_index(term.element, layer.x.shape))
                factor = layer.weight_of(term) if total.kind == "sum" else Fraction(1, total.number)
                entries[at] = entries[at] + factor if is_weight[at] else factor
                is_weight[at] = True
    return ToeplitzMatrix(entries, is_weight)


def _require_size(rows: int, columns: int) -> None:
    if rows * columns > MAX_MATRIX:
        raise CnncError.of(
            "E010",
            f"the matrix would have {rows:,} rows and {columns:,} columns",
            help="take a smaller part of the input",
        )


# --- pages -----------------------------------------------------------------------------------------------------------


def im2col_page(layer: LayerNumbers, at: Axes | None = None) -> Page:
    """The elements of each window as a column: first their numbers, then their values, multiplied by the kernel row.

    There is a step for each column, with the sums of all channels, or with that of the channel of `at`.
    """
    matrices, y = im2col(layer), layer.outputs()
    positions = list(product(*map(range, layer.output_shape[1:])))
    shown, current = steps_around(positions, at[1:] if at is not None else None)
    counted = np.arange(layer.x.size).reshape(layer.x.shape)
    inputs = list(zip(input_grids(layer), grids_of("n", "element numbers", counted, str), strict=False))
    bands = (
        *(Band(pair) for pair in inputs),
        Band((_numbers_grid(matrices, positions),)),
        _product_band(layer, matrices, y),
    )
    channels = range(len(y)) if at is None else range(at[0], at[0] + 1)
    first = positions.index(shown[0])  # those shown follow one another
    steps = tuple(_column_step(layer, y, channels, position, n) for n, position in enumerate(shown, first))
    text = "Each column holds what one window reads; the kernel, written as a row, times the matrix is the result."
    return Page(
        f"im2col of {layer.op.keyword} {layer.op.brief()}",
        "A convolution as a product of matrices.",
        bands,
        steps,
        current,
        (text,),
    )


def _numbers_grid(matrices: Im2col, positions: Sequence[Axes]) -> Grid:
    cells = tuple(tuple(_element_cell(number) for number in row) for row in matrices.elements)
    rows = tuple(map(str, range(len(matrices.elements))))
    columns = tuple(",".join(map(str, position)) for position in positions)
    return Grid("elements", "im2col: element numbers by output", cells, rows, columns)


def _product_band(layer: LayerNumbers, matrices: Im2col, y: Array) -> Band:
    """kernel · columns = result, with the bias if there is one."""
    rows = zip(matrices.values, matrices.elements, strict=True)
    cells = tuple(
        tuple(Cell(layer.text(v), "padding" if n < 0 else "plain") for v, n in zip(*row, strict=True)) for row in rows
    )
    columns = Grid("columns", _rows_title("columns", matrices.values), cells)
    kernel = row_grid("kernel", _rows_title("kernel", matrices.kernel), matrices.kernel, layer.text)
    flat = y.reshape(len(y), -1)
    result = row_grid("result", _rows_title("result", flat), flat, layer.text)
    if layer.bias is None:
        return Band((kernel, columns, result), ("·", "="))
    bias = row_grid("bias", "bias", layer.bias.reshape(-1, 1), layer.text)
    return Band((kernel, columns, bias, result), ("·", "+", "="))


def _rows_title(name: str, values: Array) -> str:
    return f"{name} {len(values)}x{values.shape[1]}"


def _element_cell(number: int) -> Cell:
    return Cell("·", "padding") if number < 0 else Cell(str(number))


def _column_step(layer: LayerNumbers, y: Array, channels: range, position: Axes, column: int) -> Step:
    outputs = [(o, *position) for o in channels]
    lines = [line for output in outputs for line in formula_lines(layer, output, y[output])]
    taps = len(layer.sum_at(outputs[0]).terms)
    marks = [mark("x", cell, "read") for cell in read_cells(layer, outputs[0])]
    elements = (term.element for term in layer.sum_at(outputs[0]).terms)
    marks += [mark("n", element, "read") for element in elements if element is not None]
    marks += [Mark(grid, row, column, "read") for grid in ("elements", "columns") for row in range(taps)]
    if len(channels) < len(y):
        marks += [Mark("kernel", channels[0], tap, "weight") for tap in range(taps)]
    marks += [Mark("result", o, column, "result") for o in channels]
    return Step(output_name(layer, outputs[0]), tuple(lines), tuple(marks))


def toeplitz_page(layer: LayerNumbers, at: Axes | None = None) -> Page:
    """W times the flattened input is the flattened output. One step per output marks its row."""
    (matrix, is_weight), y = toeplitz(layer), layer.outputs()
    positions = list(layer.positions())
    shown, current = steps_around(positions, at)
    kind = _kind_of(layer)
    rows = tuple(index_text(position, len(y) > 1) for position in positions)
    columns = tuple(index_text(index, len(layer.x) > 1) for index in np.ndindex(*layer.x.shape))
    w = Grid(
        "W",
        f"W {len(matrix)}x{layer.x.size}",
        tuple(
            tuple(Cell(layer.text(v), "plain" if is_set else "zero") for v, is_set in zip(*row, strict=True))
            for row in zip(matrix, is_weight, strict=True)
        ),
        rows,
        columns,
    )
    x = row_grid("x", "x", layer.x.reshape(-1, 1), layer.text, row_heads=columns if len(columns) > LARGE else ())
    h = row_grid("h", "h", y.reshape(-1, 1), layer.text, row_heads=rows if len(rows) > LARGE else ())
    band = Band((w, x, h), ("·", "="))
    if layer.bias is not None:
        spread = np.repeat(layer.bias, y.size // len(y)).reshape(-1, 1)
        band = Band((w, x, row_grid("b", "b", spread, layer.text), h), ("·", "+", "="))
    different = f", {layer.weight.size} different ones" if layer.weight is not None else ""
    text = f"{kind}: one row per output, one column per input element"
    note = f"{text}; {int(is_weight.sum()):,} of {matrix.size:,} entries are weights{different}."
    first = positions.index(shown[0])  # those shown follow one another
    steps = tuple(_row_step(layer, is_weight, y[position], position, n) for n, position in enumerate(shown, first))
    return Page(
        f"h = W·x of {layer.op.keyword} {layer.op.brief()}",
        "A layer as a product of a matrix and its input.",
        (band,),
        steps,
        current,
        (note,),
    )


def _kind_of(layer: LayerNumbers) -> str:
    if isinstance(layer.op, Fc | Local):  # whose rows are not shifted copies of each other
        return "A matrix"
    has_channels = layer.x.shape[0] > 1 or layer.output_shape[0] > 1
    blocks = "block-" if layer.type.rank > 1 or has_channels else ""
    if layer.type.rank == 2 and not has_channels:
        blocks = "doubly block-"  # whose blocks are equal along the diagonals too
    strided = any(s != 1 for s in getattr(layer.op, "stride", getattr(layer.op, "s", ())))
    kind = "circulant" if layer.circular else "Toeplitz"
    return f"Rows of a {blocks}{kind} matrix" if strided else f"A {blocks}{kind} matrix"


def _row_step(layer: LayerNumbers, is_weight: Array, value: Any, output: Axes, row: int) -> Step:
    marks = []
    for column in map(int, np.flatnonzero(is_weight[row])):
        marks += [Mark("W", row, column, "weight"), Mark("x", column, 0, "read")]
    marks.append(Mark("h", row, 0, "result"))
    return Step(output_name(layer, output), formula_lines(layer, output, value), tuple(marks))
