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
from cnnc.recipe.losses import L1, Balance, Bce, CrossEntropy, Focal, Huber, Loss, Mse


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
    """−Σ t·log softmax(scores) over the classes, mean over the labels that count; its gradient is softmax(scores) − t.

    With weights w, t becomes w·t in the loss, and softmax(scores)·Σ w·t − w·t is the gradient; the mean is over Σ w.
    """
    assert e.node is not None
    classes = e.node.type.channels
    logs, labels, target = _targets_of_classes(e, scores, labels)
    counted = _Counted.of(e, labels, loss.ignore)
    total = counted.total
    if loss.weights is not None:
        weights = _by_channel(e, loss.weights)
        of_labels = counted.masked(e.new("Mul", target, weights))
        total = e.new("Max", e.reduce("Sum", of_labels, _all_axes(e)), e.number(float(np.finfo(np.float32).tiny)))
    if loss.smoothing:
        kept = e.new("Mul", target, e.number(1 - loss.smoothing))
        target = e.new("Add", kept, e.number(loss.smoothing / classes))
    probabilities = e.new("Exp", logs)
    if loss.weights is not None:
        target = e.new("Mul", target, weights)
        probabilities = e.new("Mul", probabilities, e.reduce("Sum", target, [1], keepdims=True))
    gradient = counted.masked(e.new("Sub", probabilities, target))
    terms = counted.masked(e.new("Mul", logs, target))
    value = e.new("Neg", e.new("Div", e.reduce("Sum", terms, _all_axes(e)), total))
    return LossTensors(value, e.new("Div", gradient, total))


@loss_of(Focal)
def _focal(e: StepEmitter, loss: Focal, scores: str, labels: str) -> LossTensors:
    """−α·q^γ·log p of the label's class, q = 1 − p (Lin et al. 2017, equation 5), mean over the labels that count."""
    logs, labels, target = _targets_of_classes(e, scores, labels)
    counted = _Counted.of(e, labels, loss.ignore)
    target = counted.masked(target)
    if loss.alpha is not None:
        target = e.new("Mul", target, _by_channel(e, loss.alpha))
    p = e.new("Exp", logs)
    q = _minus_expm1(e, logs, p)
    factor = e.new("Mul", target, e.new("Pow", q, e.number(loss.gamma)))
    slope = e.new("Div", e.new("Mul", e.new("Mul", p, logs), e.number(loss.gamma)), q)
    by_log = e.new("Mul", factor, e.new("Sub", slope, e.number(1)))
    gradient = e.new("Sub", by_log, e.new("Mul", p, e.reduce("Sum", by_log, [1], keepdims=True)))
    losses = e.reduce("Sum", e.new("Mul", factor, logs), _all_axes(e))
    return LossTensors(e.new("Neg", e.new("Div", losses, counted.total)), e.new("Div", gradient, counted.total))


def _minus_expm1(e: StepEmitter, logs: str, p: str) -> str:
    """1 − p for p = exp(logs), above 0: near 1 the series −x − x²/2 − x³/6, as float32 does not hold 1 − p there."""
    cubic = e.new("Add", e.new("Mul", logs, e.number(1 / 6)), e.number(0.5))
    series = e.new("Mul", e.new("Neg", logs), e.new("Add", e.new("Mul", logs, cubic), e.number(1)))
    q = e.new("Where", e.new("Greater", logs, e.number(-0.01)), series, e.new("Sub", e.number(1), p))
    return e.new("Max", q, e.number(float(np.finfo(np.float32).tiny)))


class _Counted(NamedTuple):
    """Which labels count: their number, and 1 for each that does, of the rank of the scores; "" where all do."""

    emitter: StepEmitter
    total: str
    mask: str

    @classmethod
    def of(cls, e: StepEmitter, labels: str, ignore: int | None) -> _Counted:
        if ignore is None:
            return cls(e, e.new("Cast", e.new("Size", labels), to=TensorProto.FLOAT), "")
        ignored = e.new("Equal", labels, e.number(ignore, np.int64))
        counts = e.new("Cast", e.new("Not", ignored), to=TensorProto.FLOAT)
        total = e.new("Max", e.reduce("Sum", counts, _all_axes(e)[:-1]), e.number(1))
        return cls(e, total, e.new("Unsqueeze", counts, e.sizes(1)))

    def masked(self, tensor: str) -> str:
        """0 where the label does not count."""
        return self.emitter.new("Mul", tensor, self.mask) if self.mask else tensor


def _targets_of_classes(e: StepEmitter, scores: str, labels: str) -> tuple[str, str, str]:
    """log softmax(scores), the labels (N, *spatial), and these one-hot, (N, C, *spatial)."""
    assert e.node is not None
    labels = e.reshape(labels, -1, *e.node.type.spatial)
    logs = e.new("LogSoftmax", scores, axis=1)
    off_on = e.constant("train.off_on", [0, 1])
    return logs, labels, e.new("OneHot", labels, e.number(e.node.type.channels, np.int64), off_on, axis=1)


def _all_axes(e: StepEmitter) -> list[int]:
    """The axes of the activations, (N, C, *spatial)."""
    assert e.node is not None
    return list(range(2 + e.node.type.rank))


def _by_channel(e: StepEmitter, numbers: Balance) -> str:
    """One number, or one for each channel, in a shape that multiplies (N, C, *spatial)."""
    assert e.node is not None
    assert isinstance(numbers, tuple)
    return e.constant(e.fresh_name("weights"), np.array(numbers).reshape(-1, *[1] * e.node.type.rank))


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


def _mean(e: StepEmitter, losses: str, gradient: str) -> LossTensors:
    """The mean over all elements of losses and gradients per element."""
    assert e.node is not None
    value = e.reduce("Mean", losses, range(2 + e.node.type.rank))
    count = e.new("Cast", e.new("Size", gradient), to=TensorProto.FLOAT)
    return LossTensors(value, e.new("Div", gradient, count))
