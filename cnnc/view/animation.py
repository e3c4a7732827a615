"""A page as an animated SVG: each step is shown for a while, then the next, from the beginning again after the last.

In: a `Page` with steps. Out: SVG text without a script. A shape that all steps share is in it once; another is visible in the
steps that show it, by a rule of the style sheet. Readers who prefer reduced motion, printers, and programs that know no
animations get the page's current step.

    animated_svg(page)     # '<svg xmlns="http://www.w3.org/2000/svg" ...'
    stills(page, 12)       # a page that shows up to 12 of the steps beside one another
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from cnnc.view.arrange import GAP, WIDTH, layout_of, legend_of, notes_of, right_end, roles_of, step_texts, title_of
from cnnc.view.drawing import Drawing, Label, Raster, Shape
from cnnc.view.labels import MARGIN
from cnnc.view.page import Band, Formulas, Grid, Page, Panel, Picture
from cnnc.view.panels import panel_shapes
from cnnc.view.svg import document, look_of, number, shape_text

SECONDS = 0.8
"""How long a step is shown, unless all steps would take more than LONGEST."""
LONGEST = 60.0
MOST_WIDE = 4
"""The most steps that stand below one another, where two do not fit side by side."""
_HOLD = 2
"""The last step is shown as long as this many steps."""


class TimedShape(NamedTuple):
    """A shape, the steps in which it is visible, and its order among the others."""

    shape: Shape
    steps: list[int]
    order: tuple[int, int]


def animated_svg(page: Page, width: int = WIDTH) -> str:
    """The SVG document of a page; without steps, or with one, it does not move."""
    head, frames, size = _frames(page, width)
    timed = merged(frames)
    ticks = len(frames) + _HOLD - 1
    seconds = min(SECONDS, LONGEST / ticks) * ticks
    prefix = f"k{zlib.crc32((page.title + page.description + str(len(timed))).encode()):08x}"
    names: dict[tuple[int, ...], str] = {}
    body = [shape_text(shape) for shape in head]
    for item in timed:
        text = shape_text(item.shape)
        if len(item.steps) < len(frames):
            name = names.setdefault(tuple(item.steps), f"{prefix}-{len(names)}")
            hidden = "" if page.current in item.steps else ' visibility="hidden"'
            text = f'<g class="{name}"{hidden}>{text}</g>'
        body.append(text)
    rules = "".join(
        f"@keyframes {name}{{{_keyframes(steps, len(frames), ticks)}}}\n"
        f".{name}{{animation:{name} {number(seconds)}s step-end infinite}}\n"
        for steps, name in names.items()
    )
    style = (
        f"<style>\n@media screen and (prefers-reduced-motion:no-preference){{\n{rules}}}\n</style>\n" if rules else ""
    )
    shapes = [*head, *(item.shape for item in timed)]
    drawing = Drawing(*size, page.title, _description(page), ())
    return document(drawing, style + "".join(f"{line}\n" for line in body), map(look_of, shapes)) + "\n"


def _description(page: Page) -> str:
    return f"{page.description} {len(page.steps)} steps, shown in turn." if len(page.steps) > 1 else page.description


def _keyframes(steps: tuple[int, ...], count: int, ticks: int) -> str:
    """The moments at which a shape appears and disappears, as parts of the whole time."""
    visible = set(steps)
    changes = [step for step in range(count) if step == 0 or (step in visible) != (step - 1 in visible)]
    return "".join(f"{100 * n / ticks:.6g}%{{visibility:{'visible' if n in visible else 'hidden'}}}" for n in changes)


def _frames(page: Page, width: int) -> tuple[list[Shape], list[list[Shape]], tuple[float, float]]:
    """What all steps share, the shapes of each step, and the size of all; the texts of the steps have one place."""
    head = title_of(page, width)
    layout = layout_of(page, head.y, width)
    frames: list[list[Shape]] = []
    every: list[Panel] = []
    texts: list[Label] = []
    bottom = layout.bottom
    for step in range(len(page.steps) or 1):
        bands, shown = page.at_step(step)
        panels = [panel for band in bands for panel in band.panels]
        every += panels
        below = step_texts(shown, layout.bottom, width)
        texts += below.labels
        bottom = max(bottom, below.y)
        shapes = [s for panel, place in zip(panels, layout.places, strict=True) for s in panel_shapes(panel, place)]
        frames.append([*shapes, *below.labels])
    legend, lower = legend_of(roles_of(every), bottom, width - 2 * MARGIN)
    notes = notes_of(page, lower, width)
    right = right_end(layout, legend, [*head.labels, *notes.labels, *texts])
    return [*head.labels, *layout.signs, *legend, *notes.labels], frames, (right + MARGIN, notes.y + MARGIN)


def merged(frames: Sequence[Sequence[Shape]]) -> list[TimedShape]:
    """The shapes of all steps, in an order in which each step draws its own as before; each is there once where that allows it."""
    created: list[TimedShape] = []
    known: dict[object, TimedShape] = {}
    for step, frame in enumerate(frames):
        last = (0, -1)
        for index, shape in enumerate(frame):
            key = _key(shape)
            item = known.get(key)
            if item is None or item.order <= last:
                item = known[key] = TimedShape(shape, [], (max(index, last[0]), len(created)))
                created.append(item)
            item.steps.append(step)
            last = item.order
    return sorted(created, key=lambda item: item.order)


def _key(shape: Shape) -> object:
    """Equal for shapes that look alike; pixels cannot be compared by hash."""
    if isinstance(shape, Raster):
        return shape._replace(pixels=shape.pixels.tobytes(), hint=f"{shape.pixels.shape}{shape.hint}")  # type: ignore[arg-type]
    return shape


# Steps beside one another


def stills(page: Page, most: int) -> Page:
    """A page without steps: the panels that change, for up to `most` steps from the first to the last, and the others once."""
    count = len(page.steps)
    if count < 2:
        return page
    shown = _spread(count, most)
    side = _side(_step_bands(page, shown))
    if side == 1:
        shown = _spread(count, min(most, MOST_WIDE))
    bands = _step_bands(page, shown)
    fixed = [
        Band(kept)
        for band in page.bands
        if (kept := tuple(p for p in band.panels if not any(p.name == c.name for s in page.steps for c in s.panels)))
    ]
    notes = page.notes
    if len(shown) < count:
        notes = (f"{len(shown)} of {count} steps are shown.", *notes)
    return Page(page.title, page.description, (*fixed, *_rows(bands, side)), (), 0, notes)


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of the steps, the first and the last among them, at equal distances."""
    return list(range(count)) if count <= most else sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _step_bands(page: Page, steps: Sequence[int]) -> list[Band]:
    """The bands of these steps with the panels that change, titled by the step."""
    bands: list[Band] = []
    for step in steps:
        replaced = {panel.name for panel in page.steps[step].panels} | {mark.grid for mark in page.steps[step].marks}
        first = True
        for band in page.at_step(step)[0]:
            panels = [panel for panel in band.panels if panel.name in replaced]
            if panels:
                title = page.steps[step].title if first else ""
                named = [_renamed(panel, step, "" if i else title) for i, panel in enumerate(panels)]
                first = False
                bands.append(Band(tuple(named), ("→",) * (len(named) - 1)))
    return bands


def _side(bands: Sequence[Band]) -> int:
    """How many bands fit side by side into a page."""
    widest = max(layout_of(Page("", "", (band,)), 0, inf).width - 2 * MARGIN for band in bands)
    return max(1, int((WIDTH - 2 * MARGIN + GAP) // (widest + GAP)))


def _rows(bands: Sequence[Band], side: int) -> list[Band]:
    """The bands in rows, `side` of them side by side."""
    rows = []
    for first in range(0, len(bands), side):
        row = bands[first : first + side]
        panels = tuple(panel for band in row for panel in band.panels)
        rows.append(Band(panels, tuple(sign for band in row for sign in (*band.signs, ""))[:-1]))
    return rows


def _renamed(panel: Panel, step: int, title: str) -> Panel:
    """The panel of a step under a name of its own; it needs no note on each step."""
    if isinstance(panel, Grid | Picture):
        return panel._replace(name=f"{panel.name}@{step}", title=title, note="")
    assert isinstance(panel, Formulas)
    return panel._replace(name=f"{panel.name}@{step}", title=title)
