"""Pages for tests: a convolution of letters, a heat map with a window, a contact sheet, hostile names, random ones."""

from __future__ import annotations

import random

import numpy as np

from cnnc.view.page import Band, Cell, Formulas, Grid, Mark, Outline, Page, Panel, Picture, Step, grid_of

HOSTILE = (
    "</script><script>alert(1)</script> ]]> --> \"'& \x00\x07\x1b\ud800\uffff \u202eRTL שלום 👩‍🔬 http://a.example "
    + "x" * 90
)


def letters() -> Page:
    """A 3x3 convolution of a padded 3x4 input, in letters: one step per output, which fills the result."""
    inner = ("abcd", "efgh", "ijkl")
    rows = tuple(
        tuple(
            Cell("0", "padding") if i in (0, 4) or j in (0, 5) else Cell(inner[i - 1][j - 1], "plain") for j in range(6)
        )
        for i in range(5)
    )
    x = Grid("x", "input", rows, tuple(map(str, range(-1, 4))), tuple(map(str, range(-1, 5))))
    k = grid_of("k", "kernel", ("rst", "uvw", "xyz"))
    window = [(a, b) for a in range(3) for b in range(3)]
    steps = []
    for i in range(3):
        for j in range(4):
            marks = [Mark("x", i + a, j + b, "read") for a, b in window]
            marks += [Mark("k", a, b, "weight") for a, b in window]
            terms = " + ".join(f"{k.cells[a][b].text}·{rows[i + a][j + b].text}" for a, b in window)
            cells = tuple(
                tuple(
                    Cell(f"S{r}{c}", hint=f"{r} {c}" if r else "")
                    if (r, c) <= (i, j)
                    else Cell("", "faint", hint="?" * r)
                    for c in range(4)
                )
                for r in range(3)
            )
            marks.append(Mark("s", i, j, "result"))
            steps.append(
                Step(f"S({i},{j})", (f"S({i},{j}) = {terms}",), tuple(marks), (Grid("s", "result", cells),), (i, j))
            )
    bands = (Band((x, k, steps[5].panels[0]), ("∗", "=")),)
    return Page(
        "Convolution of letters", "Each output is a sum of nine products.", bands, tuple(steps), 5, ("A note.",)
    )


def heat_map(size: int = 28, kernel: int = 5, steps: int = 400) -> Page:
    """A heat map with numbers, a kernel, and a result without numbers; one step per output."""
    values = np.random.default_rng(0).uniform(-1, 1, (size, size))
    out = size - kernel + 1
    x = Grid("x", "input", tuple(tuple(Cell(f"{v:.2f}", shade=float(v)) for v in row) for row in values))
    s = Grid("s", "result", tuple(tuple(Cell("", shade=float(v)) for v in row[:out]) for row in values[:out]))
    positions = [(i, j) for i in range(out) for j in range(out)][:steps]
    window = [(a, b) for a in range(kernel) for b in range(kernel)]
    moves = tuple(
        Step(
            f"conv1[0,{i},{j}]",
            (" + ".join(f"{values[i + a, j + b]:.3f}·0.123" for a, b in window),),
            (*(Mark("x", i + a, j + b, "read") for a, b in window), Mark("s", i, j, "result")),
            position=(i, j),
        )
        for i, j in positions
    )
    return Page("One output of conv1", "A sum of 25 products", (Band((x,)), Band((s,))), moves)


def contact_sheet() -> Page:
    """Twenty pictures, grey and coloured, with outlines that overhang."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    names = ("identity", "laplacian of gaussian, sigma 1.4", "sobel_x")
    outlines = (Outline(-2, -3, 8, 8), Outline(20, 25, 12, 9, "result"))
    panels = tuple(
        Picture(
            f"p{i}", names[i % 3], pixels if i % 2 else pixels[..., 0], outlines if i == 4 else (), "a note" * (i % 2)
        )
        for i in range(20)
    )
    return Page("Filters", "Twenty filters of one image", (Band(panels),))


def hostile() -> Page:
    """A page whose every text tries to break out of the format."""
    grid = grid_of("g" + HOSTILE, HOSTILE, ((HOSTILE[:12], "&<"), ("\x00", "]]>")), note=HOSTILE)
    picture = Picture("p", HOSTILE, np.zeros((2, 2), np.uint8), note=HOSTILE)
    formulas = Formulas("f", HOSTILE, (HOSTILE, HOSTILE))
    steps = (
        Step(HOSTILE, (HOSTILE,), (Mark(grid.name, 0, 0, "read"),)),
        Step("2", ("z",), (), (Formulas("f", "", (HOSTILE,)),)),
    )
    return Page(HOSTILE, HOSTILE, (Band((grid, picture, formulas), ("<", "&")),), steps, 0, (HOSTILE,))


def random_page(seed: int) -> Page:
    """Bands of panels of every kind and size, some with steps."""
    rng = random.Random(seed)

    def words(most: int) -> str:
        return " ".join(
            rng.choice(("a", "kernel", "conv1[3,14,20]", "W" * 30, "λ∗·²", "-0.003"))
            for _ in range(rng.randint(0, most))
        )

    def panel(name: str) -> Panel:
        kind = rng.randrange(4)
        if kind == 0:
            size = (rng.randint(1, 40), rng.randint(1, 40))
            pixels = np.zeros(size if rng.random() < 0.5 else (*size, 3), np.uint8)
            outline = Outline(rng.randint(-3, 3), rng.randint(-3, 3), rng.randint(1, 45), rng.randint(1, 45))
            return Picture(name, words(4), pixels, (outline,) * rng.randint(0, 1), words(6))
        if kind == 1:
            return Formulas(name, words(4), tuple(words(40) for _ in range(rng.randint(0, 4))))
        rows, columns = rng.randint(1, 6), rng.choice((1, 2, 5, 20))
        empty = rng.random() < 0.2
        cells = tuple(
            tuple(
                Cell(
                    "" if empty else rng.choice(("0", "a", "-0.125", "x(3,14)", "")),
                    rng.choice(("plain", "read", "zero", "padding", "result")),
                    rng.choice((None, -0.7, 0.3)),
                )
                for _ in range(columns)
            )
            for _ in range(rows)
        )
        heads = tuple(rng.choice(("0", "12", "(3,14)")) for _ in range(columns)) if rng.random() < 0.5 else ()
        return Grid(name, words(5), cells, tuple(map(str, range(rows))) if rng.random() < 0.5 else (), heads, words(9))

    bands = []
    for b in range(rng.randint(1, 3)):
        panels = tuple(panel(f"{b}-{i}") for i in range(rng.randint(1, 5)))
        bands.append(Band(panels, tuple(rng.choice(("∗", "=", "", "+")) for _ in panels[1:])))
    names = [p.name for band in bands for p in band.panels]
    steps = tuple(
        Step(
            words(5), tuple(words(30) for _ in range(2)), (), tuple(panel(name) for name in names if rng.random() < 0.4)
        )
        for _ in range(rng.randint(0, 3))
    )
    return Page(words(12), "A page", tuple(bands), steps, 0, tuple(words(40) for _ in range(2)))
