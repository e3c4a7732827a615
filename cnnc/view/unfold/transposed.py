"""Transposed convolution in both views: each input element stamps a multiple of the kernel, and each output is a sum.

In: `LayerNumbers` of a `conv_transpose`. Out: a `Page` as of `forward_page`, with one grid per stamp below it; all stamps, added up,
are the output.
"""

from __future__ import annotations

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.view.page import Band, Cell, Grid, Page
from cnnc.view.unfold.formulas import index_text
from cnnc.view.unfold.forward_page import forward_page
from cnnc.view.unfold.grids import mark
from cnnc.view.unfold.layer_numbers import LayerNumbers

MAX_STAMPS = 9
"""The most stamps that are shown."""


def transposed_page(layer: LayerNumbers, at: Axes | None = None) -> Page:
    """The page of a transposed convolution, with a grid for what each input element adds to the output."""
    page = forward_page(layer, at)
    channel = at[0] if at is not None else 0
    stamps = _stamps(layer, channel)
    shown = dict(list(stamps.items())[:MAX_STAMPS])
    grids = tuple(_grid(layer, element, stamp) for element, stamp in shown.items())
    of = f" to output channel {channel}" if layer.output_shape[0] > 1 else ""
    notes = [
        f"Each input element adds its multiple of the kernel{of}, the stride apart; where stamps overlap, they add up."
    ]
    if len(shown) < len(stamps):
        notes.append(f"{len(shown)} of {len(stamps)} stamps are shown.")
    if layer.bias is not None:
        notes.append("The bias is added to each output.")
    steps = []
    for step in page.steps:
        (output,) = (m for m in step.marks if m.role == "result")
        cells = [m._replace(grid=grid.name, role="read") for grid in grids for m in (output,)]
        touched = [m for m, grid in zip(cells, grids, strict=True) if grid.cells[m.row][m.column].role != "zero"]
        steps.append(step._replace(marks=(*step.marks, *touched)))
    band = Band(grids, ("+",) * (len(grids) - 1))
    return page._replace(
        description="Each input element adds its multiple of the kernel to the output.",
        bands=(*page.bands, band),
        steps=tuple(steps),
        notes=(*page.notes, *notes),
    )


def _stamps(layer: LayerNumbers, channel: int) -> dict[Axes, Array]:
    """What each input element adds to the outputs of a channel; None where it does not reach."""
    stamps = {index: np.full(layer.output_shape[1:], None, object) for index in np.ndindex(*layer.x.shape)}
    for output in layer.positions():
        if output[0] == channel:
            for term in layer.sum_at(output).terms:
                if term.element is not None:
                    stamps[term.element][output[1:]] = layer.element(term) * layer.weight_of(term)
    return stamps


def _grid(layer: LayerNumbers, element: Axes, stamp: Array) -> Grid:
    name = f"x({index_text(element, len(layer.x) > 1)})"
    cells = tuple(
        tuple(Cell("0", "zero") if value is None else Cell(layer.text(value)) for value in row)
        for row in np.atleast_2d(stamp)
    )
    return Grid(
        f"stamp{mark('', element, 'plain').grid},{element}", f"{layer.text(layer.x[element])}·kernel, {name}", cells
    )
