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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.core.random_streams import Stream
from cnnc.training.augment import augment
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
    parts = [examples[run.engine.rows(len(examples))] for examples in whole]
    with closing(run.train.batches(parts)) as batches:
        for step, examples in zip(steps, whole, strict=True):
            asked = time.perf_counter()
            inputs, targets = next(batches)
            run.waited += time.perf_counter() - asked
            yield StepBatch(epoch, step, _augmented(run, epoch, step, inputs, len(examples)), targets, len(examples))


def _augmented(
    run: Run, epoch: int, step: int, inputs: tuple[NDArray[Any], ...], size: int
) -> tuple[NDArray[Any], ...]:
    """The inputs of a step, augmented where the recipe says so; they are those of this process in a batch of this size."""
    if run.recipe.augment is None:
        return inputs
    random = np.random.default_rng(Stream.AUGMENTATION.key(run.recipe.seed, epoch, step))
    return (augment(inputs[0], run.recipe.augment, random, size, run.engine.rows(size)), *inputs[1:])
