"""Activations, norms, pools, unpool, upsample, maxout and filters against their formulas.

The expected results come from the formulas of the language reference, in plain loops over one number at a time or with
Python's math module, channels first; no code of cnnc is used for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.ops.filter import Filter
from cnnc.ops.pool import Pool
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_first
from tests.op_cases import random_weights
from tests.reference import plain
from tests.reference.networks import graph, input_gradient, out
from tests.reference.test_plain_loops import run, sees_data, settings, sides

# --- activations: a number in, a number out --------------------------------------------------------------------


def erf_gelu(x: float) -> float:
    return x * math.erfc(-x / math.sqrt(2)) / 2


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def log_one_plus_exp(x: float) -> float:
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def gate(x: float) -> float:
    return min(max(x / 6 + 1 / 2, 0), 1)


GAMMA, ALPHA = float(np.float32(1.0507009873554805)), float(np.float32(1.6732632423543772))

FORMULAS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "leaky_relu slope=2.5": lambda x: x if x > 0 else 2.5 * x,
    "leaky_relu -1": lambda x: x if x > 0 else -x,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "elu alpha=0.3": lambda x: x if x > 0 else 0.3 * math.expm1(x),
    "selu": lambda x: GAMMA * (x if x > 0 else ALPHA * math.expm1(x)),
    "sigmoid": logistic,
    "tanh": math.tanh,
    "softplus": log_one_plus_exp,
    "gelu": erf_gelu,
    "silu": lambda x: x * logistic(x),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "clip -0.5 2": lambda x: min(max(x, -0.5), 2.0),
    "hard_tanh": lambda x: min(max(x, -1.0), 1.0),
    "hard_tanh 0.5 2": lambda x: min(max(x, 0.5), 2.0),
    "hard_sigmoid": gate,
    "hard_swish": lambda x: x * gate(x),
    "mish": lambda x: x * math.tanh(log_one_plus_exp(x)),
    "abs": abs,
    "scale -3": lambda x: -3 * x,
}
POINTS = [*np.linspace(-12, 12, 193).tolist(), *(s * 10.0**n for s in (-1, 1) for n in (-30, -8, -3, 1.5, 2.2, 3, 20))]


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize(("dtype", "rtol", "atol"), [(np.float64, 1e-12, 1e-300), (np.float32, 2e-6, 1e-12)])
def test_activation_is_its_formula(text: str, dtype: Any, rtol: float, atol: float) -> None:
    """Near 0, far from 0, and where a careless formula would overflow or lose digits."""
    x = np.array([POINTS], dtype)
    expected = [FORMULAS[text](value) for value in x[0].tolist()]
    near = 4 * float(np.finfo(dtype).eps)  # x·mish and the like, at 1e20, are 1e20
    np.testing.assert_allclose(out(f"input {x.size}; {text}", x)[0], expected, rtol=max(rtol, near), atol=atol)


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_activations_have_finite_gradients_and_let_nan_through(text: str, dtype: Any) -> None:
    x = np.array([[-1e38, -1e20, -800, -90, -0.0, 0, 90, 800, 1e20, 1e38]], dtype)
    gradient = input_gradient(f"input {x.size}; {text}", x, np.ones_like(x))
    assert np.isfinite(gradient).all(), gradient
    assert np.isnan(out("input 2; " + text, np.array([[np.nan, 1]], dtype))[0]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "points", "slopes"),
    [
        ("relu", [0], [0]),
        ("leaky_relu slope=0.25", [-1, 0, 1], [0.25, 0.25, 1]),
        ("elu alpha=0.5", [0, 1], [0.5, 1]),
        ("abs", [-2, 0, 2], [-1, 0, 1]),
        ("relu6", [0, 3, 6, 7], [0, 1, 0, 0]),
        ("clip -1 2", [-2, -1, 0, 2, 3], [0, 1, 1, 1, 0]),
        ("hard_tanh", [-2, -1, 0, 1, 2], [0, 0, 1, 0, 0]),
        ("hard_tanh -1 2", [-2, -1, 0, 2, 3], [0, 0, 1, 0, 0]),
        ("hard_sigmoid", [-3, 0, 3], [0, 1 / 6, 0]),
        ("hard_swish", [-4, 0, 4], [0, 0.5, 1]),
    ],
)
def test_derivatives_at_kinks_are_those_of_pytorch(text: str, points: list[float], slopes: list[float]) -> None:
    x = np.array([points], np.float64)
    found = input_gradient(f"input {x.size}; {text}", x, np.ones_like(x))
    np.testing.assert_allclose(found[0], slopes, rtol=1e-15)


def test_the_selu_of_normal_numbers_is_normal_again() -> None:
    """The purpose of its constants: mean 0 and variance 1 are kept."""
    x = np.random.default_rng(0).normal(size=(1, 200_000))
    y = out("input 200000; selu", x)
    assert abs(y.mean()) < 0.01
    assert y.var() == pytest.approx(1, abs=0.02)


def test_prelu_has_a_slope_for_each_channel() -> None:
    x = np.array([[[-1.0, 2.0], [-3.0, -4.0]]])
    weights = {"prelu1.slope": np.array([0.5, -2.0])}
    assert out("input 2x2; prelu", x, weights=weights).tolist() == [[[-0.5, 2], [6, 8]]]


def test_log_softmax_is_over_the_channels_and_never_overflows() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    expected = np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True))
    np.testing.assert_allclose(out("input 3x4x5; log_softmax", x), expected, rtol=1e-12)
    assert out("input 2; log_softmax", np.array([[1e4, -1e4]], np.float32)).tolist() == [[0, -2e4]]


# --- drop_path -------------------------------------------------------------------------------------------------


def paths(p: float, seed: int = 0) -> Array:
    net = graph(f"input 2x3x4; drop_path {p}")
    x = np.ones((4000, 2, 3, 4), np.float32)
    trace = forward(net, {}, {"input1": x}, training=True, random=lambda name: np.random.default_rng(seed))
    return trace.values["drop_path1"]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_drop_path_drops_whole_samples_and_keeps_the_mean(p: float) -> None:
    y = paths(p).reshape(4000, -1)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(1 - p)}
    assert (y[:, 0] == 0).mean() == pytest.approx(p, abs=0.03)
    assert y.mean() == pytest.approx(1, abs=0.15)


def test_drop_path_depends_on_its_random_numbers_alone() -> None:
    assert np.array_equal(paths(0.5), paths(0.5))
    assert not np.array_equal(paths(0.5), paths(0.5, seed=1))


def test_drop_path_and_identity_do_nothing_in_inference() -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 4))
    assert np.array_equal(out("input 2x4; drop_path 0.9", x), x)
    assert np.array_equal(out("input 2x4; identity", x), x)


def test_a_dropped_sample_learns_nothing() -> None:
    net = graph("input 3; fc 2; drop_path 0.5")
    weights = random_weights(net, 0, np.float64)
    x = np.random.default_rng(1).normal(size=(8, 3))
    trace = forward(net, weights, {"input1": x}, training=True, random=lambda n: np.random.default_rng(3))
    kept = trace.values["drop_path1"].any(1)
    assert 0 < kept.sum() < 8
    gradients, inputs = backward(net, weights, trace, {"drop_path1": np.ones((8, 2))}, needs_input_gradients=True)
    assert (inputs["input1"].any(1) == kept).all()
    np.testing.assert_allclose(gradients["fc1.bias"], [2 * kept.sum()] * 2)


# --- norms -----------------------------------------------------------------------------------------------------


def normalized(values: Sequence[float], eps: float) -> list[float]:
    mean = math.fsum(values) / len(values)
    var = math.fsum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / math.sqrt(var + eps) for v in values]


@pytest.mark.parametrize("shape", [(6,), (6, 5), (6, 3, 4), (6, 2, 3, 2)])
@pytest.mark.parametrize(
    ("text", "groups"),
    [("group_norm groups=2 eps=0.01", 2), ("group_norm groups=3 eps=0.01", 3), ("layer_norm eps=0.01", 1),
     ("instance_norm eps=0.01", 6)],
)  # fmt: skip
def test_norms_over_one_sample_are_their_formula(shape: tuple[int, ...], text: str, groups: int) -> None:
    if groups == 6 and len(shape) == 1:
        pytest.skip("instance_norm needs spatial axes")
    net = graph(f"input {'x'.join(map(str, shape))}; n: {text}")
    weights = random_weights(net, 0, np.float64)
    x = np.random.default_rng(0).normal(5, 3, (2, *shape))
    expected = np.empty_like(x)
    share = 6 // groups
    for n, g in product(range(2), range(groups)):
        part = x[n, g * share : (g + 1) * share]
        expected[n, g * share : (g + 1) * share] = np.reshape(normalized(part.ravel().tolist(), 0.01), part.shape)
    ones = (1,) * (len(shape) - 1)
    expected = expected * weights["n.scale"].reshape(-1, *ones) + weights["n.shift"].reshape(-1, *ones)
    for training in (False, True):  # the same in training
        found = to_channels_first(forward(net, weights, {"input1": x}, training=training).values["n"])
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_group_norm_is_exact_for_large_means() -> None:
    x = (np.random.default_rng(0).normal(size=(2, 4, 16, 16)) + 10_000).astype(np.float32)
    net = graph("input 4x16x16; n: group_norm groups=2")
    weights = {"n.scale": np.ones(4, np.float32), "n.shift": np.zeros(4, np.float32)}
    y = to_channels_first(forward(net, weights, {"input1": x}).values["n"])
    groups = y.reshape(2, 2, -1).astype(np.float64)
    np.testing.assert_allclose(groups.mean(-1), 0, atol=1e-2)
    np.testing.assert_allclose(groups.var(-1), 1, rtol=1e-2)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("channels", [1, 4, 7])
def test_lrn_is_its_formula(size: int, channels: int) -> None:
    alpha, beta, bias = 0.9, 0.6, 1.5
    x = np.random.default_rng(size).normal(0, 2, (2, channels, 3))
    expected = np.empty_like(x)
    for n, c, i in np.ndindex(*x.shape):
        first, last = c - math.floor((size - 1) / 2), c + math.ceil((size - 1) / 2)
        total = sum(x[n, j, i] ** 2 for j in range(max(0, first), min(channels - 1, last) + 1))
        expected[n, c, i] = x[n, c, i] / (bias + alpha / size * total) ** beta
    text = f"input {channels}x3; lrn size={size} alpha={alpha} beta={beta} bias={bias}"
    np.testing.assert_allclose(out(text, x), expected, rtol=1e-12)


def test_affine_is_a_scale_and_a_shift() -> None:
    weights = {"affine1.scale": np.array([2.0, -1.0]), "affine1.shift": np.array([10.0, 0.5])}
    assert out("input 2x2; affine", np.array([[[1.0, 2], [3, 4]]]), weights=weights).tolist() == [
        [[12, 14], [-2.5, -3.5]]
    ]


# --- pools -----------------------------------------------------------------------------------------------------


def weighed(
    x: Array, setting: Any, sizes: tuple[int, ...], sigma: float | None, count_pad: bool
) -> Array:  # the language's words: the weights of all axes multiplied, their sum over what is seen brought to 1
    y = np.zeros((*x.shape[:2], *sizes))
    for n, c, where in product(range(x.shape[0]), range(x.shape[1]), product(*map(range, sizes))):
        total, weight = 0.0, 0.0
        for tap, place in plain.places(where, setting.k, setting.s, setting.d, setting.p):
            w = 1.0
            for t, k in zip(tap, setting.k, strict=True):
                w *= math.exp(-((t - (k - 1) / 2) ** 2) / (2 * (sigma or k / 4) ** 2))
            if plain.inside(place, setting.m):
                total += w * x[(n, c, *place)]
            if plain.inside(place, setting.m, setting.p if count_pad else None):
                weight += w
        y[(n, c, *where)] = total / weight
    return y


def norms(x: Array, setting: Any, sizes: tuple[int, ...], order: int) -> Array:
    y = np.zeros((*x.shape[:2], *sizes))
    for n, c, where in product(range(x.shape[0]), range(x.shape[1]), product(*map(range, sizes))):
        places = [
            place
            for _, place in plain.places(where, setting.k, setting.s, setting.d, setting.p)
            if plain.inside(place, setting.m)
        ]
        y[(n, c, *where)] = math.fsum(abs(x[(n, c, *place)]) ** order for place in places) ** (1 / order)
    return y


def fitting(rank: int, ceil: bool) -> Iterator[tuple[Any, tuple[int, ...]]]:
    for setting in settings(rank):
        reach = [d * (k - 1) + 1 for k, d in zip(setting.k, setting.d, strict=True)]
        sizes = (
            plain.ceil_sizes(setting.m, setting.k, setting.s, setting.d, setting.p)
            if ceil
            else plain.conv_sizes(*setting[:3], setting.d, setting.p)
        )
        if all(max(both) < e for both, e in zip(setting.p, reach, strict=True)) and sees_data(setting, sizes):
            yield setting, sizes


@pytest.mark.long
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("sigma", "count_pad"), [(None, False), (None, True), (0.7, False)])
def test_weighted_pool_is_its_formula(rank: int, ceil: bool, sigma: float | None, count_pad: bool) -> None:
    random = np.random.default_rng(rank)
    tried = 0
    for setting, sizes in fitting(rank, ceil):
        x = random.normal(size=(1, 2, *setting.m))
        op = Pool.make(
            rank, kind=WordValue("weighted"), k=setting.k, s=setting.s, p=sides(setting.p), d=setting.d, ceil=ceil,
            **({} if sigma is None else {"sigma": sigma}), **({"count_pad": True} if count_pad else {}),
        )  # fmt: skip
        expected = weighed(x, setting, sizes, sigma, count_pad)
        np.testing.assert_allclose(run(op, x, {}), expected, rtol=1e-11, atol=1e-14, err_msg=f"{op} on {setting.m}")
        tried += 1
    assert tried >= 20


@pytest.mark.long
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_lp_pool_is_its_formula(rank: int, ceil: bool, order: int) -> None:
    random = np.random.default_rng(rank)
    tried = 0
    for setting, sizes in fitting(rank, ceil):
        x = random.normal(size=(1, 2, *setting.m))
        op = Pool.make(
            rank, kind=WordValue("lp"), norm=order, k=setting.k, s=setting.s, p=sides(setting.p), d=setting.d, ceil=ceil
        )
        expected = norms(x, setting, sizes, order)
        np.testing.assert_allclose(run(op, x, {}), expected, rtol=1e-11, err_msg=f"{op} on {setting.m}")
        tried += 1
    assert tried >= 20


def test_l2_is_lp_of_two_and_no_mean() -> None:
    x = np.array([[[3.0, -4.0]]])
    assert out("input 1x2; pool l2 k=2", x).tolist() == [[[5]]]
    assert out("input 1x2; pool lp k=2", x).tolist() == [[[5]]]
    assert out("input 1x2; pool lp k=2 norm=1", x).tolist() == [[[7]]]
    assert out("input 1x2; pool avg k=2", x).tolist() == [[[-0.5]]]


def test_high_powers_stay_in_range() -> None:
    """30 to the 40th exceeds float32, and (1/30) to the 40th is too small for it."""
    x = np.array([[[30, 20, 1 / 30, 0.01, 0, 0]]], np.float32)
    text = "input 1x6; pool lp k=2 norm=40"
    np.testing.assert_allclose(out(text, x), [[[30, 1 / 30, 0]]], rtol=1e-6)
    np.testing.assert_allclose(input_gradient(text, x, np.ones((1, 1, 3), np.float32))[0, 0, ::2], [1, 1, 0], rtol=1e-4)


def test_a_window_of_zeros_has_no_gradient() -> None:
    x = np.zeros((1, 1, 4))
    for text in ("pool l2 k=2", "pool lp k=2 norm=1", "pool lp k=2 norm=3", "global_pool l2"):
        seed = np.ones_like(out(f"input 1x4; {text}", x))
        assert input_gradient(f"input 1x4; {text}", x, seed).tolist() == [[[0, 0, 0, 0]]]


def test_weighted_with_a_tiny_sigma_takes_the_nearest_element() -> None:
    """All weights are too small for a float; the nearest element must still win."""
    x = np.array([[[1.0, 2.0, 4.0, 8.0, 16.0]]])
    assert out("input 1x5; pool weighted k=3 s=1 sigma=1e-200", x).tolist() == [[[2, 4, 8]]]
    assert out("input 1x5; pool weighted k=2 s=1 sigma=0.001", x).tolist() == [[[1.5, 3, 6, 12]]]
    assert out("input 1x5; pool weighted k=5 s=4 p=3 sigma=0.01", x).tolist() == [[[1, 8]]]


def test_global_pools() -> None:
    x = np.array([[[[3.0, -4.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]])
    assert out("input 2x2x2; global_pool max", x).tolist() == [[[[3]], [[1]]]]
    assert out("input 2x2x2; global_pool avg", x).tolist() == [[[[-0.25]], [[1]]]]
    assert out("input 2x2x2; global_pool l2", x).tolist() == [[[[5]], [[2]]]]
    first = input_gradient("input 2x2x2; global_pool max", x, np.array([[[[7.0]], [[9.0]]]]))
    assert first.tolist() == [[[[7, 0], [0, 0]], [[9, 0], [0, 0]]]]  # of equal ones the first


def test_a_mean_of_many_is_exact() -> None:
    x = np.full((1, 1, 512, 512), 0.1, np.float32)
    assert out("input 1x512x512; global_pool avg", x)[0, 0, 0, 0] == pytest.approx(0.1, rel=1e-6)


# --- unpool, upsample, maxout -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "pool"),
    [
        ((4, 6), "k=2"),
        ((5, 7), "k=3 s=2"),
        ((5, 6), "k=3 s=1 p=1"),
        ((5, 7), "k=2 ceil=true"),
        ((7, 8), "k=2 s=1 d=3 p=1"),
        ((7,), "k=3 s=2 p=1"),
        ((3, 4, 3), "k=2 s=1"),
    ],
)
def test_unpool_puts_elements_where_the_maxima_were(shape: tuple[int, ...], pool: str) -> None:
    net = graph(f"input 2x{'x'.join(map(str, shape))}; q: pool max {pool}; scale 3; u: unpool q")
    op = net.by_name["q"].op
    assert isinstance(op, Pool)
    random = np.random.default_rng(0)
    x = random.integers(-3, 4, (2, 2, *shape)).astype(np.float64)  # with equal maxima
    pads = op.rules(net.by_name["input1"].type)
    begins = [(r.begin, r.end) for r in pads]
    expected = np.zeros_like(x)
    sizes = net.by_name["q"].type.spatial
    for n, c, where in product(range(2), range(2), product(*map(range, sizes))):
        places = [p for _, p in plain.places(where, op.k, op.stride, op.d, begins) if plain.inside(p, shape)]
        best = max(places, key=lambda p: x[(n, c, *p)])  # the first of equal ones
        expected[(n, c, *best)] += 3 * x[(n, c, *best)]
    trace = forward(net, {}, {"input1": x})
    np.testing.assert_array_equal(to_channels_first(trace.values["u"]), expected)


@pytest.mark.long
@pytest.mark.parametrize("shape", [(5,), (3, 4), (1, 2), (2, 3, 2)])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_upsample_is_its_formula(shape: tuple[int, ...], n: int) -> None:
    """nearest: y[i] = x[floor(i/N)]; bilinear: at (i + 1/2)/N - 1/2, the outermost elements repeated at the edge."""
    x: Array = np.random.default_rng(n).normal(size=(1, 2, *shape))
    larger = tuple(m * n for m in shape)
    nearest: Array = np.empty((1, 2, *larger))
    linear: Array = np.zeros((1, 2, *larger))
    for c, position in product(range(2), product(*map(range, larger))):
        nearest[(0, c, *position)] = x[(0, c, *(i // n for i in position))]
        around = []
        for i, m in zip(position, shape, strict=True):
            place = (i + 0.5) / n - 0.5
            low = math.floor(place)
            share = place - low
            around.append([(min(max(low, 0), m - 1), 1 - share), (min(max(low + 1, 0), m - 1), share)])
        for corner in product(*around):
            linear[(0, c, *position)] += math.prod(w for _, w in corner) * x[(0, c, *(i for i, _ in corner))]
    text = f"input 2x{'x'.join(map(str, shape))}; upsample {n}"
    np.testing.assert_array_equal(out(text, x), nearest)
    np.testing.assert_allclose(out(f"{text} mode=bilinear", x), linear, rtol=1e-12, atol=1e-12)


def test_bilinear_of_two_pixels() -> None:
    """The values that torch.nn.functional.interpolate(..., mode="linear", align_corners=False) is documented to give."""
    assert out("input 1x2; upsample 2 mode=bilinear", np.array([[[1.0, 2.0]]])).tolist() == [[[1, 1.25, 1.75, 2]]]


def test_maxout_takes_successive_channels() -> None:
    x = np.array([[[1.0], [5.0], [2.0], [-3.0], [-1.0], [-1.0]]])
    assert out("input 6x1; maxout 2", x).tolist() == [[[5], [2], [-1]]]
    assert out("input 6x1; maxout 3", x).tolist() == [[[5], [-1]]]
    found = input_gradient("input 6x1; maxout 2", x, np.array([[[1.0], [2.0], [3.0]]]))
    assert found[0, :, 0].tolist() == [0, 1, 2, 0, 3, 0]  # of equal ones the first


def test_maxout_of_many_channels() -> None:
    x = np.zeros((1, 400))
    x[0, 333] = 1
    found = input_gradient("input 400; maxout 400", x, np.ones((1, 1)))
    assert found.sum() == found[0, 333] == 1


# --- filters ---------------------------------------------------------------------------------------------------

KERNELS = {
    "sobel_x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "sobel_y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "box": np.full((3, 3), 1 / 9).tolist(),
    "gaussian": (np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16).tolist(),
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "prewitt_x": [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]],
    "prewitt_y": [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
    "scharr_x": [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]],
    "scharr_y": [[-3, -10, -3], [0, 0, 0], [3, 10, 3]],
    "edge_enhance": [[-0.5, -0.5, -0.5], [-0.5, 5, -0.5], [-0.5, -0.5, -0.5]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_named_filter_is_its_kernel_on_each_channel(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    weight = np.zeros((3, 1, 3, 3))
    weight[:, 0] = KERNELS[name]
    expected = plain.conv(x, weight, None, (1, 1), (1, 1), ((1, 1), (1, 1)), 3)
    np.testing.assert_allclose(out(f"input 3x5x6; filter {name}", x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "numbers", "rest", "s", "pads"),
    [
        ((6,), "[1, -2, 0.5]", "p=valid", (1,), [(0, 0)]),
        ((6,), "[1, -2, 0.5]", "s=2 p=1", (2,), [(1, 1)]),
        ((5, 6), "[[1, 2, 3], [4, 5, 6]]", "s=2x1 p=[0,1,1,2]", (2, 1), [(0, 1), (1, 2)]),
        ((3, 4, 3), "[[[1, 2]], [[3, 4]]]", "p=full", (1, 1, 1), [(1, 1), (0, 0), (1, 1)]),
    ],
)
def test_a_filter_of_numbers_is_its_kernel(
    shape: tuple[int, ...], numbers: str, rest: str, s: tuple[int, ...], pads: list[tuple[int, int]]
) -> None:
    x = np.random.default_rng(0).normal(size=(2, 2, *shape))
    kernel = np.array(json.loads(numbers), float)
    weight = np.broadcast_to(kernel, (2, 1, *kernel.shape))
    expected = plain.conv(x, weight, None, s, (1,) * len(shape), pads, 2)
    text = f"input 2x{'x'.join(map(str, shape))}; filter {numbers} {rest}"
    np.testing.assert_allclose(out(text, x), expected, rtol=1e-12, atol=1e-12)


def applied_kernel(layer: str) -> Array:
    """The numbers that a filter applies, read from its output for an image with a single 1."""
    x = np.zeros((1, 1, 61, 61))
    x[0, 0, 30, 30] = 1
    y: Array = out(f"input 1x61x61; {layer}", x)[0, 0]
    rows, columns = (np.flatnonzero(np.abs(y).sum(axis)) for axis in (1, 0))
    return y[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][::-1, ::-1]


def gabor_cell(x: float, y: float, angle: float, wavelength: float, phase: float, sigma: float, aspect: float) -> Any:
    """The envelope and the wave of a Gabor filter at one position, as getGaborKernel of OpenCV defines them."""
    theta = angle * math.pi / 180
    u = x * math.cos(theta) + y * math.sin(theta)
    v = -x * math.sin(theta) + y * math.cos(theta)
    envelope = math.exp(-(u * u + aspect * aspect * v * v) / (2 * sigma * sigma))
    return envelope, math.cos(2 * math.pi * u / wavelength + phase * math.pi / 180)


@pytest.mark.parametrize(
    ("layer", "settings", "k"),
    [
        ("filter gabor", (0, 4, 0, 2.24, 1), 15),
        ("filter gabor angle=45 wavelength=4 k=9", (45, 4, 0, 2.24, 1), 9),
        ("filter gabor angle=-20 wavelength=6.5 phase=90 sigma=2 aspect=0.5 k=11", (-20, 6.5, 90, 2, 0.5), 11),
    ],
)
def test_a_gabor_filter_is_its_formula(layer: str, settings: tuple[float, ...], k: int) -> None:
    r = k // 2
    cells = [gabor_cell(x, y, *settings) for y in range(-r, r + 1) for x in range(-r, r + 1)]
    mean = sum(g * w for g, w in cells) / sum(g for g, _ in cells)
    numbers = [g * (w - mean) for g, w in cells]
    expected = np.reshape(numbers, (k, k)) / sum(map(abs, numbers))
    np.testing.assert_allclose(applied_kernel(layer), expected, rtol=1e-9, atol=1e-15)
    assert abs(applied_kernel(layer).sum()) < 1e-12


def test_the_angle_of_a_gabor_filter_is_the_direction_across_its_stripes() -> None:
    """Stripes that follow each other to the right, downwards, and to the lower right, each with period 4."""
    y, x = np.mgrid[0:40, 0:40]
    for angle, u in ((0, x), (90, y), (45, (x + y) / math.sqrt(2))):
        stripes = np.cos(2 * math.pi * u / 4)[None, None]
        strongest = {
            a: np.abs(out(f"input 1x40x40; filter gabor angle={a} p=valid", stripes)).max() for a in (0, 45, 90, 135)
        }
        assert max(strongest, key=lambda a: strongest[a]) == angle


@pytest.mark.parametrize(("sigma", "k"), [(0.8, 5), (1.0, 7), (1.4, 9), (2.5, 17)])
def test_gaussian_and_log_with_a_sigma_are_their_formulas(sigma: float, k: int) -> None:
    r = k // 2
    g = [[math.exp(-(x * x + y * y) / (2 * sigma**2)) for x in range(-r, r + 1)] for y in range(-r, r + 1)]
    gaussian = np.array(g) / sum(map(sum, g))
    np.testing.assert_allclose(applied_kernel(f"filter gaussian sigma={sigma}"), gaussian, rtol=1e-12)
    squares = np.array([[x * x + y * y for x in range(-r, r + 1)] for y in range(-r, r + 1)])
    log = gaussian * (squares - 2 * sigma**2) / sigma**4
    np.testing.assert_allclose(applied_kernel(f"filter log sigma={sigma}"), log - log.mean(), rtol=1e-9, atol=1e-15)
    assert applied_kernel(f"filter log sigma={sigma}")[r, r] < 0  # the sign of laplacian


def test_gaussian_and_box_of_a_size() -> None:
    row = np.array([1, 4, 6, 4, 1]) / 16
    np.testing.assert_allclose(applied_kernel("filter gaussian k=5"), np.outer(row, row), rtol=1e-15)
    np.testing.assert_allclose(applied_kernel("filter gaussian k=1x3"), [[0.25, 0.5, 0.25]], rtol=1e-15)
    np.testing.assert_allclose(applied_kernel("filter box k=3x5"), np.full((3, 5), 1 / 15), rtol=1e-15)


@pytest.mark.long
def test_smoothing_and_edges_equal_scipy() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    signal = pytest.importorskip("scipy.signal")
    x = np.random.default_rng(3).normal(size=(12, 15))

    def filtered(layer: str) -> Array:
        y: Array = out(f"input 1x12x15; {layer}", x[None, None])[0, 0]
        return y

    for layer, expected in {
        "filter sobel_x": ndimage.sobel(x, 1, mode="constant"),
        "filter sobel_y": ndimage.sobel(x, 0, mode="constant"),
        "filter prewitt_x": ndimage.prewitt(x, 1, mode="constant"),
        "filter laplacian": ndimage.laplace(x, mode="constant"),
        "filter gaussian sigma=1.2": ndimage.gaussian_filter(x, 1.2, mode="constant", truncate=3),
        "filter box k=5": ndimage.uniform_filter(x, 5, mode="constant"),
        "filter [[1, 2, 0], [3, -4, 5], [0, 6, 1]]": signal.correlate(x, [[1, 2, 0], [3, -4, 5], [0, 6, 1]], "same"),
        "filter [[1, 2, 0], [3, -4, 5], [0, 6, 1]] flip=true": signal.convolve(
            x, [[1, 2, 0], [3, -4, 5], [0, 6, 1]], "same"
        ),
        "filter [[1, 2], [3, 4]] flip=true p=full": signal.convolve(x, [[1, 2], [3, 4]], "full"),
    }.items():
        np.testing.assert_allclose(filtered(layer), expected, rtol=1e-9, atol=1e-12, err_msg=layer)


@pytest.mark.parametrize("rest", ["", "s=2 p=1", "p=valid"])
def test_a_flipped_filter_is_that_of_the_reversed_numbers(rest: str) -> None:
    x = np.random.default_rng(4).normal(size=(2, 2, 7, 8))
    flipped = out(f"input 2x7x8; filter [[1, 2, 3], [4, 5, 6]] flip=true {rest}", x)
    reversed_numbers = out(f"input 2x7x8; filter [[6, 5, 4], [3, 2, 1]] {rest}", x)
    np.testing.assert_array_equal(flipped, reversed_numbers)


@pytest.mark.long
@pytest.mark.parametrize("rest", ["", "s=2", "p=valid s=3x1", "flip=true p=full"])
def test_a_large_kernel_computes_the_same_as_its_numbers(rest: str) -> None:
    """A named kernel of more than 400 numbers is applied by Fourier transforms, given numbers tap by tap."""
    name = "gabor angle=30 wavelength=7 phase=50 k=21x23"
    kernel = Filter.make(numbers=WordValue("gabor"), angle=30, wavelength=7, phase=50, k=(21, 23)).kernel()
    numbers = json.dumps(kernel)
    x = np.random.default_rng(5).normal(size=(2, 3, 31, 26))
    by_name, by_numbers = (f"input 3x31x26; filter {layer} {rest}" for layer in (name, numbers))
    y = out(by_numbers, x)
    np.testing.assert_allclose(out(by_name, x), y, rtol=0, atol=1e-14)
    single = out(by_name, x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, y, rtol=0, atol=1e-6)
    gradient = np.random.default_rng(6).normal(size=y.shape)
    np.testing.assert_allclose(
        input_gradient(by_name, x, gradient), input_gradient(by_numbers, x, gradient), rtol=0, atol=1e-14
    )


def test_sobel_of_a_brightness_gradient() -> None:
    rightwards = np.broadcast_to(np.arange(5.0), (1, 1, 5, 5))
    assert out("input 1x5x5; filter sobel_x p=valid", np.ascontiguousarray(rightwards)).tolist() == [[[[8.0] * 3] * 3]]
    downwards = np.ascontiguousarray(np.swapaxes(rightwards, 2, 3))
    assert out("input 1x5x5; filter sobel_y p=valid", downwards).tolist() == [[[[8.0] * 3] * 3]]


# --- against PyTorch, if it is installed -------------------------------------------------------------------------


def functional(name: str) -> Callable[[Any, Any], Any]:
    return lambda torch, x: getattr(torch.nn.functional, name)(x)


TORCH: dict[str, Callable[[Any, Any], Any]] = {
    **{
        name: functional(function)
        for name, function in {
            "elu": "elu", "selu": "selu", "softplus": "softplus", "gelu": "gelu", "silu": "silu", "relu6": "relu6",
            "leaky_relu": "leaky_relu", "hard_sigmoid": "hardsigmoid", "hard_swish": "hardswish", "hard_tanh": "hardtanh",
            "mish": "mish",
        }.items()
    },
    "log_softmax": lambda t, x: t.log_softmax(x, 1),
    "lrn size=3 alpha=2 beta=0.6 bias=1.5": lambda t, x: t.nn.functional.local_response_norm(x, 3, 2, 0.6, 1.5),
    "upsample 3x2 mode=bilinear": lambda t, x: t.nn.functional.interpolate(x, scale_factor=(3, 2), mode="bilinear"),
    "pool lp k=2x3 norm=3": lambda t, x: t.nn.functional.lp_pool2d(x.abs(), 3, (2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("text", TORCH)
def test_output_and_gradient_are_those_of_pytorch(text: str) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    x = random.normal(0, 2, (2, 6, 4, 6))
    theirs = torch.tensor(x, requires_grad=True)
    value = TORCH[text](torch, theirs)
    mine = out(f"input 6x4x6; {text}", x)
    np.testing.assert_allclose(mine, value.detach().numpy(), rtol=1e-6, atol=1e-9)
    seed = random.normal(size=mine.shape)
    value.backward(torch.tensor(seed))
    np.testing.assert_allclose(
        input_gradient(f"input 6x4x6; {text}", x, seed), theirs.grad.numpy(), rtol=1e-6, atol=1e-9
    )
