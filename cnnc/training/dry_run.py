"""A rehearsal of a run: what it would take, from two steps of it.

In: a run that is prepared. Out: `Rehearsal`: speed, memory, the first loss. Nothing is saved.
"""

from __future__ import annotations

import time
import warnings
from typing import NamedTuple

import numpy as np

from cnnc.core.process_memory import MemoryMeter
from cnnc.graph.analysis import training_memory
from cnnc.reference.parallel.threads import keep_memory, one_blas_thread
from cnnc.training.loop import one_step, working
from cnnc.training.run import Run


class Rehearsal(NamedTuple):
    """What a run would take: seconds a step, examples a second, seconds in all; the first loss beside chance's.

    Bytes: what `cnnc check --batch` predicts, what it really grew by (None where the system does not tell), and the
    most that the process held.
    """

    loss: float
    chance: float | None
    seconds: float
    rate: float
    total: float
    predicted: int
    measured: int | None
    peak: int


def rehearse(run: Run) -> Rehearsal:
    """Two steps of a run, the second of them timed; nothing is saved. Raises CnncError E701."""
    batch = min(run.recipe.batch, len(run.train))
    meter = MemoryMeter(run.held)
    inputs = tuple(column[np.arange(batch)] for column in run.train.inputs)
    targets = tuple(column[np.arange(batch)] for column in run.train.targets)
    keep_memory()
    with one_blas_thread(), working(run), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow is looked for, and said in our own words
        loss, _, _ = one_step(run, 0, 0, inputs, targets)
        begun = time.perf_counter()
        one_step(run, 0, 1, inputs, targets)
        seconds = time.perf_counter() - begun
        growth, whole = run.memory(meter)
    total = seconds * run.steps * run.recipe.epochs
    predicted = training_memory(run.graph, batch, run.recipe.slots)
    return Rehearsal(loss, run.objective.chance, seconds, batch / seconds, total, predicted, growth, whole)
