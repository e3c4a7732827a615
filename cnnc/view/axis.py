"""An axis of a chart: where numbers stand on it, and its ticks at round numbers.

In: an `Axis` and the numbers that it shows. Out: an `AxisScale`.

    scale = scale_of(Axis("loss"), [0.013, 0.031], 5)
    scale.part(0.035)     # 1.0: the upper end
    scale.ticks[0]        # (0.01, "0.010")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

from cnnc.view.number_text import number_text

SMALLEST, LARGEST = 1e-300, 1e300
"""Magnitudes of the numbers on an axis: their differences and ratios are numbers too. Smaller ones count as 0, larger ones
are not shown."""
_NARROW = 1e-9
"""Numbers that differ by less than this part of their magnitude count as equal: ticks have up to ten digits."""


class Axis(NamedTuple):
    """An axis; without `low` and `high` it fits the points."""

    title: str
    log: bool = False
    low: float | None = None
    high: float | None = None


class AxisScale(NamedTuple):
    """Where numbers stand on an axis: from `low` to `high`, which are logarithms if `log`, and the ticks with their texts."""

    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def part(self, value: float) -> float:
        """The position of a number, from 0 to 1."""
        return ((log10(value) if self.log else value) - self.low) / (self.high - self.low)

    def shows(self, value: float) -> bool:
        """Whether a number is on the axis."""
        return isfinite(value) and (value > 0 or not self.log) and -1e-9 <= self.part(value) <= 1 + 1e-9


def scale_of(axis: Axis, values: Iterable[float], about: int) -> AxisScale:
    """The scale of an axis that fits these numbers, with about this number of ticks, at round numbers."""
    least = SMALLEST if axis.log else -LARGEST
    usable = [value for value in values if isfinite(value) and least <= value <= LARGEST]
    low = min(usable, default=1.0 if axis.log else 0.0)
    high = max(usable, default=10.0 if axis.log else 1.0)
    low = axis.low if axis.low is not None and (axis.low > 0 or not axis.log) else low
    high = axis.high if axis.high is not None and (axis.high > 0 or not axis.log) else high
    if axis.log:
        return _log_scale(low, high, about)
    whole = len(usable) > 0 and all(isinstance(value, int) for value in usable)  # epochs, not accuracies of 0.0 and 1.0
    return _linear_scale(low, high, about, 1.0 if whole else 0.0)


def _linear_scale(low: float, high: float, about: int, least_step: float) -> AxisScale:
    magnitude = max(abs(low), abs(high))
    if not high - low > max(_NARROW * magnitude, SMALLEST):
        room = magnitude / 10 if magnitude > SMALLEST else 0.5
        low, high = min(low, high) - room, max(low, high) + room
    step = max(round_step((high - low) / about), least_step)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    values = [k * step for k in range(first, last + 1)]
    return AxisScale(first * step, last * step, False, tuple(zip(values, _texts(values, step), strict=True)))


def round_step(least: float) -> float:
    """The smallest of ..., 0.1, 0.2, 0.5, 1, 2, 5, 10, ... that is at least this."""
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _log_scale(low: float, high: float, about: int) -> AxisScale:
    if not high > low:
        low, high = min(low, high) / 2, max(low, high) * 2
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        first = max((i for i, tick in enumerate(ticks) if tick <= low * (1 + 1e-9)), default=0)
        last = min((i for i, tick in enumerate(ticks) if tick >= high * (1 - 1e-9)), default=len(ticks) - 1)
        kept = ticks[first : last + 1]
        if len(kept) <= about + 1:
            break
    kept = kept[:: max(1, ceil(len(kept) / (about + 1)))]
    ends = min(low, kept[0]), max(high, kept[-1])
    return AxisScale(log10(ends[0]), log10(ends[1]), True, tuple((tick, _power_text(tick)) for tick in kept))


def _texts(ticks: Sequence[float], step: float) -> list[str]:
    """Ticks as text, with the digits that tell them apart; with exponents if they are large, or tiny."""
    place = floor(log10(step) + 1e-9)  # of the last digit that counts
    magnitude = max(map(abs, ticks))
    is_plain = magnitude < 1e9 and (step >= 1e-5 or magnitude >= 0.01)

    def text(tick: float) -> str:
        if abs(tick) < step / 1000:
            return "0"
        if is_plain:
            return f"{tick:,.{max(0, -place)}f}".replace("-", "−")
        return number_text(tick, floor(log10(abs(tick)) + 1e-9) - place + 1)

    return [text(tick) for tick in ticks]


def _power_text(value: float) -> str:
    """A tick of a logarithmic axis: 0.0001, but 1e-5."""
    return _texts([value], value)[0] if value >= 0.99e-4 else number_text(value, 1)
