"""The losses: the mean over a batch, and its gradient, in a table keyed by the classes of recipe/losses.py.

In: the statement, activations and targets, channels last as inside the engine: (N, C), or (N, *spatial, C) with label
maps of (N, *spatial), or with probabilities of the classes, of the shape of the activations. Out: `LossValue`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cnnc.core.arrays import Array
from cnnc.recipe.losses import L1, Balance, Bce, Contrastive, CrossEntropy, Focal, Huber, Loss, Mse
from cnnc.reference.activation import logistic


class LossValue(NamedTuple):
    """The mean loss of a batch, and its gradient with respect to the activations, of their shape."""

    value: float
    gradient: Array


LossFunction = Callable[[Any, Array, Array], LossValue]
"""(statement, activations, targets) -> LossValue"""

LOSSES: dict[type[Loss], LossFunction] = {}

F = TypeVar("F", bound=LossFunction)


def loss_of(cls: type[Loss]) -> Callable[[F], F]:
    """Registers the function of a loss."""

    def register(function: F) -> F:
        LOSSES[cls] = function
        return function

    return register


def are_probabilities(loss: Loss, target: Any) -> bool:
    """Whether the target of a loss on labels, an array or a tensor, holds probabilities (N, C) instead."""
    return loss.compares_with == "labels" and str(target.dtype).rpartition(".")[2].startswith("float")


def compute_loss(loss: Loss, activations: Array, target: Array) -> LossValue:
    """The loss of a batch. Losses with `included_layers` take scores, the input of such a layer."""
    return LOSSES[type(loss)](loss, activations, target)


def averaged_count(loss: Loss, target: Array) -> float:
    """What the mean of a loss over these targets divides by, up to a constant: the labels that count, with their weights in
    `cross_entropy weights=`; the examples where every label counts."""
    if loss.counts_every_label:
        return len(target)
    weights = loss.averaging_weights
    if target.dtype.kind == "f":
        by_class = target.reshape(-1, target.shape[-1]).sum(0, dtype=np.float64)
        return float(by_class.sum() if weights is None else by_class @ _numbers(weights, np.float64))
    labels = target.reshape(-1)
    labels = labels if loss.ignored_label is None else labels[labels != loss.ignored_label]
    return len(labels) if weights is None else float(_numbers(weights, np.float64)[labels].sum())


@loss_of(CrossEntropy)
def _cross_entropy(loss: CrossEntropy, scores: Array, target: Array) -> LossValue:
    """`cross_entropy` of labels; with weights w or shares t of the classes −Σ w·t·log softmax(scores), divided by Σ w·t."""
    if loss.weights is None and target.dtype.kind != "f":
        return cross_entropy(scores, target, loss.smoothing, loss.ignore)
    flat = scores.reshape(-1, scores.shape[-1])
    shares = _class_shares(target, flat, loss.ignore)
    weights = np.ones(flat.shape[1], flat.dtype) if loss.weights is None else _numbers(loss.weights, flat.dtype)
    total = divisor((shares * weights).sum(dtype=np.float64))
    if loss.smoothing:
        spread = loss.smoothing / flat.shape[1] * shares.sum(-1, keepdims=True)
        shares = (1 - loss.smoothing) * shares + spread
    weighted, logs = shares * weights, _log_softmax(flat)
    gradient = np.exp(logs) * weighted.sum(-1, keepdims=True) - weighted
    value = float(-(weighted * logs).sum(dtype=np.float64) / total)
    return LossValue(value, (gradient / flat.dtype.type(total)).reshape(scores.shape))


@loss_of(Focal)
def _focal(loss: Focal, scores: Array, target: Array) -> LossValue:
    """−Σ α·t·(1 − p)^γ·log p for shares t of the classes (Lin et al. 2017, equation 5), divided by Σ t.

    With q = 1 − p, the derivative with respect to log p is α·t·q^γ·(γ·p·log p/q − 1).
    """
    flat = scores.reshape(-1, scores.shape[-1])
    shares = _class_shares(target, flat, loss.ignore)
    total = divisor(shares.sum(dtype=np.float64))
    if loss.alpha is not None:
        shares = shares * _numbers(loss.alpha, flat.dtype)
    logs = _log_softmax(flat)
    p = np.exp(logs)
    q = np.maximum(-np.expm1(logs), np.finfo(flat.dtype).tiny)
    factor = shares * q ** flat.dtype.type(loss.gamma)
    by_log = factor * (flat.dtype.type(loss.gamma) * p * logs / q - 1)
    gradient = (by_log - p * by_log.sum(-1, keepdims=True)) / flat.dtype.type(total)
    return LossValue(float(-(factor * logs).sum(dtype=np.float64) / total), gradient.reshape(scores.shape))


def _class_shares(target: Array, scores: Array, ignore: int | None) -> Array:
    """The target of each row of scores (R, C) as shares of the classes (R, C); all are 0 where it does not count."""
    rows, classes = scores.shape
    if target.dtype.kind == "f":
        return target.reshape(rows, classes).astype(scores.dtype, copy=False)
    labels = target.reshape(-1)
    counts = np.ones(rows, bool) if ignore is None else labels != ignore
    shares = np.zeros((rows, classes), scores.dtype)
    shares[np.flatnonzero(counts), labels[counts]] = 1
    return shares


def divisor(total: float) -> float:
    """What a sum over labels is divided by: how much they count, or 1 where none does.

    Such a sum is then 0, except with smoothing: labels of a class with the weight 0 still spread to the other classes.
    """
    return float(total) or 1.0


def _log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max(-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs


def _numbers(weights: Balance | None, dtype: Any) -> Array:
    """Weights that training has computed or the source gives."""
    assert isinstance(weights, tuple)
    return np.array(weights, dtype)


def cross_entropy(scores: Array, labels: Array, smoothing: float = 0.0, ignore: int | None = None) -> LossValue:
    """−Σ t·log softmax(scores), in nats, mean over the labels that count; scores (..., C), labels (...) of int64.

    The target t is 1 − smoothing for the label's class, plus smoothing/C for each class (Szegedy et al. 2016, section 7).
    The largest score is subtracted first, so that exp cannot overflow.
    """
    classes = scores.shape[-1]
    flat_scores, flat_labels = scores.reshape(-1, classes), labels.reshape(-1)  # (R, C), (R,)
    counts = None if ignore is None else flat_labels != ignore
    total = len(flat_labels) if counts is None else max(1, int(counts.sum()))
    columns = flat_labels if counts is None else np.where(counts, flat_labels, 0)
    rows = np.arange(len(flat_labels))
    shifted = flat_scores - flat_scores.max(-1, keepdims=True)
    e = np.exp(shifted)
    sums = e.sum(-1, keepdims=True)
    logs = np.log(sums[:, 0])
    losses = logs - shifted[rows, columns]
    gradient = e / sums
    real = scores.dtype.type
    if smoothing:
        losses = (1 - smoothing) * losses + smoothing * (logs - shifted.mean(-1))
        gradient -= real(smoothing / classes)
    gradient[rows, columns] -= real(1 - smoothing)
    if counts is not None:
        losses, gradient = losses * counts, gradient * counts[:, None]
    gradient /= real(total)
    return LossValue(float(losses.sum(dtype=np.float64) / total), gradient.reshape(scores.shape))


@loss_of(Mse)
def _mse(loss: Mse, outputs: Array, target: Array) -> LossValue:
    return _mean(outputs, np.square(outputs - target), 2 * (outputs - target))


@loss_of(L1)
def _l1(loss: L1, outputs: Array, target: Array) -> LossValue:
    return _mean(outputs, np.abs(outputs - target), np.sign(outputs - target))


@loss_of(Huber)
def _huber(loss: Huber, outputs: Array, target: Array) -> LossValue:
    """d²/2 where |d| ≤ δ, else δ·(|d| − δ/2) (Huber 1964)."""
    delta = loss.delta
    d = outputs - target
    far = np.abs(d)
    losses = np.where(far <= delta, 0.5 * d * d, delta * (far - 0.5 * delta))
    return _mean(outputs, losses, np.clip(d, -delta, delta))


@loss_of(Bce)
def _bce(loss: Bce, scores: Array, target: Array) -> LossValue:
    """max(x, 0) − x·t + log(1 + exp(−|x|)), which cannot overflow; its gradient is sigmoid(x) − t.

    The positive part, t·log(1 + exp(−x)), is multiplied by its weight.
    """
    rest = np.log1p(np.exp(-np.abs(scores)))
    if loss.pos_weight is None:
        losses = np.maximum(scores, 0) - scores * target + rest
        return _mean(scores, losses, logistic(scores) - target)
    positive = target * _numbers(loss.pos_weight, scores.dtype)
    losses = positive * (np.maximum(-scores, 0) + rest) + (1 - target) * (np.maximum(scores, 0) + rest)
    return _mean(scores, losses, (positive + 1 - target) * logistic(scores) - positive)


@loss_of(Contrastive)
def _contrastive(loss: Contrastive, distances: Array, target: Array) -> LossValue:
    """½·((1 − t)·d² + t·h²) with h = max(margin − d, 0); its gradient is (1 − t)·d − t·h."""
    missing = np.maximum(loss.margin - distances, 0)
    losses = 0.5 * ((1 - target) * np.square(distances) + target * np.square(missing))
    return _mean(distances, losses, (1 - target) * distances - target * missing)


def measured_outputs(loss: Loss, outputs: Array) -> Array:
    """What metrics compare with the target: the outputs; of distances their part of the margin, at most 1."""
    if loss.metric_unit is None:
        return outputs
    in_units: Array = np.minimum(outputs / outputs.dtype.type(loss.metric_unit), 1)
    return in_units


def _mean(activations: Array, losses: Array, gradient: Array) -> LossValue:
    """The mean over all elements of losses and gradients per element."""
    return LossValue(float(losses.mean(dtype=np.float64)), gradient / activations.dtype.type(activations.size))
