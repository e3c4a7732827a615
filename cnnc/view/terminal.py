"""A page as text for a terminal: grids in aligned columns, side by side where the width allows.

In: a `Page` and the width, None for a pipe. Out: lines. Marks are visible without colour: `[3]` is read by the output, or is the
output; padding and structural zeros are `·`. Example:

    S(0,1) = 3·1 + (-1)·0 + 1·2 + 0·(-1) = 5

    input 3x3           kernel 2x2     output 2x2
     1  [3] [-1]    ∗    1   0     =    4  [5]
     2  [1]  [0]         2  -1          0   6
     0   2   -1
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from cnnc.diagnostics import cells
from cnnc.view.crop import part_of
from cnnc.view.page import Band, Cell, Formulas, Grid, Page, Panel, Picture

PIPE_WIDTH = 120
"""The width in which panels are put side by side where there is no terminal."""

MAX_ROWS = 20
"""A grid with more rows, or wider than the terminal, is cut."""

PART = 12
"""The most rows and columns of a grid that is cut."""

GAP = "   "
BAR = "|"


def terminal_text(page: Page, width: int | None = None, steps: Sequence[int] | None = None) -> str:
    """The page as text: the formulas of the current step and its marks; or those of `steps`, without marks."""
    bands, step = page.at_step(page.current)
    lines: list[str] = []
    if steps is not None:
        bands = page.bands
        lines += [line for number in steps for line in page.steps[number].lines]
    elif step is not None:
        lines += step.lines
    for band in bands:
        lines += ["", *_band(band, width or PIPE_WIDTH)] if lines else _band(band, width or PIPE_WIDTH)
    notes = [*page.notes, *_legend(bands)]
    lines += ["", *notes] if notes else []
    return "\n".join(lines if width is None else (part for line in lines for part in _wrapped(line, width)))


def _wrapped(line: str, width: int) -> list[str]:
    return [line] if cells(line) <= width else textwrap.wrap(line, width, break_long_words=False)


def _legend(bands: Sequence[Band]) -> list[str]:
    """What the marks mean that are there."""
    grids = [panel for band in bands for panel in band.panels if isinstance(panel, Grid)]
    roles = {cell.role for grid in grids for row in grid.cells for cell in row}
    marks = {
        "[ ]": "what the sum reads, and its result" if {"read", "weight", "result"} & roles else "",
        "( )": "repeated" if any(map(_repeats, grids)) else "",
        "·": " or ".join(
            name
            for name, is_there in (
                ("padding: 0", any(_pads(grid) and not _repeats(grid) for grid in grids)),
                ("0", "zero" in roles),
            )
            if is_there
        ),
    }
    return ["; ".join(f"{mark} {meaning}" for mark, meaning in marks.items() if meaning)] if any(marks.values()) else []


def _pads(grid: Grid) -> bool:
    return any(cell.role == "padding" for row in grid.cells for cell in row)


def _repeats(grid: Grid) -> bool:
    """Whether the padding of a grid holds more than zeros."""
    return any(cell.role == "padding" and cell.text not in ("0", "·") for row in grid.cells for cell in row)


def _band(band: Band, width: int) -> list[str]:
    """The panels of a band side by side; one that does not fit begins a new row of them."""
    rows: list[list[list[str]]] = [[]]
    for number, panel in enumerate(band.panels):
        block = _panel(panel, width)
        sign = band.signs[number - 1] if 0 < number <= len(band.signs) else ""
        joined = [*rows[-1], *([_sign(sign, rows[-1][-1], block)] if number else []), block]
        if number and _width_of(joined) > width:
            rows.append([_sign(sign, block), block] if sign else [block])
        else:
            rows[-1] = joined
    lines: list[str] = []
    for row in rows:
        lines += ([""] if lines else []) + _beside(row)
    return lines


def _width_of(blocks: Sequence[Sequence[str]]) -> int:
    return sum(max(map(cells, block), default=0) for block in blocks) + len(GAP) * (len(blocks) - 1)


def _sign(sign: str, *beside: Sequence[str]) -> list[str]:
    """A sign beside the middle row of the lower one of two grids, whose first lines are their titles."""
    rows = min(len(block) for block in beside) - 1
    return [""] * (1 + (rows - 1) // 2) + [sign]


def _beside(blocks: Sequence[Sequence[str]]) -> list[str]:
    """Blocks of lines side by side, their tops aligned."""
    widths = [max(map(cells, block), default=0) for block in blocks]
    lines = []
    for parts in zip_longest(*blocks, fillvalue=""):
        padded = (part + " " * (width - cells(part)) for part, width in zip(parts, widths, strict=True))
        lines.append(GAP.join(padded).rstrip())
    return lines


def _panel(panel: Panel, width: int) -> list[str]:
    if isinstance(panel, Formulas):
        return [*([panel.title] if panel.title else []), *panel.lines]
    if isinstance(panel, Picture):
        height, across = panel.pixels.shape[:2]
        return [f"{panel.title} ({across} x {height} pixels)", *([panel.note] if panel.note else [])]
    shown = _fitted(panel, width)
    return [shown.title, *_rows(shown), *([f"({shown.note})"] if shown.note else [])]


def _fitted(grid: Grid, width: int) -> Grid:
    """The grid, or a part of one that is too large."""
    across = len(grid.cells[0]) if grid.cells else 0
    if across <= width // 2 and len(grid.cells) <= MAX_ROWS and _width_of([_rows(grid)]) <= width:
        return grid
    rows = len(grid.cells) if len(grid.cells) <= MAX_ROWS else PART
    columns = min(across, PART if rows > 1 else 2 * PART)
    shown = part_of(grid, rows, columns)
    while columns > 1 and _width_of([_rows(shown)]) > width:
        columns -= 1
        shown = part_of(grid, rows, columns)
    return shown


def _rows(grid: Grid) -> list[str]:
    """The rows of a grid in aligned columns, with the indices above and beside them if there are any."""
    repeats = _repeats(grid)
    rows = [[_cell(cell, repeats) for cell in row] for row in grid.cells]
    heads = [f" {head} " for head in grid.column_heads]
    sizes = [max(map(cells, column)) for column in zip(*rows, *([heads] if heads else []), strict=True)]
    margin = max(map(cells, grid.row_heads), default=0)
    beside = [f"{head.rjust(margin)} {BAR} " for head in grid.row_heads] or [""] * len(rows)
    lines = []
    if heads:
        across = " ".join(f"{' ' * (size - cells(head))}{head}" for head, size in zip(heads, sizes, strict=True))
        lines.append(" " * cells(beside[0]) + across.rstrip())
    for head, row in zip(beside, rows, strict=True):
        shown = (f"{' ' * (size - cells(cell))}{cell}" for cell, size in zip(row, sizes, strict=True))
        lines.append(f"{head}{' '.join(shown)}".rstrip())
    return lines


def _cell(cell: Cell, repeats: bool) -> str:
    """A cell with its mark, which takes a space on either side where there is none."""
    text = "·" if cell.role == "zero" or (cell.role == "padding" and not repeats) else cell.text
    left, right = {"read": "[]", "weight": "[]", "result": "[]", "padding": "()" if repeats else "  "}.get(
        cell.role, "  "
    )
    return f"{left}{text}{right}"
