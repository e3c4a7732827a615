"""Convolution and pooling against plain loops, element by element; threads and repeated runs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph, Node, verify
from cnnc.network import check
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Input
from cnnc.ops.pool import Pool
from cnnc.ops.window import Geometry
from cnnc.reference.engine import backward, forward
from cnnc.reference.kernels.windows import windows_of
from cnnc.reference.layout import to_channels_first, to_channels_last
from tests.op_cases import random_weights
from tests.reference import plain

pytestmark = pytest.mark.long

# --- the grid ----------------------------------------------------------------------------------------------

# Input sizes, then kernels, strides, paddings (begin, end) and dilations to combine, by number of axes.
Sizes = dict[int, list[tuple[int, ...]]]
SIZES: Sizes = {1: [(7,), (4,)], 2: [(6, 5)], 3: [(4, 3, 5), (3, 4, 2)]}
KERNELS: Sizes = {
    1: [(1,), (2,), (3,)],
    2: [(1, 1), (3, 3), (2, 3), (4, 2)],
    3: [(1, 1, 1), (2, 2, 2), (1, 3, 2), (3, 2, 2)],
}
STRIDES: Sizes = {1: [(1,), (2,), (3,)], 2: [(1, 1), (2, 1), (3, 2)], 3: [(1, 1, 1), (2, 1, 3)]}
PADS: dict[int, list[tuple[tuple[int, int], ...]]] = {
    1: [((0, 0),), ((1, 1),), ((2, 0),), ((0, 1),)],
    2: [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((0, 1), (2, 0))],
    3: [((0, 0), (0, 0), (0, 0)), ((1, 1), (1, 1), (1, 1)), ((1, 0), (1, 1), (0, 1))],
}
DILATIONS: Sizes = {1: [(1,), (2,)], 2: [(1, 1), (2, 1)], 3: [(1, 1, 1), (1, 1, 2)]}


class Setting(NamedTuple):
    """One combination: input sizes, kernel, stride, padding and dilation."""

    m: tuple[int, ...]
    k: tuple[int, ...]
    s: tuple[int, ...]
    p: tuple[tuple[int, int], ...]
    d: tuple[int, ...]


def settings(rank: int) -> Iterator[Setting]:
    """All combinations in which the window fits."""
    for m, k, s, p, d in product(SIZES[rank], KERNELS[rank], STRIDES[rank], PADS[rank], DILATIONS[rank]):
        if all(plain.conv_sizes(m, k, s, d, p)):
            yield Setting(m, k, s, p, d)


def sides(pads: plain.Pads) -> tuple[int, ...]:
    """All begins, then all ends, as the language lists them."""
    return (*(b for b, _ in pads), *(e for _, e in pads))


def run(op: Op, x: Array, weights: Weights) -> Array:
    """The output of one layer, run by the engine; input and output channels first."""
    fed = Input.make(shape=x.shape[1:])
    source = Node("x", fed, (), fed.output())
    layer = Node("y", op, ("x",), op.output(source.type))
    graph = verify(Graph("one", (source, layer), ("y",)))
    named = {f"y.{name}": array for name, array in weights.items()}
    value = to_channels_first(forward(graph, named, {"x": x}).values["y"])
    assert value.shape[1:] == layer.type.shape
    assert value.dtype == x.dtype
    return value


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("channels", "out", "groups"), [(2, 3, 1), (4, 6, 2), (3, 3, 3), (2, 4, 2), (1, 2, 1)])
def test_conv_is_its_formula(rank: int, channels: int, out: int, groups: int) -> None:
    random = np.random.default_rng(rank)
    for number, setting in enumerate(settings(rank)):
        if rank == 3 and number % 2 != out % 2:  # half of the combinations for each kind of groups
            continue
        x = random.normal(size=(2, channels, *setting.m))
        weight = random.normal(size=(out, channels // groups, *setting.k))
        bias = random.normal(size=out) if number % 2 else None
        op = Conv.make(
            rank,
            out=out,
            k=setting.k,
            s=setting.s,
            p=sides(setting.p),
            d=setting.d,
            groups=groups,
            bias=bias is not None,
        )
        found = run(op, x, {"weight": weight} if bias is None else {"weight": weight, "bias": bias})
        expected = plain.conv(x, weight, bias, setting.s, setting.d, setting.p, groups)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=f"{op} on {setting.m}")


def sees_data(setting: Setting, sizes: tuple[int, ...]) -> bool:
    """Whether each window holds at least one element of the input."""
    return all(
        any(
            plain.inside(place, setting.m)
            for _, place in plain.places(where, setting.k, setting.s, setting.d, setting.p)
        )
        for where in product(*map(range, sizes))
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("kind", "count_pad"), [("max", False), ("avg", False), ("avg", True)])
def test_pool_is_its_formula(rank: int, ceil: bool, kind: str, count_pad: bool) -> None:
    random = np.random.default_rng(rank)
    tried = 0
    for setting in settings(rank):
        reach = [d * (k - 1) + 1 for k, d in zip(setting.k, setting.d, strict=True)]
        sizes = (
            plain.ceil_sizes(setting.m, setting.k, setting.s, setting.d, setting.p)
            if ceil
            else plain.conv_sizes(*setting[:3], setting.d, setting.p)
        )
        if any(max(sides) >= e for sides, e in zip(setting.p, reach, strict=True)) or not sees_data(setting, sizes):
            continue
        x = random.normal(size=(2, 2, *setting.m)) - 3  # below zero: a padding of zeros would win
        op = Pool.make(
            rank,
            kind=WordValue(kind),
            k=setting.k,
            s=setting.s,
            p=sides(setting.p),
            d=setting.d,
            ceil=ceil,
            count_pad=count_pad,
        )
        expected = plain.pool(x, kind, setting.k, setting.s, setting.d, setting.p, ceil, count_pad)
        np.testing.assert_allclose(run(op, x, {}), expected, rtol=1e-12, err_msg=f"{op} on {setting.m}")
        tried += 1
    assert tried >= 20


@pytest.mark.parametrize("word", ["valid", "half", "same", "same_lower", "full"])
@pytest.mark.parametrize("shape", ["k=3", "k=4", "k=2x3 s=2", "k=3 s=3x2", "k=3 d=2"])
def test_a_padding_word_is_the_numbers_it_stands_for(word: str, shape: str) -> None:
    """The expected numbers come from the definition of each word, not from the code that resolves it."""
    text = f"input 2x7x9; conv 3 {shape} p={{}}"
    node = check(text.format(word)).require_graph().by_name["conv1"]
    assert isinstance(node.op, Conv)
    begins, ends = [], []
    for m, k, s, d in zip((7, 9), node.op.k, node.op.s, node.op.d, strict=True):
        e = d * (k - 1) + 1
        lacking = max(0, (-(-m // s) - 1) * s + e - m)
        smaller, larger = lacking // 2, lacking - lacking // 2
        begin, end = {
            "valid": (0, 0),
            "half": (e // 2, e // 2),
            "same": (smaller, larger),
            "same_lower": (larger, smaller),
            "full": (e - 1, e - 1),
        }[word]
        begins.append(begin)
        ends.append(end)
    values = {}
    for p in (word, str([*begins, *ends])):
        graph = check(text.format(p)).require_graph()
        weights = random_weights(graph, 0, np.float64)
        x = np.random.default_rng(0).normal(size=(2, 2, 7, 9))
        values[p] = forward(graph, weights, {"input1": x}).values["conv1"]
    first, second = values.values()
    np.testing.assert_array_equal(first, second)


# --- textbook examples -------------------------------------------------------------------------------------


def test_worked_example_is_cross_correlation() -> None:
    """The kernel is not rotated: 1·1 + 3·0 + 2·2 + 1·(-1) = 4. (Rotated, the first would be 6.)"""
    image = np.array([[1, 3, -1], [2, 1, 0], [0, 2, -1]], float)
    kernel = np.array([[1, 0], [2, -1]], float)
    op = Conv.make(out=1, k=2, bias=False)
    found = run(op, image[None, None], {"weight": kernel[None, None]})
    assert found[0, 0].tolist() == [[4, 5], [0, 6]]
    rotated = run(op, image[None, None], {"weight": kernel[None, None, ::-1, ::-1]})
    assert rotated[0, 0].tolist() == [[6, -5], [2, -2]]


def test_im2col_of_a_3x3_image_and_a_2x2_kernel() -> None:
    numbered = np.arange(9).reshape(1, 3, 3, 1)
    g = Geometry((2, 2), (1, 1), (1, 1), ((0, 0), (0, 0)), (2, 2))
    columns = windows_of(numbered, g).reshape(4, 4)
    assert columns.tolist() == [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]


def test_im2col_keeps_the_channels_of_a_tap_together() -> None:
    numbered = np.arange(12).reshape(1, 2, 3, 2)  # a pixel's two channels are neighbours
    g = Geometry((2, 2), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 2))
    columns = windows_of(numbered, g).reshape(2, 8)
    assert columns.tolist() == [[0, 1, 2, 3, 6, 7, 8, 9], [2, 3, 4, 5, 8, 9, 10, 11]]


def test_padding_of_zeros_never_wins_a_max_pool() -> None:
    found = run(Pool.make(kind=WordValue("max"), k=3, s=1, p=1), np.full((1, 1, 2, 2), -5.0), {})
    assert found.tolist() == [[[[-5, -5], [-5, -5]]]]


def test_mean_counts_only_data_unless_count_pad() -> None:
    ones = np.ones((1, 1, 2, 2))
    assert run(Pool.make(kind=WordValue("avg"), k=2, p=1), ones, {}).tolist() == [[[[1, 1], [1, 1]]]]
    counted = run(Pool.make(kind=WordValue("avg"), k=2, p=1, count_pad=True), ones, {})
    assert counted.tolist() == [[[[0.25, 0.25], [0.25, 0.25]]]]


@pytest.mark.parametrize(("s", "expected"), [(2, [[1, 0, 1, 0], [0, 0, 0, 0]]), (1, [[1, 1, 1, 0], [0, 0, 0, 0]])])
def test_the_first_of_equal_maxima_gets_the_gradient(s: int, expected: list[list[int]]) -> None:
    """The gradient of a window of equal values goes to its first element, as onnxruntime's indices do."""
    graph = check(f"input 1x2x4; pool max k=2 s={s}").require_graph()
    trace = forward(graph, {}, {"input1": np.zeros((1, 1, 2, 4), np.float32)}, training=True)
    seeds = {"pool1": np.ones_like(trace.values["pool1"])}
    _, inputs = backward(graph, {}, trace, seeds, needs_input_gradients=True)
    assert inputs["input1"][0, 0].tolist() == expected


def test_a_maximum_among_more_than_256_taps() -> None:
    """The number of the tap does not fit a byte."""
    graph = check("input 1x20x20; pool max k=20").require_graph()
    x = np.zeros((1, 1, 20, 20), np.float32)
    x[0, 0, 17, 3] = 1
    trace = forward(graph, {}, {"input1": x}, training=True)
    _, inputs = backward(graph, {}, trace, {"pool1": np.ones((1, 1, 1, 1), np.float32)}, needs_input_gradients=True)
    assert inputs["input1"].sum() == 1
    assert inputs["input1"][0, 0, 17, 3] == 1


# --- threads and repetition --------------------------------------------------------------------------------

BIG = """input 8x16x16
conv 16 k=3 p=1 bias=false
bn
relu
conv 16 k=3 p=1 groups=c_in
pool max k=2
conv 24 k=3 groups=2 s=2
pool avg k=2 s=1
fc 10
"""


def results(threads: int, monkeypatch: pytest.MonkeyPatch, dtype: Any) -> dict[str, Array]:
    """All activations and gradients of a network whose batches are split into shards."""
    monkeypatch.setenv("CNNC_THREADS", str(threads))
    graph = check(BIG).require_graph()
    weights = random_weights(graph, 0, dtype)
    feeds = {"input1": np.random.default_rng(0).normal(size=(10, 8, 16, 16)).astype(dtype)}
    trace = forward(graph, weights, feeds, training=True, keep_all=True)
    gradients, inputs = backward(graph, weights, trace, {"fc1": np.ones((10, 10), dtype)}, needs_input_gradients=True)
    return {**trace.values, **{f"d {k}": v for k, v in {**gradients, **inputs}.items()}}


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_threads_change_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    one = results(1, monkeypatch, dtype)
    tolerance = 1e-11 if dtype is np.float64 else 1e-3
    for threads in (2, 3, 16):
        many = results(threads, monkeypatch, dtype)
        assert many.keys() == one.keys()
        for name, value in one.items():
            scale = np.abs(value).max()
            np.testing.assert_allclose(many[name], value, rtol=0, atol=tolerance * scale + 1e-9, err_msg=name)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_repeated_run_is_bit_identical(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    first = results(threads, monkeypatch, np.float32)
    for _ in range(3):
        again = results(threads, monkeypatch, np.float32)
        for name, value in first.items():
            assert value.tobytes() == again[name].tobytes(), name


@pytest.mark.usefixtures("small_shards")
def test_the_batch_is_really_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the two tests above would compare one thread with itself."""
    from cnnc.reference import engine
    from cnnc.reference.parallel import threads as parallel

    seen: list[list[tuple[int, int]]] = []
    real = parallel.split_evenly

    def spy(count: int, parts: int) -> list[tuple[int, int]]:
        seen.append(real(count, parts))
        return seen[-1]

    monkeypatch.setattr(engine, "split_evenly", spy)
    results(3, monkeypatch, np.float32)
    assert [(0, 3), (3, 6), (6, 10)] in seen


def test_a_sample_alone_gives_what_it_gives_in_a_batch() -> None:
    graph = check(BIG).require_graph()
    weights = random_weights(graph, 0, np.float64)
    x = np.random.default_rng(0).normal(size=(5, 8, 16, 16))
    together = forward(graph, weights, {"input1": x}).values["fc1"]
    for n in range(5):
        alone = forward(graph, weights, {"input1": x[n : n + 1]}).values["fc1"]
        np.testing.assert_allclose(alone[0], together[n], rtol=1e-11)


def test_channels_last_and_first_are_inverse() -> None:
    for shape in [(2, 3), (2, 3, 4), (2, 1, 4, 5), (2, 3, 4, 5), (2, 3, 2, 4, 5)]:
        x = np.random.default_rng(0).normal(size=shape)
        y = to_channels_last(x)
        assert y.shape == (shape if len(shape) < 3 else (shape[0], *shape[2:], shape[1]))
        np.testing.assert_array_equal(to_channels_first(y), x)
