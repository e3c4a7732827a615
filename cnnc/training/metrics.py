"""The metrics: counters that sum over batches, in a table keyed by the classes of recipe/metrics.py.

In: outputs and targets of each batch, channels last. Out: the metric over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self, TypeVar

import numpy as np

from cnnc.core.arrays import Array
from cnnc.recipe.metrics import (
    Accuracy,
    BalancedAccuracy,
    ClassF1,
    ClassPrecision,
    ClassRecall,
    MacroF1,
    MeanAbsoluteError,
    MeanIou,
    MeanSquaredError,
    Metric,
    Psnr,
    Top5,
)
from cnnc.report.confusion import ClassScore, class_scores


class MetricCounter:
    """Counts one metric over batches. Its attributes are sums over them, to which `+` adds those of another counter."""

    def add(self, outputs: Array, target: Array, ignored: int | None) -> None:
        """Counts a batch.

        For a metric of labels, `outputs` are scores (..., C) and `target` labels (...), of which `ignored` does not
        count. For a metric of values, both have the shape of the output, and `ignored` is None.
        """
        raise NotImplementedError

    def merge(self, other: Self) -> None:
        """Adds what another counter has counted in other batches."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def value(self, of: int | None = None) -> float:
        """The metric over all batches so far; of one class for a metric that has one for each."""
        raise NotImplementedError


COUNTERS: dict[type[Metric], type[MetricCounter]] = {}

C = TypeVar("C", bound=type[MetricCounter])


def counter_of(cls: type[Metric]) -> Callable[[C], C]:
    """Registers the counter of a metric."""

    def register(counter: C) -> C:
        COUNTERS[cls] = counter
        return counter

    return register


def count_correct(scores: Array, labels: Array, ignored: int | None) -> tuple[int, int]:
    """The number of labels (...) whose class has the highest of the scores (..., C), and the number of labels that count.

    Labels equal to `ignored` do not count.
    """
    hits = scores.argmax(-1).reshape(labels.shape) == labels
    if ignored is None:
        return int(hits.sum()), labels.size
    counted = labels != ignored
    return int((hits & counted).sum()), int(counted.sum())


def count_by_class(scores: Array, labels: Array, ignored: int | None) -> tuple[Array, Array]:
    """`count_correct` for each class (C,): how many of its labels were predicted correctly, and how many it has."""
    classes = scores.shape[-1]
    predicted, labels = scores.argmax(-1).reshape(-1), labels.reshape(-1)
    if ignored is not None:
        predicted, labels = predicted[labels != ignored], labels[labels != ignored]
    return np.bincount(labels[predicted == labels], minlength=classes), np.bincount(labels, minlength=classes)


@counter_of(Accuracy)
class AccuracyCounter(MetricCounter):
    """The fraction of labels whose class has the highest score."""

    def __init__(self) -> None:
        self.correct = self.total = 0

    def add(self, outputs: Array, target: Array, ignored: int | None) -> None:
        correct, total = count_correct(outputs, target, ignored)
        self.correct += correct
        self.total += total

    def value(self, of: int | None = None) -> float:
        return self.correct / max(1, self.total)


@counter_of(Top5)
class Top5Counter(MetricCounter):
    """The fraction of labels whose class is among the five highest scores."""

    def __init__(self) -> None:
        self.correct = self.total = 0

    def add(self, outputs: Array, target: Array, ignored: int | None) -> None:
        scores = outputs.reshape(-1, outputs.shape[-1])
        best = np.argpartition(-scores, min(4, scores.shape[1] - 1), axis=-1)[:, :5]
        hits = (best == target.reshape(-1, 1)).any(-1)
        self.correct += int((hits if ignored is None else hits & (target.reshape(-1) != ignored)).sum())
        self.total += count_correct(outputs, target, ignored)[1]

    def value(self, of: int | None = None) -> float:
        return self.correct / max(1, self.total)


class MeanErrorCounter(MetricCounter):
    """The mean of `error` of the differences, output − target, over all elements."""

    def __init__(self) -> None:
        self.errors, self.elements = 0.0, 0

    @staticmethod
    def error(differences: Array) -> Array:
        """What is averaged of the differences."""
        raise NotImplementedError

    def add(self, outputs: Array, target: Array, ignored: int | None) -> None:
        self.errors += float(self.error(outputs - target).sum(dtype=np.float64))
        self.elements += outputs.size

    def value(self, of: int | None = None) -> float:
        return self.errors / max(1, self.elements)


@counter_of(MeanSquaredError)
class MeanSquaredErrorCounter(MeanErrorCounter):
    """The mean of (output − target)² over all elements."""

    @staticmethod
    def error(differences: Array) -> Array:
        return np.square(differences)


@counter_of(MeanAbsoluteError)
class MeanAbsoluteErrorCounter(MeanErrorCounter):
    """The mean of |output − target| over all elements."""

    @staticmethod
    def error(differences: Array) -> Array:
        return np.abs(differences)


@counter_of(Psnr)
class PsnrCounter(MeanSquaredErrorCounter):
    """10·log10(1/MSE), in decibels, for values from 0 to 1."""

    def value(self, of: int | None = None) -> float:
        mse = super().value()
        return 10 * math.log10(1 / mse) if mse else math.inf


class Confusion:
    """The confusion matrix (C, C): how often each class (row) was predicted as each class (column).

    `matrix` is None before the first batch.
    """

    def __init__(self) -> None:
        self.matrix: Array | None = None

    def __add__(self, other: Confusion) -> Confusion:
        sum_ = Confusion()
        matrices = [m for m in (self.matrix, other.matrix) if m is not None]
        sum_.matrix = sum(matrices[1:], matrices[0]) if matrices else None
        return sum_

    def add(self, scores: Array, labels: Array, ignored: int | None) -> None:
        """Counts a batch of scores (..., C) and labels (...), without labels equal to `ignored`."""
        classes = scores.shape[-1]
        predicted, labels = scores.argmax(-1).reshape(-1), labels.reshape(-1)
        if ignored is not None:
            kept = labels != ignored
            predicted, labels = predicted[kept], labels[kept]
        pairs = np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)
        self.matrix = pairs if self.matrix is None else self.matrix + pairs


class ConfusionCounter(MetricCounter):
    """A metric that is computed from the confusion matrix over all batches."""

    def __init__(self) -> None:
        self.confusion = Confusion()

    @staticmethod
    def of_classes(confusion: Array) -> Array:
        """The metric of each class (C,) of a confusion matrix; NaN for a class that does not enter the mean."""
        raise NotImplementedError

    def add(self, outputs: Array, target: Array, ignored: int | None) -> None:
        self.confusion.add(outputs, target, ignored)

    def value(self, of: int | None = None) -> float:
        if self.confusion.matrix is None:
            return 0.0
        values = self.of_classes(self.confusion.matrix)
        if of is not None:
            return float(np.nan_to_num(values[of]))
        entering = values[~np.isnan(values)]
        return float(entering.mean()) if len(entering) else 0.0


@counter_of(MeanIou)
class MeanIouCounter(ConfusionCounter):
    """Intersection over union."""

    @staticmethod
    def of_classes(confusion: Array) -> Array:
        both = np.diag(confusion)
        either = confusion.sum(0) + confusion.sum(1) - both
        ratio: Array = np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)
        return ratio


@counter_of(ClassPrecision)
class PrecisionCounter(ConfusionCounter):
    """The correct predictions of a class relative to all predictions of it."""

    @staticmethod
    def of_classes(confusion: Array) -> Array:
        return _of_occurring(confusion, lambda score: score.precision)


@counter_of(ClassRecall)
class RecallCounter(ConfusionCounter):
    """The correct predictions of a class relative to its labels."""

    @staticmethod
    def of_classes(confusion: Array) -> Array:
        return _of_occurring(confusion, lambda score: score.recall)


@counter_of(ClassF1)
@counter_of(MacroF1)
class F1Counter(ConfusionCounter):
    """2·precision·recall/(precision + recall)."""

    @staticmethod
    def of_classes(confusion: Array) -> Array:
        return _of_occurring(confusion, lambda score: score.f1)


@counter_of(BalancedAccuracy)
class BalancedAccuracyCounter(ConfusionCounter):
    """The recall of the classes that have examples."""

    @staticmethod
    def of_classes(confusion: Array) -> Array:
        return np.array([each.recall if each.examples else np.nan for each in class_scores(confusion.tolist())])


def _of_occurring(confusion: Array, value: Callable[[ClassScore], float]) -> Array:
    """A score of each class, NaN of a class that is neither a label nor a prediction."""
    return np.array([value(score) if score.occurs else np.nan for score in class_scores(confusion.tolist())])


def score_of(metric: type[Metric], confusion: Array) -> float:
    """A metric that is computed from a confusion matrix (C, C)."""
    counter = COUNTERS[metric]()
    assert isinstance(counter, ConfusionCounter)
    counter.confusion.matrix = confusion
    return counter.value()
