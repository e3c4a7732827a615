"""The learning rate over the course of training."""

from __future__ import annotations

import math

import pytest

from cnnc.recipe.optimizers import Sgd
from cnnc.recipe.recipe import Recipe
from cnnc.recipe.schedules import Cosine, OneCycle
from cnnc.recipe.statements import Data
from tests.training.statement_cases import SCHEDULES, ScheduleCase


@pytest.mark.parametrize("case", SCHEDULES, ids=lambda case: repr(case.schedule))
def test_factors_over_ten_epochs(case: ScheduleCase) -> None:
    found = {epoch: case.schedule.factor(epoch, 10) for epoch in case.factors}
    assert found == pytest.approx(dict(case.factors), rel=1e-12, abs=1e-15)


def test_cosine_falls_all_the_way() -> None:
    factors = [Cosine(warmup=0).factor(epoch / 100, 7) for epoch in range(701)]
    assert factors == sorted(factors, reverse=True)
    assert all(math.isfinite(f) and 0 <= f <= 1 for f in factors)


def test_one_cycle_falls_from_its_top_on() -> None:
    schedule = OneCycle.make(rise=0.3)
    factors = [schedule.factor(e / 10, 10) for e in range(30, 101)]
    assert factors == sorted(factors, reverse=True)


def test_the_learning_rate_is_the_rate_times_the_factor() -> None:
    """In the update, and in the line of metrics.jsonl."""
    recipe = Recipe(Data.make(name="digits"), optimizer=Sgd.make(lr=0.5), schedule=Cosine.make(warmup=2), epochs=10)
    assert [recipe.learning_rate(epoch) for epoch in (0, 1, 2, 6)] == pytest.approx([0, 0.25, 0.5, 0.25])
