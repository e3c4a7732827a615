"""Backward against central differences, in float64: each weight and each input of every row of tests/op_cases.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, needed_nodes
from cnnc.network import check
from cnnc.reference.engine import Trace, backward, forward
from cnnc.training.losses import cross_entropy
from tests.op_cases import Case, cases_for, graph_of, random_feeds, random_weights
from tests.reference.kinks import crosses

RTOL = 1e-6
STEP = 1e-5
DIRECTIONS = 2
SEEDS = 60
BATCH = 3
EPSILON = float(np.finfo(np.float64).eps)


class Point(NamedTuple):
    """Weights and inputs by name, and the random weights of the outputs in the loss."""

    graph: Graph
    weights: Mapping[str, Array]
    feeds: Mapping[str, Array]
    projection: Mapping[str, Array]
    seed: int

    def moved(self, name: str, by: Array) -> Point:
        if name in self.feeds:
            return self._replace(feeds={**self.feeds, name: self.feeds[name] + by})
        return self._replace(weights={**self.weights, name: self.weights[name] + by})

    def run(self) -> Trace:
        def random(layer: str) -> np.random.Generator:  # the same dropout at every call
            return np.random.default_rng([self.seed, *layer.encode()])

        return forward(self.graph, self.weights, self.feeds, training=True, random=random, keep_all=True)

    def loss(self, trace: Trace) -> float:
        return float(sum((r * trace.values[name]).sum() for name, r in self.projection.items()))


def point(case: Case, seed: int) -> Point:
    graph = graph_of(case)
    weights = random_weights(graph, seed, np.float64)
    feeds = random_feeds(case, graph, BATCH, seed, np.float64)
    start = Point(graph, weights, feeds, {}, seed)
    random = np.random.default_rng(seed)
    values = start.run().values
    return start._replace(projection={name: random.normal(size=values[name].shape) for name in graph.outputs})


def derivative(at: Point, name: str, direction: Array) -> float | None:
    """The loss's derivative along a direction, by central differences of fourth order; None near a kink."""
    here = at.run()
    values = []
    for steps in (-2, -1, 1, 2):
        there = at.moved(name, steps * STEP * direction)
        trace = there.run()
        if crosses(at.graph, here, trace):
            return None
        values.append(at.loss(trace))
    a, b, c, d = values
    return (a - 8 * b + 8 * c - d) / (12 * STEP)


def compare(at: Point, case: Case) -> bool:
    """Checks every gradient at a point; false where it is too near a kink to compare."""
    trace = at.run()
    rounding = sum(float(np.abs(r * trace.values[name]).sum()) for name, r in at.projection.items()) * EPSILON / STEP
    weights, inputs = backward(at.graph, at.weights, trace, at.projection, needs_input_gradients=True)
    reached = needed_nodes(at.graph, at.graph.outputs)
    trainable = {
        name
        for node in reached
        for name in (f"{node.parameter_owner}.{p.name}" for p in at.graph.parameters(node))
        if at.graph.weights[name].trainable and not at.graph.weights[name].frozen
    }
    fed = {node.name for node in at.graph.inputs if np.issubdtype(at.feeds[node.name].dtype, np.floating)}
    assert set(weights) == trainable
    assert set(inputs) >= fed
    random = np.random.default_rng(at.seed)
    for name in sorted(trainable | fed):
        gradient = inputs[name] if name in fed else weights[name]
        value = at.feeds[name] if name in fed else at.weights[name]
        assert gradient.shape == value.shape
        assert gradient.dtype == np.float64, f"{name}: rounded to {gradient.dtype}"
        directions = [random.uniform(-1, 1, value.shape) for _ in range(DIRECTIONS)]
        analytic = [float((gradient * direction).sum()) for direction in directions]
        scale = max(map(abs, analytic))
        for direction, mine in zip(directions, analytic, strict=True):
            numeric = derivative(at, name, direction)
            if numeric is None:
                return False
            assert abs(mine - numeric) <= RTOL * scale + 10 * rounding + case.atol, (
                f"{name}: backward says {mine!r}, central differences {numeric!r} "
                "(if the layer has a kink there, add it to MARGINS in kinks.py)"
            )
    return True


@pytest.mark.long
@pytest.mark.parametrize("case", cases_for("gradient"))
def test_backward_agrees_with_central_differences(case: Case) -> None:
    assert any(compare(point(case, seed), case) for seed in range(SEEDS)), (
        f"each of {SEEDS} seeds lies near a kink: make the row's tensors smaller or spread its inputs"
    )


def test_a_wrong_backward_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself fails for an error of one part in ten thousand."""
    from cnnc.ops.activation import Tanh
    from cnnc.reference import registry
    from cnnc.reference.registry import Gradients

    def wrong(op: Tanh, weights: Mapping[str, Array], y: Array, gradient: Array, want: bool) -> Gradients:
        return Gradients((gradient * (1 - y * y) * 1.0001,))

    monkeypatch.setitem(registry.BACKWARD, Tanh, wrong)
    case = Case("wrong", "input 6; fc 5; tanh; fc 3")
    with pytest.raises(AssertionError, match="central differences"):
        compare(point(case, 0), case)


@pytest.mark.parametrize(
    ("text", "feed"),
    [
        ("input 4; relu", [[1e-6, 1.0, -1.0, 0.5]]),
        ("input 1x4; pool max k=2", [[[0.3, 0.3 + 1e-6, 1.0, 0.0]]]),
    ],
)
def test_a_point_at_a_kink_is_left_out(text: str, feed: list[Any]) -> None:
    graph = check(text).require_graph()
    at = Point(graph, {}, {"input1": np.array(feed)}, {}, 0)
    here = at.run()
    near = at.moved("input1", np.full(at.feeds["input1"].shape, STEP)).run()
    assert crosses(graph, here, near)
    assert not crosses(graph, here, here)


# --- the loss ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "classes", "spread"), [(1, 2, 1.0), (4, 5, 1.0), (3, 10, 20.0)])
def test_cross_entropy_gradient(batch: int, classes: int, spread: float) -> None:
    random = np.random.default_rng(batch)
    scores = random.normal(0, spread, (batch, classes))
    labels = random.integers(0, classes, batch)
    gradient = cross_entropy(scores, labels).gradient
    assert gradient.shape == scores.shape
    for index in np.ndindex(*scores.shape):
        numeric = 0.0
        for weight, steps in ((1, -2), (-8, -1), (8, 1), (-1, 2)):
            moved = scores.copy()
            moved[index] += steps * 1e-4
            numeric += weight * cross_entropy(moved, labels).value
        assert gradient[index] == pytest.approx(numeric / 12e-4, rel=RTOL, abs=1e-10)


def test_cross_entropy_is_the_mean_of_log_probabilities() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    labels = np.array([2, 0])
    first = -np.log(np.exp(3) / (np.exp(1) + np.exp(2) + np.exp(3)))
    assert cross_entropy(scores, labels).value == pytest.approx((first + np.log(3)) / 2, rel=1e-12)


def test_cross_entropy_of_huge_scores_is_finite() -> None:
    scores = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    loss = cross_entropy(scores, np.array([0, 0]))
    assert loss.value == pytest.approx(1e4)
    assert np.isfinite(loss.gradient).all()
    assert loss.gradient.dtype == np.float32
