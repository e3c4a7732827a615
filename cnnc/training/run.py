"""A run under way, what came of it, and who is told of it.

In: what `loop.start` has prepared. Out: nothing; these are values, and the `Watcher` that hears of them. No step is
taken here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cnnc.core.arrays import Weights
from cnnc.core.process_memory import MemoryMeter
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import Diagnostic
from cnnc.graph.for_training import for_training
from cnnc.graph.graph import Graph, verify
from cnnc.network import Network
from cnnc.recipe.statements import Recipe
from cnnc.reference.parallel.processes import WorkerPool
from cnnc.training.checkpoint import Progress
from cnnc.training.objective import Objective, Score


@dataclass
class Run:
    """A run under way."""

    network: Network
    recipe: Recipe
    graph: Graph
    data: Dataset
    train: Split
    validation: Split
    folder: Path
    weights: Weights
    slots: Weights
    progress: Progress
    objective: Objective
    workers: WorkerPool | None = None

    @cached_property
    def stepped(self) -> Graph:
        """What a training step runs."""
        return verify(for_training(self.graph, self.objective.wanted))

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self.train) // self.recipe.batch)

    @property
    def is_enough(self) -> bool:
        """Whether validation has not improved for as many epochs as `stop patience=` allows; as good as before is no
        better."""
        p, stop = self.progress, self.recipe.stop
        return stop is not None and p.epoch > 0 and p.epoch - 1 - p.improved_epoch >= stop.patience

    @property
    def held(self) -> int:
        """Bytes of weights and slots."""
        return sum(array.nbytes for array in (*self.weights.values(), *self.slots.values()))

    def memory(self, meter: MemoryMeter) -> tuple[int | None, int]:
        """By how much this process and its workers have grown, and what they held at most, in bytes."""
        growth, whole = meter.growth, meter.process_peak
        for more, all_of_it in self.workers.memory() if self.workers is not None else ():
            growth = None if growth is None or more is None else growth + more
            whole += all_of_it
        return growth, whole


class Result(NamedTuple):
    """The end of a run. `test` is the score of the best weights on the test set, None where it was stopped.

    `memory` is by how many bytes the process has grown in training, None where the system does not tell.
    """

    run: Run
    stopped: bool
    test: Score | None
    memory: int | None = None


class Epoch(NamedTuple):
    """What one epoch came to; `validation` is None without a validation share.

    `memory` is by how many bytes the process has grown since training began (None where the system does not tell).
    """

    number: int
    train: Score
    validation: Score | None
    rate: float
    seconds: float
    images_per_second: float
    memory: int | None
    best: bool


class Watcher:
    """Is told how training goes. The base class is silent."""

    def began(self, run: Run) -> None:
        """Before the first step."""

    def warned(self, run: Run, warning: Diagnostic) -> None:
        """Where something is legal and hardly meant."""

    def stepped(self, run: Run, epoch: int, step: int, loss: float) -> None:
        """After each step; both count from 0."""

    def finished_epoch(self, run: Run, epoch: Epoch) -> None:
        """After each epoch."""

    def close(self) -> None:
        """At the end, however training ended. Whoever made the watcher calls it."""


class Watchers(Watcher):
    """Several that are told the same."""

    def __init__(self, *watchers: Watcher) -> None:
        self._all = watchers

    def began(self, run: Run) -> None:
        for watcher in self._all:
            watcher.began(run)

    def warned(self, run: Run, warning: Diagnostic) -> None:
        for watcher in self._all:
            watcher.warned(run, warning)

    def stepped(self, run: Run, epoch: int, step: int, loss: float) -> None:
        for watcher in self._all:
            watcher.stepped(run, epoch, step, loss)

    def finished_epoch(self, run: Run, epoch: Epoch) -> None:
        for watcher in self._all:
            watcher.finished_epoch(run, epoch)

    def close(self) -> None:
        for watcher in self._all:
            watcher.close()


class Stopping(NamedTuple):
    """Asked after each step: whether to save and stop."""

    asked: Callable[[], bool] = lambda: False
