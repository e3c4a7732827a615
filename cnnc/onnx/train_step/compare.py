"""Compares a step graph with the NumPy trainer: the same steps on random data, every weight, buffer and slot after each.

In: a network, its step graph, and initial weights. Out: the deviation of each array, and what is allowed. The reference is
the trainer in float64. The trainer in float32 takes the same steps, and its own deviation says how far rounding carries:
a ReLU whose input is almost 0 may pass a gradient in one precision and none in the other, and Adam divides a gradient of
rounding noise by itself. What is allowed of an array:

    8 times the largest deviation of the trainer in float32
    + 0.001 of the largest change of the array since the first step, or 8 times the trainer's median share of it, if larger
    + 4e-6 of the largest element
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.data.dataset import Dataset, Split
from cnnc.graph.graph import Graph, Node
from cnnc.network import Network
from cnnc.onnx.emit.verify import sample_feeds
from cnnc.onnx.run.session import Session
from cnnc.onnx.train_step.build import LOSS, NEW, RATE, STEP, StepGraph, TargetInput
from cnnc.onnx.train_step.random_bits import SEED, StepMasks
from cnnc.recipe.recipe import require_recipe
from cnnc.reference.parallel.threads import one_blas_thread
from cnnc.training.loop import one_step, start
from cnnc.training.run import Run

SHARE, OWN, RELATIVE = 1e-3, 8.0, 4e-6  # see above


class StepDeviation(NamedTuple):
    """The difference of an array from that of the trainer where it is largest relative to what is allowed."""

    name: str
    difference: float
    allowed: float
    change: float

    @property
    def share(self) -> float:
        """The difference relative to what is allowed."""
        return self.difference / self.allowed if self.difference else 0.0

    @property
    def passes(self) -> bool:
        """Whether it is allowed; a difference that is not a number is not."""
        return self.difference <= self.allowed


class StepState:
    """The weights, buffers and slots of a step graph between its steps, as a host keeps them."""

    def __init__(self, step: StepGraph, weights: Weights, threads: int = 0) -> None:
        self.step = step
        self.session = Session(step.model.SerializeToString(), step.model.graph.name, "cpu", threads=threads)
        self.arrays = {name: weights[name] for name in step.weights}
        self.arrays |= {name: np.zeros_like(weights[weight]) for name, weight in step.slots.items()}
        self.steps = 0

    def run(self, inputs: Mapping[str, Array], rate: float, seed: int = 0) -> float:
        """One step on a batch of inputs and targets by name; returns the loss."""
        self.steps += 1
        scalars: dict[str, Array] = {
            RATE: np.array(rate, np.float32),
            STEP: np.array(self.steps, np.int64),
            SEED: np.array(seed, np.int32),
        }
        feeds = {**inputs, **self.arrays, **scalars}
        names = self.session.outputs
        results = dict(
            zip(names, self.session.run({name: feeds[name] for name in self.session.inputs}, names), strict=True)
        )
        self.arrays |= {name.removesuffix(NEW): array for name, array in results.items() if name.endswith(NEW)}
        return float(results[LOSS])


def compare_with_trainer(
    network: Network, step: StepGraph, weights: Weights, *, steps: int, batch: int
) -> tuple[StepDeviation, ...]:
    """Runs both for some steps on the same random batches; for each weight, buffer and slot the largest deviation."""
    batches = random_batches(network.require_graph(), step, batch, steps)
    exact = {name: array.astype(np.float64) for name, array in weights.items()}
    single, double = (_trainer(network, start, batches) for start in (weights, exact))
    state, worst = StepState(step, weights), dict[str, StepDeviation]()
    with one_blas_thread():
        for number, (inputs, targets) in enumerate(batches):
            columns = _columns(single.graph, targets, batch)
            for run in (single, double):
                one_step(run, 0, number, _inputs_like(run, inputs), columns, StepMasks(number))
            named = {target.name: targets[target.output] for target in step.targets}
            rate = single.recipe.learning_rate(number / single.steps_per_epoch)
            state.run({**{name: inputs[name] for name in step.inputs}, **named}, rate, seed=number)
            for deviation in _deviations(state, single, double, exact):
                before = worst.setdefault(deviation.name, deviation)
                worst[deviation.name] = max(before, deviation, key=lambda d: d.share)
    return tuple(worst.values())


def _inputs_like(run: Run, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
    """The inputs in the element type that a run computes in."""
    dtype = next(iter(run.weights.values())).dtype
    return tuple(array.astype(dtype) if array.dtype == np.float32 else array for array in inputs.values())


def _deviations(state: StepState, single: Run, double: Run, before: Weights) -> list[StepDeviation]:
    """The deviation of each array after a step."""
    rows = []
    for name, array in state.arrays.items():
        in_single, in_double = (run.weights.get(name, run.slots.get(name)) for run in (single, double))
        if in_single is None or in_double is None:  # no gradient reached the weight, so the trainer made no slot
            in_single = in_double = np.zeros_like(array)
        change = _largest(in_double - before.get(name, 0))
        rows.append((name, _largest(array - in_double), _largest(in_single - in_double), change, _largest(in_double)))
    typical = float(np.median([own / change for _, _, own, change, _ in rows if change] or [0]))
    share = max(SHARE, OWN * typical)
    return [
        StepDeviation(name, difference, OWN * own + share * change + RELATIVE * size + _TINY, change)
        for name, difference, own, change, size in rows
    ]


_TINY = float(np.finfo(np.float32).tiny)


def _largest(array: Array) -> float:
    return float(np.abs(array).max(initial=0))


def _trainer(network: Network, weights: Weights, batches: Batches) -> Run:
    """A run of the NumPy trainer that has these weights and trains on the batches, one per step."""
    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    batch = len(next(iter(batches[0][0].values())))
    without_validation = recipe.replace(data=recipe.data.replace(val=0.0), stop=None, batch=batch)
    inputs = tuple(np.concatenate([inputs[name] for inputs, _ in batches]) for name in batches[0][0])
    columns = [_columns(graph, targets, batch) for _, targets in batches]
    split = Split(inputs, tuple(map(np.concatenate, zip(*columns, strict=True))))
    data = Dataset("random data", (), split, split)
    run = start(network.replace(recipe=without_validation), data, Path("unused"))
    run.weights.update({name: array.copy() for name, array in weights.items()})
    return run


def _columns(graph: Graph, targets: Mapping[str, Array], batch: int) -> tuple[Array, ...]:
    """The columns of targets, one for each output; none where no loss compares with targets."""
    return tuple(targets.get(output, np.zeros(batch, np.int64)) for output in graph.outputs) if targets else ()


Batches = list[tuple[dict[str, Array], dict[str, Array]]]
"""For each step the inputs by name, and the targets by the name of the output that they belong to."""


def random_batches(graph: Graph, step: StepGraph, batch: int, count: int) -> Batches:
    """Random inputs and targets for some steps."""
    batches = []
    for number in range(count):
        random = np.random.default_rng(Stream.VERIFY_TARGETS.key(number))
        targets = {t.output: _random_target(random, graph.by_name[t.output], t, batch) for t in step.targets}
        batches.append((sample_feeds(graph, batch, number), targets))
    return batches


def _random_target(random: np.random.Generator, output: Node, target: TargetInput, batch: int) -> Array:
    shape = (batch, *target.shape)
    if target.kind == "labels":
        return random.integers(0, output.type.channels, shape, np.int64)
    return random.random(shape, np.float32)
