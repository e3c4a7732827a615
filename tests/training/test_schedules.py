"""The learning rate over the course of training."""

from __future__ import annotations

import math

import pytest

from cnnc.recipe.schedules import Constant, Cosine, OneCycle, StepDecay


@pytest.mark.parametrize("epoch", [0, 0.5, 3, 9.99])
def test_constant(epoch: float) -> None:
    assert Constant(warmup=0).factor(epoch, 10) == 1.0


@pytest.mark.parametrize(("epoch", "expected"), [(0, 1.0), (2.9, 1.0), (3, 0.1), (5.99, 0.1), (6, 0.01), (9, 0.001)])
def test_step(epoch: float, expected: float) -> None:
    assert StepDecay(every=3, gamma=0.1, warmup=0).factor(epoch, 10) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("epoch", "expected"), [(0, 1.0), (2.5, 0.8535533905932737), (5, 0.5), (10, 0.0), (12, 0.0)])
def test_cosine(epoch: float, expected: float) -> None:
    assert Cosine(warmup=0).factor(epoch, 10) == pytest.approx(expected, abs=1e-15)


def test_cosine_falls_all_the_way() -> None:
    factors = [Cosine(warmup=0).factor(epoch / 100, 7) for epoch in range(701)]
    assert factors == sorted(factors, reverse=True)
    assert all(math.isfinite(f) and 0 <= f <= 1 for f in factors)


def test_warmup_rises_in_a_line_and_leaves_the_rest_to_the_schedule() -> None:
    schedule = Cosine(warmup=2)
    assert [schedule.factor(e, 10) for e in (0, 0.5, 1)] == [0, 0.25, 0.5]
    assert schedule.factor(2, 10) == 1
    assert schedule.factor(6, 10) == pytest.approx(0.5)
    assert schedule.factor(10, 10) == pytest.approx(0, abs=1e-15)


def test_one_cycle_rises_to_the_full_rate_and_falls_to_nearly_nothing() -> None:
    schedule = OneCycle(rise=0.3)
    assert schedule.factor(0, 10) == pytest.approx(1 / 25)
    assert schedule.factor(3, 10) == pytest.approx(1)
    assert schedule.factor(1.5, 10) == pytest.approx((1 / 25 + 1) / 2)
    assert schedule.factor(10, 10) == pytest.approx(1e-4 / 25)
    factors = [schedule.factor(e / 10, 10) for e in range(30, 101)]
    assert factors == sorted(factors, reverse=True)
