"""Properties of layers besides their formula: training and inference, extreme inputs, random numbers, memory."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first
from tests.op_cases import CASES, Case, graph_of, random_feeds, random_weights
from tests.reference.networks import graph, out

# --- batch norm --------------------------------------------------------------------------------------------


def bn(dtype: type = np.float64) -> tuple[Graph, Weights, Array]:
    net = graph("input 3x4x5; bn momentum=0.8")
    x: Array = np.random.default_rng(0).normal(2, 3, (6, 3, 4, 5)).astype(dtype)
    return net, random_weights(net, 0, dtype), x


def test_batch_norm_in_training_uses_the_batch() -> None:
    net, weights, x = bn()
    y = to_channels_first(forward(net, weights, {"input1": x}, training=True).values["bn1"])
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    scale, shift = (weights[f"bn1.{n}"].reshape(1, 3, 1, 1) for n in ("scale", "shift"))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + shift, rtol=1e-10)


def test_batch_norm_in_inference_uses_running_statistics() -> None:
    net, weights, x = bn()
    y = to_channels_first(forward(net, weights, {"input1": x}).values["bn1"])
    mean, var, scale, shift = (weights[f"bn1.{n}"].reshape(1, 3, 1, 1) for n in ("mean", "var", "scale", "shift"))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + shift, rtol=1e-10)


def test_running_statistics_are_updated_as_in_onnx() -> None:
    """running·momentum + batch·(1 - momentum), with the variance of the population (not the sample); nothing is changed in place."""
    net, weights, x = bn()
    before = {name: array.copy() for name, array in weights.items()}
    buffers = forward(net, weights, {"input1": x}, training=True).buffers
    assert buffers.keys() == {"bn1.mean", "bn1.var"}
    np.testing.assert_allclose(buffers["bn1.mean"], 0.8 * before["bn1.mean"] + 0.2 * x.mean((0, 2, 3)), rtol=1e-10)
    np.testing.assert_allclose(buffers["bn1.var"], 0.8 * before["bn1.var"] + 0.2 * x.var((0, 2, 3)), rtol=1e-10)
    assert all(np.array_equal(weights[name], before[name]) for name in before)
    assert forward(net, weights, {"input1": x}).buffers == {}


def test_batch_norm_of_a_constant_channel_is_finite() -> None:
    net, weights, x = bn(np.float32)
    x[:, 1] = 7
    trace = forward(net, weights, {"input1": x}, training=True)
    gradients, inputs = backward(
        net, weights, trace, {"bn1": np.ones((6, 4, 5, 3), np.float32)}, needs_input_gradients=True
    )
    assert all(np.isfinite(a).all() for a in [*gradients.values(), *inputs.values()])


def test_batch_variance_is_exact_for_large_means() -> None:
    """E[x²] - E[x]² would be rounding noise here."""
    net, weights, x = bn(np.float32)
    far = x + np.float32(10_000)
    buffers = forward(net, weights, {"input1": far}, training=True).buffers
    wanted = 0.8 * weights["bn1.var"] + 0.2 * far.astype(np.float64).var((0, 2, 3))
    np.testing.assert_allclose(buffers["bn1.var"], wanted, rtol=1e-3)


# --- dropout -----------------------------------------------------------------------------------------------


def dropped(p: float, seed: int = 0) -> Array:
    net = graph(f"input 5000; dropout {p}")
    ones = np.ones((4, 5000), np.float32)
    trace = forward(
        net, {}, {"input1": ones}, training=True, random=lambda name: np.random.default_rng([seed, *name.encode()])
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


def test_dropout_does_nothing_in_inference() -> None:
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


def test_softmax_is_over_the_channels() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    y = out("input 3x4x5; softmax", x)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(1, keepdims=True), rtol=1e-12)


# --- orders ------------------------------------------------------------------------------------------------


def test_flatten_and_fc_take_channels_first() -> None:
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    assert out("input 2x3x4; flatten", x)[0].tolist() == list(range(24))
    weight = np.arange(24.0)[None]
    found = out("input 2x3x4; fc 1 bias=false", x, weights={"fc1.weight": weight})
    assert found[0, 0] == (np.arange(24) ** 2).sum()


def test_reshape_takes_channels_first() -> None:
    x = np.arange(24.0).reshape(1, 24)
    np.testing.assert_array_equal(out("input 24; reshape 2x3x4", x), x.reshape(1, 2, 3, 4))
    y = np.arange(24.0).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(out("input 2x3x4; reshape 4x6", y), y.reshape(1, 4, 6))


# --- element types -----------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_a_run_keeps_its_element_type(case: Case) -> None:
    """No layer widens to float64, which would halve its speed, or narrows to float32, which would hide errors."""
    net = graph_of(case)
    if not net.weights and any(n.op.keyword == "input" and n.op.brief() for n in net.nodes):
        pytest.skip("without weights and float inputs, float32 is all there is")
    for dtype in (np.float32, np.float64):
        require_element_type(case, net, dtype)


def require_element_type(case: Case, net: Graph, dtype: type) -> None:
    weights = random_weights(net, 0, dtype)
    feeds = random_feeds(case, net, 2, 0, dtype)
    trace = forward(net, weights, feeds, training=True, keep_all=True, random=lambda name: np.random.default_rng(0))
    seeds = {name: np.ones_like(trace.values[name]) for name in net.outputs}
    whole = {node.name for node in net.nodes if node.type.dtype == "int64"}
    assert all(trace.values[name].dtype == np.int64 for name in whole)
    types = {name: value.dtype for name, value in [*trace.values.items(), *trace.buffers.items()] if name not in whole}
    gradients, inputs = backward(net, weights, trace, seeds, needs_input_gradients=True)
    types |= {f"d {name}": value.dtype for name, value in [*gradients.items(), *inputs.items()]}
    assert {name: found for name, found in types.items() if found != dtype} == {}


# --- what is kept ------------------------------------------------------------------------------------------


def test_activations_are_dropped_after_their_last_reader() -> None:
    """Otherwise inference would hold all activations of a deep network at once."""
    net = graph("input 3x8x8; conv 4 k=3; relu; conv 4 k=3; relu; fc 2")
    weights = initialize(net, 0)
    x = {"input1": np.zeros((1, 3, 8, 8), np.float32)}
    assert forward(net, weights, x).values.keys() == {"fc1"}
    assert forward(net, weights, x).shards == []
    assert forward(net, weights, x, outputs=["relu1", "fc1"]).values.keys() == {"relu1", "fc1"}
    assert len(forward(net, weights, x, keep_all=True).values) == len(net.nodes)


def test_layers_that_no_output_needs_do_not_run() -> None:
    net = graph("input 6; a: fc 5; b: fc 4; c: fc 3")
    weights = {name: array for name, array in initialize(net, 0).items() if not name.startswith(("b.", "c."))}
    assert forward(net, weights, {"input1": np.zeros((1, 6), np.float32)}, outputs=["a"]).values.keys() == {"a"}


def test_a_run_does_not_modify_weights_feeds_or_seeds() -> None:
    for case in CASES:
        net = graph_of(case)
        weights = random_weights(net, 0)
        feeds = random_feeds(case, net, 2, 0)
        before = {name: array.copy() for name, array in {**weights, **feeds}.items()}
        trace = forward(net, weights, feeds, training=True, random=lambda name: np.random.default_rng(0))
        seeds = {name: np.ones_like(trace.values[name]) for name in net.outputs}
        backward(net, weights, trace, seeds, needs_input_gradients=True)
        for name, array in {**weights, **feeds}.items():
            assert np.array_equal(array, before[name]), f"{case.id}: {name}"
        for name, array in seeds.items():
            assert (array == 1).all(), f"{case.id}: the gradient of {name}"
