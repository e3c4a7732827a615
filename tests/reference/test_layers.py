"""What layers promise beside their formula: training and use, extremes, random numbers, first weights."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError, Exit
from cnnc.graph.graph import Graph
from cnnc.network import check
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first
from tests.op_cases import CASES, Case, graph_of, random_feeds, random_weights


def graph(text: str) -> Graph:
    return check(text).require_graph()


def out(text: str, x: Array, weights: Weights | None = None) -> Array:
    made = graph(text)
    return to_channels_first(forward(made, weights or {}, {"input1": x}).values[made.outputs[0]])


# --- batch norm --------------------------------------------------------------------------------------------


def bn(dtype: type = np.float64) -> tuple[Graph, Weights, Array]:
    made = graph("input 3x4x5; bn momentum=0.8")
    x: Array = np.random.default_rng(0).normal(2, 3, (6, 3, 4, 5)).astype(dtype)
    return made, random_weights(made, 0, dtype), x


def test_batch_norm_in_training_uses_the_batch() -> None:
    made, weights, x = bn()
    y = to_channels_first(forward(made, weights, {"input1": x}, training=True).values["bn1"])
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    scale, shift = (weights[f"bn1.{n}"].reshape(1, 3, 1, 1) for n in ("scale", "shift"))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + shift, rtol=1e-10)


def test_batch_norm_in_use_has_its_running_statistics() -> None:
    made, weights, x = bn()
    y = to_channels_first(forward(made, weights, {"input1": x}).values["bn1"])
    mean, var, scale, shift = (weights[f"bn1.{n}"].reshape(1, 3, 1, 1) for n in ("mean", "var", "scale", "shift"))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + shift, rtol=1e-10)


def test_running_statistics_follow_as_onnx_says() -> None:
    """running·momentum + batch·(1 - momentum), with the population's variance; and nothing is changed in place."""
    made, weights, x = bn()
    before = {name: array.copy() for name, array in weights.items()}
    buffers = forward(made, weights, {"input1": x}, training=True).buffers
    assert buffers.keys() == {"bn1.mean", "bn1.var"}
    np.testing.assert_allclose(buffers["bn1.mean"], 0.8 * before["bn1.mean"] + 0.2 * x.mean((0, 2, 3)), rtol=1e-10)
    np.testing.assert_allclose(buffers["bn1.var"], 0.8 * before["bn1.var"] + 0.2 * x.var((0, 2, 3)), rtol=1e-10)
    assert all(np.array_equal(weights[name], before[name]) for name in before)
    assert forward(made, weights, {"input1": x}).buffers == {}


def test_batch_norm_of_a_constant_channel_is_finite() -> None:
    made, weights, x = bn(np.float32)
    x[:, 1] = 7
    trace = forward(made, weights, {"input1": x}, training=True)
    gradients, inputs = backward(made, weights, trace, {"bn1": np.ones((6, 4, 5, 3), np.float32)}, want_inputs=True)
    assert all(np.isfinite(a).all() for a in [*gradients.values(), *inputs.values()])


def test_variance_of_far_away_values_is_not_lost() -> None:
    """mean(x²) - mean(x)² would be noise here."""
    made, weights, x = bn(np.float32)
    far = x + np.float32(10_000)
    buffers = forward(made, weights, {"input1": far}, training=True).buffers
    wanted = 0.8 * weights["bn1.var"] + 0.2 * far.astype(np.float64).var((0, 2, 3))
    np.testing.assert_allclose(buffers["bn1.var"], wanted, rtol=1e-3)


# --- dropout -----------------------------------------------------------------------------------------------


def dropped(p: float, seed: int = 0) -> Array:
    made = graph(f"input 5000; dropout {p}")
    ones = np.ones((4, 5000), np.float32)
    trace = forward(
        made, {}, {"input1": ones}, training=True, random=lambda name: np.random.default_rng([seed, *name.encode()])
    )
    return trace.values["dropout1"]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(p: float) -> None:
    y = dropped(p)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(1 - p)}
    assert (y == 0).mean() == pytest.approx(p, abs=0.02)
    assert y.mean() == pytest.approx(1, abs=0.1)


def test_dropout_depends_on_its_random_numbers_alone() -> None:
    assert np.array_equal(dropped(0.5), dropped(0.5))
    assert not np.array_equal(dropped(0.5), dropped(0.5, seed=1))


def test_dropout_does_nothing_in_use() -> None:
    x = np.random.default_rng(0).normal(size=(2, 9)).astype(np.float32)
    assert np.array_equal(out("input 9; dropout 0.5", x), x)


# --- activations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_stay_finite(dtype: type) -> None:
    x: Array = np.array([[-1e4, -100, -0.0, 0, 100, 1e4]], dtype)
    assert out("input 6; sigmoid", x)[0, [0, 2, 3, 5]].tolist() == [0, 0.5, 0.5, 1]
    assert out("input 6; tanh", x)[0, [0, 2, 5]].tolist() == [-1, 0, 1]
    assert out("input 6; relu", x)[0].tolist() == [0, 0, 0, 0, 100, 1e4]
    assert out("input 6; softmax", x)[0].tolist() == [0, 0, 0, 0, 0, 1]


def test_softmax_looks_along_the_channels() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    y = out("input 3x4x5; softmax", x)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(1, keepdims=True), rtol=1e-12)


# --- orders ------------------------------------------------------------------------------------------------


def test_flatten_and_fc_take_channels_first() -> None:
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    assert out("input 2x3x4; flatten", x)[0].tolist() == list(range(24))
    weight = np.arange(24.0)[None]
    found = out("input 2x3x4; fc 1 bias=false", x, {"fc1.weight": weight})
    assert found[0, 0] == (np.arange(24) ** 2).sum()


def test_reshape_takes_channels_first() -> None:
    x = np.arange(24.0).reshape(1, 24)
    np.testing.assert_array_equal(out("input 24; reshape 2x3x4", x), x.reshape(1, 2, 3, 4))
    y = np.arange(24.0).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(out("input 2x3x4; reshape 4x6", y), y.reshape(1, 4, 6))


# --- inputs ------------------------------------------------------------------------------------------------


def test_bytes_are_scaled_to_one() -> None:
    x = np.array([[0, 51, 255]], np.uint8)
    np.testing.assert_allclose(out("input 3 dtype=uint8; relu", x), [[0, 0.2, 1]], rtol=1e-6)


def test_a_feed_of_another_shape_is_an_error_of_data() -> None:
    with pytest.raises(CnncError, match="the input input1 takes 3x4x5, not 3x5x4") as caught:
        out("input 3x4x5; relu", np.zeros((1, 3, 5, 4), np.float32))
    assert caught.value.diagnostics[0].code == "E602"
    assert caught.value.status is Exit.DATA


@pytest.mark.long
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_keeps_its_element_type(case: Case, dtype: type) -> None:
    """No layer widens to float64, which would halve its speed, or narrows to float32, which would hide errors."""
    made = graph_of(case)
    weights = random_weights(made, 0, dtype)
    if not weights and any(n.op.keyword == "input" and n.op.brief() for n in made.nodes):
        pytest.skip("without weights and float inputs, float32 is all there is")
    feeds = random_feeds(case, made, 2, 0, dtype)
    trace = forward(made, weights, feeds, training=True, keep_all=True, random=lambda name: np.random.default_rng(0))
    seeds = {name: np.ones_like(trace.values[name]) for name in made.outputs}
    whole = {node.name for node in made.nodes if node.type.dtype == "int64"}
    assert all(trace.values[name].dtype == np.int64 for name in whole)
    types = {name: value.dtype for name, value in [*trace.values.items(), *trace.buffers.items()] if name not in whole}
    gradients, inputs = backward(made, weights, trace, seeds, want_inputs=True)
    types |= {f"d {name}": value.dtype for name, value in [*gradients.items(), *inputs.items()]}
    assert {name: found for name, found in types.items() if found != dtype} == {}


# --- first weights -----------------------------------------------------------------------------------------


def test_one_more_layer_changes_no_other_weight() -> None:
    """So two texts that differ in one place start from the same weights elsewhere."""
    short = initialize(graph("input 1x8x8; a: conv 4 k=3; relu; b: fc 5"), 3)
    long = initialize(graph("input 1x8x8; a: conv 4 k=3; relu; m: conv 4 k=3 p=1; relu; b: fc 5"), 3)
    assert all(np.array_equal(short[name], long[name]) for name in short)
    assert long.keys() - short.keys() == {"m.weight", "m.bias"}


def test_the_seed_decides_the_weights() -> None:
    made = graph("input 1x8x8; conv 4 k=3; relu; fc 5")
    first, again = initialize(made, 1), initialize(made, 1)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(initialize(made, 1)["conv1.weight"], initialize(made, 2)["conv1.weight"])


@pytest.mark.parametrize(
    ("text", "variance"),
    [
        ("input 64x4x4; a: conv 128 k=3; relu", 2 / (64 * 9)),  # He et al. 2015: 2/fan_in
        ("input 64x4x4; a: conv 128 k=3; bn; relu", 2 / (64 * 9)),
        ("input 64x4x4; a: conv 128 k=3; bn; dropout; relu", 2 / (64 * 9)),
        ("input 64x4x4; a: conv 128 k=3 groups=4; relu", 2 / (16 * 9)),
        ("input 400; a: fc 300; relu", 2 / 400),
        ("input 400; a: fc 300; tanh", 2 / 700),  # Glorot & Bengio 2010: 2/(fan_in + fan_out)
        ("input 400; a: fc 300", 2 / 700),
        ("input 64x4x4; a: conv 128 k=3", 2 / ((64 + 128) * 9)),
    ],
)
def test_the_first_weights_have_the_spread_of_the_papers(text: str, variance: float) -> None:
    weights = initialize(graph(text), 0)
    assert weights["a.weight"].var() == pytest.approx(variance, rel=0.05)
    assert abs(weights["a.weight"].mean()) < 0.05 * variance**0.5
    assert not weights["a.bias"].any()
    assert weights["a.weight"].dtype == np.float32


def test_batch_norm_begins_as_the_identity() -> None:
    weights = initialize(graph("input 3x4x4; bn"), 0)
    assert {name: set(array.tolist()) for name, array in weights.items()} == {
        "bn1.scale": {1.0},
        "bn1.shift": {0.0},
        "bn1.mean": {0.0},
        "bn1.var": {1.0},
    }


# --- what is kept ------------------------------------------------------------------------------------------


def test_values_are_dropped_after_their_last_reader() -> None:
    """Else a deep net in use holds every layer's value at once."""
    made = graph("input 3x8x8; conv 4 k=3; relu; conv 4 k=3; relu; fc 2")
    weights = initialize(made, 0)
    x = {"input1": np.zeros((1, 3, 8, 8), np.float32)}
    assert forward(made, weights, x).values.keys() == {"fc1"}
    assert forward(made, weights, x).parts == []
    assert forward(made, weights, x, wanted=["relu1", "fc1"]).values.keys() == {"relu1", "fc1"}
    assert len(forward(made, weights, x, keep_all=True).values) == len(made.nodes)


def test_layers_that_nothing_asks_for_do_not_run() -> None:
    made = graph("input 6; a: fc 5; b: fc 4; c: fc 3")
    weights = {name: array for name, array in initialize(made, 0).items() if not name.startswith(("b.", "c."))}
    assert forward(made, weights, {"input1": np.zeros((1, 6), np.float32)}, wanted=["a"]).values.keys() == {"a"}


@pytest.mark.long
def test_inputs_are_left_as_they_were() -> None:
    for case in CASES:
        made = graph_of(case)
        weights = random_weights(made, 0)
        feeds = random_feeds(case, made, 2, 0)
        before = {name: array.copy() for name, array in {**weights, **feeds}.items()}
        trace = forward(made, weights, feeds, training=True, random=lambda name: np.random.default_rng(0))
        seeds = {name: np.ones_like(trace.values[name]) for name in made.outputs}
        backward(made, weights, trace, seeds, want_inputs=True)
        for name, array in {**weights, **feeds}.items():
            assert np.array_equal(array, before[name]), f"{case.id}: {name}"
        for name, array in seeds.items():
            assert (array == 1).all(), f"{case.id}: the gradient of {name}"
