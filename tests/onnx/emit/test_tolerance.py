"""What an element may deviate by, in numbers: the terms of the formula in cnnc/onnx/emit/tolerance.py, one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.onnx.emit.tolerance import ATOL, Deviation, Reference


def deviation_of(value: Array, noise: float, largest: float, index: tuple[int, ...], error: float) -> Deviation:
    """The deviation of a model that errs at one element."""
    output = value.copy()
    output[index] += error
    return Reference(value, np.asarray(noise), np.asarray(largest)).network_deviation("x", output)


@pytest.mark.parametrize(
    ("scale", "noise", "allowed"),
    [
        (1.0, 1e-7, 1e-4 * 0.001 + 1e-5 + 32 * 1e-7),
        (1e-3, 1e-10, 1e-4 * 1e-6 + 1e-5 * 0.002 + 32 * 1e-10),
        (1.0, 0.0, 1e-4 * 0.001 + 1e-5),
        (1.0, 1e-3, 1e-5 + 1e-4 * 2.0),  # at most that of the largest element
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_worked_case(scale: float, noise: float, allowed: float, sign: int) -> None:
    """A small element of a channel whose elements reach 2, or reach -2."""
    value = sign * scale * np.linspace(0.0, 2.0, 64).reshape(1, 1, 8, 8)
    value[0, 0, 4, 4] = sign * scale * 0.001
    for error in (0.99 * allowed, 1.01 * allowed):
        found = deviation_of(value, noise, 2 * scale, (0, 0, 4, 4), error)
        assert found.passes == (error < allowed)
        assert found[1:] == pytest.approx((error, sign * scale * 0.001, allowed, 2 * scale, False), rel=1e-9)
        assert found.relative == pytest.approx(error / (2 * scale))


def test_a_layer_on_its_own_may_deviate_by_a_fiftieth_its_noise_and_its_operators_error() -> None:
    reference = Reference(np.array([[3.0, 0.5]]), np.asarray(1e-9), np.asarray(0.5))
    found = reference.layer_deviation("x", np.array([[3.0, 0.5 + 1e-3]]), 1e-6)
    assert found.allowed == pytest.approx(0.02 * (1e-4 * 0.5 + 1e-5 * 0.5) + 32 * 1e-9 + 1e-6, rel=1e-12)
    assert found.scale == 3.0


@pytest.mark.parametrize("farther", ["unoptimized", "with_errors"])
def test_two_runs_may_differ_by_eight_times_what_one_may_err(farther: str) -> None:
    """The optimized output is compared with the unoptimized one, not with the network."""
    exact = np.array([[0.25, 4.0], [1.0, 2.0]])
    off = exact + np.array([[0.0, 1e-3], [0.0, 0.0]])
    unoptimized, with_errors = (off, exact) if farther == "unoptimized" else (exact, off)
    reference = Reference(exact, np.asarray(1e-7), np.asarray(4.0))
    found = reference.run_deviation("x", unoptimized[:1], unoptimized[:1] + np.array([0.1, 0.0]), with_errors)
    assert found.difference == pytest.approx(0.1)
    assert found.value == 0.25
    assert found.allowed == pytest.approx(1e-4 * 0.25 + 1e-5 + 8 * 1e-3)
    exact_run = reference.run_deviation("x", exact, exact + 0.1, exact)
    assert exact_run.allowed == pytest.approx(1e-4 * 0.25 + 1e-5 + 32 * 1e-7), "and by the noise of float32"


def test_noise_is_the_root_mean_square_per_channel_without_zeros() -> None:
    """Channel 0 has 32 nonzero elements, channel 1 has 31, for which the noise of the whole tensor counts."""
    value = np.zeros((2, 2, 4, 10))
    value[:, 0, :, :4] = 1.0
    value[:, 1, :, :4] = 8.0
    value[0, 1, 0, 0] = 0.0
    single = value + np.where(value == 1.0, 3e-4, np.where(value == 8.0, -1e-4, 0.0))
    reference = Reference.of(value, single)
    everywhere = math.sqrt((32 * 9e-8 + 31 * 1e-8) / 63)
    assert reference.noise.reshape(-1) == pytest.approx([3e-4, everywhere])
    assert reference.largest.reshape(-1).tolist() == [1.0, 8.0], "the largest of the tensor, as of a small channel"
    single[0, 0, 0, 0] = np.inf  # an element that overflows float32 has no noise: now both channels have 31
    assert Reference.of(value, single).noise.reshape(-1) == pytest.approx([math.sqrt((31 * 9e-8 + 31 * 1e-8) / 62)] * 2)


def test_the_noise_may_come_from_fewer_samples_than_the_largest_element() -> None:
    value = np.ones((3, 1, 40))
    value[2] = -5.0
    reference = Reference.of(value, value[:1] + 1e-3)
    assert reference.noise.reshape(-1) == pytest.approx([1e-3])
    assert reference.largest.reshape(-1).tolist() == [5.0]
    lone = np.zeros((1, 1, 40))
    lone[0, 0, 7] = 1.0
    assert Reference.of(lone, lone * 1.001).noise.reshape(-1) == pytest.approx([1e-3]), "of a single element"
    single_of_a_zero = np.zeros((1, 1, 40)) + 1e-3  # a relu may be open in float32 alone
    assert Reference.of(np.zeros((1, 1, 40)), single_of_a_zero).noise.reshape(-1) == pytest.approx([1e-3])
    assert Reference.of(np.zeros((1, 1, 40)), np.zeros((1, 1, 40))).noise.reshape(-1).tolist() == [0.0]


@pytest.mark.parametrize(
    ("difference", "allowed", "share"),
    [(1.0, 2.0, 0.5), (2.0, 2.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, math.inf), (1.0, math.inf, 0.0), (math.inf, 1.0, math.inf), (math.inf, math.inf, 0.0), (math.inf, math.nan, math.inf)],
)  # fmt: skip
def test_the_share_of_what_is_allowed(difference: float, allowed: float, share: float) -> None:
    found = Deviation("x", difference, 1.0, allowed, 0.0)
    assert found.share == share
    assert found.passes == (share <= 1)
    assert found.relative == difference, "relative to nothing, it is the difference"


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 4, 3), (2, 3, 1, 4), (2, 12)])
def test_a_tensor_of_another_shape_fails(shape: tuple[int, ...]) -> None:
    """Also one that broadcasts."""
    reference = Reference.of(np.ones((2, 3, 1)), np.ones((2, 3, 1)))
    for found in (
        reference.network_deviation("x", np.ones(shape)),
        reference.layer_deviation("x", np.ones(shape), 0.0),
    ):
        assert found == Deviation("x", math.inf, 0.0, 0.0, 1.0)
        assert found.share == math.inf


def test_a_tensor_without_elements_agrees() -> None:
    reference = Reference.of(np.ones((2, 0)), np.ones((2, 0)))
    assert reference.network_deviation("x", np.ones((2, 0))).share == 0
    assert reference.layer_deviation("x", np.ones((2, 0)), 0.0) == Deviation("x", 0.0, 0.0, ATOL, 0.0)
