"""The engine that trains with onnxruntime: each step runs the step graph, and weights and slots stay on the device.

In: a run and one batch. Out: `StepResult`. The state (weights, buffers, slots) exists twice on the device: a step reads one
copy and writes the other, then they change places, so that nothing is allocated or copied between steps. `fetch` copies the
state to the run, before it is saved or scored.

The masks of dropout come from the graph's own hash (random_bits.py), seeded by the run's seed, epoch and step, so that a run
that is stopped and resumed ends bit-identical to an uninterrupted one; they are not those of the NumPy trainer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime as ort

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.onnx.run.provider import Provider
from cnnc.onnx.run.session import Session, convert_for_input
from cnnc.onnx.train_step.build import COUNT, LOSS, METRIC, NEW, RATE, STEP, StepGraph, build_step
from cnnc.onnx.train_step.inference import build_inference
from cnnc.onnx.train_step.random_bits import SEED
from cnnc.reference.parallel.threads import thread_count
from cnnc.reference.registry import Random
from cnnc.training.divergence import diverged
from cnnc.training.mixing import as_probabilities
from cnnc.training.objective import Feeds, Runner, feeds_of
from cnnc.training.run import Engine, Run, StepBatch, StepResult

ACCURACY = METRIC + "accuracy"
_STEPS = "steps"
"""The slot that counts steps, in checkpoints."""


class OnnxEngine(Engine):
    """Computes steps and scores with onnxruntime on one provider.

    `prepare` raises CnncError E810 where ONNX operators cannot compute the training step of a layer, E905 for a provider that
    does not start.
    """

    name = "onnxruntime"

    def __init__(self, provider: Provider = "auto") -> None:
        self._wanted, self._provider = provider, ""
        self._prepared: tuple[StepGraph, Session]
        self._state: _DeviceState | None = None
        self._inference: Session | None = None
        self._steps = 0

    def prepare(self, run: Run) -> None:
        step = build_step(run.graph, run.recipe, {})
        model = step.model.SerializeToString()
        session = Session(model, f"the training step of {run.network.name}", self._wanted, threads=thread_count())
        self._prepared, self._provider = (step, session), session.provider

    @property
    def provider(self) -> str:
        return self._provider

    @contextmanager
    def running(self, run: Run) -> Iterator[None]:
        step, session = self._prepared
        self._steps = int(run.slots.get(_STEPS, 0))
        self._state = _DeviceState(session, step, run.weights, run.slots)
        try:
            yield
        finally:
            self.fetch(run)
            self._state = self._inference = None

    def step(self, run: Run, batch: StepBatch, random: Random | None = None) -> StepResult:
        assert self._state is not None
        assert random is None
        step, feeds = self._prepared[0], feeds_of(run.graph, batch.inputs)
        inputs = {name: feeds[name] for name in step.inputs} | _targets(step, run, batch.targets)
        inputs[RATE] = np.array(run.rate(batch.epoch, batch.step), np.float32)
        inputs[STEP] = np.array(self._steps + 1, np.int64)
        inputs[SEED] = np.array(_seed(run.recipe.seed, batch.epoch, batch.step), np.int32)
        results = self._state.run(inputs)
        loss = float(results[LOSS])
        if not math.isfinite(loss):
            self.fetch(run)
            raise diverged(run, feeds, batch.epoch, batch.step)
        self._state.accept()
        self._steps += 1
        right, total = (int(results.get(name, 0)) for name in (ACCURACY, ACCURACY + COUNT))
        return StepResult(loss, right, total)

    def fetch(self, run: Run) -> None:
        if self._state is not None and self._state.is_newer:
            self._state.copy_to(run.weights, run.slots)
            if run.recipe.optimizer.counts_steps:
                run.slots[_STEPS] = np.array(self._steps, np.int64)

    def runner(self, run: Run, weights: Weights) -> Runner:
        """Runs the inference graph on the same provider."""
        names = tuple(name for name in run.objective.activations if name not in {n.name for n in run.graph.inputs})
        if self._inference is None:
            model = build_inference(run.graph, names, {}).SerializeToString()
            self._inference = Session(model, run.network.name, self._wanted, threads=thread_count())
        session = self._inference
        device = session.device
        values = {
            name: ort.OrtValue.ortvalue_from_numpy(weights[name], *device) for name in session.inputs if name in weights
        }

        def outputs(feeds: Feeds) -> Mapping[str, Array]:
            binding = session.binding()
            for name, value in values.items():
                binding.bind_ortvalue_input(name, value)
            fitted = {name: _fitted(session, name, array) for name, array in feeds.items() if name in session.inputs}
            for name, array in fitted.items():
                binding.bind_cpu_input(name, array)
            for name in names:
                binding.bind_output(name)
            session.run_bound(binding)
            return dict(zip(names, binding.copy_outputs_to_cpu(), strict=True))

        return run.objective.model(outputs, names)


class _DeviceState:
    """Weights, buffers and slots on the device, twice: a step reads `_now` and writes `_next`."""

    def __init__(self, session: Session, step: StepGraph, weights: Weights, slots: Weights) -> None:
        self.session = session
        self.is_newer = False
        arrays = {name: weights[name] for name in step.weights}
        arrays |= {name: slots.get(name, np.zeros_like(weights[weight])) for name, weight in step.slots.items()}
        self._slots = frozenset(step.slots)
        self._results = [name for name in session.outputs if not name.endswith(NEW)]
        self._changing = [name for name in arrays if name + NEW in session.outputs]
        on_device = ort.OrtValue.ortvalue_from_numpy
        self._now = {name: on_device(array, *session.device) for name, array in arrays.items()}
        self._next = {name: on_device(arrays[name], *session.device) for name in self._changing}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Computes a step; the new state counts from `accept` on. Returns the loss and the sums of the metrics."""
        binding = self.session.binding()
        fed = [name for name in self.session.inputs if name not in self._now]
        arrays = {name: _fitted(self.session, name, inputs[name]) for name in fed}  # kept until the step is done
        for name, value in self._now.items():
            binding.bind_ortvalue_input(name, value)
        for name, array in arrays.items():
            binding.bind_cpu_input(name, array)
        for name in self._results:
            binding.bind_output(name)
        for name in self._changing:
            binding.bind_ortvalue_output(name + NEW, self._next[name])
        self.session.run_bound(binding)
        results = binding.get_outputs()[: len(self._results)]
        return {name: value.numpy() for name, value in zip(self._results, results, strict=True)}

    def accept(self) -> None:
        """Makes the state that the last step computed the current one."""
        for name in self._changing:
            self._now[name], self._next[name] = self._next[name], self._now[name]
        self.is_newer = True

    def copy_to(self, weights: Weights, slots: Weights) -> None:
        """Copies the current state into the arrays of a run."""
        for name in self._changing:
            (slots if name in self._slots else weights)[name] = self._now[name].numpy()
        self.is_newer = False


def _targets(step: StepGraph, run: Run, columns: tuple[Array, ...]) -> dict[str, Array]:
    """The targets of a batch by input, in the shapes that the graph takes; 8-bit values are divided by 255."""
    by_output = {term.output.name: term.column for term in reversed(run.objective.terms) if term.column is not None}
    targets = {}
    for target in step.targets:
        index = by_output[target.output]
        column = columns[index]
        if target.kind == "probabilities":
            column = as_probabilities(column, run.objective.target_columns[index])[:, : target.shape[0]]
        targets[target.name] = column.reshape(len(column), *target.shape)
    return targets


def _fitted(session: Session, name: str, array: Array) -> Array:
    return np.ascontiguousarray(convert_for_input(array, session.inputs[name].dtype))


def _seed(seed: int, epoch: int, step: int) -> int:
    """The seed of a step's random numbers, as int32."""
    state: Any = np.random.SeedSequence(Stream.STEP_SEED.key(seed, epoch, step)).generate_state(1)[0]
    return int(np.int32(np.uint32(state).astype(np.int32)))
