"""A sum of products as panels: grids of the factors and products, and a line for each row of a window.

In: `Plane`s and what they are called. Out: bands and lines, in which numbers have three and four digits. Layer pages and gradient
pages are built from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.view.page import Band, Grid, Outline
from cnnc.view.unfold.combine import added
from cnnc.view.unfold.formulas import equation, factor, number, short
from cnnc.view.unfold.grids import heat_grid
from cnnc.view.unfold.layer_run import WeightedElement
from cnnc.view.unfold.planes import MAX_LISTED, Plane

MAX_PLANES = 3
"""The most channels of a sum that are shown as grids and lines; the others are shown as one subtotal."""

MAX_SIZE = 12
"""The most rows and columns of a window that are shown."""


class TermText(NamedTuple):
    """What a term adds to a sum, and how it is written: `0.5·(-0.2)`, `0.5²`, `0.5`."""

    value: Callable[[WeightedElement], float]
    text: Callable[[WeightedElement], str]
    name: str = "element"

    def counted(self, n: int) -> str:
        """`1 product`, `20 elements`."""
        return f"{n:,} {self.name}{'' if n == 1 else 's'}"


PRODUCT = TermText(lambda term: term.value, lambda term: f"{factor(term.x)}·{factor(term.factor)}", "product")


# --- grids -----------------------------------------------------------------------------------------------------------


def grid(
    name: str, title: str, plane: Plane, value: Callable[[WeightedElement], float], is_weight: bool = False
) -> Grid:
    """A grid of one number per term, as a heat map. The indices in the whole input are beside it; padding is 0.

    A weight is shown where it meets padding as well, and has its own indices beside it.
    """
    rows, columns = _weight_heads(plane) if is_weight else (plane.rows, plane.columns)
    rows = rows if plane.key and len(plane.rows) > 1 else ()
    values = [[None if term is None else value(term) for term in row] for row in plane.terms]
    padding = [[not is_weight and term is not None and term.element is None for term in row] for row in plane.terms]
    return heat_grid(name, title, values, rows, columns, padding=padding, blank="")


def _weight_heads(plane: Plane) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The last two indices of the weights of a plane, by row and column; those of the plane if the weights have no two axes."""
    indices = [[term.weight if term is not None else None for term in row] for row in plane.terms]
    if any(index is None for row in indices for index in row):
        return tuple(range(len(plane.rows))), tuple(range(len(plane.columns)))
    rows = [{index[-2] for index in row if index is not None and len(index) > 1} for row in indices]
    columns = [{index[-1] for index in column if index is not None} for column in zip(*indices, strict=True)]
    if any(len(indices_of) != 1 for indices_of in (*rows, *columns)):
        return plane.rows, plane.columns
    return tuple(map(min, rows)), tuple(map(min, columns))


def product_band(slot: int, plane: Plane, titles: Sequence[str]) -> Band:
    """The grids of both factors and of the products; `titles` are those of the factors."""
    plane, subtotal = plane.cropped(MAX_SIZE), plane.subtotal
    left = f"{titles[0]}, {plane.label}" if plane.label else titles[0]
    products = grid(f"p{slot}", f"products, sum {short(subtotal)}", plane, lambda term: term.value)
    factors = grid(f"w{slot}", titles[1], plane, lambda term: term.factor, is_weight=True)
    return Band((grid(f"x{slot}", left, plane, lambda term: term.x), factors, products), ("·", "="))


# --- lines -----------------------------------------------------------------------------------------------------------


class PlaneSum(NamedTuple):
    """A sum of planes: those that are shown, in the order of their channels, and the others, which are one subtotal."""

    shown: list[Plane]
    others: list[Plane]
    write: TermText = PRODUCT

    @classmethod
    def of(cls, planes: Sequence[Plane], write: TermText = PRODUCT) -> PlaneSum:
        """The sum of planes that are in the order of their contributions."""
        return cls(sorted(planes[:MAX_PLANES], key=lambda plane: plane.key), list(planes[MAX_PLANES:]), write)

    @property
    def parts(self) -> list[float]:
        """What each plane that is shown adds to the sum, and all others together."""
        others = [self._part(plane) for plane in self.others]
        return [self._part(plane) for plane in self.shown] + ([float(added(others))] if others else [])

    @property
    def lines(self) -> list[str]:
        """The lines of each plane that is shown, and one for the others."""
        lines = [line for plane in self.shown for line in self._lines_of(plane)]
        if not self.others:
            return lines
        count = self.write.counted(sum(len(plane.read) for plane in self.others))
        channels = f"{len(self.others):,} other channel{'s' if len(self.others) > 1 else ''}"
        return [*lines, f"{channels}, {count}: {number(self.parts[-1])}"]

    @property
    def notes(self) -> list[str]:
        """What is not shown."""
        shown, notes = self.shown, []
        if self.others:
            first = "the one" if len(shown) == 1 else f"the {len(shown)}"
            count = f"{len(shown) + len(self.others):,} channels"
            notes.append(f"of {count}, {first} with the largest contributions are shown")
        if any(plane.key and max(len(plane.rows), len(plane.columns)) > MAX_SIZE for plane in shown):
            largest = f"the largest {self.write.name}"
            notes.append(f"of a window, up to {MAX_SIZE} rows and columns around {largest} are shown")
        if any(not plane.key and len(plane.columns) > MAX_LISTED for plane in shown):
            count = self.write.counted(max(len(plane.columns) for plane in shown))
            notes.append(f"of {count}, the {MAX_LISTED} largest are shown")
        return notes

    def _part(self, plane: Plane) -> float:
        return float(added(map(self.write.value, plane.read)))

    def _lines_of(self, plane: Plane) -> list[str]:
        """One line per row of the window: `channel 0, row 13: 0.5·0.2 + 1·(-0.3) = -0.2`; rows of zeros are left out."""
        write, cropped = self.write, plane.cropped(MAX_SIZE)
        lines: list[str] = []
        zeros = 0
        for index, row in zip(cropped.rows, cropped.terms, strict=True):
            read = [term for term in row if term is not None and term.element is not None]
            if not any(term.x for term in read):
                zeros += len(read)
                continue
            at = f"row {index}" if plane.key and len(plane.rows) > 1 else ""
            label = ", ".join(filter(None, [plane.label, at])) or "sum"
            formula, result = " + ".join(map(write.text, read)), number(added(map(write.value, read)))
            lines += equation(f"{label}:", formula, result, equal="")
        label = plane.label or "sum"
        if zeros:
            lines.append(f"{label}, {write.counted(zeros)} {'with a factor of 0' if write is PRODUCT else 'of 0'}: 0")
        left_out = len(plane.read) - len(cropped.read)
        if left_out:
            rest = self._part(plane) - self._part(cropped)
            lines.append(f"{label}, {write.counted(left_out)} not shown: {number(rest)}")
        return lines


# --- images ----------------------------------------------------------------------------------------------------------


def grey(values: Array, low: float | None = None, high: float | None = None) -> NDArray[np.uint8]:
    """Pixels: the least value black, the largest white."""
    finite = values[np.isfinite(values)]
    values_of = finite if finite.size else np.zeros(1)
    low, high = float(values_of.min()) if low is None else low, float(values_of.max()) if high is None else high
    share = np.nan_to_num((values.astype(np.float64) - low) / ((high - low) or 1))
    scaled: NDArray[np.uint8] = np.round(share * 255).clip(0, 255).astype(np.uint8)
    return scaled


def is_plane(index: Axes) -> bool:
    """Whether the index of an element has a channel, a row and a column."""
    return len(index) == 3


def outline(rows: Sequence[int], columns: Sequence[int]) -> Outline:
    """The rectangle around these rows and columns of an image."""
    return Outline(min(rows), min(columns), max(rows) - min(rows) + 1, max(columns) - min(columns) + 1)
