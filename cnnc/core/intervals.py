"""95 % confidence intervals of fractions: how far the score of N examples may be from that of all examples.

In: counts. Out: (low, high). Loads no NumPy.

    wilson(97, 100)             # (0.9155, 0.9897): Wilson 1927
    paired(5, 1, 300)           # (-0.0039, 0.0304): Agresti and Min 2005, of the difference (5 - 1)/300

An interval of this kind holds for examples that are drawn independently: images, not the pixels of one image.
"""

from __future__ import annotations

from math import sqrt

Interval = tuple[float, float]

Z = 1.959964
"""The 97.5 % quantile of the normal distribution."""


def wilson(right: int, total: int) -> Interval:
    """The interval of a fraction, `right` of `total` (Wilson 1927); (0, 1) of nothing.

    With p = right/total: (p + z²/2n ± z·sqrt(p(1 − p)/n + z²/4n²)) / (1 + z²/n).
    """
    if not total:
        return 0.0, 1.0
    p, share = right / total, Z * Z / total
    center, half = p + share / 2, Z * sqrt(p * (1 - p) / total + share / (4 * total))
    return max(0.0, (center - half) / (1 + share)), min(1.0, (center + half) / (1 + share))


def accuracy_interval(right: int, total: int, examples: int) -> Interval | None:
    """The interval of an accuracy; None where the predictions are not those of whole examples, as those of pixels."""
    return wilson(right, total) if 0 < total <= examples else None


def paired(lost: int, gained: int, total: int) -> Interval:
    """The interval of (lost − gained)/total, of which `total` examples were judged twice (Agresti and Min 2005).

    `lost` were right the first time only, `gained` the second time only; the others do not enter. Half an example is added
    to each of the four cells, so that the interval of no change is not empty: with b and c so and n = total + 2,
    (b − c ± z·sqrt(b + c − (b − c)²/n)) / n.
    """
    b, c, n = lost + 0.5, gained + 0.5, total + 2
    half = Z * sqrt(b + c - (b - c) ** 2 / n)
    return max(-1.0, (b - c - half) / n), min(1.0, (b - c + half) / n)


def points_text(interval: Interval) -> str:
    """`-0.4 to 3.0 points`, of a difference of fractions."""
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f} points"


def interval_text(interval: Interval) -> str:
    """`91.6% to 99.0%`."""
    low, high = interval
    return f"{low:.1%} to {high:.1%}"
