"""The metrics of the step graph, in a table keyed by the classes of recipe/metrics.py.

In: the tensors that the loss reads, (N, C, *spatial), and targets: labels (N) or (N, *spatial), or values of the same
shape. Out: sums over the batch, `MetricSums`, which a host adds up over batches before it divides:

    accuracy, top5, mse, l1    total/counted
    psnr                       10·log10(counted/total)
    iou, precision, recall,    `training.metrics.score_of` the total, a confusion matrix (C, C)
    f1, macro_f1,
    balanced_accuracy
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from cnnc.onnx.train_step.step_emitter import StepEmitter
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


class MetricSums(NamedTuple):
    """What a metric sums up, a number or a matrix, and the number of labels or elements that count; names of tensors."""

    total: str
    counted: str
    dtype: int
    shape: tuple[int, ...] = ()


StepMetric = Callable[[StepEmitter, str, str, int | None], MetricSums]
"""(emitter, outputs, targets, ignored label) -> MetricSums; the emitter's node is the layer that the loss reads."""

METRICS: dict[type[Metric], StepMetric] = {}

OUTPUTS = {"sigmoid": "Sigmoid"}
"""For each layer that a loss on values may include (`Loss.included_layers`): its operator, since a metric reads its output."""


def metric_of(*classes: type[Metric]) -> Callable[[StepMetric], StepMetric]:
    """Registers the function of metrics."""

    def register(function: StepMetric) -> StepMetric:
        METRICS.update(dict.fromkeys(classes, function))
        return function

    return register


@metric_of(Accuracy)
def _accuracy(e: StepEmitter, scores: str, labels: str, ignored: int | None) -> MetricSums:
    """The labels whose class has the highest score."""
    labels = _label_map(e, labels)
    best = e.new("ArgMax", scores, axis=1, keepdims=0)
    return _labels_where(e, e.new("Equal", best, labels), labels, ignored)


@metric_of(Top5)
def _top5(e: StepEmitter, scores: str, labels: str, ignored: int | None) -> MetricSums:
    """The labels whose class is among the five highest scores."""
    assert e.node is not None
    labels, best = _label_map(e, labels), e.fresh_name("best")
    e.new("TopK", scores, e.sizes(min(5, e.node.type.channels)), axis=1)
    e.nodes[-1].output.append(best)  # the second output: the classes
    hits = e.new("Cast", e.new("Equal", best, e.new("Unsqueeze", labels, e.sizes(1))), to=TensorProto.INT64)
    return _labels_where(e, e.new("Cast", e.reduce("Sum", hits, [1]), to=TensorProto.BOOL), labels, ignored)


def _label_map(e: StepEmitter, labels: str) -> str:
    """Labels as (N, *spatial), also where there is one label per image of 1x1."""
    assert e.node is not None
    return e.reshape(labels, -1, *e.node.type.spatial)


def _labels_where(e: StepEmitter, hits: str, labels: str, ignored: int | None) -> MetricSums:
    """The number of hits among the labels that count."""
    if ignored is None:
        return MetricSums(_number_of(e, hits), e.new("Size", labels), TensorProto.INT64)
    counted = e.new("Not", e.new("Equal", labels, e.number(ignored, np.int64)))
    return MetricSums(_number_of(e, e.new("And", hits, counted)), _number_of(e, counted), TensorProto.INT64)


def _number_of(e: StepEmitter, hits: str) -> str:
    """How many elements of (N, *spatial) are true."""
    assert e.node is not None
    return e.reduce("Sum", e.new("Cast", hits, to=TensorProto.INT64), range(1 + e.node.type.rank))


@metric_of(MeanSquaredError, Psnr)
def _squared_errors(e: StepEmitter, outputs: str, target: str, ignored: int | None) -> MetricSums:
    d = e.new("Sub", outputs, target)
    return _sum_of_errors(e, e.new("Mul", d, d))


@metric_of(MeanAbsoluteError)
def _absolute_errors(e: StepEmitter, outputs: str, target: str, ignored: int | None) -> MetricSums:
    return _sum_of_errors(e, e.new("Abs", e.new("Sub", outputs, target)))


def _sum_of_errors(e: StepEmitter, errors: str) -> MetricSums:
    assert e.node is not None
    total = e.reduce("Sum", errors, range(2 + e.node.type.rank))
    return MetricSums(total, e.new("Size", errors), TensorProto.FLOAT)


@metric_of(MeanIou, ClassPrecision, ClassRecall, ClassF1, MacroF1, BalancedAccuracy)
def _confusion(e: StepEmitter, scores: str, labels: str, ignored: int | None) -> MetricSums:
    """How often each class (row) was predicted as each class (column): one-hot labels times one-hot predictions.

    A label that does not count becomes C, outside the classes, of which a one-hot row is 0.
    """
    assert e.node is not None
    classes = e.node.type.channels
    labels = e.reshape(labels, -1)
    if ignored is not None:
        outside = e.number(classes, np.int64)
        labels = e.new("Where", e.new("Equal", labels, e.number(ignored, np.int64)), outside, labels)
    predicted = e.reshape(e.new("ArgMax", scores, axis=1, keepdims=0), -1)
    rows, columns = _one_hot(e, labels, classes), _one_hot(e, predicted, classes)
    pairs = e.new("MatMul", e.new("Transpose", rows, perm=[1, 0]), columns)
    matrix = e.new("Cast", pairs, to=TensorProto.INT64)
    return MetricSums(matrix, e.reduce("Sum", matrix, [0, 1]), TensorProto.INT64, (classes, classes))


def _one_hot(e: StepEmitter, classes: str, count: int) -> str:
    return e.new("OneHot", classes, e.number(count, np.int64), e.constant("train.off_on", [0, 1]), axis=-1)
