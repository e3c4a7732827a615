"""The terms of a layer are what the engine computes: for random layers of every kind in the table, in one to three dimensions."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.network import check
from cnnc.ops import OPS
from cnnc.ops.conv import Conv
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.matrices import im2col, toeplitz
from cnnc.view.unfold.terms import TERMS, reads

LAYERS = 240
"""The number of random layers."""

MAX_PRODUCTS = 20_000


class Random(NamedTuple):
    """A random layer: its source, its numbers, and what the engine computes."""

    source: str
    layer: LayerNumbers
    output: Array


def _per_axis(random: np.random.Generator, rank: int, low: int, high: int) -> str:
    return "x".join(str(random.integers(low, high)) for _ in range(rank))


def _padding(random: np.random.Generator, rank: int, words: tuple[str, ...]) -> str:
    """A number per axis, different numbers for both sides, or a word."""
    choice = random.integers(3)
    if choice == 0:
        return _per_axis(random, rank, 0, 3)
    if choice == 1:
        return f"[{', '.join(str(random.integers(0, 3)) for _ in range(2 * rank))}]"
    return str(random.choice([word for word in words if word != "causal" or rank == 1]))


def _source(random: np.random.Generator, keyword: str) -> str:
    """A random layer of a kind, which may not fit its input."""
    rank = int(random.integers(1, 4))
    high = {1: 13, 2: 7, 3: 5}[rank]
    groups = int(random.choice([1, 1, 2]))
    channels, out = groups * random.integers(1, 3), groups * random.integers(1, 3)
    words = ("same", "same_lower", "valid", "half", "full", "causal")
    window = f"k={_per_axis(random, rank, 1, 4)} s={_per_axis(random, rank, 1, 4)} d={_per_axis(random, rank, 1, 3)}"
    head = f"input {channels}x{_per_axis(random, rank, 2, high)}; "
    if keyword == "conv":
        flip = random.choice(["", " flip=true"])
        bias = random.choice(["", " bias=false"])
        return f"{head}conv {out} {window} p={_padding(random, rank, words)} groups={groups}{bias}{flip}"
    if keyword == "local":
        return f"{head}local {out} {window} p={_padding(random, rank, words)}{random.choice(['', ' bias=false'])}"
    if keyword == "conv_transpose":
        extra = random.choice(["", " output_pad=1"])
        return (
            f"{head}conv_transpose {out} {window} p={_padding(random, rank, ('same', 'valid'))} groups={groups}{extra}"
        )
    if keyword == "pool":
        kind = str(random.choice(["max", "avg", "l2", "lp", "weighted"]))
        keys = {"lp": f" norm={random.integers(1, 5)}", "weighted": random.choice(["", " sigma=0.8"])}.get(kind, "")
        counted = random.choice(["", " count_pad=true"]) if kind in ("avg", "weighted") else ""
        ceil = random.choice(["", " ceil=true"])
        return f"{head}pool {kind} {window} p={_padding(random, rank, words)}{keys}{counted}{ceil}"
    if keyword == "filter":
        kernel = random.integers(-3, 4, [random.integers(1, 4) for _ in range(rank)]).tolist()
        flip = random.choice(["", " flip=true"])
        return f"{head}filter {kernel} s={_per_axis(random, rank, 1, 3)} p={_padding(random, rank, words)}{flip}"
    if keyword == "global_pool":
        return f"{head}global_pool {random.choice(['max', 'avg', 'l2'])}"
    assert keyword == "fc", f"no random {keyword}: add one, so that its terms are tested"
    return f"{head}fc {random.integers(1, 5)}"


def _layer(random: np.random.Generator, keyword: str) -> Random | None:
    """A random layer with random numbers; None for one that does not fit its input or is large."""
    source = _source(random, keyword)
    network = check(source)
    if any(diagnostic.severity == "error" for diagnostic in network.diagnostics):
        return None
    graph = network.require_graph()
    (node,) = (node for node in graph.nodes if node.inputs)
    x = random.normal(size=graph.inputs[0].type.shape)
    if node.type.size * max(node.op.macs(graph.inputs[0].type) // node.type.size, 27) > MAX_PRODUCTS:
        return None
    weights = {name: random.normal(size=parameter.shape) for name, parameter in graph.weights.items()}
    trace = forward(graph, weights, {"input1": x[None]})
    own = {name: weights[full] for name, full in graph.parameter_names[node.name].items()}
    layer = LayerNumbers(node.op, x, own.get("weight"), own.get("bias"))
    return Random(source, layer, to_channels_first(trace.values[node.name])[0])


@cache
def layers() -> tuple[Random, ...]:
    """Random layers of every kind, more of those with many arguments."""
    random = np.random.default_rng(14)
    weights = {"conv": 5, "conv_transpose": 4, "pool": 4}
    turns = [op.keyword for op in TERMS for _ in range(weights.get(op.keyword, 1))]
    found: list[Random] = []
    while len(found) < LAYERS:
        made = _layer(random, turns[len(found) % len(turns)])
        found += [made] if made is not None else []
    return tuple(found)


@pytest.mark.long
def test_the_random_layers_differ_in_kind_and_rank() -> None:
    seen = {(found.layer.op.keyword, found.layer.type.rank) for found in layers()}
    assert seen >= {(op.keyword, rank) for op in TERMS for rank in (1, 2, 3)}
    assert len({found.source for found in layers()}) >= 200


@pytest.mark.long
def test_the_sums_equal_the_engine() -> None:
    for found in layers():
        y = found.layer.outputs().astype(np.float64)
        assert y.shape == found.output.shape, found.source
        np.testing.assert_allclose(y, found.output, rtol=1e-10, atol=1e-11, err_msg=found.source)


@pytest.mark.long
def test_the_toeplitz_matrix_times_the_input_equals_the_engine() -> None:
    count = 0
    for found in layers():
        layer = found.layer
        if any(layer.sum_at(output).kind not in ("sum", "mean") for output in layer.positions()):
            continue
        matrix = toeplitz(layer)
        assert not matrix.entries[~matrix.is_weight].any(), found.source
        y = (matrix.entries.astype(np.float64) @ layer.x.reshape(-1)).reshape(found.output.shape)
        y += _spread(layer.bias, y.ndim)
        np.testing.assert_allclose(y, found.output, rtol=1e-10, atol=1e-11, err_msg=found.source)
        count += 1
    assert count >= 150


def _spread(bias: Array | None, axes: int) -> Array:
    """A bias (C,) that adds to (C, *spatial); one per output element stays."""
    if bias is None:
        return np.zeros(1)
    return bias.reshape(-1, *(1,) * (axes - 1)) if bias.ndim == 1 else bias


@pytest.mark.long
def test_the_im2col_product_equals_the_engine() -> None:
    count = 0
    for found in layers():
        layer = found.layer
        if not isinstance(layer.op, Conv) or layer.op.groups > 1:
            continue
        matrices = im2col(layer)
        flat = np.append(layer.x.reshape(-1), 0)
        np.testing.assert_array_equal(matrices.values.astype(np.float64), flat[matrices.elements], err_msg=found.source)
        y = (matrices.kernel @ matrices.values).astype(np.float64).reshape(found.output.shape)
        np.testing.assert_allclose(
            y + _spread(layer.bias, y.ndim), found.output, rtol=1e-10, atol=1e-11, err_msg=found.source
        )
        count += 1
    assert count >= 40


def test_reads_names_the_padding_too() -> None:
    conv = OPS["conv"].make(1, out=1, k=3, p=1)
    layer = LayerNumbers(conv, np.arange(4.0)[None], np.ones((1, 1, 3)), np.zeros(1))
    assert reads(conv, layer.type, (0, 0)) == ((0, -1), (0, 0), (0, 1))
    assert [term.element for term in layer.sum_at((0, 0)).terms] == [None, (0, 0), (0, 1)]
    wrapped = layer._replace(circular=True).sum_at((0, 0)).terms
    assert [term.element for term in wrapped] == [(0, 3), (0, 0), (0, 1)]
