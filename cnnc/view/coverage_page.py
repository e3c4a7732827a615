"""How often elements are read, as a page: heat maps with numbers; large ones as images.

In: `Coverage`s. Out: a `Page`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.tensor import format_shape
from cnnc.view.coverage import Coverage
from cnnc.view.page import Band, Cell, Grid, Page, Panel, Picture
from cnnc.view.shades import score_pixels
from cnnc.view.window_page import never_read

LARGEST = 24
"""The most rows and columns of a grid with numbers."""


def coverage_page(coverages: Sequence[Coverage], title: str) -> Page:
    """The page of several inputs."""
    panels = tuple(
        counts_panel(f"c{number}", each.title, each.counts, each.exponent) for number, each in enumerate(coverages)
    )
    notes = tuple(note for coverage in coverages for note in _notes(coverage))
    return Page(title, "The number in a cell says how often the element is read.", (Band(panels),), (), 0, notes)


def counts_panel(name: str, title: str, counts: Array, exponent: int = 0) -> Panel:
    """Counts times 2 to the exponent as a heat map with numbers, or as an image where there are many."""
    rows = np.atleast_2d(counts)
    largest = float(rows.max(initial=0)) or 1.0
    full = ", ".join(filter(None, [title, format_shape(counts.shape)]))
    if max(rows.shape) > LARGEST:
        pixels = score_pixels(2 * rows / largest - 1)
        if counts.ndim == 1:
            pixels = np.repeat(pixels, 12, 0)
        return Picture(
            name, full, pixels, note=f"dark: {count_text(rows.min(), exponent)}, light: {count_text(largest, exponent)}"
        )
    cells = tuple(
        tuple(Cell(count_text(n, exponent), shade=n / largest, hint="" if exponent else f"{n:,.0f}") for n in row)
        for row in rows
    )
    heads = tuple(str(i) for i in range(rows.shape[0])) if counts.ndim == 2 else ()
    return Grid(name, full, cells, heads, tuple(str(j) for j in range(rows.shape[1])))


def count_text(count: float | Decimal, exponent: int = 0) -> str:
    """A count times 2 to the exponent: with commas up to 999,999, larger ones as `2.4·10^12`."""
    if exponent:  # beyond all floats
        count = Decimal(float(count)) * Decimal(2) ** exponent
    if count < 999_999.5:
        return f"{count:,.0f}"
    digits, _, power = f"{count:.1e}".partition("e+")
    return f"{digits}·10^{int(power)}"


def _notes(coverage: Coverage) -> list[str]:
    total = float(coverage.counts.sum())
    before = f"{coverage.title}: " if coverage.title else ""
    if coverage.taps is not None:
        possible = coverage.outputs * coverage.taps
        rest = f", {possible - total:,.0f} of padding or of zeros between elements" if total < possible else ""
        text = (
            f"{coverage.outputs:,} outputs read {coverage.taps:,} elements each: "
            f"{possible:,} reads, {total:,.0f} of the input{rest}."
        )
    else:
        text = f"the sum of all counts is {count_text(total, coverage.exponent)}, from {coverage.outputs:,} outputs."
    read = {tuple(map(int, index)) for index in np.argwhere(coverage.counts > 0)}
    unread = never_read(read, coverage.counts.shape)
    return [before + text, *([before + unread] if unread else [])]
