"""Each fast method of convolution gives the result of the plain one: several positions per row, scattered rows, Winograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.network import check
from cnnc.ops.window import Geometry
from cnnc.reference import conv
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.kernels import im2col, matmul, winograd
from cnnc.reference.kernels.channelwise import ROW_BLOCK, channel_products, channel_sum, scale_and_shift

RANDOM = np.random.default_rng(0)
PLAIN = 1  # position per row


def numbers(*shape: int, dtype: Any = np.float64) -> Array:
    return RANDOM.standard_normal(shape).astype(dtype)


def windows(m: tuple[int, ...], k: int, s: int = 1, p: int = 0) -> Geometry:
    out = tuple((size + 2 * p - k) // s + 1 for size in m)
    n = len(m)
    return Geometry((k,) * n, (s,) * n, (1,) * n, ((p, p),) * n, out)


CONVOLUTIONS = [
    ((12,), 3, 1, 1),
    ((40,), 5, 2, 2),
    ((9, 12), 3, 1, 1),
    ((14, 14), 5, 1, 0),
    ((11, 17), 3, 2, 1),
    ((16, 16), 7, 4, 3),
    ((4, 6, 8), 3, 1, 1),
]


@pytest.mark.parametrize(("m", "k", "s", "p"), CONVOLUTIONS)
def test_any_number_of_positions_per_row_gives_the_same(
    m: tuple[int, ...], k: int, s: int, p: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = windows(m, k, s, p)
    x, kernel, bias = numbers(5, *m, 3), numbers(*g.k, 3, 4), numbers(4)
    gradient = numbers(5, *g.out, 4)
    monkeypatch.setattr(im2col, "positions_per_row", lambda *_: PLAIN)
    value, back = im2col.correlate(x, kernel, g, bias), im2col.kernel_gradient(x, gradient, g)
    divisors = [q for q in range(2, g.out[-1] + 1) if g.out[-1] % q == 0]
    assert divisors
    for q in divisors:
        monkeypatch.setattr(im2col, "positions_per_row", lambda *_, q=q: q)
        np.testing.assert_allclose(im2col.correlate(x, kernel, g, bias), value, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(im2col.kernel_gradient(x, gradient, g), back, rtol=1e-11, atol=1e-11)


def test_the_pieces_of_a_large_image_are_joined_correctly(monkeypatch: pytest.MonkeyPatch) -> None:
    g = windows((30, 20), 3, 1, 1)
    x, kernel, gradient = numbers(3, 30, 20, 4), numbers(3, 3, 4, 5), numbers(3, 30, 20, 5)
    whole, back = im2col.correlate(x, kernel, g), im2col.kernel_gradient(x, gradient, g)
    monkeypatch.setattr(im2col, "CACHE_BYTES", 20 * 9 * 4 * 8 * 7)  # seven rows of columns at a time
    np.testing.assert_allclose(im2col.correlate(x, kernel, g), whole, rtol=1e-12)
    np.testing.assert_allclose(im2col.kernel_gradient(x, gradient, g), back, rtol=1e-12)


@pytest.mark.parametrize(("m", "k", "p"), [((14, 14), 5, 0), ((9, 12), 3, 1), ((7, 6), 5, 2), ((4, 6, 8), 3, 1)])
def test_scattered_rows_give_the_input_gradient(
    m: tuple[int, ...], k: int, p: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = windows(m, k, 1, p)
    gradient, weight = numbers(3, *g.out, 6), numbers(6, 2, *g.k)
    monkeypatch.setattr(conv, "_scatter_is_faster", lambda *_: False)
    expected = conv.input_gradient(gradient, weight, g, m, 1)
    for q in [q for q in range(1, g.out[-1] + 1) if g.out[-1] % q == 0]:
        monkeypatch.setattr(im2col, "scatter_plan", lambda *_, q=q: (q, 0.0))
        rows = im2col.scatter_input_gradient(gradient, conv.kernel_of(weight), g, m)
        np.testing.assert_allclose(rows, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("m", "k", "s", "p"), CONVOLUTIONS)
def test_col2im_and_phases_give_the_same_input_gradient(m: tuple[int, ...], k: int, s: int, p: int) -> None:
    g = windows(m, k, s, p)
    gradient, weight = numbers(5, *g.out, 6), numbers(6, 2, *g.k)
    expected = conv._input_gradient_by_phases(gradient, weight, g, m)
    np.testing.assert_allclose(conv._input_gradient_by_col2im(gradient, weight, g, m), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 5e-5)])
@pytest.mark.parametrize(("m", "p"), [((16, 16), 1), ((8, 8), 1), ((7, 7), 1), ((10, 13), 0), ((6, 9), 2)])
def test_winograd_gives_the_result_of_im2col(m: tuple[int, int], p: int, dtype: Any, tolerance: float) -> None:
    g = windows(m, 3, 1, p)
    x, kernel, bias = numbers(11, *m, 25, dtype=dtype), numbers(3, 3, 25, 30, dtype=dtype), numbers(30, dtype=dtype)
    gradient = numbers(11, *g.out, 30, dtype=dtype)
    value, back = im2col.correlate(x, kernel, g, bias), im2col.kernel_gradient(x, gradient, g)
    np.testing.assert_allclose(
        winograd.correlate(x, kernel, g, bias), value, rtol=0, atol=tolerance * np.abs(value).max()
    )
    found = winograd.kernel_gradient(x, gradient, g)
    np.testing.assert_allclose(found, back, rtol=0, atol=tolerance * np.abs(back).max())


def test_winograd_applies_to_3x3_kernels_at_stride_1_with_enough_channels() -> None:
    good = windows((16, 16), 3, 1, 1)
    assert winograd.applies(good, 32, 32)
    assert not winograd.applies(good, 3, 32)
    assert not winograd.applies(windows((16, 16), 3, 2, 1), 32, 32)
    assert not winograd.applies(windows((16, 16), 5, 1, 2), 32, 32)
    assert not winograd.applies(windows((5, 5), 3, 1, 0), 32, 32) or windows((5, 5), 3, 1, 0).out == (3, 3)
    assert not winograd.applies(windows((224, 224), 3, 1, 1), 32, 32), "its tiles do not fit the cache"


@pytest.mark.parametrize("shape", [(1, 3), (7, 1), (ROW_BLOCK + 5, 3), (4, 8, 8, 16), (3, 5, 700)])
def test_sums_over_rows(shape: tuple[int, ...]) -> None:
    x, g, centre = numbers(*shape), numbers(*shape), numbers(shape[-1])
    rows, other = x.reshape(-1, shape[-1]), g.reshape(-1, shape[-1])
    np.testing.assert_allclose(channel_sum(x), rows.sum(0), rtol=1e-9, atol=1e-9)
    d = rows - centre
    for found, expected in zip(channel_products(x, centre), (d.sum(0), (d * d).sum(0)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    for found, expected in zip(channel_products(x, centre, g), (other.sum(0), (d * other).sum(0)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    a, b, c = numbers(shape[-1]), numbers(shape[-1]), numbers(shape[-1])
    np.testing.assert_allclose(scale_and_shift(x, a, b), x * a + b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scale_and_shift(x, a, b, g, c), x * a + b + g * c, rtol=1e-12, atol=1e-12)


def test_batch_norm_is_exact_for_small_variances_with_large_means() -> None:
    """In single precision E[x²] - E[x]² would be rounding noise."""
    from cnnc.reference.engine import forward
    from cnnc.reference.initializers import initialize
    from tests.reference.networks import graph

    net = graph("input 2x8x8; bn")
    x = (1000 + 0.1 * numbers(64, 2, 8, 8)).astype(np.float32)
    trace = forward(net, initialize(net, 0), {"input1": x}, training=True)
    exact = x.astype(np.float64).var((0, 2, 3))
    np.testing.assert_allclose((trace.buffers["bn1.var"] - 0.9) / 0.1, exact, rtol=2e-4)


@pytest.mark.parametrize(
    ("rows", "depth", "across"), [(1, 3, 4), (95, 30, 16), (500, 144, 16), (300, 700, 300), (97, 9, 1)]
)
def test_products_in_pieces(rows: int, depth: int, across: int) -> None:
    a, b, other = numbers(rows, depth), matmul.as_aligned(numbers(depth, across)), numbers(rows, across)
    np.testing.assert_allclose(matmul.matmul_rows(a, b, np.empty((rows, across))), a @ b, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(matmul.matmul_transposed(a, other), a.T @ other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("columns", [7, 512])
def test_products_in_blocks_of_columns(columns: int) -> None:
    a, b = numbers(16, 36), numbers(36, columns)
    np.testing.assert_allclose(matmul.matmul_columns(a, b, np.empty((16, columns))), a @ b, rtol=1e-12, atol=1e-12)


def test_a_shared_matrix_begins_at_a_cache_line() -> None:
    aligned = matmul.as_aligned(numbers(5, 7)[:, 1:])
    assert aligned.ctypes.data % matmul.CACHE_LINE == 0
    assert aligned.flags.c_contiguous
    assert matmul.as_aligned(aligned) is aligned


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("m", "k", "p", "channels"), [((8, 8), 3, 1, 25), ((9, 12), 5, 2, 4), ((20,), 3, 0, 6), ((4, 6, 8), 3, 1, 3)]
)
def test_both_gradients_from_the_same_windows(
    m: tuple[int, ...], k: int, p: int, channels: int, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The windows of the output gradient give both the input gradient and the weight gradient."""
    g = windows(m, k, 1, p)
    x, weight = numbers(5, *m, channels, dtype=dtype), numbers(30, channels, *g.k, dtype=dtype)
    gradient = numbers(5, *g.out, 30, dtype=dtype)
    shared = lambda windows, *_: conv._stride_1_windows(windows, m)[1]  # noqa: E731
    found = {}
    for how in (shared, lambda *_: None):
        monkeypatch.setattr(conv, "_shared_windows", how)
        found[how is shared] = conv.gradients(x, gradient, weight, g, m, 1)
    tolerance = 1e-11 if dtype is np.float64 else 2e-5
    for together, apart in zip(found[True], found[False], strict=True):
        np.testing.assert_allclose(together, apart, rtol=0, atol=tolerance * np.abs(apart).max())


@pytest.mark.parametrize(
    "text",
    [
        "input 2x4x5; a: conv 3 k=1; b: conv 3 k=3 p=1; from a; add b",
        "input 2x4x5; a: bn; b: conv 2 k=3 p=1; from a; add b",
        "input 2x4x4; a: conv 3 k=1; b: conv 3 k=2 s=2; from a; c: pool max k=2; add b",
    ],
    ids=["conv", "bn", "pool"],
)
def test_an_output_that_another_layer_saved_is_not_overwritten(text: str) -> None:
    """The last reader of a layer's output may write into it only if no earlier reader needs it in backward."""
    graph = check(text).require_graph()
    weights = initialize(graph, 0)
    random = np.random.default_rng(0)
    feeds = {"input1": random.normal(size=(3, *graph.inputs[0].type.shape)).astype(np.float32)}
    results = []
    for keep_all in (False, True):  # with keep_all nothing is overwritten
        trace = forward(graph, weights, feeds, training=True, keep_all=keep_all)
        seed = np.ones_like(trace.values[graph.outputs[0]])
        results.append(backward(graph, weights, trace, {graph.outputs[0]: seed}, needs_input_gradients=True))
    for usual, kept in zip(*results, strict=True):
        for name, gradient in kept.items():
            np.testing.assert_array_equal(usual[name], gradient, err_msg=name)
