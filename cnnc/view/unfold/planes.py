"""The terms of one output, laid out as the window that it reads: one plane per input channel, with rows and columns.

In: terms with the indices of their elements. Out: `Plane`s, largest contribution first, each a matrix of terms with its indices
in the whole input. A plane of a volume is one slice of its depth; a vector is one plane with one row.

    conv k=3 p=1 on 2x8x8, output (0, 0, 4): two planes with the rows -1, 0, 1 and the columns 3, 4, 5; row -1 is padding
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cnnc.core.arguments import Axes
from cnnc.view.unfold.combine import added
from cnnc.view.unfold.layer_run import WeightedElement
from cnnc.view.unfold.steps import around

MAX_LISTED = 8
"""The most elements of a vector that are shown, so that they fit into 80 columns."""


class Plane(NamedTuple):
    """Terms of one channel, and of one depth in a volume: `key` is (channel,), (channel, depth), or () of a vector.

    `rows` and `columns` are indices in the whole input, those of padding below 0 or beyond its size. `terms[i][j]` is None where
    the kernel has no weight for the element.
    """

    key: Axes
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    terms: tuple[tuple[WeightedElement | None, ...], ...]

    @property
    def read(self) -> list[WeightedElement]:
        """The terms that read the input, not padding."""
        return [term for row in self.terms for term in row if term is not None and term.element is not None]

    @property
    def subtotal(self) -> float:
        """The sum of the plane's products."""
        return float(added(term.value for term in self.read))

    @property
    def label(self) -> str:
        """`channel 3`, `channel 3 depth 1`, or "" of a vector."""
        return " ".join(f"{name} {index}" for name, index in zip(("channel", "depth"), self.key, strict=False))

    def cropped(self, size: int) -> Plane:
        """At most `size` rows and columns: around the largest product, or the largest products of a vector."""
        places = [(i, j) for i, row in enumerate(self.terms) for j, term in enumerate(row) if term is not None]
        places.sort(key=lambda place: -_size(self.terms[place[0]][place[1]]))
        i, j = places[0] if places else (0, 0)
        rows: Sequence[int] = around(i, len(self.rows), size)
        columns: Sequence[int] = around(j, len(self.columns), size)
        if not self.key:
            columns = sorted(place[1] for place in places[: min(size, MAX_LISTED)])
        terms = tuple(tuple(self.terms[i][j] for j in columns) for i in rows)
        return Plane(self.key, tuple(self.rows[i] for i in rows), tuple(self.columns[j] for j in columns), terms)


def _size(term: WeightedElement | None) -> float:
    return abs(term.value) if term is not None else 0.0


def planes_of(elements: Iterable[Axes], terms: Iterable[WeightedElement]) -> list[Plane]:
    """The terms by their elements, which lie outside the input in its padding; largest contribution first."""
    grouped: dict[Axes, dict[tuple[int, int], WeightedElement]] = {}
    for element, term in zip(elements, terms, strict=True):
        key, row, column = _place(element)
        grouped.setdefault(key, {})[row, column] = term
    planes = []
    for key, placed in grouped.items():
        rows, columns = (tuple(sorted({place[axis] for place in placed})) for axis in (0, 1))
        laid_out = tuple(tuple(placed.get((row, column)) for column in columns) for row in rows)
        planes.append(Plane(key, rows, columns, laid_out))
    return sorted(planes, key=lambda plane: -abs(plane.subtotal))


def _place(element: Axes) -> tuple[Axes, int, int]:
    """The key of the plane of an element, its row and column."""
    if len(element) > 2:
        return element[:-2], element[-2], element[-1]
    return element[:-1], 0, element[-1]
