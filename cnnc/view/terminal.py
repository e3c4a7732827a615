"""A page as text for a terminal: grids in aligned columns, side by side where the width allows.

In: a `Page`, the width (None for a pipe), and a function that gives the form of a text that the encoding can show. Out: text. Marks
are visible without colour: `[3]` is read by the sum, or is its result; `(a)` repeats the input beyond its border; padding and
structural zeros are `·`. Example:

    S(0,1) = 3·1 + (-1)·0 + 1·2 + 0·(-1) = 5

    input 3x3          kernel 2x2       output 2x2
     1  [3] [-1]   ∗    1    0      =    4  [5]
     2  [1]  [0]        2   -1           0   6
     0   2   -1
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from cnnc.diagnostics import cells
from cnnc.view.crop import part_of
from cnnc.view.page import Band, Cell, Formulas, Grid, Page, Panel

Shown = Callable[[str], str]

PIPE_WIDTH = 120
"""The width in which panels are put side by side where there is no terminal."""

MAX_ROWS = 20
"""A grid with more rows, or wider than the terminal, is cut."""

PART = 12
"""The most rows and columns of a grid that is cut."""

MIN_TITLE = 40
"""The width below which no title is broken."""

GAP = "   "


def terminal_text(page: Page, width: int | None = None, steps: Sequence[int] | None = None, shown: Shown = str) -> str:
    """The page as text: the formulas of the current step and its marks; or those of `steps`, without marks."""
    bands, step = page.at_step(page.current)
    lines = list(step.lines) if step is not None else []
    if steps is not None:
        bands, lines = page.bands, [line for number in steps for line in page.steps[number].lines]
    dot = "·" if shown("·") == "·" else "."
    legend = _legend(bands, dot)
    texts = [part for line in lines for part in _wrapped(shown(line), width)]
    for band in bands:
        panels = tuple(_printable(panel, shown, dot) for panel in band.panels)
        block = _band(Band(panels, tuple(map(shown, band.signs))), width or PIPE_WIDTH)
        texts += ["", *block] if texts else block
    notes = [part for note in (*page.notes, *legend) for part in _wrapped(shown(note), width)]
    return "\n".join([*texts, "", *notes] if notes else texts)


def _wrapped(line: str, width: int | None) -> list[str]:
    if width is None or cells(line) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


# --- marks -----------------------------------------------------------------------------------------------------------


def _legend(bands: Sequence[Band], dot: str) -> list[str]:
    """What the marks mean that are there, on one line."""
    grids = [panel for band in bands for panel in band.panels if isinstance(panel, Grid)]
    roles = {cell.role for grid in grids for row in grid.cells for cell in row}
    marks = []
    if {"read", "weight", "result"} & roles:
        marks.append("[ ] what the sum reads, and its result")
    if any(map(_repeats, grids)):
        marks.append("( ) the input, repeated")
    dots = ["padding: 0"] if any(_pads(grid) and not _repeats(grid) for grid in grids) else []
    dots += ["always 0"] if "zero" in roles else []
    marks += [f"{dot} {' or '.join(dots)}"] if dots else []
    return ["; ".join(marks)] if marks else []


def _pads(grid: Grid) -> bool:
    return any(cell.role == "padding" for row in grid.cells for cell in row)


def _repeats(grid: Grid) -> bool:
    """Whether the padding of a grid holds more than zeros."""
    return any(cell.role == "padding" and cell.text not in ("0", "·") for row in grid.cells for cell in row)


def _printable(panel: Panel, shown: Shown, dot: str) -> Panel:
    """The panel with its texts as the encoding can show them; the cells of a grid with their marks."""
    if not isinstance(panel, Grid):
        panel = panel._replace(title=shown(panel.title))
        return panel._replace(lines=tuple(map(shown, panel.lines))) if isinstance(panel, Formulas) else panel
    repeats = _repeats(panel)

    def marked(cell: Cell) -> Cell:
        is_dot = cell.role == "zero" or (cell.role == "padding" and not repeats)
        left, right = ("[", "]") if cell.role in ("read", "weight", "result") else (" ", " ")
        if cell.role == "padding" and repeats:
            left, right = "(", ")"
        return cell._replace(text=f"{left}{dot if is_dot else shown(cell.text)}{right}")

    rows = tuple(tuple(map(marked, row)) for row in panel.cells)
    return panel._replace(title=shown(panel.title), cells=rows, note=shown(panel.note))


# --- layout ----------------------------------------------------------------------------------------------------------


def _band(band: Band, width: int) -> list[str]:
    """The panels of a band side by side; one that does not fit begins a new row of them."""
    rows: list[list[list[str]]] = [[]]
    for number, panel in enumerate(band.panels):
        sign = band.signs[number - 1] if 0 < number <= len(band.signs) else ""
        block = _panel(panel, width - cells(sign) - len(GAP) if sign else width)
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
    """A title and what is below it; of an image its size."""
    if isinstance(panel, Formulas):
        body, note = [part for line in panel.lines for part in _wrapped(line, width)], ""
    elif isinstance(panel, Grid):
        part = _fitted(panel, width)
        body, note = _rows(part), part.note
    else:
        height, across = panel.pixels.shape[:2]
        body, note = [f"({across} x {height} pixels)"], panel.note
    room = min(width, max([MIN_TITLE, *map(cells, body)]))
    title = _wrapped(panel.title, room) if panel.title else []
    return [*title, *body, *(_wrapped(f"({note})", room) if note else [])]


def _fitted(grid: Grid, width: int) -> Grid:
    """The grid, or a part of one that is too large."""
    across = len(grid.cells[0]) if grid.cells else 0
    if len(grid.cells) <= MAX_ROWS and across <= width // 2 and _width_of([_rows(grid)]) <= width:
        return grid
    rows = len(grid.cells) if len(grid.cells) <= MAX_ROWS else PART
    columns = min(across, PART if rows > 1 else 2 * PART)
    part = part_of(grid, rows, columns)
    while columns > 1 and _width_of([_rows(part)]) > width:
        columns -= 1
        part = part_of(grid, rows, columns)
    return part


def _rows(grid: Grid) -> list[str]:
    """The rows of a grid in aligned columns, with the indices above and beside them if there are any."""
    rows = [[cell.text for cell in row] for row in grid.cells]
    heads = [f" {head} " for head in grid.column_heads]
    sizes = [max(map(cells, column)) for column in zip(*rows, *([heads] if heads else []), strict=True)]
    margin = max(map(cells, grid.row_heads), default=0)
    beside = [f"{head.rjust(margin)} | " for head in grid.row_heads] or [""] * len(rows)
    lines = [" " * cells(beside[0] if beside else "") + " ".join(_right(heads, sizes)).rstrip()] if heads else []
    return [*lines, *(f"{head}{' '.join(_right(row, sizes))}".rstrip() for head, row in zip(beside, rows, strict=True))]


def _right(texts: Sequence[str], sizes: Sequence[int]) -> Iterator[str]:
    return (" " * (size - cells(text)) + text for text, size in zip(texts, sizes, strict=True))
