"""The lines in the channel between two ranks: which of them run side by side, and in which order.

In: `Wire`s, each from one x at the top to some at the bottom. Out: the track of each, counted from the top; None for a straight
line. Lines on one track do not touch, and of two lines whose order matters the one that crosses less comes first.

    tracks([Wire("a", 0, (40,)), Wire("b", 60, (20,))])     # [0, 1] or [1, 0]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
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


class _Bent(NamedTuple):
    """A line that needs a track, with its smallest and largest x."""

    top: float
    bottoms: tuple[float, ...]
    first: float
    last: float


def tracks(wires: Sequence[Wire]) -> list[int | None]:
    """The track of each line."""
    bent = {i: _bent(wire) for i, wire in enumerate(wires) if not wire.is_straight}
    before: dict[int, list[int]] = {i: [] for i in bent}
    overlaps: dict[int, list[int]] = {i: [] for i in bent}
    for (i, a), (j, b) in combinations(bent.items(), 2):
        if a.first < b.last + APART and b.first < a.last + APART:
            overlaps[i].append(j)
            overlaps[j].append(i)
            upper, lower = (i, j) if _cost(a, b) <= _cost(b, a) else (j, i)
            before[lower].append(upper)
    result: dict[int, int] = {}
    for i in _in_order(before):
        result[i] = max((result[j] + 1 for j in before[i] if j in result), default=0)
        taken = {result[j] for j in overlaps[i] if j in result}
        while result[i] in taken:
            result[i] += 1
    return [result.get(i) for i in range(len(wires))]


def _in_order(before: Mapping[int, Sequence[int]]) -> Iterator[int]:
    """The keys, each after those that come before it; where they form a circle, it is broken at the first one."""
    after: dict[int, list[int]] = {i: [] for i in before}
    for i, others in before.items():
        for j in others:
            after[j].append(i)
    missing = {i: len(others) for i, others in before.items()}
    ready = [i for i in before if not missing[i]]
    while missing:
        i = ready.pop(0) if ready else next(iter(missing))
        if i not in missing:
            continue
        del missing[i]
        yield i
        for j in after[i]:
            if j in missing:
                missing[j] -= 1
                if not missing[j]:
                    ready.append(j)


def _bent(wire: Wire) -> _Bent:
    return _Bent(wire.top, wire.bottoms, min(wire.top, *wire.bottoms), max(wire.top, *wire.bottoms))


def _cost(upper: _Bent, lower: _Bent) -> int:
    """The crossings of two lines if the first one is above the other; one on top of the other counts as many."""
    first, last, top = lower.first, lower.last, lower.top
    cost = int(upper.first < top < upper.last)
    for x in upper.bottoms:
        cost += first < x < last
        if -APART < x - top < APART:
            cost += 100
    return cost
