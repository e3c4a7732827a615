"""A page: what is to be seen, without coordinates or colours, so that a terminal, SVG and HTML show the same.

In: numbers, texts and pixels from whoever computes them. Out: a `Page`, which every face takes.

    matrix = Grid("x", "input", ((Cell("1"), Cell("3")), (Cell("2"), Cell("1"))))
    step = Step("S(0,1)", ("S(0,1) = 3·1 = 3",), (Mark("x", 0, 1, "read"),))
    Page("Convolution", "One output of a convolution", (Band((matrix,)),), (step,))
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

CellRole = Literal["plain", "read", "weight", "result", "padding", "zero", "faint"]
"""What a cell is: read by the current output, a weight that it is multiplied by, the current result, padding around the
input, a structural zero, or something that is not known yet. Faces tell them apart by shape as well as by colour."""


class Cell(NamedTuple):
    """One entry of a grid: a number or letter as text. `shade` is its value from -1 to 1, for a heat map; None for none.

    `hint` is shown on hovering: the exact number, where the text is short or empty.
    """

    text: str
    role: CellRole = "plain"
    shade: float | None = None
    hint: str = ""


class Grid(NamedTuple):
    """A matrix of cells. `name` is unique on its page, and marks refer to it; all rows have the same length.

    `row_heads` and `column_heads` are the indices beside it (empty for none): of a part of a large matrix, those in the
    whole. `note` says what is left out.
    """

    name: str
    title: str
    cells: tuple[tuple[Cell, ...], ...]
    row_heads: tuple[str, ...] = ()
    column_heads: tuple[str, ...] = ()
    note: str = ""


class Outline(NamedTuple):
    """A rectangle on an image, in its pixels: its first row and column, height and width."""

    row: float
    column: float
    height: float
    width: float
    role: CellRole = "read"


class Picture(NamedTuple):
    """An image: `pixels` are uint8, grey (H, W) or RGB (H, W, 3). Each pixel is drawn as a square, never smoothed.

    With `side`, neither its height nor its width is drawn longer than that many CSS pixels.
    """

    name: str
    title: str
    pixels: NDArray[np.uint8]
    outlines: tuple[Outline, ...] = ()
    note: str = ""
    side: float | None = None


class Formulas(NamedTuple):
    """Lines in a fixed-width font: formulas, where columns may be aligned with spaces."""

    name: str
    title: str
    lines: tuple[str, ...]


Panel = Grid | Picture | Formulas


class Band(NamedTuple):
    """Panels side by side, and the sign between each two (`∗`, `=`, "" for none). Faces break a band that is too wide."""

    panels: tuple[Panel, ...]
    signs: tuple[str, ...] = ()


class Mark(NamedTuple):
    """The role of a cell of a grid in one step; the row and column are those in `Grid.cells`."""

    grid: str
    row: int
    column: int
    role: CellRole


class Step(NamedTuple):
    """One of the positions that a page steps through: its title, formulas, and marks.

    `panels` replace those of the same name in this step, where their contents depend on it. `position` is the place of
    the step among the others, as (row, column) or (column,): the arrow keys up and down move by a row.
    """

    title: str
    lines: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    panels: tuple[Panel, ...] = ()
    position: tuple[int, ...] = ()


class Page(NamedTuple):
    """Bands from top to bottom, the steps through them, and notes on what is left out.

    A face without interaction shows step number `current`. `description` is one sentence for readers who do not see the
    picture.
    """

    title: str
    description: str
    bands: tuple[Band, ...]
    steps: tuple[Step, ...] = ()
    current: int = 0
    notes: tuple[str, ...] = ()

    def at_step(self, number: int) -> tuple[tuple[Band, ...], Step | None]:
        """The bands as step `number` shows them, with its marks applied, and the step; None if the page has no steps."""
        if not self.steps:
            return self.bands, None
        step = self.steps[number]
        replaced = {panel.name: panel for panel in step.panels}
        marks: dict[str, dict[tuple[int, int], CellRole]] = {}
        for mark in step.marks:
            marks.setdefault(mark.grid, {})[mark.row, mark.column] = mark.role

        def shown(panel: Panel) -> Panel:
            panel = replaced.get(panel.name, panel)
            return _marked(panel, marks[panel.name]) if isinstance(panel, Grid) and panel.name in marks else panel

        return tuple(Band(tuple(map(shown, band.panels)), band.signs) for band in self.bands), step


def _marked(grid: Grid, roles: dict[tuple[int, int], CellRole]) -> Grid:
    """The grid with these roles; rows without marks are the same objects."""
    cells = list(grid.cells)
    for (i, j), role in roles.items():
        cells[i] = (*cells[i][:j], cells[i][j]._replace(role=role), *cells[i][j + 1 :])
    return grid._replace(cells=tuple(cells))


def grid_of(name: str, title: str, values: Any, text: Any = str, **named: Any) -> Grid:
    """A grid of a matrix: nested rows of values, each shown by `text(value)`."""
    return Grid(name, title, tuple(tuple(Cell(text(value)) for value in row) for row in values), **named)
