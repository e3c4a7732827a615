"""Large grids are cut around the marks of the current step, and the page says what is left out."""

from __future__ import annotations

from cnnc.view.crop import cropped, part_of
from cnnc.view.page import Band, Grid, Mark, Page, Step, grid_of


def page(current: int) -> Page:
    """A 30x40 grid and a result of the same size, with one step per element."""
    grids = (
        grid_of("x", "x", [[40 * i + j for j in range(40)] for i in range(30)]),
        grid_of("y", "y", [[0] * 40] * 30),
    )
    steps = tuple(
        Step(f"{i},{j}", (), (Mark("x", i, j, "read"), Mark("y", i, j, "result"))) for i in range(30) for j in range(40)
    )
    return Page("t", "d", (Band(grids),), steps, current, ("a note",))


def test_marks_move_with_the_part() -> None:
    shown = cropped(page(40 * 20 + 30), 10, 8)
    (x, y), step = shown.at_step(shown.current)[0][0].panels, shown.steps[shown.current]
    assert isinstance(x, Grid)
    assert isinstance(y, Grid)
    assert (len(x.cells), len(x.cells[0])) == (10, 8)
    assert step.title == "20,30"
    (marked,) = [(i, j) for i, row in enumerate(x.cells) for j, cell in enumerate(row) if cell.role == "read"]
    assert x.cells[marked[0]][marked[1]].text == str(40 * 20 + 30)
    assert (x.row_heads[marked[0]], x.column_heads[marked[1]]) == ("20", "30")
    assert y.cells[marked[0]][marked[1]].role == "result"
    assert x.note == "shown are rows 15 to 24 of 30 and columns 26 to 33 of 40"


def test_only_steps_with_a_result_in_the_part_are_left() -> None:
    shown = cropped(page(0), 10, 8)
    assert {step.title for step in shown.steps} == {f"{i},{j}" for i in range(10) for j in range(8)}
    assert shown.notes == ("a note", "The steps are the 80 of 1,200 that lie in the part that is shown.")


def test_only_steps_with_a_whole_window_in_the_part_are_left() -> None:
    whole = page(0)
    steps = tuple(
        step._replace(marks=(*step.marks, step.marks[0]._replace(column=step.marks[0].column + 1)))
        for step in whole.steps
        if step.marks[0].column < 39
    )
    shown = cropped(whole._replace(steps=steps), 10, 8)
    assert {step.title for step in shown.steps} == {f"{i},{j}" for i in range(10) for j in range(7)}


def test_marks_that_are_too_far_apart_are_shown_from_the_first() -> None:
    marks = (Mark("x", 3, 5, "read"), Mark("x", 3, 35, "read"))
    x = cropped(page(0)._replace(steps=(Step("s", (), marks),)), 10, 8).bands[0].panels[0]
    assert isinstance(x, Grid)
    assert x.column_heads == tuple(map(str, range(5, 13)))


def test_what_fits_stays_as_it_is() -> None:
    assert cropped(page(7), 30, 40) == page(7)
    grid = grid_of("x", "x", [[1, 2], [3, 4]])
    assert part_of(grid, 2, 2) is grid
    assert part_of(grid, 1, 2).note == "shown is row 0 of 2"
