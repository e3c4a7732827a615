"""Shows that an axis has round ticks with texts that differ, whatever the numbers are."""

from __future__ import annotations

import random
from math import inf, nan, nextafter

import pytest

from cnnc.view.axis import LARGEST, SMALLEST, Axis, scale_of


def ticks(axis: Axis, *values: float, about: int = 5) -> list[str]:
    return [text for _, text in scale_of(axis, values, about).ticks]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((0, 1), ["0", "1"]),
        ((0.012, 0.031), ["0.010", "0.015", "0.020", "0.025", "0.030", "0.035"]),
        ((1, 300), ["0", "100", "200", "300"]),
        ((-3, 4), ["−4", "−2", "0", "2", "4"]),
        ((0, 120_000), ["0", "50,000", "100,000", "150,000"]),
        ((5, 5), ["4", "5", "6"]),
        ((0.5, 0.5), ["0.44", "0.46", "0.48", "0.50", "0.52", "0.54", "0.56"]),
        ((1, 2, 3), ["1", "2", "3"]),
        ((), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((nan, inf, 2.0, 3.0), ["2.0", "2.2", "2.4", "2.6", "2.8", "3.0"]),
        ((0, 2e-7), ["0", "5e-8", "1e-7", "1.5e-7", "2e-7"]),
        ((2.302585, 2.302587), ["2.3025850", "2.3025855", "2.3025860", "2.3025865", "2.3025870"]),  # a loss that stays
        ((3e9, 3.1e9), ["3e9", "3.02e9", "3.04e9", "3.06e9", "3.08e9", "3.1e9"]),
        ((-2e-7, 0), ["−2e-7", "−1.5e-7", "−1e-7", "−5e-8", "0"]),
        ((-2e9, 2e9), ["−2e9", "−1e9", "0", "1e9", "2e9"]),
    ],
)
def test_round_ticks(values: tuple[float, ...], texts: list[str]) -> None:
    assert ticks(Axis(""), *values) == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((1200, 300_000), ["1,000", "3,000", "10,000", "30,000", "100,000", "300,000"]),
        ((300, 50_000_000), ["100", "10,000", "1,000,000", "100,000,000"]),
        ((0.02, 0.4), ["0.02", "0.05", "0.1", "0.2", "0.5"]),
        ((1, 1e12), ["1", "1,000", "1,000,000", "1e9", "1e12"]),
        ((0, -1, 10, 20), ["10", "20"]),
        ((), ["1", "2", "5", "10"]),
        ((7, 7), ["2", "5", "10", "20"]),
    ],
)
def test_round_ticks_of_a_logarithm(values: tuple[float, ...], texts: list[str]) -> None:
    assert ticks(Axis("", log=True), *values) == texts


def test_limits_of_an_axis() -> None:
    assert ticks(Axis("", low=0, high=10), 3.0, 4.0) == ["0", "2", "4", "6", "8", "10"]
    assert ticks(Axis("", log=True, low=0, high=100), 10, 20) == ["10", "20", "50", "100"]  # a logarithm has no 0
    assert ticks(Axis("", low=5), 3.0, 4.0) == ["3.5", "4.0", "4.5", "5.0", "5.5"]  # no number is above the limit
    assert ticks(Axis("", log=True, low=5), 3, 4) == ["2", "5", "10"]


@pytest.mark.parametrize("log", [False, True])
def test_any_two_numbers_have_a_scale(log: bool) -> None:
    """Numbers of all magnitudes, close to one another and equal: each is on the axis, and no two ticks read alike."""
    for seed in range(300):
        rng = random.Random(seed)
        first, second = (rng.choice((1, -1)) * rng.uniform(1, 9) * 10.0 ** rng.uniform(-323, 307) for _ in range(2))
        second = rng.choice((second, first, nextafter(first, inf), first * (1 + 10 ** rng.uniform(-16, 0))))
        scale = scale_of(Axis("", log), (first, second), rng.choice((3, 5, 8)))
        for value in (first, second):
            assert scale.shows(value) == (abs(value) <= LARGEST and (value >= SMALLEST or not log)), seed
        texts = [text for _, text in scale.ticks]
        assert 1 <= len(set(texts)) == len(texts) < 20, seed
        assert max(map(len, texts)) <= 17, seed  # ten digits, signs and an exponent
