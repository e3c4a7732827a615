"""The batches of a run: which examples each step gets, and in which order.

In: a run. Out: `StepBatch`es, read ahead and augmented. Where several processes share each batch, a process reads and
augments only the examples that its engine names.

The order of an epoch is a function of the seed and the epoch alone (and of the labels, if it is balanced), and so is what augmentation does to an example of a
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
    """The indices of the training examples that an epoch uses, in its order: all of them, or as many from balanced classes."""
    seed = run.recipe.seed
    if run.recipe.data.sampling is None:
        return np.random.default_rng(Stream.SHUFFLE.key(seed, epoch)).permutation(len(run.train))
    return balanced_order(run.labels, np.random.default_rng(Stream.BALANCED_SAMPLING.key(seed, epoch)))


def balanced_order(labels: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """As many indices as there are labels, of each class equally many, in random order.

    A class with more examples than its share is drawn without repetition; one with fewer repeats each of its examples
    equally often. Where the shares do not divide evenly, chance decides which classes get one example more. Labels below 0
    have no class.

        balanced_order(np.array([0, 0, 0, 1]), random)      # two of 0, 1 and 2, and 3 twice
    """
    classes = np.unique(labels[labels >= 0])
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[random.permutation(len(classes))[: len(labels) % len(classes)]] += 1
    chosen = []
    for label, share in zip(classes, shares, strict=True):
        members = np.flatnonzero(labels == label)
        chosen += [members] * (share // len(members))
        chosen.append(random.permutation(members)[: share % len(members)])
    return random.permutation(np.concatenate(chosen))


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
