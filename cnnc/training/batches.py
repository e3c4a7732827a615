"""The batches of a run: which examples each step gets, and in which order.

In: a run; where several processes share each batch, the rank of this one among `ranks`. Out: `StepBatch`es, read ahead and
augmented.

The order of an epoch is a function of the seed and the epoch alone, and so is what augmentation does to an example of a
batch. So the examples of a step are the same after a resumption, with any number of worker processes, and with any number
of ranks.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.core.random_streams import Stream
from cnnc.training.augment import augment
from cnnc.training.run import Run, StepBatch


def rank_rows(count: int, rank: int, ranks: int) -> slice:
    """Which of `count` rows of a batch belong to a rank: runs of nearly equal length, in order; some may be empty.

    10 rows in 4 ranks are 0-2, 2-5, 5-7, 7-10.
    """
    return slice(count * rank // ranks, count * (rank + 1) // ranks)


def order_of_epoch(run: Run, epoch: int) -> NDArray[np.int64]:
    """The indices of all training examples, in the order in which an epoch uses them."""
    return np.random.default_rng(Stream.SHUFFLE.key(run.recipe.seed, epoch)).permutation(len(run.train))


def batches_of_epoch(run: Run, rank: int = 0, ranks: int = 1) -> Generator[StepBatch, None, None]:
    """The batches from the run's current step to the end of its epoch; of each, what belongs to this rank.

    The time in which examples are waited for adds to `run.waited`.
    Close the iterator if you leave off before its end.
    """
    epoch, size = run.progress.epoch, run.recipe.batch
    order = order_of_epoch(run, epoch)
    steps = range(run.progress.step, run.steps_per_epoch)
    whole = [order[step * size : (step + 1) * size] for step in steps]
    parts = [rows[rank_rows(len(rows), rank, ranks)] for rows in whole]
    with closing(run.train.batches(parts)) as batches:
        for step, rows in zip(steps, whole, strict=True):
            asked = time.perf_counter()
            inputs, targets = next(batches)
            run.waited += time.perf_counter() - asked
            first = rank_rows(len(rows), rank, ranks).start
            yield StepBatch(epoch, step, _augmented(run, epoch, step, inputs, len(rows), first), targets)


def _augmented(
    run: Run, epoch: int, step: int, inputs: tuple[NDArray[Any], ...], batch: int, first: int
) -> tuple[NDArray[Any], ...]:
    """The inputs of a step, augmented where the recipe says so; they are those from `first` on in a batch of this size."""
    if run.recipe.augment is None:
        return inputs
    random = np.random.default_rng(Stream.AUGMENTATION.key(run.recipe.seed, epoch, step))
    return (augment(inputs[0], run.recipe.augment, random, batch, first), *inputs[1:])
