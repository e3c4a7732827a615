"""Compares a step graph with the NumPy trainer: the same steps on random data, every weight, buffer and slot after each.

In: a network, its step graph, and initial weights. Out: the deviation of each array, and what is allowed. The reference is
the trainer in float64. Every step begins with its state, for the graph as for the trainer in float32, whose deviation says
how far rounding carries: where an array's gradient is rounding noise, as that of a bias before a batch norm, Adam divides
noise by its own size. Sizes are root sums of squares. What is allowed of an array:

    0.02 of its change by the step
    + 8 times the deviation of the trainer in float32
    + of a running mean of squares, the square of 8 times the deviation of its root: rounding noise squared
    + 4e-6 of the array

One trainer in float32 may round an element by luck as float64 does, as where the gradients of a bias that both towers of a
siamese network share cancel. So a step that seems to deviate is compared once more, beside four trainers in float32, of which
three begin each step with weights that differ by one unit in the last place. Only noise makes them deviate much from float64.

The first is far above what rounding does to most networks (1e-6), and far below what a wrong gradient would do (a wrong
factor shows in the slots of Adam, if not in the weights). It allows for single elements: a ReLU whose input is almost 0 may
pass a gradient in one precision and none in another. For the same reason two trainings that run on by themselves drift apart
within tens of steps where a network has batch norms, in float32 and float64 as well; `free` compares them all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from cnnc.recipe.recipe import Recipe, require_recipe
from cnnc.reference.parallel.threads import one_blas_thread
from cnnc.training.loop import one_step, start
from cnnc.training.run import Run

SHARE, OWN, RELATIVE = 0.02, 8.0, 4e-6  # see above
ROUNDINGS = 4
SQUARE = ".square"  # the slot of Adam and RMSprop that holds a running mean of squared gradients


class StepDeviation(NamedTuple):
    """The difference of an array from that of the trainer after the step where it is largest relative to what is allowed.

    `change` is that of the array by the step, or since the first step if both run on by themselves.
    """

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
    network: Network, step: StepGraph, weights: Weights, *, steps: int, batch: int, free: bool = False
) -> tuple[StepDeviation, ...]:
    """Takes the same steps with both; for each weight, buffer and slot the largest deviation.

    Each step begins with the state of the trainer in float64; if `free`, only the first does.
    """
    batches = random_batches(network.require_graph(), step, batch, steps)
    deviations = _compare(network, step, weights, batches, roundings=1, free=free)
    if free or all(deviation.passes for deviation in deviations):
        return deviations
    return _compare(network, step, weights, batches, roundings=ROUNDINGS, free=free)


def _compare(
    network: Network, step: StepGraph, weights: Weights, batches: Batches, *, roundings: int, free: bool
) -> tuple[StepDeviation, ...]:
    """The largest deviation of each array, beside as many trainers in float32 as `roundings`."""
    exact = {name: array.astype(np.float64) for name, array in weights.items()}
    double, *singles = (_trainer(network, start, batches) for start in (exact, *[weights] * roundings))
    state, worst = StepState(step, weights), dict[str, StepDeviation]()
    before = {name: array.astype(np.float64) for name, array in state.arrays.items()}
    with one_blas_thread():
        for number, (inputs, targets) in enumerate(batches):
            columns = _columns(double.graph, targets, len(next(iter(inputs.values()))))
            for rounding, run in enumerate((double, *singles)):
                with _nudged_weights(run, max(0, rounding - 1)):
                    one_step(run, 0, number, _inputs_like(run, inputs), columns, StepMasks(number))
            named = {target.name: targets[target.output] for target in step.targets}
            rate = double.recipe.learning_rate(number / double.steps_per_epoch)
            state.run({**{name: inputs[name] for name in step.inputs}, **named}, rate, seed=number)
            for deviation in _deviations(state, singles, double, before):
                earlier = worst.setdefault(deviation.name, deviation)
                worst[deviation.name] = max(earlier, deviation, key=lambda d: d.share)
            if not free:
                before = {name: _array_of(double, name, array).copy() for name, array in before.items()}
                _put_back(state, singles, before)
    return tuple(worst.values())


@contextmanager
def _nudged_weights(run: Run, number: int) -> Iterator[None]:
    """Changes each weight up or down by one unit in the last place during a step, so that all sums round anew; 0: not."""
    nudges = {
        name: np.spacing(np.abs(array))
        * np.random.default_rng(Stream.NUDGES.key(number, name)).choice(np.array([-1, 1], array.dtype), array.shape)
        for name, array in (run.weights.items() if number else ())
    }
    for name, nudge in nudges.items():
        run.weights[name] = run.weights[name] + nudge
    yield
    for name, nudge in nudges.items():
        run.weights[name] = run.weights[name] - nudge


def _inputs_like(run: Run, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
    """The inputs in the element type that a run computes in."""
    dtype = next(iter(run.weights.values())).dtype
    return tuple(array.astype(dtype) if array.dtype == np.float32 else array for array in inputs.values())


def _array_of(run: Run, name: str, otherwise: Array) -> Array:
    """A weight, buffer or slot of a run; a slot that the trainer has not made is still as at first."""
    return run.weights[name] if name in run.weights else run.slots.get(name, otherwise)


def _put_back(state: StepState, singles: Sequence[Run], arrays: Weights) -> None:
    """Gives the graph and the trainers in float32 the state of the one in float64."""
    for name, array in arrays.items():
        rounded = array.astype(np.float32)
        state.arrays[name] = rounded
        for run in singles:
            (run.weights if name in run.weights else run.slots)[name] = rounded.copy()


def _deviations(state: StepState, singles: Sequence[Run], double: Run, before: Weights) -> Iterator[StepDeviation]:
    """The deviation of each array after a step."""
    for name, array in state.arrays.items():
        in_double = _array_of(double, name, before[name])
        in_singles = [_array_of(run, name, before[name]) for run in singles]
        change, own = _size(in_double - before[name]), max(_size(single - in_double) for single in in_singles)
        allowed = SHARE * change + OWN * own + RELATIVE * _size(in_double) + _TINY
        if name.endswith(SQUARE):
            allowed += (OWN * max(_size(np.sqrt(single) - np.sqrt(in_double)) for single in in_singles)) ** 2
        yield StepDeviation(name, _size(array - in_double), allowed, change)


_TINY = float(np.finfo(np.float32).tiny)


def _size(array: Array) -> float:
    """The root of the sum of squares; a scalar counts as an array of one element."""
    return float(np.linalg.norm(array.ravel()))


def _trainer(network: Network, weights: Weights, batches: Batches) -> Run:
    """A run of the NumPy trainer that has these weights and trains on the batches, one per step."""
    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    batch = len(next(iter(batches[0][0].values())))
    without_validation = recipe.replace(data=recipe.data.replace(val=0.0, sampling=None), stop=None, batch=batch)
    inputs = tuple(np.concatenate([inputs[name] for inputs, _ in batches]) for name in batches[0][0])
    columns = [_columns(graph, _as_labels(recipe, graph, targets), batch) for _, targets in batches]
    split = Split(inputs, tuple(map(np.concatenate, zip(*columns, strict=True))))
    data = Dataset("random data", (), split, split)
    run = start(network.replace(recipe=without_validation), data, Path("unused"))
    run.weights.update({name: array.copy() for name, array in weights.items()})
    return run


def _columns(graph: Graph, targets: Mapping[str, Array], batch: int) -> tuple[Array, ...]:
    """The columns of targets, one for each output; none where no loss compares with targets."""
    return tuple(targets.get(output, np.zeros(batch, np.int64)) for output in graph.outputs) if targets else ()


def _as_labels(recipe: Recipe, graph: Graph, targets: Mapping[str, Array]) -> dict[str, Array]:
    """Targets as a data set holds them: labels in place of the probabilities of mixed examples."""
    labelled = {loss.on or graph.outputs[0] for loss in recipe.losses if loss.compares_with == "labels"}
    return {
        output: target.argmax(1) if output in labelled and target.dtype.kind == "f" else target
        for output, target in targets.items()
    }


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
    if target.kind == "probabilities":
        return random.dirichlet(np.ones(target.shape[0]), batch).astype(np.float32)
    return random.random(shape, np.float32)
