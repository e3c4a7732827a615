"""The metrics: counted over batches, and printed with their units."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.recipe.metrics import format_metric
from cnnc.training.metrics import COUNTERS
from tests.training.statement_cases import METRICS, MetricCase


@pytest.mark.parametrize("case", METRICS, ids=lambda case: case.metric.kind)
def test_a_metric_over_batches(case: MetricCase) -> None:
    counter = COUNTERS[case.metric]()
    for outputs, target in case.batches:
        counter.add(np.array(outputs, np.float64), np.array(target), case.ignored)
    assert counter.value() == pytest.approx(case.expected)


@pytest.mark.parametrize("case", METRICS, ids=lambda case: case.metric.kind)
def test_a_metric_over_nothing_is_finite_or_unbounded(case: MetricCase) -> None:
    assert COUNTERS[case.metric]().value() >= 0


def test_metrics_are_printed_with_their_units() -> None:
    assert format_metric("accuracy", 0.98766) == "98.77%"
    assert format_metric("top5", 1.0) == "100.00%"
    assert format_metric("iou", 0.5) == "50.00%"
    assert format_metric("psnr", 31.4159) == "31.42 dB"
    assert format_metric("mse", 0.0123456) == "0.01235"
    assert format_metric("l1", 0.0123456) == "0.01235"
