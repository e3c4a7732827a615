"""The lines in the channel between two ranks: which of them run side by side, and in which order.

In: `Wire`s, each from one x at the top to some at the bottom. Out: the track of each, counted from the top; None for a straight
line. Lines on one track do not touch, and of two lines whose order matters the one that crosses less comes first.

    tracks([Wire("a", 0, (40,)), Wire("b", 60, (20,))])     # [0, 1] or [1, 0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

APART = 5
"""Lines whose ends are nearer than this must not share a track."""


class Wire(NamedTuple):
    """A line that comes from above at x `top` and leads down at each x of `bottoms`."""

    tensor: str
    top: float
    bottoms: tuple[float, ...]

    @property
    def is_straight(self) -> bool:
        """Whether it needs no track."""
        return all(abs(x - self.top) < 0.01 for x in self.bottoms)

    @property
    def first(self) -> float:
        """Its smallest x."""
        return min(self.top, *self.bottoms)

    @property
    def last(self) -> float:
        """Its largest x."""
        return max(self.top, *self.bottoms)


def tracks(wires: Sequence[Wire]) -> list[int | None]:
    """The track of each line."""
    bent = [i for i, wire in enumerate(wires) if not wire.is_straight]
    before: dict[int, list[int]] = {i: [] for i in bent}
    for n, i in enumerate(bent):
        for j in bent[n + 1 :]:
            if not _overlap(wires[i], wires[j]):
                continue
            first_above, second_above = _cost(wires[i], wires[j]), _cost(wires[j], wires[i])
            upper, lower = (i, j) if first_above <= second_above else (j, i)
            before[lower].append(upper)
    result: dict[int, int] = {}
    waiting = list(bent)
    while waiting:
        ready = [i for i in waiting if all(j in result for j in before[i])] or waiting[:1]
        for i in ready:
            result[i] = max((result[j] + 1 for j in before[i] if j in result), default=0)
            taken = {result[j] for j in result if j != i and _overlap(wires[i], wires[j])}
            while result[i] in taken:
                result[i] += 1
        waiting = [i for i in waiting if i not in result]
    return [result.get(i) for i in range(len(wires))]


def _overlap(a: Wire, b: Wire) -> bool:
    return a.first < b.last + APART and b.first < a.last + APART


def _cost(upper: Wire, lower: Wire) -> int:
    """The crossings of two lines if the first one is above the other; one on top of the other counts as many."""
    cost = sum(lower.first < x < lower.last for x in upper.bottoms) + (upper.first < lower.top < upper.last)
    touching = any(abs(x - lower.top) < APART for x in upper.bottoms)
    return cost + 100 * touching
