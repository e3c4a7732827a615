"""Losses: the mean over a batch, and its gradient.

Values and targets are channels last, as inside the engine: (N, C), or (N, *spatial, C) with label maps (N, *spatial).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.recipe import statements as recipe
from cnnc.reference.activation import logistic


class Loss(NamedTuple):
    """`value` is the batch's mean loss, `gradient` that of the values, of their shape."""

    value: float
    gradient: Array


def loss_of(kind: recipe.Loss, values: Array, target: Array) -> Loss:
    """The loss of a batch. For cross_entropy and bce `values` are scores, before softmax or sigmoid."""
    match kind:
        case recipe.CrossEntropy():
            return cross_entropy(values, target, kind.smoothing, kind.ignore)
        case recipe.Mse():
            return _mean(values, np.square(values - target), 2 * (values - target))
        case recipe.L1():
            return _mean(values, np.abs(values - target), np.sign(values - target))
        case recipe.Huber():
            return _huber(values, target, kind.delta)
        case recipe.Bce():
            return _binary(values, target)


def cross_entropy(scores: Array, labels: Array, smoothing: float = 0.0, ignore: int | None = None) -> Loss:
    """−Σ t·log softmax(scores), in nats, mean over what counts; scores (..., C), labels (...) of int64.

    The target t is 1 − smoothing for the label's class and smoothing/C for each (Szegedy et al. 2016, section 7).
    The largest score is taken off first, so that exp never overflows.
    """
    classes = scores.shape[-1]
    flat, wanted = scores.reshape(-1, classes), labels.reshape(-1)  # (R, C), (R,)
    counts = None if ignore is None else wanted != ignore
    total = len(wanted) if counts is None else max(1, int(counts.sum()))
    places = wanted if counts is None else np.where(counts, wanted, 0)
    rows = np.arange(len(wanted))
    shifted = flat - flat.max(-1, keepdims=True)
    e = np.exp(shifted)
    sums = e.sum(-1, keepdims=True)
    logs = np.log(sums[:, 0])
    losses = logs - shifted[rows, places]
    gradient = e / sums
    real = scores.dtype.type
    if smoothing:
        losses = (1 - smoothing) * losses + smoothing * (logs - shifted.mean(-1))
        gradient -= real(smoothing / classes)
    gradient[rows, places] -= real(1 - smoothing)
    if counts is not None:
        losses, gradient = losses * counts, gradient * counts[:, None]
    gradient /= real(total)
    return Loss(float(losses.sum(dtype=np.float64) / total), gradient.reshape(scores.shape))


def _mean(values: Array, losses: Array, gradient: Array) -> Loss:
    return Loss(float(losses.mean(dtype=np.float64)), gradient / values.dtype.type(values.size))


def _huber(values: Array, target: Array, delta: float) -> Loss:
    """d²/2 where |d| ≤ δ, else δ·(|d| − δ/2) (Huber 1964)."""
    d = values - target
    far = np.abs(d)
    losses = np.where(far <= delta, 0.5 * d * d, delta * (far - 0.5 * delta))
    return _mean(values, losses, np.clip(d, -delta, delta))


def _binary(scores: Array, target: Array) -> Loss:
    """max(x, 0) − x·t + log(1 + exp(−|x|)), which cannot overflow; its gradient is sigmoid(x) − t."""
    losses = np.maximum(scores, 0) - scores * target + np.log1p(np.exp(-np.abs(scores)))
    return _mean(scores, losses, logistic(scores) - target)
