"""The positions that a page steps through.

In: the positions of a layer's outputs, and the one that is shown. Out: those around it, as many as a page has steps.

    around(7, 100, 4)                  # range(5, 9)
    of_channel((6, 24, 24), (3, 14, 20))      # (3, 0, 0), (3, 0, 1), ...
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from cnnc.core.arguments import Axes

MAX_STEPS = 400
"""The most positions that a page steps through."""


def around(index: int, count: int, most: int) -> range:
    """At most `most` of `count` indices, with `index` in their middle if it is not near an end."""
    first = max(0, min(index - most // 2, count - most))
    return range(first, min(first + most, count))


def steps_around(positions: Sequence[Axes], at: Axes | None) -> tuple[list[Axes], int]:
    """The positions to step through, at most MAX_STEPS around `at`, and the number of `at` among them."""
    current = positions.index(at) if at is not None else 0
    shown = around(current, len(positions), MAX_STEPS)
    return [positions[n] for n in shown], current - shown.start


def of_channel(shape: Axes, at: Axes) -> list[Axes]:
    """The positions of the channel of an output, in order; of a vector all."""
    if len(shape) == 1:
        return [(index,) for index in range(shape[0])]
    return [(at[0], *position) for position in product(*map(range, shape[1:]))]
