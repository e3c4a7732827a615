"""Pages as text: aligned, within the width, with marks that need no colour, and with what is left out."""

from __future__ import annotations

import re

import pytest

from cnnc.core.ascii import encodable
from cnnc.diagnostics import cells
from cnnc.view.page import Band, Cell, Grid, Mark, Page, Step, grid_of
from cnnc.view.terminal import terminal_text
from tests.view.pages import contact_sheet, heat_map, letters, random_page


def test_a_page_in_full() -> None:
    assert terminal_text(letters(), 80).splitlines() == [
        "S(1,1) = r·a + s·b + t·c + u·e + v·f + w·g + x·i + y·j + z·k",
        "",
        "input                              kernel            result",
        "      -1   0   1   2   3   4       [r] [s] [t]        S00   S01   S02   S03",
        "-1 |   ·   ·   ·   ·   ·   ·   ∗   [u] [v] [w]   =    S10  [S11]",
        " 0 |   ·  [a] [b] [c]  d   ·       [x] [y] [z]",
        " 1 |   ·  [e] [f] [g]  h   ·",
        " 2 |   ·  [i] [j] [k]  l   ·",
        " 3 |   ·   ·   ·   ·   ·   ·",
        "",
        "A note.",
        "[ ] what the sum reads, and its result; · padding: 0",
    ]


@pytest.mark.long
@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for page in (letters(), heat_map(), heat_map(60, 5), contact_sheet()):
        for line in terminal_text(page, width).splitlines():
            assert cells(line) <= width or " " not in line.strip(), line


@pytest.mark.parametrize("width", range(30, 60))
def test_a_sign_before_a_grid_counts(width: int) -> None:
    """A grid that begins a new row, behind a sign, leaves room for it."""
    wide = grid_of("b", "b", [[100 + n for n in range(20)]] * 3)
    text = terminal_text(Page("t", "", (Band((wide, wide), ("=",)),), (), 0), width)
    assert max(map(cells, text.splitlines())) <= width


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(20, 100, 20))])
def test_every_kind_of_page_has_a_text(first: int) -> None:
    for seed in range(first, first + 20):
        page = random_page(seed)
        for width in (None, 80):
            text = terminal_text(page, width)
            assert all(re.sub(r"\s+", "", note) in re.sub(r"\s+", "", text) for note in page.notes)


def test_a_large_grid_is_cut_around_its_marks() -> None:
    grid = grid_of("x", "x", [[100 * i + j for j in range(60)] for i in range(50)])
    step = Step("s", ("line",), (Mark("x", 44, 33, "read"), Mark("x", 45, 34, "read")))
    text = terminal_text(Page("t", "d", (Band((grid,)),), (step,)), 100)
    assert "[4433]" in text
    assert "[4534]" in text
    assert "(shown are rows 38 to 49 of 50 and columns 28 to 39 of 60)" in text
    assert "rows 0 to 11 of 50" in terminal_text(Page("t", "d", (Band((grid,)),)), 100)


def test_marks_and_their_legend() -> None:
    cells_ = ((Cell("0", "padding"), Cell("1"), Cell("2", "read")), (Cell("0", "zero"), Cell("3", "result"), Cell("4")))
    text = terminal_text(Page("t", "d", (Band((Grid("g", "g", cells_),)),)))
    assert text == "g\n ·   1  [2]\n ·  [3]  4\n\n[ ] what the sum reads, and its result; · padding: 0 or always 0"
    repeated = ((Cell("b", "padding"), Cell("a"), Cell("b"), Cell("0", "padding")),)
    text = terminal_text(Page("t", "d", (Band((Grid("g", "g", repeated),)),)))
    assert text == "g\n(b)  a   b  (0)\n\n( ) the input, repeated"


def test_columns_stay_aligned_in_ascii() -> None:
    def ascii_of(text: str) -> str:
        return encodable(text, "ascii")

    grid = Grid("g", "2·x", ((Cell("a·b"), Cell("0", "zero")), (Cell("1"), Cell("√2"))))
    text = terminal_text(Page("t", "d", (Band((grid, grid), ("→",)),)), 80, shown=ascii_of)
    assert text.splitlines()[:3] == [
        "2*x                 2*x",
        " a*b       .   ->    a*b       .",
        "   1   sqrt2           1   sqrt2",
    ]
    assert text.isascii()
