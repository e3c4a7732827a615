"""Convolutions turned and transposed, merges, rearrangement and embeds against their formulas; what shared and
frozen weights promise; and the laws that convolution is known by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest

from cnnc.core.arguments import Word
from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, Node, verify
from cnnc.network import check
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Input
from cnnc.ops.merge import Add, Concat, Maximum, Mul
from cnnc.reference import registry
from cnnc.reference.conv import phases
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.registry import Gradients
from cnnc.reference.reshape import added_up
from tests.op_cases import random_weights
from tests.reference import plain
from tests.reference.test_plain_loops import Setting, run, settings, sides


def graph(text: str) -> Graph:
    return check(text).require_graph()


def out(text: str, *feeds: Array, weights: Weights | None = None) -> Array:
    """The output of a network, channels first, on feeds in the order of its inputs."""
    made = graph(text)
    fed = {node.name: feed for node, feed in zip(made.inputs, feeds, strict=True)}
    return to_channels_first(forward(made, weights or {}, fed).values[made.outputs[0]])


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def one_group(rank: int) -> list[Setting]:
    """A few combinations of each kind for tests that build whole matrices."""
    return [at for i, at in enumerate(settings(rank)) if rank < 3 or i % 7 == 0]


# --- the mathematical convolution --------------------------------------------------------------------------


def test_flip_is_the_textbook_convolution() -> None:
    """The example of test_plain_loops, with the kernel turned by the layer: 1·(-1) + 3·2 + 2·0 + 1·1 = 6."""
    image = np.array([[1, 3, -1], [2, 1, 0], [0, 2, -1]], float)
    kernel = np.array([[1, 0], [2, -1]], float)
    op = Conv.make(out=1, k=2, bias=False, flip=True)
    assert run(op, image[None, None], {"weight": kernel[None, None]})[0, 0].tolist() == [[6, -5], [2, -2]]


@pytest.mark.long
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_flip_is_its_formula(rank: int, groups: int) -> None:
    """y[i] = Σ_a w[k - 1 - a]·x[i·s + a·d - begin], the weight written backward on every axis."""
    for number, at in enumerate(settings(rank)):
        if number % 5 != groups % 5 and rank > 1:
            continue
        x = numbers(2, 4, *at.m)
        weight, bias = numbers(4, 4 // groups, *at.k, seed=1), numbers(4, seed=2)
        op = Conv.make(rank, out=4, k=at.k, s=at.s, p=sides(at.p), d=at.d, groups=groups, flip=True)
        backward_ = weight[(slice(None), slice(None), *(slice(None, None, -1) for _ in at.k))]
        expected = plain.conv(x, backward_, bias, at.s, at.d, at.p, groups)
        found = run(op, x, {"weight": weight, "bias": bias})
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=f"{op} on {at.m}")


@pytest.mark.parametrize(("word", "mode"), [("full", "full"), ("valid", "valid")])
@pytest.mark.parametrize(("shape", "k"), [((9,), (4,)), ((6, 7), (3, 2)), ((4, 5, 4), (2, 3, 3))])
def test_flip_is_scipys_convolution(word: str, mode: str, shape: tuple[int, ...], k: tuple[int, ...]) -> None:
    signal = pytest.importorskip("scipy.signal")
    x, weight = numbers(*shape), numbers(*k, seed=1)
    for flip, theirs in ((True, signal.convolve), (False, signal.correlate)):
        op = Conv.make(len(shape), out=1, k=k, p=Word(word), bias=False, flip=flip)
        found = run(op, x[None, None], {"weight": weight[None, None]})[0, 0]
        np.testing.assert_allclose(found, theirs(x, weight, mode), rtol=1e-12, atol=1e-12)


def test_convolution_commutes_and_correlation_does_not() -> None:
    """x * w = w * x: the law that the turned kernel is for."""
    x, w = numbers(5, 4), numbers(3, 2, seed=1)

    def full(image: Array, kernel: Array, flip: bool) -> Array:
        op = Conv.make(out=1, k=kernel.shape, p=Word("full"), bias=False, flip=flip)
        plane: Array = run(op, image[None, None], {"weight": kernel[None, None]})[0, 0]
        return plane

    np.testing.assert_allclose(full(x, w, True), full(w, x, True), rtol=1e-12)
    assert not np.allclose(full(x, w, False), full(w, x, False))


# --- convolution as a matrix, and its transpose ------------------------------------------------------------


def matrix(weight: Array, at: Setting, groups: int = 1) -> Array:
    """The matrix (O·OH·OW, C·H·W) of a convolution, written from the formula: a row holds one window's weights."""
    o, share = weight.shape[0], weight.shape[1]
    sizes = plain.conv_sizes(at.m, at.k, at.s, at.d, at.p)
    found: Array = np.zeros((o, *sizes, share * groups, *at.m))
    for where in product(*map(range, sizes)):
        for tap, place in plain.places(where, at.k, at.s, at.d, at.p):
            if plain.inside(place, at.m):
                for j in range(o):
                    first = share * (j * groups // o)
                    for c in range(share):
                        found[(j, *where, first + c, *place)] += weight[(j, c, *tap)]
    return found.reshape(o * math.prod(sizes), -1)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_is_multiplication_by_its_matrix(rank: int, groups: int) -> None:
    for at in one_group(rank):
        weight = numbers(2, 2 // groups, *at.k)
        op = Conv.make(rank, out=2, k=at.k, s=at.s, p=sides(at.p), d=at.d, groups=groups, bias=False)
        x = numbers(3, 2, *at.m, seed=1)
        found = run(op, x, {"weight": weight})
        expected = x.reshape(3, -1) @ matrix(weight, at, groups).T
        np.testing.assert_allclose(found.reshape(3, -1), expected, rtol=1e-11, atol=1e-12, err_msg=str(at))


def test_the_matrix_of_a_convolution_is_sparse_and_toeplitz() -> None:
    """One axis, one channel: each row is the row above moved by one place."""
    at = Setting((6,), (3,), (1,), ((0, 0),), (1,))
    found = matrix(np.array([[[1.0, 2.0, 3.0]]]), at)
    assert found.tolist() == [[1, 2, 3, 0, 0, 0], [0, 1, 2, 3, 0, 0], [0, 0, 1, 2, 3, 0], [0, 0, 0, 1, 2, 3]]


@pytest.mark.long
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("wide", [1, 17])
def test_transposed_convolution_is_multiplication_by_the_transpose(rank: int, groups: int, wide: int) -> None:
    """Of the same weight, stride, padding and dilation; output_pad says which of the sizes that it may come from."""
    tried = 0
    for number, at in enumerate(one_group(rank)):
        if wide > 1 and number % 3:
            continue
        sizes = plain.conv_sizes(at.m, at.k, at.s, at.d, at.p)
        extra = [
            m - ((n - 1) * s - b - e + d * (k - 1) + 1)
            for m, n, k, s, d, (b, e) in zip(at.m, sizes, at.k, at.s, at.d, at.p, strict=True)
        ]
        out_ = 2 * wide
        op = ConvTranspose.make(
            rank,
            out=out_,
            k=at.k,
            s=at.s,
            p=sides(at.p),
            d=at.d,
            groups=groups,
            bias=False,
            output_pad=extra[0] if rank == 1 else tuple(extra),
        )
        weight = numbers(4, out_ // groups, *at.k)
        y = numbers(2, 4, *sizes, seed=1)
        found = run(op, y, {"weight": weight})
        assert found.shape == (2, out_, *at.m)
        expected = y.reshape(2, -1) @ matrix(weight, at, groups)
        np.testing.assert_allclose(found.reshape(2, -1), expected, rtol=1e-11, atol=1e-11, err_msg=str(at))
        tried += 1
    assert tried >= 5


@pytest.mark.parametrize("text", ["k=3 s=2 p=1", "k=4 s=2 p=1 groups=2", "k=3 d=2", "k=2 s=3 output_pad=1", "k=3 s=1"])
def test_transposed_convolution_is_the_adjoint(text: str) -> None:
    """<conv(x), y> = <x, conv_transpose(y)>, the definition of a transpose, on images of any kind."""
    transposed = graph(f"input 4x5x4; conv_transpose 6 {text} bias=false")
    made = transposed.by_name["conv_transpose1"].type.shape
    shared = " ".join(part for part in text.split() if not part.startswith("output_pad"))
    straight = graph(f"input {'x'.join(map(str, made))}; conv 4 {shared} bias=false")
    weight = numbers(*transposed.weights["conv_transpose1.weight"].shape)
    x, y = numbers(1, *made, seed=1), numbers(1, 4, 5, 4, seed=2)
    there = to_channels_first(forward(straight, {"conv1.weight": weight}, {"input1": x}).values["conv1"])
    back = to_channels_first(
        forward(transposed, {"conv_transpose1.weight": weight}, {"input1": y}).values["conv_transpose1"]
    )
    assert (there * y).sum() == pytest.approx((x * back).sum(), rel=1e-11)


def test_transposed_convolution_worked_by_hand() -> None:
    """Stride 2, kernel [1, 10, 100], input [1, 2, 3]: each element lays the kernel down two places further on."""
    kernel = np.array([[[1.0, 10.0, 100.0]]])
    x = np.array([[[1.0, 2.0, 3.0]]])
    op = ConvTranspose.make(1, out=1, k=3, s=2, bias=False)
    assert run(op, x, {"weight": kernel})[0, 0].tolist() == [1, 10, 102, 20, 203, 30, 300]
    cut = op.replace(p=((1, 2),), output_pad=(1,))
    assert run(cut, x, {"weight": kernel})[0, 0].tolist() == [10, 102, 20, 203, 30]
    same = ConvTranspose.make(1, out=1, k=3, s=2, p=Word("same"), bias=False)
    assert run(same, x, {"weight": kernel})[0, 0].tolist() == [1, 10, 102, 20, 203, 30]


def laid_down(x: Array, weight: Array, op: ConvTranspose, sizes: tuple[int, ...]) -> Array:
    """y[o, i·s + a·d - begin] += w[c, o, a]·x[c, i], a loop over all inputs and taps."""
    assert not isinstance(op.p, str)
    share = weight.shape[1]
    last = np.moveaxis(x, 0, -1)  # (C, H, W, N)
    y: Array = np.zeros((share * op.groups, *sizes, x.shape[0]))
    for at in product(*map(range, x.shape[2:])):
        for tap, place in plain.places(at, op.k, op.s, op.d, op.p):
            if plain.inside(place, sizes):
                for c in range(x.shape[1]):
                    first = share * (c * op.groups // x.shape[1])
                    for j in range(share):
                        y[(first + j, *place)] += weight[(c, j, *tap)] * last[(c, *at)]
    return np.moveaxis(y, -1, 0)


@pytest.mark.parametrize("wide", [1, 9])  # 2 outputs, or 18: few channels, and more
def test_transposed_convolution_of_any_geometry_is_its_formula(wide: int) -> None:
    """Drawn at random: wide dilations, more padding than kernel, sizes that leave phases without a tap."""
    random = np.random.default_rng(wide)
    tried = 0
    while tried < 60:
        rank = int(random.integers(1, 3))
        m, k, s, d = (tuple(random.integers(1, high, rank).tolist()) for high in (5, 4, 5, 8))
        p = tuple(random.integers(0, 13, 2 * rank).tolist())
        extra = tuple(int(random.integers(0, n)) for n in s)
        groups = int(random.integers(1, 3)) if wide == 1 else 1
        op = ConvTranspose.make(
            rank,
            out=2 * wide,
            k=k,
            s=s,
            p=p,
            d=d,
            groups=groups,
            bias=False,
            output_pad=extra if rank > 1 else extra[0],
        )
        fed = Input.make(shape=(2, *m)).output()
        if any(rule.out < 1 for rule in op.rules(fed)):
            continue
        x, weight = numbers(2, 2, *m, seed=tried), numbers(2, 2 * wide // groups, *k, seed=tried + 1)
        expected = laid_down(x, weight, op, op.output(fed).spatial)
        found = run(op, x, {"weight": weight})
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=f"{op} on {m}")
        tried += 1


def test_bias_of_a_transposed_convolution_is_added_everywhere() -> None:
    """Where no window reaches as well."""
    op = ConvTranspose.make(1, out=2, k=1, s=3, output_pad=2)
    found = run(op, np.ones((1, 1, 2)), {"weight": np.ones((1, 2, 1)), "bias": np.array([5.0, 7.0])})
    assert found[0].tolist() == [[6, 5, 5, 6, 5, 5], [8, 7, 7, 8, 7, 7]]


def test_phases_are_all_pairs_of_element_and_tap() -> None:
    """Each (element, tap) that an output reads is in exactly one phase, and there at stride 1."""
    for m, k, s, d, begin in product((1, 4, 7), (1, 2, 5), (1, 2, 3, 4), (1, 2, 3), (0, 1, 4)):
        wanted = {(i * s + a * d - begin, a, i) for i in range(-3, 12) for a in range(k)}
        found = set()
        for phase in phases(m, k, s, d, begin):
            for q in range(phase.size):
                for j, tap in enumerate(phase.taps):
                    found.add((phase.first + s * q, tap, q + phase.begin - j * d // math.gcd(s, d)))
        inside = {entry for entry in wanted if 0 <= entry[0] < m}
        assert inside == {entry for entry in found if -3 <= entry[2] < 12}


# --- shifts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv 3 k=3 p=1", "conv 3 k=3x2 p=same flip=true", "conv_transpose 3 k=3 p=1"])
def test_convolution_commutes_with_shifts(layer: str) -> None:
    """A moved image gives the moved result, away from the border."""
    text = f"input 2x12x11; {layer}"
    weights = random_weights(graph(text), 0, np.float64)
    x = numbers(1, 2, 12, 11)
    moved = np.roll(x, (2, 1), (2, 3))
    y, there = out(text, x, weights=weights), out(text, moved, weights=weights)
    np.testing.assert_allclose(there[:, :, 4:-2, 3:-2], np.roll(y, (2, 1), (2, 3))[:, :, 4:-2, 3:-2], rtol=1e-12)


def test_a_stride_commutes_with_shifts_by_itself_alone() -> None:
    text = "input 2x14x12; conv 3 k=3 s=2"
    weights = random_weights(graph(text), 0, np.float64)
    x = numbers(1, 2, 14, 12)
    y = out(text, x, weights=weights)
    by_two = out(text, np.roll(x, 2, 2), weights=weights)
    np.testing.assert_allclose(by_two[:, :, 1:], y[:, :, :-1], rtol=1e-12)
    by_one = out(text, np.roll(x, 1, 2), weights=weights)
    assert not any(np.allclose(by_one[:, :, 1:], part) for part in (y[:, :, 1:], y[:, :, :-1]))


def test_max_pooling_forgets_small_shifts() -> None:
    """A feature that moves within its window leaves the pooled map as it was; the mean of a smaller window does not."""
    x = np.zeros((1, 1, 12, 12))
    x[0, 0, 1, 1], x[0, 0, 5, 9], x[0, 0, 9, 5] = 3, 7, 5  # in the middle of windows of 4x4, or next to it
    for shift in product((0, 1), (0, 1)):
        moved = np.roll(x, shift, (2, 3))
        np.testing.assert_array_equal(out("input 1x12x12; pool max k=4", moved), out("input 1x12x12; pool max k=4", x))
    by_one = out("input 1x12x12; pool max k=1", np.roll(x, 1, 2))
    assert not np.array_equal(by_one, out("input 1x12x12; pool max k=1", x))


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
    feeds = [numbers(2, *map(int, shape.split("x")), seed=n) for n, shape in enumerate(shapes)]
    in_order = [feeds[-1], *feeds[:-1]]  # the current tensor comes first, and is the last input
    expected = MERGES[kind](in_order)
    np.testing.assert_allclose(out(f"{inputs}; {kind} {names}", *feeds), expected, rtol=1e-14)


def lone(op: Op, *feeds: Array) -> tuple[Array, list[Array]]:
    """An op on these feeds alone, and the gradients of the sum of its value; channels first."""
    sources = []
    for number, feed in enumerate(feeds):
        fed = Input.make(shape=feed.shape[1:])
        sources.append(Node(f"x{number}", fed, (), fed.output()))
    made = op.output(*(node.type for node in sources))
    node = Node("y", op, tuple(s.name for s in sources), made)
    whole = verify(Graph("lone", (*sources, node), ("y",)))
    fed_ = {s.name: feed for s, feed in zip(sources, feeds, strict=True)}
    trace = forward(whole, {}, fed_, training=True)
    value = trace.values["y"]
    _, inputs = backward(whole, {}, trace, {"y": np.ones_like(value)}, want_inputs=True)
    return to_channels_first(value), [inputs[s.name] for s in sources]


@pytest.mark.parametrize("op", [Add(), Mul(), Maximum(), Concat()])
def test_a_merge_of_one_is_that_one(op: Op) -> None:
    x = numbers(2, 3, 4)
    value, (gradient,) = lone(op, x)
    np.testing.assert_array_equal(value, x)
    np.testing.assert_array_equal(gradient, np.ones_like(x))


def test_a_product_with_zeros_has_its_gradient() -> None:
    """The product of the others, never a division: one zero leaves a gradient to itself alone, two leave none."""
    parts = [np.full((1, 1), v) for v in (2.0, 0.0, 5.0, 3.0)]
    _, gradients = lone(Mul(), *parts)
    assert [float(g) for (g,) in (d[0] for d in gradients)] == [0, 30, 0, 0]
    _, gradients = lone(Mul(), *parts, np.zeros((1, 1)))
    assert [float(g) for (g,) in (d[0] for d in gradients)] == [0] * 5


def test_a_product_of_many_is_the_product_of_the_others() -> None:
    parts = [1 + 0.1 * numbers(2, 3, seed=n) for n in range(40)]
    value, gradients = lone(Mul(), *parts)
    np.testing.assert_allclose(value, np.prod(parts, 0), rtol=1e-12)
    for part, gradient in zip(parts, gradients, strict=True):
        np.testing.assert_allclose(gradient, value / part, rtol=1e-11)


@pytest.mark.parametrize("op", [Add(), Mul(), Maximum(), Concat()])
def test_merges_do_work_in_proportion_to_their_operands(op: Op, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in elements that multiplication, the one that could be quadratic, touches."""
    count = 0

    class Counted(np.ndarray[Any, np.dtype[Any]]):
        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            plain_ = [np.asarray(x) for x in inputs]
            kwargs = {k: v for k, v in kwargs.items() if k != "out"}
            made = getattr(ufunc, method)(*plain_, **kwargs)
            return made.view(Counted) if isinstance(made, np.ndarray) else made

    def calls(operands: int) -> int:
        nonlocal count
        count = 0
        inputs = tuple(numbers(1, 4, seed=n).view(Counted) for n in range(operands))
        mode = registry.Mode(training=True)
        outcome = registry.FORWARD[type(op)](op, {}, inputs, mode)
        registry.BACKWARD[type(op)](op, {}, outcome.saved, np.ones_like(outcome.value).view(Counted), True)
        return count

    assert calls(60) <= 3.5 * calls(20) + 3


def test_of_equal_operands_the_first_is_the_largest() -> None:
    """As in a max pool: the gradient goes once, to the first."""
    a, b, c = (np.array([values], float) for values in ([1, 2, 2, 0], [1, 2, 3, 0], [0, 2, 3, 1]))
    value, gradients = lone(Maximum(), a, b, c)
    assert value.tolist() == [[1, 2, 3, 1]]
    assert [d.tolist() for d in gradients] == [[[1, 1, 0, 0]], [[0, 0, 1, 0]], [[0, 0, 0, 1]]]


def test_the_gradient_of_a_repeated_operand_is_the_sum_of_where_it_went() -> None:
    _, (image, gate) = lone(Mul(), np.full((2, 3, 4, 5), 2.0), np.full((2, 3, 1, 1), 7.0))
    assert (image == 7).all()
    assert gate.shape == (2, 3, 1, 1)
    assert (gate == 2 * 20).all()


def test_concat_joins_channels_in_order() -> None:
    a, b = numbers(2, 3, 4, 5), numbers(2, 1, 4, 5, seed=1)
    found = out("a: input 3x4x5; b: input 1x4x5; concat a", a, b)
    np.testing.assert_array_equal(found, np.concatenate([b, a], 1))
    _, gradients = lone(Concat(), a, b)
    assert [d.shape for d in gradients] == [a.shape, b.shape]


@pytest.mark.parametrize("outputs", [1, 3])
def test_bilinear_is_its_formula(outputs: int) -> None:
    a, b, weight = numbers(2, 3, 2), numbers(2, 4, seed=1), numbers(outputs, 6, 4, seed=2)
    found = out(f"a: input 3x2; b: input 4; s: bilinear a b out={outputs}", a, b, weights={"s.weight": weight})
    flat = a.reshape(2, 6)
    for n, o in product(range(2), range(outputs)):
        total = sum(flat[n, i] * weight[o, i, j] * b[n, j] for i in range(6) for j in range(4))
        assert found[n, o] == pytest.approx(total, rel=1e-12)


# --- integers ----------------------------------------------------------------------------------------------


def test_embed_looks_its_vectors_up() -> None:
    weight = numbers(5, 3)
    ids = np.array([[0, 4, 4, 2], [1, 1, 3, 0]])
    found = out("input 4 dtype=int64; embed 3 vocab=5", ids, weights={"embed1.weight": weight})
    assert found.shape == (2, 3, 4)
    for n, t in product(range(2), range(4)):
        assert found[n, :, t].tolist() == weight[ids[n, t]].tolist()


def embed_gradient(ids: Array, vocab: int, gradient: Array) -> Array:
    made = graph(f"input {ids.shape[1]} dtype=int64; embed {gradient.shape[-1]} vocab={vocab}")
    weights = {"embed1.weight": np.zeros((vocab, gradient.shape[-1]), gradient.dtype)}
    trace = forward(made, weights, {"input1": ids}, training=True)
    found, _ = backward(made, weights, trace, {"embed1": gradient})
    return found["embed1.weight"]


def test_the_gradient_of_an_embed_adds_up_where_integers_repeat() -> None:
    ids: Array = np.random.default_rng(0).integers(0, 6, (4, 50))
    gradient = numbers(4, 50, 3)
    expected = np.zeros((9, 3))
    np.add.at(expected, ids, gradient)
    np.testing.assert_allclose(embed_gradient(ids, 9, gradient), expected, rtol=1e-12)
    assert not expected[6:].any()


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_integers_of_any_width_are_taken(dtype: type) -> None:
    weight = numbers(5, 3)
    ids: Array = np.array([[0, 4, 3]], dtype)
    found = out("input 3 dtype=int64; embed 3 vocab=5", ids, weights={"embed1.weight": weight})
    np.testing.assert_array_equal(found[0].T, weight[[0, 4, 3]])


@pytest.mark.parametrize(
    ("text", "feeds", "message"),
    [
        ("input 2 dtype=int64; embed 3 vocab=5", {"input1": np.array([[0, 5]])}, "the integers 0 to 4; it got 5"),
        ("input 2 dtype=int64; embed 3 vocab=5", {"input1": np.array([[-1, 2]])}, "the integers 0 to 4; it got -1"),
        ("input 2 dtype=int64; embed 3 vocab=5", {"input1": np.zeros((1, 2))}, "takes int64, not float64"),
        ("a: input 2; b: input 2; add a", {"a": np.zeros((1, 2))}, "nothing is fed to the input b"),
        (
            "a: input 2; b: input 2; add a",
            {"a": np.zeros((1, 2)), "b": np.zeros((3, 2))},
            "batches have different sizes",
        ),
    ],
)
def test_feeds_that_do_not_fit_are_errors_of_data(text: str, feeds: Mapping[str, Array], message: str) -> None:
    made = graph(text)
    with pytest.raises(CnncError, match=message) as caught:
        forward(made, initialize(made, 0), feeds)
    assert caught.value.diagnostics[0].code == "E602"


def test_an_input_that_nothing_reads_need_not_be_fed() -> None:
    made = graph("a: input 2; relu; b: input 3; from relu1; t: tanh; output t")
    assert forward(made, {}, {"a": np.ones((1, 2))}).values["t"].shape == (1, 2)


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_rows_are_added_up_by_place(count: int) -> None:
    random = np.random.default_rng(count)
    rows, places = random.normal(size=(count, 2, 3)), random.integers(0, 5, count)
    expected = np.zeros((6, 2, 3))
    np.add.at(expected, places, rows)
    np.testing.assert_allclose(added_up(rows, places, 6), expected, rtol=1e-12, atol=1e-15)


# --- rearrangement -----------------------------------------------------------------------------------------


def test_pad_is_numpys() -> None:
    x = numbers(2, 3, 4, 5)
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
    x = numbers(2, 4, 5, 6)
    np.testing.assert_array_equal(out(f"input 4x5x6; {layer}", x), x[index])


def test_channel_shuffle_is_its_formula() -> None:
    x = numbers(2, 6, 3, 2)
    found = out("input 6x3x2; channel_shuffle 2", x)
    for j, g in product(range(3), range(2)):
        np.testing.assert_array_equal(found[:, j * 2 + g], x[:, g * 3 + j])
    back = out("input 6x3x2; channel_shuffle 2; channel_shuffle 3", x)
    np.testing.assert_array_equal(back, x)


def test_depth_to_space_is_its_formula_and_space_to_depth_undoes_it() -> None:
    x = numbers(2, 18, 2, 4)
    found = out("input 18x2x4; depth_to_space 3", x)
    assert found.shape == (2, 2, 6, 12)
    for c, h, w, i, j in product(range(2), range(2), range(4), range(3), range(3)):
        np.testing.assert_array_equal(found[:, c, h * 3 + i, w * 3 + j], x[:, (i * 3 + j) * 2 + c, h, w])
    np.testing.assert_array_equal(out("input 2x6x12; space_to_depth 3", found), x)


# --- shared weights ----------------------------------------------------------------------------------------


def gradients_of(made: Graph, weights: Weights, feeds: Mapping[str, Array]) -> Weights:
    trace = forward(made, weights, feeds, training=True)
    seeds = {
        name: to_channels_last(numbers(*to_channels_first(trace.values[name]).shape, seed=5)) for name in made.outputs
    }
    return backward(made, weights, trace, seeds)[0]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("conv 2 k=3 p=1", "2x5x4"),
        ("conv 2 k=3 p=1 groups=2 flip=true", "2x5x4"),
        ("conv_transpose 2 k=3 p=1", "2x5x4"),
        ("fc 6", "6"),
    ],
)
def test_the_gradient_of_shared_weights_is_the_sum_of_their_uses(layer: str, shape: str) -> None:
    """Beside three layers with weights of their own that happen to be equal."""
    apart = graph(f"input {shape}; a: {layer}; tanh; b: {layer}; tanh; c: {layer}")
    shared = graph(f"input {shape}; a: {layer}; tanh; b: {layer} share=a; tanh; c: {layer} share=b")
    weights = random_weights(shared, 0, np.float64)
    assert weights.keys() == {"a.weight", "a.bias"}
    assert [shared.by_name[n].parameter_owner for n in "abc"] == ["a", "a", "a"]
    copies = {f"{n}.{p}": weights[f"a.{p}"] for n in "abc" for p in ("weight", "bias")}
    feeds = {"input1": numbers(3, *map(int, shape.split("x")))}
    together, alone = gradients_of(shared, weights, feeds), gradients_of(apart, copies, feeds)
    for name in ("weight", "bias"):
        np.testing.assert_allclose(together[f"a.{name}"], sum(alone[f"{n}.{name}"] for n in "abc"), rtol=1e-11)


def test_towers_that_share_have_equal_values_for_equal_inputs() -> None:
    made = graph(
        "block tower { conv 3 k=3; bn; tanh; fc 4 }; q: input 1x5x5; left: tower; d: input 1x5x5; "
        "right: tower share=left; output left right"
    )
    assert {name.split(".")[0] for name in made.weights} == {"left"}
    weights, x = random_weights(made, 0), numbers(2, 1, 5, 5)
    values = forward(made, weights, {"q": x, "d": x}).values
    left, right = (values[name] for name in made.outputs)
    np.testing.assert_array_equal(left, right)


def test_shared_running_statistics_follow_both_batches_in_turn() -> None:
    """The second tower starts from where the first left them, as a module that is called twice does."""
    made = graph(
        "block tower { bn momentum=0.8; tanh }; q: input 3; left: tower; d: input 3; right: tower share=left; add left"
    )
    weights = random_weights(made, 0, np.float64)
    q, d = numbers(6, 3), numbers(6, 3, seed=1) + 2
    buffers = forward(made, weights, {"q": q, "d": d}, training=True).buffers
    assert buffers.keys() == {"left.bn1.mean", "left.bn1.var"}
    for what, of in (("mean", np.mean), ("var", np.var)):
        once = 0.8 * weights[f"left.bn1.{what}"] + 0.2 * of(q, 0)
        np.testing.assert_allclose(buffers[f"left.bn1.{what}"], 0.8 * once + 0.2 * of(d, 0), rtol=1e-12)


# --- frozen weights ----------------------------------------------------------------------------------------


def visited(text: str, monkeypatch: pytest.MonkeyPatch, want_inputs: bool = False) -> tuple[list[str], Weights]:
    """The kinds of layers whose backward ran, and the gradients."""
    made = graph(text)
    seen: list[str] = []

    def spied(real: registry.Backward) -> registry.Backward:
        def spy(op: Op, weights: Mapping[str, Array], saved: Any, gradient: Array, want: bool) -> Gradients:
            seen.append(f"{op.keyword}{'' if want else ' (no input)'}")
            return real(op, weights, saved, gradient, want)

        return spy

    for kind, real in list(registry.BACKWARD.items()):
        monkeypatch.setitem(registry.BACKWARD, kind, spied(real))
    weights = random_weights(made, 0)
    feeds = {n.name: numbers(2, *n.type.shape) for n in made.inputs}
    trace = forward(made, weights, feeds, training=True)
    seeds = {name: np.ones_like(trace.values[name]) for name in made.outputs}
    return seen, backward(made, weights, trace, seeds, want_inputs=want_inputs)[0]


def test_nothing_is_propagated_for_frozen_layers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "input 2x6x6; conv 3 k=3 frozen=true; tanh; conv_transpose 2 k=2 frozen=true; relu; fc 4; tanh; fc 2"
    seen, found = visited(text, monkeypatch)
    assert seen == ["fc", "tanh", "fc (no input)"]
    assert found.keys() == {f"fc{n}.{p}" for n in (1, 2) for p in ("weight", "bias")}


def test_gradients_pass_through_frozen_layers_to_those_that_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, found = visited("input 2x6x6; conv 3 k=3; tanh; fc 2 frozen=true", monkeypatch)
    assert seen == ["fc", "tanh", "conv (no input)"]
    assert found.keys() == {"conv1.weight", "conv1.bias"}


def test_a_network_frozen_throughout_has_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "input 2x6x6; conv 3 k=3 frozen=true; tanh; fc 2 frozen=true"
    assert visited(text, monkeypatch) == ([], {})
    seen, found = visited(text, monkeypatch, want_inputs=True)
    assert len(seen) >= 3
    assert found == {}


def test_a_layer_that_shares_frozen_weights_has_none_to_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only their owner says frozen=true in the text."""
    text = "input 2x6x6; conv 2 k=1; a: conv 2 k=3 p=1 frozen=true; tanh; conv 2 k=3 share=a; fc 2"
    _, found = visited(text, monkeypatch)
    assert found.keys() == {"conv1.weight", "conv1.bias", "fc1.weight", "fc1.bias"}


@pytest.mark.parametrize("layer", ["conv 3 k=3", "conv 3 k=3 flip=true", "conv_transpose 3 k=3 s=2", "fc 3"])
def test_freezing_changes_no_other_gradient(layer: str) -> None:
    text = "input 2x6x6; conv 2 k=2; tanh; f: {}; tanh; fc 2"
    free, frozen = graph(text.format(layer)), graph(text.format(f"{layer} frozen=true"))
    weights, feeds = random_weights(free, 0, np.float64), {"input1": numbers(2, 2, 6, 6)}
    found = gradients_of(frozen, weights, feeds)
    expected = gradients_of(free, weights, feeds)
    assert expected.keys() - found.keys() == {"f.weight", "f.bias"}
    for name, gradient in found.items():
        np.testing.assert_array_equal(gradient, expected[name])


# --- first weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest",
    [
        "bn; add in_; relu",  # the end of a residual branch
        "concat in_; bn; relu",
        "pad 1; relu",
        "channel_shuffle 4; relu",
        "depth_to_space 2; relu",
        "flatten; relu",
    ],
)
def test_weights_before_a_relu_begin_as_he_has_it(rest: str) -> None:
    made = graph(f"input 64x4x4; in_: conv 64 k=1; tanh; a: conv 64 k=3 p=1; {rest}")
    assert initialize(made, 0)["a.weight"].var() == pytest.approx(2 / (64 * 9), rel=0.05)


def test_an_embed_begins_small() -> None:
    made = graph("input 5 dtype=int64; embed 64 vocab=500")
    assert initialize(made, 0)["embed1.weight"].var() == pytest.approx(2 / 65, rel=0.02)
