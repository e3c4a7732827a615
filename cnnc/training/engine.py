"""What an engine is: it computes the steps and scores of a run. The loop draws the batches, decides when to score, and saves.

`numpy_engine.py` has the reference. `onnx/train_step/engine.py` runs the training step as an ONNX graph. Example of a use:

    with run.engine.running(run):
        result = run.engine.step(run, Batch(0, 0, (images,), (labels,)))  # images (N, 1, 28, 28), labels (N)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from cnnc.core.arrays import Array, Weights
from cnnc.reference.registry import Random
from cnnc.training.objective import Runner

if TYPE_CHECKING:
    from cnnc.training.run import Run


class Batch(NamedTuple):
    """One batch: step `step` of epoch `epoch`, both from 0, with one array (N, ...) per column of the data set."""

    epoch: int
    step: int
    inputs: tuple[Array, ...]
    targets: tuple[Array, ...]


class StepResult(NamedTuple):
    """The loss of a batch, the number of correct predictions, and the number of all predictions."""

    loss: float
    right: int
    total: int


class Engine:
    """Computes the steps and scores of a run.

    `name` is the value of `--engine`; `provider` that of `--provider`, "" for an engine without.
    """

    name: ClassVar[str]
    provider: str = ""

    def prepare(self, run: Run) -> None:
        """Raises CnncError where the engine cannot train this network; nothing has been written yet."""

    def running(self, run: Run) -> AbstractContextManager[None]:
        """Prepares the steps of a run (processes, sessions), and releases what they took."""
        raise NotImplementedError

    def step(self, run: Run, batch: Batch, random: Random | None = None) -> StepResult:
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
