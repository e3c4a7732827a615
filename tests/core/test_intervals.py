"""Confidence intervals: against published values, and against what they promise, counted over all outcomes."""

from __future__ import annotations

from math import comb

import pytest

from cnnc.core.intervals import interval_text, paired, points_text, wilson


@pytest.mark.parametrize(
    ("right", "total", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),  # Newcombe 1998, table I, method 3
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_intervals_are_those_of_newcombe(right: int, total: int, expected: tuple[float, float]) -> None:
    assert wilson(right, total) == pytest.approx(expected, abs=5e-5)


def test_the_interval_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("p", [0.5, 0.8, 0.9])
def test_an_interval_holds_the_true_fraction_in_about_95_of_100_draws(p: float) -> None:
    n = 60
    chances = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    covered = sum(chance for k, chance in enumerate(chances) if wilson(k, n)[0] <= p <= wilson(k, n)[1])
    assert 0.93 < covered < 0.98


def test_paired_intervals() -> None:
    """(b - c ± z·sqrt(b + c - (b - c)²/n))/n, with half an example more in each of the four cells."""
    b, c, n = 8.5, 2.5, 102
    half = 1.959964 * (b + c - (b - c) ** 2 / n) ** 0.5
    assert paired(8, 2, 100) == pytest.approx(((6 - half) / n, (6 + half) / n))
    low, high = paired(0, 0, 50)
    assert low == -high < 0, "no change among 50 examples does not show that there is none"
    assert high > 0.01 > paired(0, 0, 1000)[1]
    assert paired(3, 5, 40) == tuple(-end for end in reversed(paired(5, 3, 40)))


def test_texts() -> None:
    assert interval_text((0.916, 0.99)) == "91.6% to 99.0%"
    assert points_text((-0.0039, 0.0304)) == "-0.4 to 3.0 points"
