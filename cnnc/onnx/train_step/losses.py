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
from cnnc.recipe.losses import L1, Bce, CrossEntropy, Huber, Loss, Mse
from cnnc.training.losses import LEAST_MASS


class LossTensors(NamedTuple):
    """The mean loss of a batch, a scalar, and its gradient with respect to the activations; names of tensors."""

    value: str
    gradient: str


StepLoss = Callable[[StepEmitter, Any, str, str], LossTensors]
"""(emitter, statement, activations, targets) -> LossTensors; the emitter's node is the layer that the loss reads."""

LOSSES: dict[type[Loss], StepLoss] = {}


SOFT_LOSSES: dict[type[Loss], StepLoss] = {}
"""The same for targets that are probabilities (N, C) in place of labels."""


def loss_of(cls: type[Loss]) -> Callable[[StepLoss], StepLoss]:
    """Registers the function of a loss."""

    def register(function: StepLoss) -> StepLoss:
        LOSSES[cls] = function
        return function

    return register


def soft_loss_of(cls: type[Loss]) -> Callable[[StepLoss], StepLoss]:
    """Registers the function of a loss on probabilities."""

    def register(function: StepLoss) -> StepLoss:
        SOFT_LOSSES[cls] = function
        return function

    return register


@loss_of(CrossEntropy)
def _cross_entropy(e: StepEmitter, loss: CrossEntropy, scores: str, labels: str) -> LossTensors:
    """−Σ t·log softmax(scores) over the classes, mean over the labels that count; its gradient is softmax(scores) − t."""
    assert e.node is not None
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


@soft_loss_of(CrossEntropy)
def _soft_cross_entropy(e: StepEmitter, loss: CrossEntropy, scores: str, probabilities: str) -> LossTensors:
    """−Σ t·log softmax(scores) over the classes, mean over the examples, or over the sum of t where labels may not count."""
    assert e.node is not None
    classes, axes = e.node.type.channels, list(range(1, 1 + e.node.type.rank + 1))
    target = e.reshape(probabilities, -1, *e.node.type.shape)
    mass = e.new("Unsqueeze", e.reduce("Sum", target, [1]), e.sizes(1))  # (N, 1, ...)
    if loss.ignore is None:
        total = e.new("Cast", e.new("Size", mass), to=TensorProto.FLOAT)
    else:
        total = e.new("Max", e.reduce("Sum", mass, [0, *axes]), e.number(LEAST_MASS))
    if loss.smoothing:
        spread = e.new("Mul", mass, e.number(loss.smoothing / classes))
        target = e.new("Add", e.new("Mul", target, e.number(1 - loss.smoothing)), spread)
    logs = e.new("LogSoftmax", scores, axis=1)
    gradient = e.new("Sub", e.new("Mul", e.new("Exp", logs), mass), target)
    value = e.new("Neg", e.new("Div", e.reduce("Sum", e.new("Mul", logs, target), [0, *axes]), total))
    return LossTensors(value, e.new("Div", gradient, total))


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
    """max(x, 0) − x·t + log(1 + exp(−|x|)), which cannot overflow; its gradient is sigmoid(x) − t."""
    rest = e.new("Softplus", e.new("Neg", e.new("Abs", scores)))
    losses = e.new("Add", e.new("Sub", e.new("Relu", scores), e.new("Mul", scores, target)), rest)
    return _mean(e, losses, e.new("Sub", e.new("Sigmoid", scores), target))


def _mean(e: StepEmitter, losses: str, gradient: str) -> LossTensors:
    """The mean over all elements of losses and gradients per element."""
    assert e.node is not None
    value = e.reduce("Mean", losses, range(2 + e.node.type.rank))
    count = e.new("Cast", e.new("Size", gradient), to=TensorProto.FLOAT)
    return LossTensors(value, e.new("Div", gradient, count))
