"""One panel of a page: how much room it needs, and what it shows.

In: a panel, with its variants in all steps. Out: its size, and its shapes once it has a place. All variants of a panel have
the same place and cells of the same size.

    size = panel_size([grid], 928)
    panel_shapes(grid, PanelPlace(16.5, 60.5, size))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

from cnnc.view.drawing import Box, Edge, Label, Raster, Shape
from cnnc.view.geometry import rectangle
from cnnc.view.labels import BODY, LINE, SMALL, text_lines
from cnnc.view.page import Cell, Formulas, Grid, Panel, Picture
from cnnc.view.text_width import text_width, wrapped

_TILE_GAP = 2
_SMALL_TILE, _PIXELS, _LARGEST_PIXEL = 14, 168, 24
_NOTE_WIDTH = 150
"""Titles and notes may be as wide as this beside a narrower body."""


class Tile(NamedTuple):
    """The size of the cells of a grid and of the texts in them."""

    width: float
    height: float
    font: float


class PanelSize(NamedTuple):
    """How much room a panel needs: its width, and the heights of its title, its body and its note.

    `head` is what stands to the left of the body (row heads), `top` what stands above it (column heads), `foot` what hangs
    below it, `tile` the size of cells, `available` the width that the panel may fill.
    """

    width: float
    title: float
    top: float
    body: float
    note: float
    head: float
    foot: float
    tile: Tile
    available: float

    @property
    def rise(self) -> float:
        """From the upper edge to the middle of the body."""
        return self.title + self.top + self.body / 2

    @property
    def fall(self) -> float:
        """From the middle of the body to the lower edge."""
        return self.body / 2 + self.foot + self.note


class PanelPlace(NamedTuple):
    """Where a panel stands: the upper left corner of its body, and its size."""

    x: float
    y: float
    size: PanelSize


# How much room a panel needs


def panel_size(variants: Sequence[Panel], available: float) -> PanelSize:
    """The size that all variants of a panel share."""
    tile = _tile([panel for panel in variants if isinstance(panel, Grid)])
    each = [_size_of(panel, available, tile) for panel in variants]
    lengths = (max(values) for values in zip(*(size[:7] for size in each), strict=True))
    _, title, top, body, note, head, foot = lengths
    width = head + max(size.width - size.head for size in each)  # heads of one variant, cells of another
    return PanelSize(width, title, top, body, note, head, foot, tile, available)


def _size_of(panel: Panel, available: float, tile: Tile) -> PanelSize:
    head = top = foot = 0.0
    if isinstance(panel, Grid):
        columns = max((len(row) for row in panel.cells), default=0)
        head = max((text_width(text, SMALL - 1) + 7 for text in panel.row_heads), default=0.0)
        top = LINE - 2 if panel.column_heads else 0.0
        width = head + columns * (tile.width + _TILE_GAP) - _TILE_GAP
        body = len(panel.cells) * (tile.height + _TILE_GAP) - _TILE_GAP
    elif isinstance(panel, Picture):
        head, top, right, foot = _overhang(panel, available)
        height, width = (length * _pixel_size(panel, available) for length in panel.pixels.shape[:2])
        width, body = head + width + right, height
    else:
        lines = [line for text in panel.lines for line in wrapped(text, available, BODY, mono=True)]
        width = max((text_width(line, BODY, mono=True) for line in lines), default=0.0)
        body = len(lines) * float(LINE)
    title = wrapped(panel.title, max(width, _NOTE_WIDTH), BODY, bold=True) if panel.title else []
    note = wrapped(panel.note, max(width, _NOTE_WIDTH), SMALL) if not isinstance(panel, Formulas) and panel.note else []
    width = max(
        [width, *(text_width(t, BODY, bold=True) for t in title), *(text_width(t, SMALL) for t in note)], default=width
    )
    heights = len(title) * float(LINE) + 4, top, body, len(note) * LINE * SMALL / BODY + 4
    return PanelSize(width, *heights, head, foot, tile, available)


def _tile(grids: Sequence[Grid]) -> Tile:
    """Cells as large as the longest text of all grids; smaller letters if there are many columns."""
    texts = {cell.text for grid in grids for row in grid.cells for cell in row}
    columns = max((len(row) for grid in grids for row in grid.cells), default=0)
    heads = max((text_width(text, SMALL - 1) for grid in grids for text in grid.column_heads), default=0.0)
    if not any(texts):
        return Tile(ceil(max(_SMALL_TILE, heads + 2)), _SMALL_TILE, SMALL - 1)
    font = BODY if columns <= 16 else SMALL - 1
    height = round(font * 1.9)
    longest = max(text_width(text, font, mono=True) for text in texts)
    return Tile(ceil(max(height + 2, longest + (10 if columns <= 16 else 6), heads + 4)), height, font)


def _pixel_size(picture: Picture, available: float) -> float:
    """Small images are enlarged by a whole factor; one that is wider than the page or larger than its side is reduced."""
    height, width = picture.pixels.shape[:2]
    enlarged = max(1, min(_LARGEST_PIXEL, _PIXELS // max(1, height, width)))
    most = available if picture.side is None else min(available, picture.side * width / max(1, height, width))
    return float(min(enlarged, most / max(1, width)))


def _overhang(picture: Picture, available: float) -> tuple[float, float, float, float]:
    """How far outlines reach beyond the image: to the left, above, to the right, and below."""
    height, width = picture.pixels.shape[:2]
    outlines, factor = picture.outlines, _pixel_size(picture, available)
    left = max([0, *(-outline.column for outline in outlines)])
    above = max([0, *(-outline.row for outline in outlines)])
    right = max([0, *(outline.column + outline.width - width for outline in outlines)])
    below = max([0, *(outline.row + outline.height - height for outline in outlines)])
    return left * factor, above * factor, right * factor, below * factor


# What a panel shows


def panel_shapes(panel: Panel, place: PanelPlace) -> list[Shape]:
    """The shapes of a panel, always in the same order: of a grid the frame, then the cells."""
    shapes = frame_shapes(panel, place)
    if isinstance(panel, Grid):
        for i, row in enumerate(panel.cells):
            for j, cell in enumerate(row):
                shapes += cell_shapes(cell, place, i, j)
    return shapes


def frame_shapes(panel: Panel, place: PanelPlace) -> list[Shape]:
    """All shapes of a panel but the cells of a grid."""
    size = place.size
    left, width = place.x - size.head, max(size.width, _NOTE_WIDTH)
    title = text_lines(panel.title, left, 0, width, "title", BODY)
    shift = place.y - size.top - 4 - title.bottom
    shapes: list[Shape] = [label._replace(y=label.y + shift) for label in title.labels]
    match panel:
        case Grid():
            shapes += _head_shapes(panel, place)
        case Picture():
            shapes += _picture_shapes(panel, place)
        case Formulas():
            y = place.y
            for text in panel.lines:
                lines = text_lines(text, left, y, size.width, "text", BODY, mono=True)
                shapes += lines.labels
                y = max(lines.bottom, y + LINE)
            return shapes
    return [*shapes, *text_lines(panel.note, left, place.y + size.body + size.foot + 4, width, "note", SMALL).labels]


def _head_shapes(grid: Grid, place: PanelPlace) -> Iterator[Shape]:
    tile = place.size.tile
    for j, text in enumerate(grid.column_heads):
        x = place.x + j * (tile.width + _TILE_GAP) + tile.width / 2
        yield Label(x, place.y - 5, text, "middle", "note", SMALL - 1)
    for i, text in enumerate(grid.row_heads):
        yield Label(place.x - 7, _row_baseline(place, i), text, "end", "note", SMALL - 1)


def _row_baseline(place: PanelPlace, row: int) -> float:
    tile = place.size.tile
    return place.y + row * (tile.height + _TILE_GAP) + tile.height / 2 + tile.font * 0.36


def cell_shapes(cell: Cell, place: PanelPlace, row: int, column: int) -> list[Shape]:
    """The box of a cell, then its text."""
    tile = place.size.tile
    x, y = place.x + column * (tile.width + _TILE_GAP), place.y + row * (tile.height + _TILE_GAP)
    box = Box(x, y, tile.width, tile.height, cell.role, cell.shade, cell.hint)
    if not _has_label(cell, tile):
        return [box]
    # Without a text, the sign of a negative cell shows in grey too.
    text = cell.text or ("−" if cell.shade is not None and cell.shade < 0 else "")
    centre, baseline = x + tile.width / 2, _row_baseline(place, row)
    return [box, Label(centre, baseline, text, "middle", cell.role, tile.font, True, cell.shade)]


def row_length(cells: Sequence[Cell], place: PanelPlace) -> int:
    """The number of shapes of these cells."""
    tile = place.size.tile
    return 2 * len(cells) if tile.height > _SMALL_TILE else sum(1 + _has_label(cell, tile) for cell in cells)


def _has_label(cell: Cell, tile: Tile) -> bool:
    return tile.height > _SMALL_TILE or cell.text != "" or (cell.shade is not None and cell.shade < 0)


def _picture_shapes(picture: Picture, place: PanelPlace) -> Iterator[Shape]:
    rows, columns = picture.pixels.shape[:2]
    factor = _pixel_size(picture, place.size.available)
    left, top, width, height = place.x - 0.5, place.y - 0.5, columns * factor, rows * factor
    yield Box(left - 0.5, top - 0.5, width + 1, height + 1, "axis")  # an image may have the colour of the background
    yield Raster(left, top, width, height, picture.pixels, picture.title)
    for outline in picture.outlines:
        # A pixel further out, so that the border hides less of what it surrounds.
        x, y = left + outline.column * factor - 1, top + outline.row * factor - 1
        around = rectangle(x, y, outline.width * factor + 2, outline.height * factor + 2)
        yield Edge(around, outline.role, halo=True)
