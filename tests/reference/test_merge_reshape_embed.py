"""Layers that merge, rearrange or look up, against their formulas and NumPy's functions."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, Node, verify
from cnnc.ops.base import Op
from cnnc.ops.dense import Input
from cnnc.ops.merge import Add, Concat, Maximum, Mul
from cnnc.reference import registry
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_first
from cnnc.reference.reshape import sum_rows_by_index
from tests.reference.networks import graph, normal, out

# --- merges ------------------------------------------------------------------------------------------------

MERGES = {
    "add": lambda parts: sum(parts[1:], start=parts[0]),
    "sub": lambda parts: parts[0] - parts[1],
    "mul": lambda parts: math.prod(parts[1:], start=parts[0]),
    "maximum": lambda parts: np.maximum.reduce(np.broadcast_arrays(*parts)),
}


@pytest.mark.parametrize("kind", list(MERGES))
@pytest.mark.parametrize(
    "shapes",
    [
        ("3x4x5", "3x4x5"),
        ("3x4x5", "3x1x1"),
        ("1x4x5", "3x4x5"),
        ("3x4x1", "1x1x5"),
        ("1x1x1", "2x1x3"),
        ("6", "1"),
        ("2x5", "2x1"),
        ("2x3x1x2", "1x3x4x1"),
        ("3x4x5", "1x4x1", "3x1x5"),
    ],
)
def test_merges_broadcast_as_numpy_does_channels_first(kind: str, shapes: tuple[str, ...]) -> None:
    if kind == "sub":
        shapes = shapes[:2]
    inputs = "; ".join(f"i{n}: input {shape}" for n, shape in enumerate(shapes))
    names = " ".join(f"i{n}" for n in range(len(shapes) - 1))
    feeds = [normal(2, *map(int, shape.split("x")), seed=n) for n, shape in enumerate(shapes)]
    in_order = [feeds[-1], *feeds[:-1]]  # the current tensor comes first, and is the last input
    expected = MERGES[kind](in_order)
    np.testing.assert_allclose(out(f"{inputs}; {kind} {names}", *feeds), expected, rtol=1e-14)


def single_op(op: Op, *feeds: Array) -> tuple[Array, list[Array]]:
    """The output of one op for these feeds, and the gradients of its sum; channels first."""
    sources = []
    for number, feed in enumerate(feeds):
        fed = Input.make(shape=feed.shape[1:])
        sources.append(Node(f"x{number}", fed, (), fed.output()))
    output_type = op.output(*(node.type for node in sources))
    node = Node("y", op, tuple(s.name for s in sources), output_type)
    net = verify(Graph("single", (*sources, node), ("y",)))
    feeds_by_name = {s.name: feed for s, feed in zip(sources, feeds, strict=True)}
    trace = forward(net, {}, feeds_by_name, training=True)
    value = trace.values["y"]
    _, inputs = backward(net, {}, trace, {"y": np.ones_like(value)}, needs_input_gradients=True)
    return to_channels_first(value), [inputs[s.name] for s in sources]


@pytest.mark.parametrize("op", [Add(), Mul(), Maximum(), Concat()])
def test_a_merge_of_one_input_is_that_input(op: Op) -> None:
    x = normal(2, 3, 4)
    value, (gradient,) = single_op(op, x)
    np.testing.assert_array_equal(value, x)
    np.testing.assert_array_equal(gradient, np.ones_like(x))


def test_a_product_with_zeros_has_its_gradient() -> None:
    """Computed without a division: with one zero only its own gradient is not 0, with two all are 0."""
    parts = [np.full((1, 1), v) for v in (2.0, 0.0, 5.0, 3.0)]
    _, gradients = single_op(Mul(), *parts)
    assert [float(g) for (g,) in (d[0] for d in gradients)] == [0, 30, 0, 0]
    _, gradients = single_op(Mul(), *parts, np.zeros((1, 1)))
    assert [float(g) for (g,) in (d[0] for d in gradients)] == [0] * 5


def test_a_product_of_many_is_the_product_of_the_others() -> None:
    parts = [1 + 0.1 * normal(2, 3, seed=n) for n in range(40)]
    value, gradients = single_op(Mul(), *parts)
    np.testing.assert_allclose(value, np.prod(parts, 0), rtol=1e-12)
    for part, gradient in zip(parts, gradients, strict=True):
        np.testing.assert_allclose(gradient, value / part, rtol=1e-11)


@pytest.mark.parametrize("op", [Add(), Mul(), Maximum(), Concat()])
def test_merges_do_work_in_proportion_to_their_operands(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in calls of NumPy's functions; mul is the one that could be quadratic."""
    count = 0

    class Counted(np.ndarray[Any, np.dtype[Any]]):
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            arrays = [np.asarray(x) for x in inputs]
            kwargs = {k: v for k, v in kwargs.items() if k != "out"}
            result = getattr(ufunc, method)(*arrays, **kwargs)
            return result.view(Counted) if isinstance(result, np.ndarray) else result

    def calls(operands: int) -> int:
        nonlocal count
        count = 0
        inputs = tuple(normal(1, 4, seed=n).view(Counted) for n in range(operands))
        mode = registry.Mode(training=True)
        outcome = registry.FORWARD[type(op)](op, {}, inputs, mode)
        registry.BACKWARD[type(op)](op, {}, outcome.saved, np.ones_like(outcome.output).view(Counted), True)
        return count

    assert calls(60) <= 3.5 * calls(20) + 3


def test_of_equal_operands_the_first_gets_the_gradient() -> None:
    """As in a max pool, only the first gets the gradient."""
    a, b, c = (np.array([values], float) for values in ([1, 2, 2, 0], [1, 2, 3, 0], [0, 2, 3, 1]))
    value, gradients = single_op(Maximum(), a, b, c)
    assert value.tolist() == [[1, 2, 3, 1]]
    assert [d.tolist() for d in gradients] == [[[1, 1, 0, 0]], [[0, 0, 1, 0]], [[0, 0, 0, 1]]]


def test_the_gradient_of_a_broadcast_operand_is_summed() -> None:
    _, (image, gate) = single_op(Mul(), np.full((2, 3, 4, 5), 2.0), np.full((2, 3, 1, 1), 7.0))
    assert (image == 7).all()
    assert gate.shape == (2, 3, 1, 1)
    assert (gate == 2 * 20).all()


def test_concat_joins_channels_in_order() -> None:
    a, b = normal(2, 3, 4, 5), normal(2, 1, 4, 5, seed=1)
    found = out("a: input 3x4x5; b: input 1x4x5; concat a", a, b)
    np.testing.assert_array_equal(found, np.concatenate([b, a], 1))
    _, gradients = single_op(Concat(), a, b)
    assert [d.shape for d in gradients] == [a.shape, b.shape]


@pytest.mark.parametrize("outputs", [1, 3])
def test_bilinear_is_its_formula(outputs: int) -> None:
    a, b, weight = normal(2, 3, 2), normal(2, 4, seed=1), normal(outputs, 6, 4, seed=2)
    found = out(f"a: input 3x2; b: input 4; s: bilinear a b out={outputs}", a, b, weights={"s.weight": weight})
    flat = a.reshape(2, 6)
    for n, o in product(range(2), range(outputs)):
        total = sum(flat[n, i] * weight[o, i, j] * b[n, j] for i in range(6) for j in range(4))
        assert found[n, o] == pytest.approx(total, rel=1e-12)


# --- integers ----------------------------------------------------------------------------------------------


def test_embed_returns_the_vectors_of_its_integers() -> None:
    weight = normal(5, 3)
    ids = np.array([[0, 4, 4, 2], [1, 1, 3, 0]])
    found = out("input 4 dtype=int64; embed 3 vocab=5", ids, weights={"embed1.weight": weight})
    assert found.shape == (2, 3, 4)
    for n, t in product(range(2), range(4)):
        assert found[n, :, t].tolist() == weight[ids[n, t]].tolist()


def embed_gradient(ids: Array, vocab: int, gradient: Array) -> Array:
    net = graph(f"input {ids.shape[1]} dtype=int64; embed {gradient.shape[-1]} vocab={vocab}")
    weights = {"embed1.weight": np.zeros((vocab, gradient.shape[-1]), gradient.dtype)}
    trace = forward(net, weights, {"input1": ids}, training=True)
    found, _ = backward(net, weights, trace, {"embed1": gradient})
    return found["embed1.weight"]


def test_the_gradient_of_an_embed_adds_up_where_integers_repeat() -> None:
    ids: Array = np.random.default_rng(0).integers(0, 6, (4, 50))
    gradient = normal(4, 50, 3)
    expected = np.zeros((9, 3))
    np.add.at(expected, ids, gradient)
    np.testing.assert_allclose(embed_gradient(ids, 9, gradient), expected, rtol=1e-12)
    assert not expected[6:].any()


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_integers_of_any_width_are_accepted(dtype: type) -> None:
    weight = normal(5, 3)
    ids: Array = np.array([[0, 4, 3]], dtype)
    found = out("input 3 dtype=int64; embed 3 vocab=5", ids, weights={"embed1.weight": weight})
    np.testing.assert_array_equal(found[0].T, weight[[0, 4, 3]])


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_rows_are_summed_by_index(count: int) -> None:
    random = np.random.default_rng(count)
    rows, indices = random.normal(size=(count, 2, 3)), random.integers(0, 5, count)
    expected = np.zeros((6, 2, 3))
    np.add.at(expected, indices, rows)
    np.testing.assert_allclose(sum_rows_by_index(rows, indices, 6), expected, rtol=1e-12, atol=1e-15)


# --- rearrangement -----------------------------------------------------------------------------------------


def test_pad_is_numpys() -> None:
    x = normal(2, 3, 4, 5)
    found = out("input 3x4x5; pad [1, 0, 2, 3] value=-1.5", x)
    np.testing.assert_array_equal(found, np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 3)), constant_values=-1.5))


@pytest.mark.parametrize(
    ("layer", "index"),
    [
        ("crop 2x3", np.s_[:, :, 1:3, 1:4]),  # (5 - 2)//2 and (6 - 3)//2
        ("crop 5x1 offset=0x4", np.s_[:, :, :, 4:5]),
        ("slice 1", np.s_[:, 1:]),
        ("slice -2 -1", np.s_[:, -2:-1]),
        ("slice 1 -1 axis=1", np.s_[:, :, 1:-1]),
        ("slice -3 6 axis=2", np.s_[:, :, :, -3:6]),
        ("select [2, 0, 2]", np.s_[:, [2, 0, 2]]),
        ("select [-1, 1] axis=1", np.s_[:, :, [-1, 1]]),
        ("select [5, -6] axis=2", np.s_[:, :, :, [5, 0]]),
    ],
)
def test_parts_are_numpys(layer: str, index: Any) -> None:
    x = normal(2, 4, 5, 6)
    np.testing.assert_array_equal(out(f"input 4x5x6; {layer}", x), x[index])


def test_channel_shuffle_is_its_formula() -> None:
    x = normal(2, 6, 3, 2)
    found = out("input 6x3x2; channel_shuffle 2", x)
    for j, g in product(range(3), range(2)):
        np.testing.assert_array_equal(found[:, j * 2 + g], x[:, g * 3 + j])
    back = out("input 6x3x2; channel_shuffle 2; channel_shuffle 3", x)
    np.testing.assert_array_equal(back, x)


def test_depth_to_space_is_its_formula_and_space_to_depth_undoes_it() -> None:
    x = normal(2, 18, 2, 4)
    found = out("input 18x2x4; depth_to_space 3", x)
    assert found.shape == (2, 2, 6, 12)
    for c, h, w, i, j in product(range(2), range(2), range(4), range(3), range(3)):
        np.testing.assert_array_equal(found[:, c, h * 3 + i, w * 3 + j], x[:, (i * 3 + j) * 2 + c, h, w])
    np.testing.assert_array_equal(out("input 2x6x12; space_to_depth 3", found), x)
