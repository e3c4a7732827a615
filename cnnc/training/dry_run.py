"""`cnnc train --dry-run`: time and memory of a run, from two of its steps.

In: a run that `loop.start` prepared. Out: `DryRun`. Nothing is saved.
"""

from __future__ import annotations

import time
import warnings
from typing import NamedTuple

import numpy as np

from cnnc.core.process_memory import MemoryMeter
from cnnc.graph.analysis import training_memory
from cnnc.reference.parallel.threads import keep_memory, one_blas_thread
from cnnc.training.loop import one_step
from cnnc.training.run import Run


class DryRun(NamedTuple):
    """The first loss and that of guessing; seconds per step, examples per second (`rate`), and seconds for all epochs.

    In bytes: the training memory that `cnnc check --batch` estimates, the measured growth of the process (None where
    the system does not say), and the peak of the process. The fields are the keys of `--json`.
    """

    loss: float
    chance: float | None
    seconds: float
    rate: float
    total: float
    predicted: int
    measured: int | None
    peak: int


def dry_run(run: Run) -> DryRun:
    """Runs two steps and times the second; nothing is saved. Raises CnncError E701, E704."""
    batch = min(run.recipe.batch, len(run.train))
    meter = MemoryMeter(run.state_bytes)
    inputs = tuple(column[np.arange(batch)] for column in run.train.inputs)
    targets = tuple(column[np.arange(batch)] for column in run.train.targets)
    keep_memory()
    with one_blas_thread(), run.engine.running(run), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a loss that is not finite is reported as E701
        loss, _, _ = one_step(run, 0, 0, inputs, targets)
        start = time.perf_counter()
        one_step(run, 0, 1, inputs, targets)
        seconds = time.perf_counter() - start
        growth, peak = run.memory(meter)
    total = seconds * run.steps_per_epoch * run.recipe.epochs
    predicted = training_memory(run.graph, batch, run.recipe.slots)
    return DryRun(loss, run.objective.chance, seconds, batch / seconds, total, predicted, growth, peak)
