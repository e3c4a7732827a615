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
from cnnc.recipe.losses import L1, Bce, Contrastive, CrossEntropy, Huber, Loss, Mse


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


@loss_of(Contrastive)
def _contrastive(e: StepEmitter, loss: Contrastive, distances: str, target: str) -> LossTensors:
    """½·((1 − t)·d² + t·h²) with h = max(margin − d, 0); its gradient is (1 − t)·d − t·h."""
    missing = e.new("Relu", e.new("Sub", e.number(loss.margin), distances))
    near, far = e.new("Mul", e.new("Sub", e.number(1), target), distances), e.new("Mul", target, missing)
    twice = e.new("Add", e.new("Mul", near, distances), e.new("Mul", far, missing))
    return _mean(e, e.new("Mul", twice, e.number(0.5)), e.new("Sub", near, far))


def measured_outputs(e: StepEmitter, loss: Loss, outputs: str) -> str:
    """What metrics compare with the target: the outputs; of distances their part of the margin, at most 1."""
    if isinstance(loss, Contrastive):
        return e.new("Min", e.new("Div", outputs, e.number(loss.margin)), e.number(1))
    return outputs


def _mean(e: StepEmitter, losses: str, gradient: str) -> LossTensors:
    """The mean over all elements of losses and gradients per element."""
    assert e.node is not None
    value = e.reduce("Mean", losses, range(2 + e.node.type.rank))
    count = e.new("Cast", e.new("Size", gradient), to=TensorProto.FLOAT)
    return LossTensors(value, e.new("Div", gradient, count))
