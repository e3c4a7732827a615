"""Convolution and transposed convolution against their formulas, as matrices, and by the laws that define them."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Input
from cnnc.reference.conv import stride_phases
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from tests.op_cases import random_weights
from tests.reference import plain
from tests.reference.networks import graph, normal, out
from tests.reference.test_plain_loops import Setting, run, settings, sides


def some_settings(rank: int) -> list[Setting]:
    """A few combinations of each kind for tests that build whole matrices."""
    return [setting for i, setting in enumerate(settings(rank)) if rank < 3 or i % 7 == 0]


# --- the mathematical convolution --------------------------------------------------------------------------


def test_flip_is_the_mathematical_convolution() -> None:
    """The example of test_plain_loops, with the kernel rotated by the layer: 1·(-1) + 3·2 + 2·0 + 1·1 = 6."""
    image = np.array([[1, 3, -1], [2, 1, 0], [0, 2, -1]], float)
    kernel = np.array([[1, 0], [2, -1]], float)
    op = Conv.make(out=1, k=2, bias=False, flip=True)
    assert run(op, image[None, None], {"weight": kernel[None, None]})[0, 0].tolist() == [[6, -5], [2, -2]]


@pytest.mark.long
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_flip_is_its_formula(rank: int, groups: int) -> None:
    """y[i] = Σ_a w[k - 1 - a]·x[i·s + a·d - begin], the weight reversed on every axis."""
    for number, setting in enumerate(settings(rank)):
        if number % 5 != groups % 5 and rank > 1:
            continue
        x = normal(2, 4, *setting.m)
        weight, bias = normal(4, 4 // groups, *setting.k, seed=1), normal(4, seed=2)
        op = Conv.make(rank, out=4, k=setting.k, s=setting.s, p=sides(setting.p), d=setting.d, groups=groups, flip=True)
        rotated = weight[(slice(None), slice(None), *(slice(None, None, -1) for _ in setting.k))]
        expected = plain.conv(x, rotated, bias, setting.s, setting.d, setting.p, groups)
        found = run(op, x, {"weight": weight, "bias": bias})
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=f"{op} on {setting.m}")


@pytest.mark.long
@pytest.mark.parametrize(("word", "mode"), [("full", "full"), ("valid", "valid")])
@pytest.mark.parametrize(("shape", "k"), [((9,), (4,)), ((6, 7), (3, 2)), ((4, 5, 4), (2, 3, 3))])
def test_flip_is_scipys_convolution(word: str, mode: str, shape: tuple[int, ...], k: tuple[int, ...]) -> None:
    signal = pytest.importorskip("scipy.signal")
    x, weight = normal(*shape), normal(*k, seed=1)
    for flip, theirs in ((True, signal.convolve), (False, signal.correlate)):
        op = Conv.make(len(shape), out=1, k=k, p=WordValue(word), bias=False, flip=flip)
        found = run(op, x[None, None], {"weight": weight[None, None]})[0, 0]
        np.testing.assert_allclose(found, theirs(x, weight, mode), rtol=1e-12, atol=1e-12)


def test_convolution_commutes_and_correlation_does_not() -> None:
    """x * w = w * x: the law that holds with the rotated kernel alone."""
    x, w = normal(5, 4), normal(3, 2, seed=1)

    def full(image: Array, kernel: Array, flip: bool) -> Array:
        op = Conv.make(out=1, k=kernel.shape, p=WordValue("full"), bias=False, flip=flip)
        plane: Array = run(op, image[None, None], {"weight": kernel[None, None]})[0, 0]
        return plane

    np.testing.assert_allclose(full(x, w, True), full(w, x, True), rtol=1e-12)
    assert not np.allclose(full(x, w, False), full(w, x, False))


# --- convolution as a matrix, and its transpose ------------------------------------------------------------


def matrix(weight: Array, setting: Setting, groups: int = 1) -> Array:
    """The matrix (O·OH·OW, C·H·W) of a convolution, written from the formula: a row holds one window's weights."""
    o, share = weight.shape[0], weight.shape[1]
    sizes = plain.conv_sizes(setting.m, setting.k, setting.s, setting.d, setting.p)
    found: Array = np.zeros((o, *sizes, share * groups, *setting.m))
    for where in product(*map(range, sizes)):
        for tap, place in plain.places(where, setting.k, setting.s, setting.d, setting.p):
            if plain.inside(place, setting.m):
                for j in range(o):
                    first = share * (j * groups // o)
                    for c in range(share):
                        found[(j, *where, first + c, *place)] += weight[(j, c, *tap)]
    return found.reshape(o * math.prod(sizes), -1)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_is_multiplication_by_its_matrix(rank: int, groups: int) -> None:
    for setting in some_settings(rank):
        weight = normal(2, 2 // groups, *setting.k)
        op = Conv.make(
            rank, out=2, k=setting.k, s=setting.s, p=sides(setting.p), d=setting.d, groups=groups, bias=False
        )
        x = normal(3, 2, *setting.m, seed=1)
        found = run(op, x, {"weight": weight})
        expected = x.reshape(3, -1) @ matrix(weight, setting, groups).T
        np.testing.assert_allclose(found.reshape(3, -1), expected, rtol=1e-11, atol=1e-12, err_msg=str(setting))


def test_the_matrix_of_a_convolution_is_sparse_and_toeplitz() -> None:
    """One axis, one channel: each row is the row above shifted by one column."""
    setting = Setting((6,), (3,), (1,), ((0, 0),), (1,))
    found = matrix(np.array([[[1.0, 2.0, 3.0]]]), setting)
    assert found.tolist() == [[1, 2, 3, 0, 0, 0], [0, 1, 2, 3, 0, 0], [0, 0, 1, 2, 3, 0], [0, 0, 0, 1, 2, 3]]


@pytest.mark.long
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("wide", [1, 17])
def test_transposed_convolution_is_multiplication_by_the_transpose(rank: int, groups: int, wide: int) -> None:
    """With the same weight, stride, padding and dilation; output_pad selects among the possible output sizes."""
    tried = 0
    for number, setting in enumerate(some_settings(rank)):
        if wide > 1 and number % 3:
            continue
        sizes = plain.conv_sizes(setting.m, setting.k, setting.s, setting.d, setting.p)
        extra = [
            m - ((n - 1) * s - b - e + d * (k - 1) + 1)
            for m, n, k, s, d, (b, e) in zip(setting.m, sizes, setting.k, setting.s, setting.d, setting.p, strict=True)
        ]
        channels = 2 * wide
        op = ConvTranspose.make(
            rank,
            out=channels,
            k=setting.k,
            s=setting.s,
            p=sides(setting.p),
            d=setting.d,
            groups=groups,
            bias=False,
            output_pad=extra[0] if rank == 1 else tuple(extra),
        )
        weight = normal(4, channels // groups, *setting.k)
        y = normal(2, 4, *sizes, seed=1)
        found = run(op, y, {"weight": weight})
        assert found.shape == (2, channels, *setting.m)
        expected = y.reshape(2, -1) @ matrix(weight, setting, groups)
        np.testing.assert_allclose(found.reshape(2, -1), expected, rtol=1e-11, atol=1e-11, err_msg=str(setting))
        tried += 1
    assert tried >= 5


@pytest.mark.parametrize("text", ["k=3 s=2 p=1", "k=4 s=2 p=1 groups=2", "k=3 d=2", "k=2 s=3 output_pad=1", "k=3 s=1"])
def test_transposed_convolution_is_the_adjoint(text: str) -> None:
    """<conv(x), y> = <x, conv_transpose(y)>, which defines the transpose."""
    transposed = graph(f"input 4x5x4; conv_transpose 6 {text} bias=false")
    output_shape = transposed.by_name["conv_transpose1"].type.shape
    shared = " ".join(part for part in text.split() if not part.startswith("output_pad"))
    straight = graph(f"input {'x'.join(map(str, output_shape))}; conv 4 {shared} bias=false")
    weight = normal(*transposed.weights["conv_transpose1.weight"].shape)
    x, y = normal(1, *output_shape, seed=1), normal(1, 4, 5, 4, seed=2)
    there = to_channels_first(forward(straight, {"conv1.weight": weight}, {"input1": x}).values["conv1"])
    back = to_channels_first(
        forward(transposed, {"conv_transpose1.weight": weight}, {"input1": y}).values["conv_transpose1"]
    )
    assert (there * y).sum() == pytest.approx((x * back).sum(), rel=1e-11)


def test_transposed_convolution_worked_by_hand() -> None:
    """Stride 2, kernel [1, 10, 100], input [1, 2, 3]: each element adds the kernel two positions further."""
    kernel = np.array([[[1.0, 10.0, 100.0]]])
    x = np.array([[[1.0, 2.0, 3.0]]])
    op = ConvTranspose.make(1, out=1, k=3, s=2, bias=False)
    assert run(op, x, {"weight": kernel})[0, 0].tolist() == [1, 10, 102, 20, 203, 30, 300]
    cut = op.replace(p=((1, 2),), output_pad=(1,))
    assert run(cut, x, {"weight": kernel})[0, 0].tolist() == [10, 102, 20, 203, 30]
    same = ConvTranspose.make(1, out=1, k=3, s=2, p=WordValue("same"), bias=False)
    assert run(same, x, {"weight": kernel})[0, 0].tolist() == [1, 10, 102, 20, 203, 30]


def transposed_by_loops(x: Array, weight: Array, op: ConvTranspose, sizes: tuple[int, ...]) -> Array:
    """y[o, i·s + a·d - begin] += w[c, o, a]·x[c, i], a loop over all inputs and taps."""
    assert not isinstance(op.p, str)
    share = weight.shape[1]
    last = np.moveaxis(x, 0, -1)  # (C, H, W, N)
    y: Array = np.zeros((share * op.groups, *sizes, x.shape[0]))
    for position in product(*map(range, x.shape[2:])):
        for tap, place in plain.places(position, op.k, op.s, op.d, op.p):
            if plain.inside(place, sizes):
                for c in range(x.shape[1]):
                    first = share * (c * op.groups // x.shape[1])
                    for j in range(share):
                        y[(first + j, *place)] += weight[(c, j, *tap)] * last[(c, *position)]
    return np.moveaxis(y, -1, 0)


@pytest.mark.parametrize("wide", [1, 9])  # 2 outputs, or 18: few channels, and more
def test_transposed_convolution_of_any_geometry_is_its_formula(wide: int) -> None:
    """Random geometries: wide dilations, more padding than kernel, sizes that leave phases without a tap."""
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
        x, weight = normal(2, 2, *m, seed=tried), normal(2, 2 * wide // groups, *k, seed=tried + 1)
        expected = transposed_by_loops(x, weight, op, op.output(fed).spatial)
        found = run(op, x, {"weight": weight})
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=f"{op} on {m}")
        tried += 1


def test_bias_of_a_transposed_convolution_is_added_everywhere() -> None:
    """Also at outputs that no window reaches."""
    op = ConvTranspose.make(1, out=2, k=1, s=3, output_pad=2)
    found = run(op, np.ones((1, 1, 2)), {"weight": np.ones((1, 2, 1)), "bias": np.array([5.0, 7.0])})
    assert found[0].tolist() == [[6, 5, 5, 6, 5, 5], [8, 7, 7, 8, 7, 7]]


def test_phases_cover_all_pairs_of_element_and_tap() -> None:
    """Each (element, tap) that an output reads is in exactly one phase, where it is read at stride 1."""
    for m, k, s, d, begin in product((1, 4, 7), (1, 2, 5), (1, 2, 3, 4), (1, 2, 3), (0, 1, 4)):
        expected = {(i * s + a * d - begin, a, i) for i in range(-3, 12) for a in range(k)}
        found = set()
        for phase in stride_phases(m, k, s, d, begin):
            for q in range(phase.size):
                for j, tap in enumerate(phase.taps):
                    found.add((phase.first + s * q, tap, q + phase.begin - j * d // math.gcd(s, d)))
        inside = {entry for entry in expected if 0 <= entry[0] < m}
        assert inside == {entry for entry in found if -3 <= entry[2] < 12}


# --- shifts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv 3 k=3 p=1", "conv 3 k=3x2 p=same flip=true", "conv_transpose 3 k=3 p=1"])
def test_convolution_commutes_with_shifts(layer: str) -> None:
    """A shifted image gives the shifted output, away from the border."""
    text = f"input 2x12x11; {layer}"
    weights = random_weights(graph(text), 0, np.float64)
    x = normal(1, 2, 12, 11)
    moved = np.roll(x, (2, 1), (2, 3))
    y, there = out(text, x, weights=weights), out(text, moved, weights=weights)
    np.testing.assert_allclose(there[:, :, 4:-2, 3:-2], np.roll(y, (2, 1), (2, 3))[:, :, 4:-2, 3:-2], rtol=1e-12)


def test_a_stride_commutes_with_shifts_by_the_stride_only() -> None:
    text = "input 2x14x12; conv 3 k=3 s=2"
    weights = random_weights(graph(text), 0, np.float64)
    x = normal(1, 2, 14, 12)
    y = out(text, x, weights=weights)
    by_two = out(text, np.roll(x, 2, 2), weights=weights)
    np.testing.assert_allclose(by_two[:, :, 1:], y[:, :, :-1], rtol=1e-12)
    by_one = out(text, np.roll(x, 1, 2), weights=weights)
    assert not any(np.allclose(by_one[:, :, 1:], part) for part in (y[:, :, 1:], y[:, :, :-1]))


def test_max_pooling_is_invariant_to_small_shifts() -> None:
    """A feature that moves within its window does not change the pooled map; with windows of one element it does."""
    x = np.zeros((1, 1, 12, 12))
    x[0, 0, 1, 1], x[0, 0, 5, 9], x[0, 0, 9, 5] = 3, 7, 5  # in the middle of windows of 4x4, or next to it
    for shift in product((0, 1), (0, 1)):
        moved = np.roll(x, shift, (2, 3))
        np.testing.assert_array_equal(out("input 1x12x12; pool max k=4", moved), out("input 1x12x12; pool max k=4", x))
    by_one = out("input 1x12x12; pool max k=1", np.roll(x, 1, 2))
    assert not np.array_equal(by_one, out("input 1x12x12; pool max k=1", x))
