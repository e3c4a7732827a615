"""Shows that nothing overlaps on a page that is laid out, and that all of it is within the drawing."""

from __future__ import annotations

import pytest

from cnnc.view.arrange import arranged
from cnnc.view.drawing import Box, Drawing, Label
from cnnc.view.page import Band, Cell, CellRole, Grid, Page
from cnnc.view.text_width import text_width, wrapped
from tests.view.overlaps import collisions, outside
from tests.view.pages import contact_sheet, heat_map, hostile, letters, random_page


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


def test_the_legend_of_a_small_page_is_within_the_drawing() -> None:
    roles: tuple[CellRole, ...] = ("read", "weight", "result", "padding", "zero", "faint")
    page = Page("t", "d", (Band((Grid("x", "", (tuple(Cell("1", role) for role in roles[:3]),) * 2),)),))
    assert outside(arranged(page)) == []
    assert arranged(page).width > 200
    column = Grid("x", "", tuple((Cell("1", role),) for role in roles))
    assert outside(arranged(Page("t", "d", (Band((column,)),)), width=320)) == []


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


def test_a_position_is_not_broken_between_lines() -> None:
    text = "position 1 of 9: output (0, 12), then more"
    for width in range(40, 300, 10):
        lines = wrapped(text, width, 13)
        assert " ".join(line.strip() for line in lines).split() == text.split() or width < 60
        assert width < 60 or any("(0, 12)," in line for line in lines)
