"""Rows by which the rules of train statements are tested; test_train_tables.py names every statement without one.

A row of an optimizer is a formula in plain float64 with optimizers that it must agree with. A row of a loss is checked
against central differences, a row of a schedule or a metric holds the expected numbers, a row of an augmentation step
is a value of its argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.recipe.losses import L1, Bce, Contrastive, CrossEntropy, Focal, Huber, Loss, Mse
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
from cnnc.recipe.optimizers import Adam, AdamW, Lion, Optimizer, RmsProp, Sgd
from cnnc.recipe.schedules import Constant, Cosine, OneCycle, Schedule, StepDecay

# --- optimizers: the published rule, as it is written there ------------------------------------------------------

Formula = Callable[[Any, Array, Sequence[Array], Sequence[float]], Array]
"""(optimizer, weight, gradients of all steps, learning rates of all steps) -> weight after the last step"""

FORMULAS: dict[type[Optimizer], Formula] = {}
OPTIMIZERS: list[Optimizer] = []

F = TypeVar("F", bound=Formula)


def formula_of(cls: type[Optimizer], *optimizers: Optimizer) -> Callable[[F], F]:
    """Registers a formula, and the optimizers to compare with it."""

    def register(formula: F) -> F:
        FORMULAS[cls] = formula
        OPTIMIZERS.extend(optimizers)
        return formula

    return register


@formula_of(
    Sgd,
    Sgd.make(lr=0.1),
    Sgd.make(lr=0.1, momentum=0.9),
    Sgd.make(lr=0.1, momentum=0.9, nesterov=True),
    Sgd.make(lr=0.1, momentum=0.8, weight_decay=0.05),
    Sgd.make(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05),
)
def sgd(op: Sgd, w: Array, gradients: Sequence[Array], rates: Sequence[float]) -> Array:
    """Sutskever et al. 2013, in the form that keeps the gradient's scale: v = mu*v + g, w = w - rate*v."""
    v = np.zeros_like(w)
    for gradient, rate in zip(gradients, rates, strict=True):
        g = gradient + op.weight_decay * w
        v = op.momentum * v + g
        w = w - rate * (g + op.momentum * v if op.nesterov else v)
    return w


@formula_of(
    Adam, Adam.make(lr=0.1), Adam.make(lr=0.1, beta1=0.5, beta2=0.75, eps=1e-3), Adam.make(lr=0.1, weight_decay=0.05)
)
def adam(op: Adam, w: Array, gradients: Sequence[Array], rates: Sequence[float]) -> Array:
    """Kingma & Ba 2015, algorithm 1, line by line."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, (gradient, alpha) in enumerate(zip(gradients, rates, strict=True), start=1):
        g = gradient + op.weight_decay * w
        m = op.beta1 * m + (1 - op.beta1) * g
        v = op.beta2 * v + (1 - op.beta2) * g**2
        m_hat = m / (1 - op.beta1**t)
        v_hat = v / (1 - op.beta2**t)
        w = w - alpha * m_hat / (np.sqrt(v_hat) + op.eps)
    return w


@formula_of(AdamW, AdamW.make(lr=0.1, weight_decay=0.2), AdamW.make(lr=0.1, beta1=0.5, beta2=0.75, eps=1e-3))
def adamw(op: AdamW, w: Array, gradients: Sequence[Array], rates: Sequence[float]) -> Array:
    """Loshchilov & Hutter 2019, algorithm 2: the decay is subtracted from the weight and is not in the gradient."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        m = op.beta1 * m + (1 - op.beta1) * g
        v = op.beta2 * v + (1 - op.beta2) * g**2
        step = (m / (1 - op.beta1**t)) / (np.sqrt(v / (1 - op.beta2**t)) + op.eps)
        w = w - rate * op.weight_decay * w - rate * step
    return w


@formula_of(
    RmsProp,
    RmsProp.make(lr=0.1, decay=0.9, weight_decay=0.01),
    RmsProp.make(lr=0.1, decay=0.9, momentum=0.9, weight_decay=0.01),
    RmsProp.make(lr=0.1, eps=1e-3),
)
def rmsprop(op: RmsProp, w: Array, gradients: Sequence[Array], rates: Sequence[float]) -> Array:
    """Tieleman & Hinton 2012, with momentum as in PyTorch."""
    v, b = np.zeros_like(w), np.zeros_like(w)
    for gradient, rate in zip(gradients, rates, strict=True):
        g = gradient + op.weight_decay * w
        v = op.decay * v + (1 - op.decay) * g**2
        b = op.momentum * b + g / (np.sqrt(v) + op.eps)
        w = w - rate * b
    return w


@formula_of(Lion, Lion.make(lr=0.1), Lion.make(lr=0.1, beta1=0.5, beta2=0.75), Lion.make(lr=0.1, weight_decay=0.2))
def lion(op: Lion, w: Array, gradients: Sequence[Array], rates: Sequence[float]) -> Array:
    """Chen et al. 2023, algorithm 2, line by line."""
    m = np.zeros_like(w)
    for g, eta in zip(gradients, rates, strict=True):
        c = op.beta1 * m + (1 - op.beta1) * g
        w = w - eta * (np.sign(c) + op.weight_decay * w)
        m = op.beta2 * m + (1 - op.beta2) * g
    return w


# --- losses: their gradients against central differences --------------------------------------------------------

LOSSES: list[Loss] = [
    CrossEntropy.make(),
    CrossEntropy.make(smoothing=0.1),
    CrossEntropy.make(ignore=2),
    CrossEntropy.make(smoothing=0.3, ignore=0),
    CrossEntropy.make(weights=(1, 5, 0.5, 0)),
    CrossEntropy.make(weights=(1, 5, 0.5, 2), smoothing=0.1, ignore=2),
    CrossEntropy.make(weights=(1, 0, 0.5, 2), smoothing=0.1),
    Focal.make(),
    Focal.make(gamma=0.5, alpha=(1, 5, 0.5, 2)),
    Focal.make(gamma=3, ignore=0),
    Mse.make(),
    L1.make(),
    Huber.make(delta=0.7),
    Bce.make(),
    Bce.make(pos_weight=3),
    Bce.make(pos_weight=(1, 5, 0.5, 2)),
    Contrastive.make(margin=0.8),
]


# --- schedules: the factor at points of training ----------------------------------------------------------------


class ScheduleCase(NamedTuple):
    """A schedule with its factors by epoch, in a training of 10 epochs."""

    schedule: Schedule
    factors: Mapping[float, float]


SCHEDULES: list[ScheduleCase] = [
    ScheduleCase(Constant.make(), {0: 1, 0.5: 1, 3: 1, 9.99: 1}),
    ScheduleCase(Constant.make(warmup=2), {0: 0, 0.5: 0.25, 2: 1, 10: 1}),
    ScheduleCase(StepDecay.make(every=3), {0: 1, 2.9: 1, 3: 0.1, 5.99: 0.1, 6: 0.01, 9: 0.001}),
    ScheduleCase(StepDecay.make(every=2, gamma=0.5, warmup=1), {0: 0, 0.5: 0.5, 1: 1, 2: 0.5, 4: 0.25}),
    ScheduleCase(Cosine.make(), {0: 1, 2.5: 0.8535533905932737, 5: 0.5, 10: 0, 12: 0}),
    ScheduleCase(Cosine.make(warmup=2), {0: 0, 0.5: 0.25, 1: 0.5, 2: 1, 6: 0.5, 10: 0}),
    ScheduleCase(OneCycle.make(rise=0.3), {0: 1 / 25, 1.5: (1 / 25 + 1) / 2, 3: 1, 10: 1e-4 / 25}),
]


# --- metrics: their values on a few outputs ---------------------------------------------------------------------


class MetricCase(NamedTuple):
    """Outputs of two batches with their targets, and the metric over both, worked out by hand."""

    metric: type[Metric]
    batches: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    expected: float
    ignored: int | None = None


_SIX = [[6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6]]  # scores of two examples for six classes

_OF_THREE = [[2, 1, 0], [2, 1, 0], [1, 2, 0], [1, 2, 0]]  # scores of four examples for three classes

METRICS: list[MetricCase] = [
    MetricCase(Accuracy, [(_SIX, [0, 4]), (_SIX, [0, 5])], 3 / 4),
    MetricCase(Accuracy, [(_SIX, [0, 4]), (_SIX, [3, 5])], 2 / 3, ignored=3),
    MetricCase(Top5, [(_SIX, [5, 1]), (_SIX, [4, 0])], 2 / 4),
    MetricCase(Top5, [(_SIX, [0, 5]), (_SIX, [5, 0])], 1 / 2, ignored=0),
    MetricCase(MeanSquaredError, [([[1.0, 2.0]], [[1.0, 4.0]]), ([[0.0, 0.0]], [[1.0, 0.0]])], 5 / 4),
    MetricCase(MeanAbsoluteError, [([[1.0, 2.0]], [[1.0, 4.0]]), ([[0.0, 0.0]], [[-1.0, 0.0]])], 3 / 4),
    MetricCase(Psnr, [([[0.5, 0.5]], [[0.5, 0.3]]), ([[0.0, 0.0]], [[0.0, 0.0]])], 10 * math.log10(1 / 0.01)),
    MetricCase(Psnr, [([[0.5]], [[0.5]])], math.inf),
    # predicted 0 and 1 for labels 0 and 0, then 0 and 1 for 1 and 1: each class has 1 in common of 3
    MetricCase(MeanIou, [([[2, 1], [1, 2]], [0, 0]), ([[2, 1], [1, 2]], [1, 1])], 1 / 3),
    # without the labels 0: class 0 has nothing in common, class 1 has 1 of 2
    MetricCase(MeanIou, [([[2, 1], [1, 2]], [0, 0]), ([[2, 1], [1, 2]], [1, 1])], 1 / 4, ignored=0),
    # of three classes, 0 has 2 of 3 labels right and 2 of 2 predictions, 1 has 1 of 1 and 1 of 2, 2 does not occur
    MetricCase(ClassPrecision, [(_OF_THREE[:2], [0, 0]), (_OF_THREE[2:], [0, 1])], (1 + 1 / 2) / 2),
    MetricCase(ClassRecall, [(_OF_THREE[:2], [0, 0]), (_OF_THREE[2:], [0, 1])], (2 / 3 + 1) / 2),
    MetricCase(ClassF1, [(_OF_THREE[:2], [0, 0]), (_OF_THREE[2:], [0, 1])], (4 / 5 + 2 / 3) / 2),
    MetricCase(MacroF1, [(_OF_THREE[:2], [0, 0]), (_OF_THREE[2:], [0, 1])], (4 / 5 + 2 / 3) / 2),
    MetricCase(BalancedAccuracy, [(_OF_THREE[:2], [0, 0]), (_OF_THREE[2:], [0, 1])], (2 / 3 + 1) / 2),
    # 2 is predicted and has no label: its recall is not defined, and enters only the mean over what occurs
    MetricCase(ClassRecall, [([[2, 1, 0], [0, 1, 2]], [0, 1])], (1 + 0 + 0) / 3),
    MetricCase(BalancedAccuracy, [([[2, 1, 0], [0, 1, 2]], [0, 1])], (1 + 0) / 2),
    MetricCase(ClassPrecision, [(_OF_THREE[:2], [0, 0]), (_OF_THREE[2:], [0, 1])], 1, ignored=0),
]


# --- augmentation: a value of each argument ---------------------------------------------------------------------

AUGMENTATIONS: dict[str, Any] = {
    "flip": WordValue("flip"),
    "crop": 2,
    "shift": 2,
    "rotate": 20.0,
    "zoom": 0.5,
    "perspective": 0.4,
    "brightness": 0.2,
    "contrast": 0.3,
    "blur": 1.5,
    "noise": 0.1,
    "cutout": 3,
    "jitter": 0.2,
    "scaling": 0.3,
    "time_shift": 3,
    "time_mask": 5,
    "mixup": 0.4,
    "cutmix": 1.0,
}
