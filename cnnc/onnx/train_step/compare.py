"""Compares a step graph with the NumPy trainer: some steps on random data, every weight, buffer and slot after each.

In: a network, its step graph, and initial weights. Out: `StepComparison`, with the largest deviation of each array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from cnnc.training.loop import one_step, start
from cnnc.training.run import Run


class StepDeviation(NamedTuple):
    """The largest difference of an array from that of the trainer, and the largest element of the change to it."""

    name: str
    difference: float
    scale: float


class StepState:
    """The weights, buffers and slots of a step graph between its steps, as a host keeps them."""

    def __init__(self, step: StepGraph, weights: Weights) -> None:
        self.step = step
        self.session = Session(step.model.SerializeToString(), step.model.graph.name, "cpu")
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
    """Runs both for some steps on the same random batches; the deviation of each weight, buffer and slot at the end."""
    batches = list(_random_batches(network, step, batch, steps))
    run = _trainer(network, weights, batches)
    state = StepState(step, weights)
    for number, (inputs, targets) in enumerate(batches):
        rate = run.recipe.learning_rate(number / run.steps_per_epoch)
        one_step(run, 0, number, tuple(inputs.values()), _columns(run.graph, targets, batch), StepMasks(number))
        named = {target.name: targets[target.output] for target in step.targets}
        state.run({**{name: inputs[name] for name in step.inputs}, **named}, rate, seed=number)
    return tuple(_deviations(run, state, weights))


def _deviations(run: Run, state: StepState, before: Weights) -> Iterator[StepDeviation]:
    for name, array in state.arrays.items():
        expected = run.weights[name] if name in run.weights else run.slots[name]
        change = expected - before[name] if name in before else expected
        yield StepDeviation(name, float(np.abs(array - expected).max()), float(np.abs(change).max()))


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


def _random_batches(network: Network, step: StepGraph, batch: int, count: int) -> Batches:
    graph, batches = network.require_graph(), []
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
