"""Losses: the mean over a batch, and its gradient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnnc.reference.engine import Array


class Loss(NamedTuple):
    """`value` is the batch's mean loss (nats), `gradient` that of the scores, of their shape."""

    value: float
    gradient: Array


def cross_entropy(scores: Array, labels: Array) -> Loss:
    """−log softmax(scores)[label], mean over the batch; scores (N, C), labels (N,) of int64.

    The largest score is taken off first, so that exp never overflows.
    """
    rows = np.arange(len(labels))
    shifted = scores - scores.max(-1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(-1, keepdims=True)
    losses = np.log(total[:, 0]) - shifted[rows, labels]
    gradient = e / total
    gradient[rows, labels] -= 1
    gradient /= scores.dtype.type(len(labels))
    return Loss(float(losses.mean(dtype=np.float64)), gradient)
