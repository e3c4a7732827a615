"""Lays a page out: a `Page` becomes a `Drawing`.

In: a page, the number of the step to show, and the width to fill. Out: a drawing, wider than asked only if one panel is.
Panels stand side by side, centred on the line of their signs, and a band that is too wide continues below, as a long
formula does. A panel has the same place and cells of the same size in each step, so that stepping moves nothing.

    arranged(Page("Sum", "A sum", (Band((grid_of("x", "x", [[1, 2]]),)),))).width     # 78.0
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import NamedTuple

from cnnc.view.drawing import Box, Drawing, Edge, Label, Raster, Role, Shape
from cnnc.view.page import Band, Cell, CellRole, Formulas, Grid, Page, Panel, Picture
from cnnc.view.text_width import text_width, wrapped

WIDTH = 960
MARGIN = 16
BODY, SMALL, TITLE = 13, 12, 18
LINE = 19
"""Height of a line of text at the size BODY."""
_GAP, _BAND_GAP = 18, 26
_TILE_GAP = 2
_MARK, _PIXELS, _LARGEST_PIXEL = 14, 168, 24
_NOTE_WIDTH = 150
_LEGEND: dict[CellRole, str] = {
    "read": "read",
    "weight": "weight",
    "result": "result",
    "padding": "padding",
    "zero": "always zero",
    "faint": "not computed yet",
}


class Tile(NamedTuple):
    """The size of the cells of a grid and of the texts in them."""

    width: float
    height: float
    font: float


class PanelSize(NamedTuple):
    """How much room a panel needs: its width, and its heights above, beside and below the line of the signs' row.

    `head` is what stands to the left of the body (row heads), `top` what stands above it (column heads), `tile` the size of
    cells, `available` the width that the panel may fill.
    """

    width: float
    title: float
    top: float
    body: float
    note: float
    head: float
    tile: Tile
    available: float

    @property
    def rise(self) -> float:
        """From the upper edge to the middle of the body."""
        return self.title + self.top + self.body / 2

    @property
    def fall(self) -> float:
        """From the middle of the body to the lower edge."""
        return self.body / 2 + self.note


class PanelPlace(NamedTuple):
    """Where a panel stands: the upper left corner of its body, and its measure."""

    x: float
    y: float
    measure: PanelSize


class PageLayout(NamedTuple):
    """The places of all panels in their order on the page, the signs between them, and the extent of all."""

    places: tuple[PanelPlace, ...]
    signs: tuple[Label, ...]
    width: float
    bottom: float


def arranged(page: Page, step: int | None = None, width: int = WIDTH) -> Drawing:
    """The drawing of a page at a step; without a number at the page's current step."""
    bands, shown = page.at_step(page.current if step is None else step)
    panels = [panel for band in bands for panel in band.panels]
    lines = TextColumn(MARGIN, width - 2 * MARGIN)
    lines.add(page.title, "title", TITLE, after=10)
    layout = layout_of(page, lines.y, width)
    shapes: list[Shape] = [*layout.signs]
    for panel, place in zip(panels, layout.places, strict=True):
        shapes += panel_shapes(panel, place)
    lines.y = layout.bottom
    if shown is not None:
        lines.add(shown.title, "title", BODY + 1)
        for line in shown.lines:
            lines.add(line, "text", BODY, mono=True)
        lines.y += 8
    legend, lines.y = legend_of(roles_of(panels), lines.y, width - 2 * MARGIN)
    for note in page.notes:
        lines.add(note, "note", SMALL)
    right = max([layout.width - MARGIN, *(label.x + _label_width(label) for label in lines.labels)])
    description = "\n".join([page.description, *([shown.title, *shown.lines] if shown else [])])
    return Drawing(right + MARGIN, lines.y + MARGIN, page.title, description, (*lines.labels, *shapes, *legend))


def _label_width(label: Label) -> float:
    return text_width(label.text, label.size, mono=label.mono, bold=label.role == "title")


class TextColumn:
    """Texts below one another, broken into lines; `y` is where the next one begins."""

    def __init__(self, y: float, width: float) -> None:
        self.y, self.width = y, width
        self.labels: list[Label] = []

    def add(self, text: str, role: Role, size: float, *, mono: bool = False, after: float = 0) -> None:
        """Adds a text, and leaves room after it; nothing if it is empty."""
        if text:
            lines = text_lines(text, MARGIN, self.y, self.width, role, size, mono=mono)
            self.labels += lines.labels
            self.y = lines.bottom + after


class TextLines(NamedTuple):
    """Labels one below the other, and where the next line would begin."""

    labels: list[Label]
    bottom: float


def text_lines(
    text: str, x: float, y: float, width: float, role: Role, size: float, *, mono: bool = False
) -> TextLines:
    """A text broken into lines of at most this width, from y downwards."""
    if not text:
        return TextLines([], y)
    height = size * LINE / BODY
    lines = wrapped(text, width, size, mono=mono, bold=role == "title")
    labels = [Label(x, y + size + i * height, line, "start", role, size, mono) for i, line in enumerate(lines)]
    return TextLines(labels, y + len(lines) * height)


def roles_of(panels: Iterable[Panel]) -> set[Role]:
    """The roles of all cells and outlines."""
    roles: set[Role] = set()
    for panel in panels:
        if isinstance(panel, Grid):
            roles.update(cell.role for row in panel.cells for cell in row)
        elif isinstance(panel, Picture):
            roles.update(outline.role for outline in panel.outlines)
    return roles


def legend_of(roles: set[Role], y: float, width: float) -> tuple[list[Shape], float]:
    """What the borders mean, for the roles that occur, and the y below it."""
    shapes: list[Shape] = []
    x = float(MARGIN)
    names = [(role, name) for role, name in _LEGEND.items() if role in roles]
    for role, name in names:
        needed = _MARK + 6 + text_width(name, SMALL) + _GAP
        if x > MARGIN and x + needed > MARGIN + width:
            x, y = MARGIN, y + LINE + 2
        shapes.append(Box(x + 1, y + 3, _MARK - 2, _MARK - 2, role))
        shapes.append(Label(x + _MARK + 6, y + 13, name, "start", "note", SMALL))
        x += needed
    return shapes, y + (LINE + 6 if names else 0)


def legend_width(legend: Iterable[Shape]) -> float:
    """How far a legend reaches to the right, with the margin."""
    return max((shape.x + _label_width(shape) + MARGIN for shape in legend if isinstance(shape, Label)), default=0.0)


# Where panels stand


def layout_of(page: Page, top: float, width: float) -> PageLayout:
    """The places of all panels; they fit the contents of every step."""
    variants: dict[str, list[Panel]] = {}
    for step in page.steps:
        for panel in step.panels:
            variants.setdefault(panel.name, []).append(panel)
    places: list[PanelPlace] = []
    signs: list[Label] = []
    right, y = float(MARGIN), top
    for band in page.bands:
        measures = [_measure([panel, *variants.get(panel.name, ())], width - 2 * MARGIN) for panel in band.panels]
        for row in _rows(band, _even(band, measures), width - 2 * MARGIN):
            middle = y + max(measure.rise for _, measure in row)
            x = float(MARGIN)
            for sign, measure in row:
                if sign:
                    signs.append(Label(x + text_width(sign, 20) / 2, middle + 7, sign, "middle", "text", 20))
                    x += _sign_width(sign)
                # Thin lines are sharp in the middle of a pixel.
                left, upper = round(x + measure.head) + 0.5, round(middle - measure.body / 2) + 0.5
                places.append(PanelPlace(left, upper, measure))
                x += measure.width + _GAP
            right = max(right, x - _GAP)
            y = middle + max(measure.fall for _, measure in row) + _BAND_GAP
    return PageLayout(tuple(places), tuple(signs), right + MARGIN, y - (10 if places else 0))


def _sign_width(sign: str) -> float:
    return text_width(sign, 20) + _GAP


def _even(band: Band, measures: list[PanelSize]) -> list[PanelSize]:
    """Pictures without signs between them stand in columns of the same width."""
    if len(measures) < 3 or any(band.signs) or not all(isinstance(panel, Picture) for panel in band.panels):
        return measures
    width = max(measure.width for measure in measures)
    rise = max(measure.title for measure in measures)
    return [measure._replace(width=width, title=rise) for measure in measures]


def _rows(band: Band, measures: Sequence[PanelSize], width: float) -> Iterator[list[tuple[str, PanelSize]]]:
    """The panels of a band in rows that fit the width, each with the sign before it."""
    row: list[tuple[str, PanelSize]] = []
    used = 0.0
    for number, measure in enumerate(measures):
        sign = band.signs[number - 1] if 0 < number <= len(band.signs) else ""
        needed = measure.width + (_sign_width(sign) if sign else 0)
        if row and used + needed > width:
            yield row
            row, used = [], 0.0
        row.append((sign, measure))
        used += needed + _GAP
    if row:
        yield row


def _measure(variants: Sequence[Panel], available: float) -> PanelSize:
    """The measure that all variants of a panel share."""
    tile = _tile([panel for panel in variants if isinstance(panel, Grid)])
    each = [_measure_one(panel, available, tile) for panel in variants]
    width, title, top, body, note, head = (max(values) for values in zip(*(m[:6] for m in each), strict=True))
    return PanelSize(width, title, top, body, note, head, tile, available)


def _measure_one(panel: Panel, available: float, tile: Tile) -> PanelSize:
    head = top = 0.0
    if isinstance(panel, Grid):
        columns = max((len(row) for row in panel.cells), default=0)
        head = max((text_width(text, SMALL - 1) + 7 for text in panel.row_heads), default=0.0)
        top = LINE - 2 if panel.column_heads else 0.0
        width = head + columns * (tile.width + _TILE_GAP) - _TILE_GAP
        body = len(panel.cells) * (tile.height + _TILE_GAP) - _TILE_GAP
    elif isinstance(panel, Picture):
        head, top, width, body = _picture_extent(panel, available)
    else:
        lines = [line for text in panel.lines for line in wrapped(text, available, BODY, mono=True)]
        width = max((text_width(line, BODY, mono=True) for line in lines), default=0.0)
        body = len(lines) * float(LINE)
    title = wrapped(panel.title, max(width, _NOTE_WIDTH), BODY, bold=True) if panel.title else []
    note = wrapped(panel.note, max(width, _NOTE_WIDTH), SMALL) if not isinstance(panel, Formulas) and panel.note else []
    width = max(
        [width, *(text_width(t, BODY, bold=True) for t in title), *(text_width(t, SMALL) for t in note)], default=width
    )
    return PanelSize(
        width, len(title) * float(LINE) + 4, top, body, len(note) * LINE * SMALL / BODY + 4, head, tile, available
    )


def _tile(grids: Sequence[Grid]) -> Tile:
    """Cells as large as the longest text of all grids; smaller letters if there are many columns."""
    texts = {cell.text for grid in grids for row in grid.cells for cell in row}
    columns = max((len(row) for grid in grids for row in grid.cells), default=0)
    heads = max((text_width(text, SMALL - 1) for grid in grids for text in grid.column_heads), default=0.0)
    if not any(texts):
        return Tile(ceil(max(_MARK, heads + 2)), _MARK, SMALL - 1)
    font = BODY if columns <= 16 else SMALL - 1
    height = round(font * 1.9)
    longest = max(text_width(text, font, mono=True) for text in texts)
    return Tile(ceil(max(height + 2, longest + (10 if columns <= 16 else 6), heads + 4)), height, font)


def _pixel_size(picture: Picture, available: float) -> float:
    """Small images are enlarged by a whole factor; one wider than the page is reduced."""
    height, width = picture.pixels.shape[:2]
    enlarged = max(1, min(_LARGEST_PIXEL, _PIXELS // max(1, height, width)))
    return float(min(enlarged, available / max(1, width)))


def _picture_extent(picture: Picture, available: float) -> tuple[float, float, float, float]:
    """What outlines need to the left of the image and above it, the width of all, and the height from the image's top."""
    height, width = picture.pixels.shape[:2]
    outlines = picture.outlines
    left = max([0, *(-outline.column for outline in outlines)])
    above = max([0, *(-outline.row for outline in outlines)])
    right = max([width, *(outline.column + outline.width for outline in outlines)])
    below = max([height, *(outline.row + outline.height for outline in outlines)])
    factor = _pixel_size(picture, available)
    return left * factor, above * factor, (left + right) * factor, below * factor


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
    measure = place.measure
    left, width = place.x - measure.head, max(measure.width, _NOTE_WIDTH)
    title = text_lines(panel.title, left, 0, width, "title", BODY)
    shift = place.y - measure.top - 4 - title.bottom
    shapes: list[Shape] = [label._replace(y=label.y + shift) for label in title.labels]
    match panel:
        case Grid():
            shapes += _head_shapes(panel, place)
        case Picture():
            shapes += _picture_shapes(panel, place)
        case Formulas():
            y = place.y
            for text in panel.lines:
                lines = text_lines(text, place.x, y, measure.width, "text", BODY, mono=True)
                shapes += lines.labels
                y = max(lines.bottom, y + LINE)
            return shapes
    return [*shapes, *text_lines(panel.note, left, place.y + measure.body + 4, width, "note", SMALL).labels]


def _head_shapes(grid: Grid, place: PanelPlace) -> Iterator[Shape]:
    tile = place.measure.tile
    for j, text in enumerate(grid.column_heads):
        x = place.x + j * (tile.width + _TILE_GAP) + tile.width / 2
        yield Label(x, place.y - 5, text, "middle", "note", SMALL - 1)
    for i, text in enumerate(grid.row_heads):
        yield Label(place.x - 7, _row_baseline(place, i), text, "end", "note", SMALL - 1)


def _row_baseline(place: PanelPlace, row: int) -> float:
    tile = place.measure.tile
    return place.y + row * (tile.height + _TILE_GAP) + tile.height / 2 + tile.font * 0.36


def cell_shapes(cell: Cell, place: PanelPlace, row: int, column: int) -> list[Shape]:
    """The box of a cell, then its text."""
    tile = place.measure.tile
    x, y = place.x + column * (tile.width + _TILE_GAP), place.y + row * (tile.height + _TILE_GAP)
    box = Box(x, y, tile.width, tile.height, cell.role, cell.shade)
    if not _has_label(cell, tile):
        return [box]
    # Without a text, the sign of a negative cell shows in grey too.
    text = cell.text or ("−" if cell.shade is not None and cell.shade < 0 else "")
    centre, baseline = x + tile.width / 2, _row_baseline(place, row)
    return [box, Label(centre, baseline, text, "middle", cell.role, tile.font, True, cell.shade)]


def row_length(cells: Sequence[Cell], place: PanelPlace) -> int:
    """The number of shapes of these cells."""
    tile = place.measure.tile
    return 2 * len(cells) if tile.height > _MARK else sum(1 + _has_label(cell, tile) for cell in cells)


def _has_label(cell: Cell, tile: Tile) -> bool:
    return tile.height > _MARK or cell.text != "" or (cell.shade is not None and cell.shade < 0)


def _picture_shapes(picture: Picture, place: PanelPlace) -> Iterator[Shape]:
    rows, columns = picture.pixels.shape[:2]
    factor = _pixel_size(picture, place.measure.available)
    yield Raster(place.x, place.y, columns * factor, rows * factor, picture.pixels, picture.title)
    for outline in picture.outlines:
        x, y = place.x + outline.column * factor, place.y + outline.row * factor
        right, below = x + outline.width * factor, y + outline.height * factor
        yield Edge(((x, y), (right, y), (right, below), (x, below), (x, y)), outline.role, halo=True)
