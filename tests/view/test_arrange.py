"""Shows that nothing overlaps on a page that is laid out, and that all of it is within the drawing."""

from __future__ import annotations

import pytest

from cnnc.view.arrange import arranged
from cnnc.view.drawing import Box, Drawing, Edge, Label, Raster, Shape
from cnnc.view.page import Page
from cnnc.view.text_width import text_width, wrapped
from tests.view.pages import contact_sheet, heat_map, hostile, letters, random_page

Area = tuple[float, float, float, float]


def area(shape: Shape) -> Area:
    """Left, top, right, bottom."""
    match shape:
        case Label():
            width = text_width(shape.text, shape.size, mono=shape.mono, bold=shape.role in ("title", "result"))
            left = shape.x - {"start": 0.0, "middle": width / 2, "end": width}[shape.anchor]
            return left, shape.y - 0.75 * shape.size, left + width, shape.y + 0.22 * shape.size
        case Box() | Raster():
            return shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
        case Edge():
            xs, ys = zip(*shape.points, strict=True)
            return min(xs), min(ys), max(xs), max(ys)
        case _:
            raise TypeError(shape)


def overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def within(a: Area, b: Area) -> bool:
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


def collisions(drawing: Drawing) -> list[tuple[Shape, Shape]]:
    """Pairs of shapes that overlap, but for a text or an image within its box, and an outline on its image."""
    shapes = sorted(((area(s), s) for s in drawing.shapes if not isinstance(s, Label) or s.text), key=lambda p: p[0][0])
    pairs = []
    for i, (a, first) in enumerate(shapes):
        for b, second in shapes[i + 1 :]:
            if b[0] >= a[2]:
                break
            if overlap(a, b) and not may_overlap(first, second):
                pairs.append((first, second))
    return pairs


def may_overlap(first: Shape, second: Shape) -> bool:
    kinds = {type(first), type(second)}
    if Edge in kinds:
        frames = [shape for shape in (first, second) if isinstance(shape, Box)]
        return Label not in kinds and all(box.role == "axis" for box in frames)
    a, b = area(first), area(second)
    return kinds in ({Box, Label}, {Box, Raster}) and (within(a, b) or within(b, a))


def outside(drawing: Drawing) -> list[Shape]:
    whole = (0.0, 0.0, drawing.width, drawing.height)
    return [shape for shape in drawing.shapes if not within(area(shape), whole)]


@pytest.mark.parametrize(
    "page", [letters(), heat_map(8, 3), contact_sheet(), hostile()], ids=lambda page: page.title[:8]
)
@pytest.mark.parametrize("width", [320, 960])
def test_nothing_overlaps(page: Page, width: int) -> None:
    for step in range(max(1, len(page.steps)))[:13]:
        drawing = arranged(page, step, width)
        assert collisions(drawing) == []
        assert outside(drawing) == []


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 40)), 1321, 1422, 1423]
)
def test_nothing_overlaps_on_random_pages(seed: int) -> None:
    """The last seeds have panels that are a matrix with heads in one step and formulas or a wider matrix in another."""
    page = random_page(seed)
    for step in range(max(1, len(page.steps))):
        for width in (250, 700, 1400):
            drawing = arranged(page, step, width)
            assert collisions(drawing) == []
            assert outside(drawing) == []


def test_the_tests_above_can_fail() -> None:
    box = Box(10, 10, 20, 20)
    label = Label(25, 25, "too wide for it", "middle")
    assert collisions(Drawing(99, 99, "", "", (box, label))) == [(label, box)]
    assert outside(Drawing(9, 99, "", "", (box,))) == [box]


def test_a_page_fills_the_width_and_no_more() -> None:
    """A band of six grids is broken into rows, as is a long formula."""
    page = letters()
    wide = page._replace(bands=(page.bands[0]._replace(panels=page.bands[0].panels * 2, signs=("+",) * 5),))
    assert arranged(wide._replace(steps=()), width=600).width <= 600
    assert arranged(wide._replace(steps=()), width=600).height > arranged(wide._replace(steps=()), width=2000).height


def test_steps_move_nothing() -> None:
    """The cells of all steps have the same places, although the result is filled by and by."""
    page = letters()
    places = {tuple(s[:4] for s in arranged(page, i).shapes if isinstance(s, Box) and s.width > 14) for i in range(12)}
    assert len(places) == 1


@pytest.mark.parametrize("mono", [False, True])
def test_wrapped_lines_fit_and_lose_nothing(mono: bool) -> None:
    text = "S(0,1) = " + " + ".join(f"x({i})·w({i})" for i in range(30)) + " " + "y" * 80
    lines = wrapped(text, 200, 13, mono=mono)
    assert max(text_width(line, 13, mono=mono) for line in lines) <= 200
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_aligned_columns_are_kept() -> None:
    assert wrapped("a   = 1", 200, 13, mono=True) == ["a   = 1"]
