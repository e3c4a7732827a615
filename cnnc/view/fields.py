"""Which elements of the input one output depends on: its receptive field as whole indices.

In: the receptive fields of a layer (`cnnc.graph.analysis`) and a position in it. Out: an `Interval` for each axis.

    field_at(receptive_fields(graph)["pool2"], (2, 3))     # (Interval(6, 21), Interval(10, 25)) of LeNet-5
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import NamedTuple

from cnnc.core.arguments import Axes
from cnnc.graph.analysis import ReceptiveField


class Interval(NamedTuple):
    """The first and last input element of a field on one axis; both may lie in the padding."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """The number of elements, those of padding as well."""
        return self.last - self.first + 1

    def inside(self, elements: int) -> int:
        """How many of them are in an input of this many elements."""
        return max(0, min(self.last, elements - 1) - max(self.first, 0) + 1)

    def crop(self, elements: int) -> slice:
        """The part of an input of this many elements; the nearest element of a field that lies beyond the border."""
        first = min(max(self.first, 0), elements - 1)
        return slice(first, max(first, min(self.last, elements - 1)) + 1)


def field_at(fields: Sequence[ReceptiveField], at: Axes) -> tuple[Interval, ...]:
    """The field of one position, on each axis; a vector, which has no position, has that of position 0."""
    at = at if len(at) == len(fields) else (0,) * len(fields)
    bounds = [(f.first + f.step * i, f.size) for f, i in zip(fields, at, strict=True)]
    return tuple(Interval(ceil(first), floor(first + size - 1)) for first, size in bounds)
