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

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from cnnc.diagnostics import cells
from cnnc.view.page import Band, Cell, Formulas, Grid, Page, Panel, Picture

PIPE_WIDTH = 120
"""The width in which panels are put side by side where there is no terminal."""

MAX_ROWS = 40
"""The most rows of a grid that are printed."""

GAP = "   "


def terminal_text(page: Page, width: int | None = None, every_step: bool = False) -> str:
    """The page as text: the formulas of the current step and its marks; or with `every_step` those of all, without marks."""
    bands, step = page.at_step(page.current)
    lines: list[str] = []
    if every_step:
        bands = page.bands
        lines += [line for each in page.steps for line in each.lines]
    elif step is not None:
        lines += step.lines
    for band in bands:
        lines += ["", *_band(band, width or PIPE_WIDTH)] if lines else _band(band, width or PIPE_WIDTH)
    lines += ["", *page.notes] if page.notes else []
    return "\n".join(lines)


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
    return [panel.title, *_grid(panel, width), *([panel.note] if panel.note else [])]


def _grid(grid: Grid, width: int) -> list[str]:
    """The rows of a grid; of a large one its first rows and columns, and a line that says what is left out."""
    rows = [[*map(_cell, row)] for row in grid.cells[:MAX_ROWS]]
    columns = max(map(len, rows), default=0)
    sizes = [max(cells(row[j]) for row in rows) for j in range(columns)]
    heads = [f"{head} " for head in grid.row_heads[:MAX_ROWS]] if grid.row_heads else [""] * len(rows)
    margin = max(map(cells, heads), default=0)
    kept = _kept_columns(sizes, width - margin)
    lines = []
    if grid.column_heads:
        sizes = [max(size, cells(head) + 1) for size, head in zip(sizes, grid.column_heads, strict=True)]
        named = (f"{head} ".rjust(size) for head, size in zip(grid.column_heads[:kept], sizes[:kept], strict=True))
        lines.append(" " * margin + " ".join(named).rstrip())
    for head, row in zip(heads, rows, strict=True):
        shown = (f"{' ' * (size - cells(cell))}{cell}" for cell, size in zip(row[:kept], sizes[:kept], strict=True))
        lines.append(f"{head.rjust(margin)}{' '.join(shown)}".rstrip())
    left_out = list(_left_out(len(grid.cells) - len(rows), columns - kept))
    return [*lines, f"({' and '.join(left_out)} more)"] if left_out else lines


def _left_out(rows: int, columns: int) -> Iterator[str]:
    for count, what in ((rows, "row"), (columns, "column")):
        if count:
            yield f"{count} {what}{'s' if count > 1 else ''}"


def _kept_columns(sizes: Sequence[int], width: int) -> int:
    used = 0
    for number, size in enumerate(sizes):
        used += size + (1 if number else 0)
        if used > width:
            return max(1, number)
    return len(sizes)


def _cell(cell: Cell) -> str:
    """A cell with its mark, which takes a space on either side where there is none."""
    text = "·" if cell.role in ("padding", "zero") else cell.text
    return f"[{text}]" if cell.role in ("read", "result") else f" {text} "
