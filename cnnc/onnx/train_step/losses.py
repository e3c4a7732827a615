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
from cnnc.recipe.losses import CrossEntropy, Loss


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
