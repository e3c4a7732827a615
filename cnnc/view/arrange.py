"""Lays a page out: a `Page` becomes a `Drawing`.

In: a page, the number of the step to show, and the width to fill. Out: a drawing, wider than asked only if one panel is.
Panels stand side by side, centred on the line of their signs, and a band that is too wide continues below, as a long
formula does. A panel has the same place and cells of the same size in each step, so that stepping moves nothing.

    arranged(Page("Sum", "A sum", (Band((grid_of("x", "x", [[1, 2]]),)),))).width     # 78.0
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cnnc.view.drawing import Box, Drawing, Label, Role, Shape
from cnnc.view.labels import BODY, LINE, MARGIN, SMALL, TITLE, TextColumn, label_width
from cnnc.view.page import Band, CellRole, Grid, Page, Panel, Picture, Step
from cnnc.view.panels import PanelPlace, PanelSize, panel_shapes, panel_size
from cnnc.view.text_width import text_width

WIDTH = 960
GAP, _BAND_GAP = 18, 26
_MARK = 14
_LEGEND: dict[CellRole, str] = {
    "read": "read",
    "weight": "weight",
    "result": "result",
    "padding": "padding",
    "zero": "always zero",
    "faint": "not computed yet",
}


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
    head = title_of(page, width)
    layout = layout_of(page, head.y, width)
    shapes: list[Shape] = [*layout.signs]
    for panel, place in zip(panels, layout.places, strict=True):
        shapes += panel_shapes(panel, place)
    below = step_texts(shown, layout.bottom, width)
    legend, bottom = legend_of(roles_of(panels), below.y, width - 2 * MARGIN)
    notes = notes_of(page, bottom, width)
    labels = [*head.labels, *below.labels, *notes.labels]
    right = right_end(layout, legend, labels)
    description = "\n".join([page.description, *([shown.title, *shown.lines] if shown else [])])
    return Drawing(right + MARGIN, notes.y + MARGIN, page.title, description, (*labels, *shapes, *legend))


def title_of(page: Page, width: float) -> TextColumn:
    """The title of a page, above its panels."""
    column = TextColumn(MARGIN, width - 2 * MARGIN)
    column.add(page.title, "title", TITLE, after=10)
    return column


def step_texts(step: Step | None, y: float, width: float) -> TextColumn:
    """The title and formulas of a step, below the panels."""
    column = TextColumn(y, width - 2 * MARGIN)
    if step is not None:
        column.add(step.title, "title", BODY + 1)
        for line in step.lines:
            column.add(line, "text", BODY, mono=True)
        column.y += 8
    return column


def notes_of(page: Page, y: float, width: float) -> TextColumn:
    """The notes of a page, below all else."""
    column = TextColumn(y, width - 2 * MARGIN)
    for note in page.notes:
        column.add(note, "note", SMALL)
    return column


def right_end(layout: PageLayout, legend: Iterable[Shape], labels: Iterable[Label]) -> float:
    """How far panels, legend and texts, which begin at their x, reach to the right."""
    texts = [label.x + label_width(label) for label in labels]
    return max([layout.width - MARGIN, legend_width(legend) - MARGIN, *texts])


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
        sizes = [panel_size([panel, *variants.get(panel.name, ())], width - 2 * MARGIN) for panel in band.panels]
        for row in _rows(band, _even(band, sizes), width - 2 * MARGIN):
            middle = y + max(size.rise for _, size in row)
            x = float(MARGIN)
            for sign, size in row:
                if sign:
                    font = _sign_font(sign)
                    signs.append(
                        Label(x + text_width(sign, font) / 2, middle + 0.35 * font, sign, "middle", "text", font)
                    )
                    x += _sign_width(sign)
                # Thin lines are sharp in the middle of a pixel.
                left, upper = round(x + size.head) + 0.5, round(middle - size.body / 2) + 0.5
                places.append(PanelPlace(left, upper, size))
                x += size.width + GAP
            right = max(right, x - GAP)
            y = middle + max(size.fall for _, size in row) + _BAND_GAP
    return PageLayout(tuple(places), tuple(signs), right + MARGIN, y - (10 if places else 0))


def _sign_width(sign: str) -> float:
    return text_width(sign, _sign_font(sign)) + GAP


def _sign_font(sign: str) -> int:
    """A dot of the size of the other signs would hardly be seen."""
    return 34 if sign == "·" else 20


def _even(band: Band, sizes: list[PanelSize]) -> list[PanelSize]:
    """Pictures without signs between them stand in columns of the same width."""
    if len(sizes) < 3 or any(band.signs) or not all(isinstance(panel, Picture) for panel in band.panels):
        return sizes
    width = max(size.width for size in sizes)
    rise = max(size.title for size in sizes)
    return [size._replace(width=width, title=rise) for size in sizes]


def _rows(band: Band, sizes: Sequence[PanelSize], width: float) -> Iterator[list[tuple[str, PanelSize]]]:
    """The panels of a band in rows that fit the width, each with the sign before it."""
    row: list[tuple[str, PanelSize]] = []
    used = 0.0
    for number, size in enumerate(sizes):
        sign = band.signs[number - 1] if 0 < number <= len(band.signs) else ""
        needed = size.width + (_sign_width(sign) if sign else 0)
        if row and used + needed > width:
            yield row
            row, used = [], 0.0
        row.append((sign, size))
        used += needed + GAP
    if row:
        yield row


# What the borders mean


def roles_of(panels: Iterable[Panel]) -> dict[Role, bool]:
    """The roles of all cells and outlines, and whether all cells with the role are shaded."""
    roles: set[tuple[Role, bool]] = set()
    for panel in panels:
        if isinstance(panel, Grid):
            roles.update((cell.role, cell.shade is not None) for row in panel.cells for cell in row)
        elif isinstance(panel, Picture):
            roles.update((outline.role, False) for outline in panel.outlines)
    return {role: (role, False) not in roles for role, _ in sorted(roles)}


def legend_of(roles: Mapping[Role, bool], y: float, width: float) -> tuple[list[Shape], float]:
    """What the borders mean, for the roles that occur, and the y below it."""
    shapes: list[Shape] = []
    x = float(MARGIN)
    names = [(role, name) for role, name in _LEGEND.items() if role in roles]
    for role, name in names:
        needed = _MARK + 6 + text_width(name, SMALL) + GAP
        if x > MARGIN and x + needed > MARGIN + width:
            x, y = MARGIN, y + LINE + 2
        shapes.append(Box(round(x) + 1.5, round(y) + 3.5, _MARK - 2, _MARK - 2, role, 0 if roles[role] else None))
        shapes.append(Label(x + _MARK + 6, y + 13, name, "start", "note", SMALL))
        x += needed
    return shapes, y + (LINE + 6 if names else 0)


def legend_width(legend: Iterable[Shape]) -> float:
    """How far a legend reaches to the right, with the margin."""
    return max((shape.x + label_width(shape) + MARGIN for shape in legend if isinstance(shape, Label)), default=0.0)
