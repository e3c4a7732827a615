"""The losses of the step graph, in a table keyed by the classes of recipe/losses.py.

In: the statement, and the tensors of activations and targets, (N, C, *spatial), with label maps (N, *spatial). Out:
`LossTensors`. The formulas are those of training/losses.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto

from cnnc.onnx.train_step.step_emitter import StepEmitter
from cnnc.recipe.losses import L1, Balance, Bce, Contrastive, CrossEntropy, Focal, Huber, Loss, Mse


class LossTensors(NamedTuple):
    """The mean loss of a batch, a scalar, and its gradient with respect to the activations; names of tensors."""

    value: str
    gradient: str


StepLoss = Callable[[StepEmitter, Any, str, str], LossTensors]
"""(emitter, statement, activations, targets) -> LossTensors; the emitter's node is the layer that the loss reads."""

LOSSES: dict[type[Loss], StepLoss] = {}


def loss_of(cls: type[Loss]) -> Callable[[StepLoss], StepLoss]:
    """Registers the function of a loss."""

    def register(function: StepLoss) -> StepLoss:
        LOSSES[cls] = function
        return function

    return register


@loss_of(CrossEntropy)
def _cross_entropy(e: StepEmitter, loss: CrossEntropy, scores: str, labels: str) -> LossTensors:
    """−Σ t·log softmax(scores) over the classes, mean over the labels that count; its gradient is softmax(scores) − t."""
    assert e.node is not None
    if loss.weights is not None:
        return cross_entropy_of_shares(e, loss, scores, _class_shares(e, labels, loss.ignore))
    classes, axes = e.node.type.channels, list(range(1, 1 + e.node.type.rank + 1))
    labels = e.reshape(labels, -1, *e.node.type.spatial)
    logs = e.new("LogSoftmax", scores, axis=1)
    target = e.new("OneHot", labels, e.number(classes, np.int64), e.constant("train.off_on", [0, 1]), axis=1)
    if loss.smoothing:
        kept = e.new("Mul", target, e.number(1 - loss.smoothing))
        target = e.new("Add", kept, e.number(loss.smoothing / classes))
    gradient = e.new("Sub", e.new("Exp", logs), target)
    terms = e.new("Mul", logs, target)
    if loss.ignore is None:
        total = e.new("Cast", e.new("Size", labels), to=TensorProto.FLOAT)
    else:
        ignored = e.new("Equal", labels, e.number(loss.ignore, np.int64))
        counts = e.new("Cast", e.new("Not", ignored), to=TensorProto.FLOAT)
        total = e.new("Max", e.reduce("Sum", counts, range(len(axes))), e.number(1))
        mask = e.new("Unsqueeze", counts, e.sizes(1))
        gradient, terms = e.new("Mul", gradient, mask), e.new("Mul", terms, mask)
    value = e.new("Neg", e.new("Div", e.reduce("Sum", terms, [0, *axes]), total))
    return LossTensors(value, e.new("Div", gradient, total))


def cross_entropy_of_shares(e: StepEmitter, loss: CrossEntropy, scores: str, shares: str) -> LossTensors:
    """−Σ w·t·log softmax(scores), for shares t of the classes (N, C, *spatial), 0 where a label does not count, divided by Σ w·t;
    its gradient is softmax(scores)·Σ w·t − w·t."""
    assert e.node is not None
    weights = _by_channel(e, loss.weights) if loss.weights is not None else e.number(1)
    total = _divisor(e, e.reduce("Sum", e.new("Mul", shares, weights), _all_axes(e)))
    if loss.smoothing:
        spread = e.new(
            "Mul", e.reduce("Sum", shares, [1], keepdims=True), e.number(loss.smoothing / e.node.type.channels)
        )
        shares = e.new("Add", e.new("Mul", shares, e.number(1 - loss.smoothing)), spread)
    target, logs = e.new("Mul", shares, weights), e.new("LogSoftmax", scores, axis=1)
    whole = e.reduce("Sum", target, [1], keepdims=True)
    gradient = e.new("Sub", e.new("Mul", e.new("Exp", logs), whole), target)
    value = e.new("Neg", e.new("Div", e.reduce("Sum", e.new("Mul", logs, target), _all_axes(e)), total))
    return LossTensors(value, e.new("Div", gradient, total))


@loss_of(Focal)
def _focal(e: StepEmitter, loss: Focal, scores: str, labels: str) -> LossTensors:
    return focal_of_shares(e, loss, scores, _class_shares(e, labels, loss.ignore))


def focal_of_shares(e: StepEmitter, loss: Focal, scores: str, shares: str) -> LossTensors:
    """−Σ α·t·q^γ·log p with q = 1 − p (Lin et al. 2017, equation 5), for shares t of the classes as in `cross_entropy_of_shares`,
    divided by Σ t."""
    total = _divisor(e, e.reduce("Sum", shares, _all_axes(e)))
    if loss.alpha is not None:
        shares = e.new("Mul", shares, _by_channel(e, loss.alpha))
    logs = e.new("LogSoftmax", scores, axis=1)
    p = e.new("Exp", logs)
    q = _minus_expm1(e, logs, p)
    factor = e.new("Mul", shares, e.new("Pow", q, e.number(loss.gamma)))
    slope = e.new("Div", e.new("Mul", e.new("Mul", p, logs), e.number(loss.gamma)), q)
    by_log = e.new("Mul", factor, e.new("Sub", slope, e.number(1)))
    gradient = e.new("Sub", by_log, e.new("Mul", p, e.reduce("Sum", by_log, [1], keepdims=True)))
    losses = e.reduce("Sum", e.new("Mul", factor, logs), _all_axes(e))
    return LossTensors(e.new("Neg", e.new("Div", losses, total)), e.new("Div", gradient, total))


def _class_shares(e: StepEmitter, labels: str, ignore: int | None) -> str:
    """Labels one-hot, (N, C, *spatial), 0 where they do not count."""
    assert e.node is not None
    labels = e.reshape(labels, -1, *e.node.type.spatial)
    off_on = e.constant("train.off_on", [0, 1])
    shares = e.new("OneHot", labels, e.number(e.node.type.channels, np.int64), off_on, axis=1)
    if ignore is None:
        return shares
    counts = e.new("Not", e.new("Equal", labels, e.number(ignore, np.int64)))
    return e.new("Mul", shares, e.new("Unsqueeze", e.new("Cast", counts, to=TensorProto.FLOAT), e.sizes(1)))


def _divisor(e: StepEmitter, total: str) -> str:
    """The total, or 1 where no label of a batch counts."""
    return e.new("Where", e.new("Equal", total, e.number(0)), e.number(1), total)


def _minus_expm1(e: StepEmitter, logs: str, p: str) -> str:
    """1 − p for p = exp(logs), above 0: near 1 the series −x − x²/2 − x³/6, as float32 does not hold 1 − p there."""
    cubic = e.new("Add", e.new("Mul", logs, e.number(1 / 6)), e.number(0.5))
    series = e.new("Mul", e.new("Neg", logs), e.new("Add", e.new("Mul", logs, cubic), e.number(1)))
    q = e.new("Where", e.new("Greater", logs, e.number(-0.01)), series, e.new("Sub", e.number(1), p))
    return e.new("Max", q, e.number(float(np.finfo(np.float32).tiny)))


def _all_axes(e: StepEmitter) -> list[int]:
    """The axes of the activations, (N, C, *spatial)."""
    assert e.node is not None
    return list(range(2 + e.node.type.rank))


def _by_channel(e: StepEmitter, numbers: Balance) -> str:
    """One number, or one for each channel, in a shape that multiplies (N, C, *spatial)."""
    assert e.node is not None
    assert isinstance(numbers, tuple)
    return e.constant(e.fresh_name("weights"), np.array(numbers).reshape(-1, *[1] * e.node.type.rank))


LOSSES_OF_SHARES: dict[type[Loss], StepLoss] = {CrossEntropy: cross_entropy_of_shares, Focal: focal_of_shares}
"""The losses that compare with shares of the classes, which are those of mixed examples, in place of labels."""


@loss_of(Mse)
def _mse(e: StepEmitter, loss: Mse, outputs: str, target: str) -> LossTensors:
    d = e.new("Sub", outputs, target)
    return _mean(e, e.new("Mul", d, d), e.new("Mul", d, e.number(2)))


@loss_of(L1)
def _l1(e: StepEmitter, loss: L1, outputs: str, target: str) -> LossTensors:
    d = e.new("Sub", outputs, target)
    return _mean(e, e.new("Abs", d), e.new("Sign", d))


@loss_of(Huber)
def _huber(e: StepEmitter, loss: Huber, outputs: str, target: str) -> LossTensors:
    """d²/2 where |d| ≤ δ, else δ·(|d| − δ/2) (Huber 1964)."""
    d, delta = e.new("Sub", outputs, target), e.number(loss.delta)
    far = e.new("Abs", d)
    near = e.new("Mul", e.new("Mul", d, e.number(0.5)), d)
    beyond = e.new("Mul", e.new("Sub", far, e.number(0.5 * loss.delta)), delta)
    losses = e.new("Where", e.new("LessOrEqual", far, delta), near, beyond)
    return _mean(e, losses, e.new("Clip", d, e.number(-loss.delta), delta))


@loss_of(Bce)
def _bce(e: StepEmitter, loss: Bce, scores: str, target: str) -> LossTensors:
    """max(x, 0) − x·t + log(1 + exp(−|x|)), which cannot overflow; its gradient is sigmoid(x) − t.

    The positive part, t·log(1 + exp(−x)), is multiplied by its weight.
    """
    rest = e.new("Softplus", e.new("Neg", e.new("Abs", scores)))
    if loss.pos_weight is not None:
        positive = e.new("Mul", target, _by_channel(e, loss.pos_weight))
        negative = e.new("Sub", e.number(1), target)
        of_positive = e.new("Mul", positive, e.new("Add", e.new("Relu", e.new("Neg", scores)), rest))
        of_negative = e.new("Mul", negative, e.new("Add", e.new("Relu", scores), rest))
        slope = e.new("Mul", e.new("Add", positive, negative), e.new("Sigmoid", scores))
        return _mean(e, e.new("Add", of_positive, of_negative), e.new("Sub", slope, positive))
    losses = e.new("Add", e.new("Sub", e.new("Relu", scores), e.new("Mul", scores, target)), rest)
    return _mean(e, losses, e.new("Sub", e.new("Sigmoid", scores), target))


@loss_of(Contrastive)
def _contrastive(e: StepEmitter, loss: Contrastive, distances: str, target: str) -> LossTensors:
    """½·((1 − t)·d² + t·h²) with h = max(margin − d, 0); its gradient is (1 − t)·d − t·h."""
    missing = e.new("Relu", e.new("Sub", e.number(loss.margin), distances))
    near, far = e.new("Mul", e.new("Sub", e.number(1), target), distances), e.new("Mul", target, missing)
    twice = e.new("Add", e.new("Mul", near, distances), e.new("Mul", far, missing))
    return _mean(e, e.new("Mul", twice, e.number(0.5)), e.new("Sub", near, far))


def measured_outputs(e: StepEmitter, loss: Loss, outputs: str) -> str:
    """What metrics compare with the target: the outputs; of distances their part of the margin, at most 1."""
    if loss.metric_unit is None:
        return outputs
    return e.new("Min", e.new("Div", outputs, e.number(loss.metric_unit)), e.number(1))


def _mean(e: StepEmitter, losses: str, gradient: str) -> LossTensors:
    """The mean over all elements of losses and gradients per element."""
    assert e.node is not None
    value = e.reduce("Mean", losses, range(2 + e.node.type.rank))
    count = e.new("Cast", e.new("Size", gradient), to=TensorProto.FLOAT)
    return LossTensors(value, e.new("Div", gradient, count))
