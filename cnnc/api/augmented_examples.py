"""The examples of a sheet of `cnnc data` after the augmentation of the network file, with their targets.

In: the `OpenedData`, and rows of examples by their numbers in the training share. Out: for each row an
`AugmentedRow`. All examples are augmented as one batch, in which those of different rows alternate, so that `mixup` and
`cutmix` mix examples of different classes. What is drawn is what the first step of the first epoch draws for such a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.random_streams import Stream
from cnnc.data.dataset import Split
from cnnc.recipe.augmentation import Augment

if TYPE_CHECKING:
    from cnnc.api.opened_data import OpenedData
    from cnnc.training.maps import TargetColumn


class AugmentedRow(NamedTuple):
    """The first input and the first target of the examples of a row; `captions` say how labels are mixed, and are empty otherwise."""

    inputs: Array
    target: Array | None
    captions: Sequence[str]


def augmented_rows(opened: OpenedData, statement: Augment, rows: Sequence[Sequence[int]]) -> list[AugmentedRow]:
    """The examples of each row after augmentation."""
    from cnnc.training.augment import ImageRandom
    from cnnc.training.maps import augment_batch
    from cnnc.training.mixing import mix

    training = opened.training
    batch = np.array([n for numbers in zip_longest(*rows) for n in numbers if n is not None], np.int64)
    columns = [_column(opened, training)] if training.targets else []
    random = ImageRandom(np.random.default_rng(Stream.AUGMENTATION.key(opened.seed, 0, 0)), len(batch), slice(None))
    targets = tuple(column[batch] for column in training.targets[:1])
    examples = augment_batch(training.inputs[0][batch], targets, columns, statement, random)
    if statement.mixes:
        examples = mix(*examples, columns, statement, random, np.arange(len(batch)), len(batch))
    inputs, targets = examples
    captions = _captions(opened, targets[0]) if targets and columns[0].classes and targets[0].dtype.kind == "f" else []
    found = []
    for numbers in rows:
        at = np.array([int(np.flatnonzero(batch == n)[0]) for n in numbers], np.int64)
        target = targets[0][at] if targets else None
        found.append(AugmentedRow(inputs[at], target, [captions[n] for n in at] if captions else []))
    return found


def _column(opened: OpenedData, share: Split) -> TargetColumn:
    """What the first column of targets is, by its type and shape."""
    from cnnc.training.maps import TargetColumn

    target, rank = share.targets[0], len(share.inputs[0].shape)
    if target.dtype != np.int64:
        return TargetColumn(is_map=rank == len(target.shape) > 2)
    is_map = len(target.shape) > 1 and len(target.shape) == rank - 1
    classes = len(opened.dataset.classes) or int(np.asarray(target[:]).max()) + 1
    return TargetColumn(classes, is_map, opened.ignored_label)


def _captions(opened: OpenedData, probabilities: Array) -> list[str]:
    """`cat 62% dog 38%` for each example."""
    names = opened.dataset.classes or tuple(map(str, range(probabilities.shape[1])))
    return [
        " ".join(f"{names[c]} {row[c]:.0%}" for c in np.argsort(-row, kind="stable")[:2] if row[c] >= 0.005)
        for row in probabilities
    ]
