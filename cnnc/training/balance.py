"""Numbers in place of `balanced`: the weights of a loss from how often each class occurs in the training examples.

In: a loss, the number of its classes or channels, and its column of targets in the training share. Out: the loss with its
weights as numbers, which every engine computes with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.data.dataset import Column
from cnnc.recipe.losses import Loss

_PART = 1024  # targets that are read at once


def balanced(loss: Loss, channels: int, targets: Column) -> Loss:
    """The loss with weights computed from these targets, which fit its output."""
    if loss.compares_with == "labels":
        counts = class_counts(targets, channels, loss.ignored_label)
        return loss.with_balance(counts.tolist(), int(counts.sum()))
    positives, total = _positives(targets, channels)
    return loss.with_balance(positives.tolist(), total)


def class_counts(labels: Column, classes: int, ignored: int | None) -> NDArray[np.int64]:
    """How often each class (C,) is the label, of examples or of the positions of label maps; not counting `ignored`."""
    counts = np.zeros(classes, np.int64)
    for part in _parts(labels):
        flat = part.reshape(-1)
        flat = flat if ignored is None else flat[flat != ignored]
        counts += np.bincount(flat, minlength=classes)
    return counts


def _positives(targets: Column, channels: int) -> tuple[Array, float]:
    """The sum of the targets (N, C, *spatial), from 0 to 1, of each channel, and how many targets a channel has."""
    sums, total = np.zeros(channels), 0.0
    for part in _parts(targets):
        by_channel = part.reshape(len(part), channels, -1).sum(axis=(0, 2), dtype=np.float64)
        sums += by_channel / 255 if part.dtype == np.uint8 else by_channel
        total += part.size / channels
    return sums, total


def _parts(column: Column) -> Iterator[NDArray[Any]]:
    return (np.asarray(column[start : start + _PART]) for start in range(0, len(column), _PART))
