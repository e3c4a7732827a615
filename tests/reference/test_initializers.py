"""Initial weights: what decides them, and how they are distributed."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.reference.initializers import initialize
from tests.reference.networks import graph


def test_adding_a_layer_does_not_change_other_weights() -> None:
    """Two networks that differ in one layer start from the same weights in the others."""
    short = initialize(graph("input 1x8x8; a: conv 4 k=3; relu; b: fc 5"), 3)
    long = initialize(graph("input 1x8x8; a: conv 4 k=3; relu; m: conv 4 k=3 p=1; relu; b: fc 5"), 3)
    assert all(np.array_equal(short[name], long[name]) for name in short)
    assert long.keys() - short.keys() == {"m.weight", "m.bias"}


def test_the_seed_decides_the_weights() -> None:
    net = graph("input 1x8x8; conv 4 k=3; relu; fc 5")
    first, again = initialize(net, 1), initialize(net, 1)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(initialize(net, 1)["conv1.weight"], initialize(net, 2)["conv1.weight"])


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
def test_initial_weights_have_the_variance_of_the_papers(text: str, variance: float) -> None:
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
def test_weights_before_a_relu_begin_as_in_he_2015(rest: str) -> None:
    net = graph(f"input 64x4x4; in_: conv 64 k=1; tanh; a: conv 64 k=3 p=1; {rest}")
    assert initialize(net, 0)["a.weight"].var() == pytest.approx(2 / (64 * 9), rel=0.05)


def test_an_embed_begins_with_small_weights() -> None:
    net = graph("input 5 dtype=int64; embed 64 vocab=500")
    assert initialize(net, 0)["embed1.weight"].var() == pytest.approx(2 / 65, rel=0.02)
