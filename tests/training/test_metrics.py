"""The metrics: counted over batches, and printed with their units."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.recipe.metrics import BalancedAccuracy, ClassF1, ClassPrecision, ClassRecall, format_metric
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


def plain_scores(labels: list[int], predictions: list[int], of: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of a class, counted in a loop."""
    right = sum(label == prediction == of for label, prediction in zip(labels, predictions, strict=True))
    precision = right / predictions.count(of) if of in predictions else 0.0
    recall = right / labels.count(of) if of in labels else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0


def test_scores_of_each_class_are_those_of_a_loop() -> None:
    """With their means as scikit-learn defines them: over the classes that occur; balanced accuracy over those with labels."""
    random = np.random.default_rng(3)
    scores, labels = random.normal(size=(60, 6)), random.integers(0, 4, 60)
    scores[:, 5] = -9  # neither predicted nor a label; 4 is only predicted
    predictions = scores.argmax(1).tolist()
    assert 4 in predictions
    expected = [plain_scores(labels.tolist(), predictions, of) for of in range(6)]
    for n, metric in enumerate((ClassPrecision, ClassRecall, ClassF1)):
        counter = COUNTERS[metric]()
        counter.add(scores, labels, None)
        assert [counter.value(of) for of in range(6)] == pytest.approx([row[n] for row in expected])
        assert counter.value() == pytest.approx(sum(row[n] for row in expected[:5]) / 5)
    counter = COUNTERS[BalancedAccuracy]()
    counter.add(scores, labels, None)
    assert counter.value() == pytest.approx(sum(row[1] for row in expected[:4]) / 4)


def test_metrics_are_printed_with_their_units() -> None:
    assert format_metric("accuracy", 0.98766) == "98.77%"
    assert format_metric("top5", 1.0) == "100.00%"
    assert format_metric("iou", 0.5) == "50.00%"
    assert format_metric("psnr", 31.4159) == "31.42 dB"
    assert format_metric("mse", 0.0123456) == "0.01235"
    assert format_metric("l1", 0.0123456) == "0.01235"
