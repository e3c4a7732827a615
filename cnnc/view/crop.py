"""The part of a large grid that is shown, with a note that says what is left out.

In: a `Page` or `Grid`, and the most rows and columns. Out: the same with smaller grids, whose heads are the indices in the whole.
The part contains the cells that are marked in the current step.

    cropped(page, 64, 64)     # a 224x224 input becomes 64 rows and columns around what the current output reads
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.view.page import Band, Grid, Mark, Page, Panel, Step


def cropped(page: Page, rows: int, columns: int) -> Page:
    """The page with each grid cut to at most this many rows and columns around the marks of the current step.

    Steps whose result is cut off are left out, and if the current step is shown whole, so are those that are not.
    """
    step = page.steps[page.current] if page.steps else Step("")
    origins: dict[str, tuple[range, range]] = {}

    def cut(panel: Panel) -> Panel:
        if not isinstance(panel, Grid):
            return panel
        marks = [mark for mark in step.marks if mark.grid == panel.name]
        if panel.name not in origins:
            origins[panel.name] = _part(panel, [m.row for m in marks], [m.column for m in marks], rows, columns)
        return _cut(panel, *origins[panel.name])

    def moved(mark: Mark) -> Mark | None:
        if mark.grid not in origins:
            return mark
        across, down = origins[mark.grid][1], origins[mark.grid][0]
        if mark.row not in down or mark.column not in across:
            return None
        return mark._replace(row=mark.row - down.start, column=mark.column - across.start)

    bands = tuple(Band(tuple(map(cut, band.panels)), band.signs) for band in page.bands)
    is_whole = None not in map(moved, step.marks)
    kept: list[Step] = []
    current = 0
    for number, each in enumerate(page.steps):
        marks = tuple(mark for mark in map(moved, each.marks) if mark is not None)
        if number == page.current:
            current = len(kept)
        elif len(marks) < len(each.marks) if is_whole else _lost_its_result(each.marks, marks):
            continue
        kept.append(each._replace(marks=marks, panels=tuple(map(cut, each.panels))))
    note = f"The steps are the {len(kept)} of {len(page.steps):,} that lie in the part that is shown."
    notes = page.notes if len(kept) == len(page.steps) else (*page.notes, note)
    return page._replace(bands=bands, steps=tuple(kept), current=current, notes=notes)


def _lost_its_result(before: Sequence[Mark], after: Sequence[Mark]) -> bool:
    """Whether the result of a step is not in the part that is shown."""
    return any(mark.role == "result" for mark in before) and not any(mark.role == "result" for mark in after)


def part_of(grid: Grid, rows: int, columns: int) -> Grid:
    """At most this many rows and columns of a grid, around its marked cells."""
    marked = [
        (i, j)
        for i, row in enumerate(grid.cells)
        for j, cell in enumerate(row)
        if cell.role in ("read", "weight", "result")
    ]
    return _cut(grid, *_part(grid, [i for i, _ in marked], [j for _, j in marked], rows, columns))


def _part(grid: Grid, rows: Sequence[int], columns: Sequence[int], height: int, width: int) -> tuple[range, range]:
    across = len(grid.cells[0]) if grid.cells else 0
    return _around(rows, len(grid.cells), height), _around(columns, across, width)


def _around(marked: Sequence[int], size: int, limit: int) -> range:
    """`limit` indices that contain the marked ones: from 0 on if they do then, else around the middle of the marked ones.

    Of marked ones that are too far apart, they begin with the first.
    """
    if size <= limit:
        return range(size)
    first, last = (min(marked), max(marked)) if marked else (0, 0)
    start = 0 if last < limit else first if last - first >= limit else (first + last + 1 - limit) // 2
    start = max(0, min(start, size - limit))
    return range(start, start + limit)


def _cut(grid: Grid, rows: range, columns: range) -> Grid:
    height, width = len(grid.cells), len(grid.cells[0]) if grid.cells else 0
    if len(rows) == height and len(columns) == width:
        return grid
    row_heads = grid.row_heads or tuple(map(str, range(height)))
    column_heads = grid.column_heads or tuple(map(str, range(width)))
    sides = (("row", row_heads, rows, height), ("column", column_heads, columns, width))
    parts = [f"{_range_text(what, heads, part)} of {size}" for what, heads, part, size in sides if len(part) < size]
    is_one = len(parts) == 1 and " to " not in parts[0]
    shown = f"shown {'is' if is_one else 'are'} {' and '.join(parts)}"
    return grid._replace(
        cells=tuple(row[columns.start : columns.stop] for row in grid.cells[rows.start : rows.stop]),
        row_heads=row_heads[rows.start : rows.stop],
        column_heads=column_heads[columns.start : columns.stop],
        note=f"{grid.note}; {shown}" if grid.note else shown,
    )


def _range_text(what: str, heads: Sequence[str], part: range) -> str:
    """`rows 3 to 5`, or `row 3`."""
    first, last = heads[part.start], heads[part.stop - 1]
    return f"{what} {first}" if len(part) == 1 else f"{what}s {first} to {last}"
