"""The engine of the NumPy reference: forward, backward and update on all cores.

In: a run and one batch. Out: `StepResult`; the run's weights and slots change in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from cnnc.core.arrays import Weights
from cnnc.reference.engine import StepRandom, backward, forward
from cnnc.reference.parallel.processes import WorkerPool, worker_pool_for
from cnnc.reference.registry import Random
from cnnc.training.divergence import diverged
from cnnc.training.objective import Runner, feeds_of
from cnnc.training.optimizers import clip_gradients, update
from cnnc.training.run import Engine, Run, StepBatch, StepResult


class NumpyEngine(Engine):
    """Computes with NumPy, with worker processes where the run is long enough to pay for their start."""

    name = "numpy"

    def __init__(self) -> None:
        self._workers: WorkerPool | None = None

    @contextmanager
    def running(self, run: Run) -> Iterator[None]:
        left = run.recipe.epochs - run.progress.epoch
        self._workers = worker_pool_for(
            run.training_graph, run.weights, run.objective.activations, run.recipe.batch, left * len(run.train)
        )
        if self._workers is None:
            yield
            return
        with self._workers:
            run.weights = self._workers.adopt(run.weights)
            try:
                yield
            finally:
                self._workers = None

    def step(self, run: Run, batch: StepBatch, random: Random | None = None) -> StepResult:
        graph, objective, recipe = run.training_graph, run.objective, run.recipe
        random = random or StepRandom(recipe.seed, batch.epoch, batch.step)
        feeds = feeds_of(graph, batch.inputs)
        if self._workers is not None:
            trace = self._workers.forward(run.weights, feeds, random)
        else:
            trace = forward(graph, run.weights, feeds, outputs=objective.activations, training=True, random=random)
        loss = objective.batch(trace, batch.targets)
        if not math.isfinite(loss.loss):
            raise diverged(run, feeds, batch.epoch, batch.step)
        right, total = objective.right(trace, batch.targets)
        if self._workers is not None:
            gradients = self._workers.backward(run.weights, trace, loss.gradients)
        else:
            gradients, _ = backward(graph, run.weights, trace, loss.gradients)
        if recipe.clip is not None:
            clip_gradients(gradients, recipe.clip)
        update(recipe.optimizer, run.weights, gradients, run.slots, run.rate(batch.epoch, batch.step))
        run.weights.update(trace.buffers)
        return StepResult(loss.loss, right, total)

    def runner(self, run: Run, weights: Weights) -> Runner:
        return run.objective.network(weights)

    def process_memory(self) -> Iterator[tuple[int | None, int]]:
        yield from self._workers.memory() if self._workers is not None else ()
