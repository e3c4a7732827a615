"""The sum behind each output of a layer, and the gradients of its weights and input as sums, against the engine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph, Node
from cnnc.network import check
from cnnc.ops.base import Op
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_last
from cnnc.view.unfold.elementwise import FORMULAS, output_formula
from cnnc.view.unfold.layer_gradient import engine_gradients, input_gradient, weight_gradient
from cnnc.view.unfold.layer_run import LayerRun, largest_output, output_sum, run_layer
from cnnc.view.unfold.terms import TERMS
from cnnc.view.unfold.upstream import largest_element, upstream
from tests.op_cases import CASES

LAYERS = 200


def random_source(random: np.random.Generator) -> str:
    """One random layer on a small input of one to three spatial axes, whose shapes and windows fit."""
    while True:
        source = _candidate(random)
        if check(source).ok:
            return source


def _candidate(random: np.random.Generator) -> str:
    rank = int(random.choice([1, 2, 2, 2, 3]))
    groups = int(random.choice([1, 1, 2]))
    channels = groups * int(random.integers(1, 3))
    sizes = [channels, *(int(n) for n in random.integers(4, 8 if rank < 3 else 6, rank))]

    def axes(low: int, high: int) -> str:
        return "x".join(str(n) for n in random.integers(low, high + 1, rank))

    s, d, k = axes(1, 2), axes(1, 2), axes(1, 3)
    pads = str(random.choice(["0", axes(0, 2), "same", "full", "causal" if rank == 1 else "half"]))
    out = groups * int(random.integers(1, 4))
    layers = [
        f"conv {out} k={k} s={s} d={d} p={pads} groups={groups} flip={random.choice(['true', 'false'])}",
        f"conv_transpose {out} k={k} s={s} d={d} groups={groups} p={random.choice(['0', '1', 'same'])}",
        f"pool {random.choice(['max', 'avg', 'l2', 'weighted'])} k={k} s={s} p={random.choice(['0', '1', 'same'])}",
        f"pool avg k={k} s={s} p=1 count_pad=true ceil=true",
        f"pool max k={k} s={s} d={d} ceil=true",
        f"fc {out} bias={random.choice(['true', 'false'])}",
        f"global_pool {random.choice(['max', 'avg', 'l2'])}",
        f"filter {'sobel_x' if rank == 2 else '[1, -2, 0.5]'} s={s}" if rank < 3 else "global_pool avg",
    ]
    if "local" in {op.keyword for op in TERMS}:
        layers += [f"local {out} k={k} s={s} d={d} p={pads}"] * 2
    return f"input {'x'.join(map(str, sizes))}; {random.choice(layers)}"


def prepared(source: str, random: np.random.Generator) -> tuple[Graph, Weights, dict[str, Array]]:
    """The graph of a source, random weights with biases, and one random example."""
    graph = check(source).require_graph()
    weights = {k: random.normal(size=v.shape).astype(np.float32) for k, v in initialize(graph, 0).items()}
    weights |= {k: np.abs(v) + np.float32(0.5) for k, v in weights.items() if k.endswith(".var")}
    feeds = {node.name: random.normal(size=(1, *node.type.shape)).astype(np.float32) for node in graph.inputs}
    return graph, weights, feeds


def some(random: np.random.Generator, shape: tuple[int, ...], count: int) -> Iterator[tuple[int, ...]]:
    """Some indices of an array of this shape."""
    for flat in random.choice(int(np.prod(shape)), min(count, int(np.prod(shape))), replace=False):
        yield tuple(int(i) for i in np.unravel_index(int(flat), shape))


@pytest.mark.parametrize("part", [*range(3), *(pytest.param(part, marks=pytest.mark.long) for part in range(3, 25))])
def test_200_random_layers_are_the_sums_that_unfold_says(part: int) -> None:
    """Every number lies within the rounding of a float32 sum; the gradients are those of the whole network's backward."""
    random = np.random.default_rng(part)
    for _ in range(LAYERS // 25):
        source = random_source(random)
        graph, weights, feeds = prepared(source, random)
        run = run_layer(graph, weights, feeds, graph.outputs[0])
        for output in some(random, run.output.shape, 12):
            result = output_sum(run, output)
            assert result.difference <= result.rounding + 1e-30, (source, output, result.total, result.engine)
        seed = random.normal(size=run.output.shape).astype(np.float32)
        _assert_gradients(source, graph, weights, feeds, run, seed, random)


def _assert_gradients(
    source: str,
    graph: Graph,
    weights: Weights,
    feeds: dict[str, Array],
    run: LayerRun,
    seed: Array,
    random: np.random.Generator,
) -> None:
    engine = engine_gradients(run, seed)
    trace = forward(graph, weights, feeds, training=True)
    of_weights, of_inputs = backward(
        graph, weights, trace, {run.node.name: to_channels_last(seed[None])}, needs_input_gradients=True
    )
    for element in some(random, run.x.shape, 10):
        gradient = input_gradient(run, seed, element, engine)
        assert gradient.engine == of_inputs[graph.inputs[0].name][(0, *element)]
        # a norm's derivative has the rounding of a power and a root as well
        allowed = gradient.rounding * (20 if "l2" in source else 1) + 1e-30
        assert gradient.difference <= allowed, (source, element, gradient)
    if "weight" in run.weights:
        whole = of_weights[f"{run.node.name}.weight"]
        for index in some(random, whole.shape, 10):
            gradient = weight_gradient(run, seed, index, engine)
            assert gradient.engine == whole[index]
            assert gradient.difference <= gradient.rounding + 1e-30, (source, index, gradient)


NETWORK = """
input 2x9x8
conv 6 k=3 p=1 s=2 groups=2
bn
relu
dropout 0.5
conv 4 k=2 d=2
relu
fc 5
softmax
"""


def test_the_upstream_gradient_is_the_derivative_of_the_network_in_inference() -> None:
    """Central differences of the score by an element of a layer's output, with running statistics and without dropout."""
    random = np.random.default_rng(1)
    graph, weights, feeds = prepared(NETWORK, random)
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    run = run_layer(graph, weights, feeds, "conv1")
    index, score = largest_element("fc1", run_layer(graph, weights, feeds, "fc1").output)
    value, gradient = upstream(graph, weights, feeds, run, ("fc1",), score)
    assert gradient is not None
    assert value == pytest.approx(run_layer(graph, weights, feeds, "fc1").output[index], rel=1e-12)
    for element in some(random, run.output.shape, 8):
        delta = 1e-6
        nudged = []
        for sign in (1, -1):
            output = run.output.copy()
            output[element] += sign * delta
            nudged.append(upstream(graph, weights, feeds, run._replace(output=output), ("fc1",), score)[0])
        assert gradient[element] == pytest.approx((nudged[0] - nudged[1]) / (2 * delta), rel=1e-6, abs=1e-9)


def test_a_layer_that_the_scalar_does_not_depend_on_has_no_gradient() -> None:
    graph, weights, feeds = prepared("i: input 4; a: fc 3; from i; b: fc 2; output a b", np.random.default_rng(0))
    run = run_layer(graph, weights, feeds, "b")
    _, score = largest_element("a", run_layer(graph, weights, feeds, "a").output)
    assert upstream(graph, weights, feeds, run, ("a",), score)[1] is None


def test_only_the_layers_that_are_needed_are_run() -> None:
    """A weight of a later layer may be missing."""
    graph, weights, feeds = prepared(NETWORK, np.random.default_rng(2))
    early = {name: array for name, array in weights.items() if name.startswith("conv1")}
    run = run_layer(graph, early, feeds, "conv1")
    assert run.output[largest_output(run)] == run.output.max()


@cache
def elementwise_cases() -> dict[type[Op], tuple[str, Node]]:
    """The first row of op_cases with each op that has a formula, and its node."""
    found: dict[type[Op], tuple[str, Node]] = {}
    for case in CASES:
        graph = check(case.text).graph if any(op.keyword in case.text for op in FORMULAS.keys() - found) else None
        if graph is None or case.id.startswith("resize") or any(node.type.dtype != "float32" for node in graph.nodes):
            continue
        for node in graph.nodes:
            if type(node.op) in FORMULAS:
                found.setdefault(type(node.op), (case.text, node))
    return found


@pytest.mark.parametrize("op", FORMULAS, ids=lambda op: op.keyword)
def test_elementwise_layers_have_their_formula(op: type[Op]) -> None:
    random = np.random.default_rng(3)
    assert op in elementwise_cases(), f"no row of op_cases has {op.keyword}"
    source, node = elementwise_cases()[op]
    graph, weights, feeds = prepared(source, random)
    run = run_layer(graph, weights, {name: 3 * x for name, x in feeds.items()}, node.name)
    for output in some(random, run.output.shape, 6):
        formula = output_formula(run, output)
        assert formula.total == pytest.approx(formula.engine, rel=1e-5, abs=1e-6), (source, formula)
