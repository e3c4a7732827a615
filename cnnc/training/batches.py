"""The batches of a run: which examples each step gets, and in which order.

In: a run. Out: `StepBatch`es, read ahead and augmented. Where several processes share each batch, a process reads and
augments only the examples that its engine names.

The order of an epoch is a function of the seed and the epoch alone, and so is what augmentation does to an example of a
batch. So the examples of a step are the same after a resumption, with any number of worker processes, and with any number
of processes that share each batch.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from cnnc.core.random_streams import Stream
from cnnc.data.dataset import Batch
from cnnc.training.augment import ImageRandom
from cnnc.training.maps import augment_batch
from cnnc.training.mixing import mix, positions_to_read
from cnnc.training.run import Run, StepBatch


def order_of_epoch(run: Run, epoch: int) -> NDArray[np.int64]:
    """The indices of all training examples, in the order in which an epoch uses them."""
    return np.random.default_rng(Stream.SHUFFLE.key(run.recipe.seed, epoch)).permutation(len(run.train))


def batches_of_epoch(run: Run) -> Generator[StepBatch, None, None]:
    """The batches from the run's current step to the end of its epoch; of each, the examples that this process gets.

    The time in which examples are waited for adds to `run.waited`. Close the iterator if you leave off before its end.
    """
    epoch, size = run.progress.epoch, run.recipe.batch
    order = order_of_epoch(run, epoch)
    steps = range(run.progress.step, run.steps_per_epoch)
    whole = [order[step * size : (step + 1) * size] for step in steps]
    positions = [_positions(run, len(examples)) for examples in whole]
    parts = [examples[at] for examples, at in zip(whole, positions, strict=True)]
    with closing(run.train.batches(parts)) as batches:
        for step, examples, at in zip(steps, whole, positions, strict=True):
            asked = time.perf_counter()
            read = next(batches)
            run.waited += time.perf_counter() - asked
            yield StepBatch(epoch, step, *_augmented(run, epoch, step, read, at, len(examples)), len(examples))


def _positions(run: Run, size: int) -> NDArray[np.int64]:
    """The positions in a batch of this size of the examples that this process reads: its own, and others to mix them with."""
    return positions_to_read(run.recipe.augment, run.engine.rows(size), size)


def _augmented(run: Run, epoch: int, step: int, read: Batch, positions: NDArray[np.int64], size: int) -> Batch:
    """The examples of this process in a batch of this size, augmented where the recipe says so."""
    statement = run.recipe.augment
    if statement is None:
        return read
    inputs, targets = read
    generator = np.random.default_rng(Stream.AUGMENTATION.key(run.recipe.seed, epoch, step))
    columns = run.objective.target_columns
    random = ImageRandom(generator, size, positions)
    augmented = augment_batch(inputs[0], targets, columns, statement, random)
    if statement.mixes:
        augmented = mix(*augmented, columns, statement, random.of_rows(run.engine.rows(size)), positions, size)
    first, targets = augmented
    return (first, *inputs[1:]), targets
