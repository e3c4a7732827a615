"""The installed onnxruntime errs by no more than half of what verification allows each operator."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.operator_errors import ELEMENTWISE, all_measured, distributed_inputs, elementwise_inputs, measure
from cnnc.core.arrays import Array
from cnnc.network import check
from cnnc.onnx.emit.model import DEFAULT_OPSET
from cnnc.onnx.emit.network_outputs import exact_outputs, outputs_with_errors
from cnnc.onnx.emit.operator_errors import OPERATOR_ERRORS, TINY, UNIT, operator_error
from cnnc.ops.activation import Elu, Relu, Sigmoid, Silu
from cnnc.reference.registry import FORWARD, Mode


@pytest.mark.long
def test_every_operator_errs_by_at_most_half_of_its_allowance() -> None:
    measured = list(all_measured(2000, [(4, 9, 9), (2, 60, 60)]))
    assert [m for m in measured if not m.share < 0.5] == []


@pytest.mark.slow
def test_large_maps_too() -> None:
    assert [m for m in all_measured(20_000, [(2, 500, 500)]) if not m.share < 0.5] == []


def test_onnxruntime_errs_where_the_table_says() -> None:
    """Without its entry in the table, each of these would be refused."""
    for layer, least in (("sigmoid", 5e-8), ("elu", 2e-8), ("silu", 1e-6)):
        assert measure(layer, elementwise_inputs(1000), [DEFAULT_OPSET]).absolute > least, layer


def test_the_allowance_does_not_depend_on_the_result() -> None:
    x = np.array([-30.0, -1e-9, 2.0])
    assert np.all(operator_error(Sigmoid(), {}, x, np.zeros(3)) == 2**-21 + TINY)
    assert operator_error(Silu(), {}, x, np.zeros(3))[0] == 30 * 2**-21 + TINY  # type: ignore[index]
    assert list(operator_error(Elu(2.0), {}, x, x) > TINY) == [True, True, False]  # type: ignore[arg-type]
    assert operator_error(Relu(), {}, x, x) == TINY


SMALLEST = 2.0**-126
"""The smallest normal number of float32: smaller powers become 0."""


def allowed(layer: str, x: Array, y: Array | None = None, **weights: Array) -> Array:
    """What verification allows the layer of a network at each element, in units of 2^-21."""
    shape = "x".join(map(str, (x.shape[-1], *x.shape[1:-1])))
    op = check(f"input {shape}; {layer}").require_graph().nodes[-1].op
    if y is None:
        y = FORWARD[type(op)](op, weights, (x,), Mode()).output
    return np.broadcast_to(operator_error(op, weights, x, y) - TINY, y.shape) / UNIT


@pytest.mark.parametrize(
    ("layer", "means", "variances", "count"),
    [
        ("layer_norm", [4.5] * 4, [8.75] * 4, 4),
        ("instance_norm", [1, 3, 5, 9], [0] * 4, 1),
        ("group_norm groups=2", [2, 2, 7, 7], [1, 1, 4, 4], 2),
    ],
)
def test_a_mean_errs_relative_to_its_own_size(
    layer: str, means: list[float], variances: list[float], count: int
) -> None:
    """A norm subtracts a mean that errs as a sum of `count` terms does, then divides by the deviation."""
    x, scale = np.array([[[[1.0, 3.0, 5.0, 9.0]]]]), np.array([1.0, -2.0, 1.0, 0.5])
    mean, std = np.array(means), np.sqrt(np.array(variances) + 1e-5)
    expected = (1 + math.sqrt(count) / 2) * (np.abs(x - mean) + mean) / std * np.abs(scale)
    np.testing.assert_allclose(allowed(layer, x, scale=scale, shift=np.zeros(4)), expected, rtol=1e-9)


def test_a_large_square_stays_in_the_sums_of_lrn() -> None:
    """x·(1 + 3/2·Σ x²)^-0.5 over two channels: every sum may have the error of the sum over all channels, 3/2·(1 + 4 + 9)."""
    x = np.array([[[[-1.0, 2.0, -3.0, 0.0]]]])
    sums = np.array([1 + 4, 4 + 9, 9, 0])  # a channel and the next one
    y = x * (1 + 1.5 * sums) ** -0.5
    expected = 0.5 * np.abs(y) * 1.5 * 14 / (1 + 1.5 * sums)
    np.testing.assert_allclose(allowed("lrn size=2 alpha=3 beta=0.5 bias=1", x), expected, rtol=1e-9, atol=1e-30)
    assert (allowed("lrn size=2 alpha=3 beta=0 bias=1", x) == 0).all()


def test_what_pools_may_err_by() -> None:
    x = np.array([[[[1.0], [-2.0], [3.0]], [[4.0], [-5.0], [6.0]]]])
    sum_error = 1 + math.sqrt(6) / 2
    assert allowed("global_pool max", x).item() == 0
    assert allowed("global_pool avg", x).item() == pytest.approx(sum_error * 21 / 6)
    assert allowed("global_pool l2", x).item() == pytest.approx(
        sum_error * math.sqrt(91) + math.sqrt(6 * SMALLEST) / UNIT
    )
    zeros = np.zeros((1, 2, 3, 1))  # of tiny elements the powers are 0
    assert allowed("pool l2 k=2x3", zeros).item() * UNIT == pytest.approx(math.sqrt(6 * SMALLEST), abs=TINY)
    assert allowed("pool lp k=2x3 norm=3", zeros).item() * UNIT == pytest.approx((6 * SMALLEST) ** (1 / 3))
    assert (allowed("pool avg k=2x3", x) == 0).all()


def test_the_bins_of_a_spectrogram_err_relative_to_the_windowed_frame() -> None:
    """The frame 1, 1, 1, 1 times the window 0, 1/2, 1, 1/2 has the norm √1.5 and the powers 4, 1, 0."""
    x = np.ones((1, 4, 1))
    powers = np.array([4.0, 1.0, 0.0])
    expected = 2 * (1 + math.sqrt(4) / 2) * math.sqrt(1.5) * np.sqrt(powers)
    found = allowed("spectrogram k=4 s=4 log=false", x).reshape(-1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found[2] == pytest.approx((2 * UNIT) ** 2 * 1.5 / UNIT)
    logged = allowed("spectrogram k=4 s=4 log=true eps=0.5", x).reshape(-1)
    np.testing.assert_allclose(logged, expected / (powers + 0.5), atol=1e-5)


def test_activations_without_a_result_of_their_input_s_size() -> None:
    x = np.array([[-2.0, 0.0, 3.0]])
    for layer, expected in (
        ("elu 0.5", [0.5, 0, 0]),
        ("selu", [1.76, 0, 0]),
        ("gelu", [2, 0, 3]),
        ("mish", [2, 0, 3]),
        ("hard_swish", [2, 0, 3]),
        ("softplus", [1, 1, 1]),
        ("hard_sigmoid", [1, 1, 1]),
        ("log_softmax", [1, 1, 1]),
    ):
        assert allowed(layer, x)[0].tolist() == pytest.approx(expected, rel=1e-9), layer


def test_every_sample_errs_by_as_much_as_it_may_in_either_direction() -> None:
    graph = check("input 300; a: sigmoid").require_graph()
    x = np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32)
    exact, off = (compute(graph, {}, {"input1": x})["a"] for compute in (exact_outputs, outputs_with_errors))
    np.testing.assert_allclose(exact, 1 / (1 + np.exp(-x.astype(np.float64))), rtol=1e-12)
    np.testing.assert_allclose(np.abs(off - exact), UNIT + TINY, rtol=1e-6)
    ups = (off > exact).sum(1)
    assert (ups > 100).all()
    assert (ups < 200).all()
    assert ((off > exact)[0] != (off > exact)[1]).any(), "each sample has random numbers of its own"


def test_the_inputs_reach_what_matters() -> None:
    x = np.concatenate([rows.reshape(-1) for rows in elementwise_inputs(1000)])
    assert x.min() < -100
    assert (np.abs(x[x != 0]) < 1e-8).any()
    assert {rows.shape[1] for rows in elementwise_inputs(1000)} == {1, 3, 7, 16, 1003}
    assert len(distributed_inputs([(3,), (4,)])) == 14
    assert len(ELEMENTWISE) < len(OPERATOR_ERRORS)
