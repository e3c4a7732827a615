"""The state of a training run, the engine that computes its steps, its results, and the callbacks that it reports to.

`loop.start` makes a `Run`, `loop.train` advances it, calls the `Callback`, and returns a `RunResult`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array, Rows, Weights
from cnnc.core.process_memory import MemoryMeter
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.for_training import for_training
from cnnc.graph.graph import Graph, verify
from cnnc.network import Network
from cnnc.recipe.recipe import Recipe
from cnnc.reference.engine import Trace
from cnnc.reference.registry import Random
from cnnc.training.checkpoint import Progress
from cnnc.training.objective import Objective, Runner, Score
from cnnc.training.ranks import ALONE, Ranks


class StepBatch(NamedTuple):
    """One batch: step `step` of epoch `epoch`, both from 0, with one array (N, ...) per column of the data set.

    `size` is the number of its examples. Of several processes that train together, each has some of them, or none:
    those that `Engine.rows` names.
    """

    epoch: int
    step: int
    inputs: tuple[Array, ...]
    targets: tuple[Array, ...]
    size: int


class StepResult(NamedTuple):
    """The loss of a batch, the number of correct predictions, and the number of all predictions."""

    loss: float
    right: int
    total: int


class Engine:
    """Computes the steps and scores of a run.

    `name` is the value of `--engine`; `provider` that of `--provider`, or the device, "" for an engine without. `options`
    are further options by name, which a resumed run keeps. `ranks` are the processes that train together; each of them has
    an engine, whose methods all processes call in the same order.
    """

    name: ClassVar[str]
    ranks: Ranks = ALONE

    @property
    def limit(self) -> float:
        """The largest number that activations can have."""
        return math.inf

    @property
    def provider(self) -> str:
        """The provider or device that computes."""
        return ""

    @property
    def options(self) -> dict[str, str]:
        """Further options, by name."""
        return {}

    @property
    def machine(self) -> dict[str, str]:
        """What decides the last bits of its results beside what `reference.machine` says, by name: versions, devices."""
        return {}

    def prepare(self, run: Run) -> None:
        """Raises CnncError where the engine cannot train this network; nothing has been written yet."""

    def running(self, run: Run) -> AbstractContextManager[None]:
        """Prepares the steps of a run (processes, sessions), and releases what they took."""
        raise NotImplementedError

    @property
    def scoring_ranks(self) -> Ranks:
        """The processes that share the batches that are scored."""
        return self.ranks

    def rows(self, size: int) -> Rows:
        """The positions of the examples that this process gets in a batch of this size; by default all of them."""
        return slice(0, size)

    def step(self, run: Run, batch: StepBatch, random: Random | None = None) -> StepResult:
        """One training step within `running`: forward, backward, update of weights, slots and buffers.

        `random` replaces the random numbers of the layers. Raises CnncError E701 where the loss is not finite; the weights
        are then those before the step.
        """
        raise NotImplementedError

    def fetch(self, run: Run) -> None:
        """Brings weights and slots of the run up to date, where the engine keeps them elsewhere between steps."""

    def runner(self, run: Run, weights: Weights) -> Runner:
        """Runs the network as in inference, with these weights."""
        raise NotImplementedError

    def process_memory(self) -> Iterator[tuple[int | None, int]]:
        """The growth of each further process in bytes (None where the system does not say), and its peak.

        Raises CnncError E704 where a process has died.
        """
        yield from ()

    def device_memory(self) -> int | None:
        """The most memory of the device so far, in bytes; None for an engine that has no memory of its own."""
        return None


@dataclass
class Run:
    """A run and its state.

    Training changes `weights` (by `layer.parameter`, shaped as in ONNX), `slots` (the optimizer's state) and `progress`.
    `train` and `validation` are the two parts of the training data. `engine` computes the steps; it may keep weights and
    slots elsewhere between them, so `fetch` comes before reading them. `origin` is that of the checkpoint that the run started
    from. Before `next_curves`, a time of time.monotonic, no epoch is drawn. `waited` are the seconds that the steps of the
    current epoch have waited for their examples.
    """

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
    engine: Engine
    origin: Mapping[str, str] = field(default_factory=dict)
    next_curves: float = 0.0
    waited: float = 0.0

    @cached_property
    def training_graph(self) -> Graph:
        """The graph that a training step runs."""
        return verify(for_training(self.graph, self.objective.activations))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The label of each training example, -1 where it does not count.

        Raises CnncError E521 where examples do not have one label each.
        """
        term = self.objective.term_by_target.get("labels")
        column = self.train.targets[term.column] if term is not None and term.column is not None else None
        if term is None or column is None or math.prod(column.shape[1:]) != 1:
            has = "values" if term is None else "label maps"
            message = f"`sampling=balanced` needs one label per example; {self.data.name} has {has}"
            help = "leave `sampling=balanced` out"
            if term is not None:
                help += f"; `loss {term.loss.kind}` can weigh the classes instead"
            raise CnncError.of("E521", message, span=self.recipe.spans.get("data"), help=help)
        labels = np.asarray(column[:]).reshape(len(column))
        return labels if term.loss.ignored_label is None else np.where(labels == term.loss.ignored_label, -1, labels)

    @property
    def ranks(self) -> Ranks:
        """The processes that train this run together."""
        return self.engine.ranks

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch; the last one may be smaller."""
        return -(-len(self.train) // self.recipe.batch)

    @property
    def stops_early(self) -> bool:
        """Whether validation has not improved for `stop patience=` epochs; an equal score does not count as an improvement."""
        p, stop = self.progress, self.recipe.stop
        return stop is not None and p.epoch > 0 and p.epoch - 1 - p.improved_epoch >= stop.patience

    @property
    def noun(self) -> str:
        """What the examples are called."""
        return "images" if len(self.graph.inputs) == 1 and self.graph.inputs[0].type.rank == 2 else "examples"

    def rate(self, epoch: int, step: int) -> float:
        """The learning rate of a step; epochs and steps count from 0."""
        return self.recipe.learning_rate(epoch + step / self.steps_per_epoch)

    def fetch(self) -> None:
        """Brings `weights` and `slots` up to date."""
        self.engine.fetch(self)

    @property
    def state_bytes(self) -> int:
        """Bytes of weights and slots."""
        return sum(array.nbytes for array in (*self.weights.values(), *self.slots.values()))

    def memory(self, meter: MemoryMeter) -> tuple[int | None, int]:
        """The growth of this process and its workers in bytes (None where the system does not say), and their peak.

        Raises CnncError E704 where a worker has died.
        """
        growth, peak = meter.growth, meter.process_peak
        for worker_growth, worker_peak in self.engine.process_memory():
            growth = None if growth is None or worker_growth is None else growth + worker_growth
            peak += worker_peak
        return growth, peak


class RunResult(NamedTuple):
    """The end of a run. `test` is the score of the best weights on the test set, None where the run was stopped.

    `memory` is the growth of the process in bytes during training, None where the system does not say. `confusion` says how often
    each class (row) of the test set was predicted as each class (column); it is empty where no loss compares with labels.
    """

    run: Run
    stopped: bool
    test: Score | None
    memory: int | None = None
    confusion: Sequence[Sequence[int]] = ()


class Epoch(NamedTuple):
    """The results of one epoch; `validation` is None without validation data.

    `number` counts from 0, `rate` is the learning rate at its start. `memory` is the growth of the process in bytes
    since training began (None where the system does not say). `best` says that no earlier epoch was better. `waiting` is
    the fraction of the time in which the steps waited for examples to be read and decoded.
    """

    number: int
    train: Score
    validation: Score | None
    rate: float
    seconds: float
    images_per_second: float
    memory: int | None
    best: bool
    device_memory: int | None = None
    waiting: float = 0.0


class Callback:
    """What a run calls as it advances. The methods of the base class do nothing."""

    def on_start(self, run: Run) -> None:
        """Called before the first step."""

    def on_warning(self, run: Run, warning: Diagnostic) -> None:
        """Called for what is legal but probably unintended."""

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        """Called after each step; epoch and step count from 0."""

    def on_validation(self, run: Run, trace: Trace, targets: tuple[Array, ...]) -> None:
        """Called for each batch of validation examples, with the activations that the losses read, before `on_epoch`.

        Of several processes, each sees its share of the batches.
        """

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        """Called after each epoch."""

    def on_end(self, result: RunResult) -> None:
        """Called at the end of training, also where it was stopped; not after an error."""

    def close(self) -> None:
        """Called by the owner of the callback at the end of training, also after an error."""


class Callbacks(Callback):
    """Passes each call on to several callbacks."""

    def __init__(self, *callbacks: Callback) -> None:
        self._all = callbacks

    def on_start(self, run: Run) -> None:
        for callback in self._all:
            callback.on_start(run)

    def on_warning(self, run: Run, warning: Diagnostic) -> None:
        for callback in self._all:
            callback.on_warning(run, warning)

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        for callback in self._all:
            callback.on_step(run, epoch, step, loss)

    def on_validation(self, run: Run, trace: Trace, targets: tuple[Array, ...]) -> None:
        for callback in self._all:
            callback.on_validation(run, trace, targets)

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        for callback in self._all:
            callback.on_epoch(run, epoch)

    def on_end(self, result: RunResult) -> None:
        for callback in self._all:
            callback.on_end(result)

    def close(self) -> None:
        for callback in self._all:
            callback.close()


class Stopping(NamedTuple):
    """`requested` is called before each step; where it returns True in any process, the run is saved and stopped."""

    requested: Callable[[], bool] = lambda: False
