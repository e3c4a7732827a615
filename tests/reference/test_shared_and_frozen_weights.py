"""The gradients of weights that several layers share, and of layers with frozen weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph
from cnnc.ops.base import Op
from cnnc.reference import registry
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.registry import Gradients
from tests.op_cases import random_weights
from tests.reference.networks import graph, normal

# --- shared weights ----------------------------------------------------------------------------------------


def gradients_of(net: Graph, weights: Weights, feeds: Mapping[str, Array]) -> Weights:
    trace = forward(net, weights, feeds, training=True)
    seeds = {
        name: to_channels_last(normal(*to_channels_first(trace.values[name]).shape, seed=5)) for name in net.outputs
    }
    return backward(net, weights, trace, seeds)[0]


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
    """Compared with three layers whose separate weights are equal."""
    apart = graph(f"input {shape}; a: {layer}; tanh; b: {layer}; tanh; c: {layer}")
    shared = graph(f"input {shape}; a: {layer}; tanh; b: {layer} share=a; tanh; c: {layer} share=b")
    weights = random_weights(shared, 0, np.float64)
    assert weights.keys() == {"a.weight", "a.bias"}
    assert [shared.by_name[n].parameter_owner for n in "abc"] == ["a", "a", "a"]
    copies = {f"{n}.{p}": weights[f"a.{p}"] for n in "abc" for p in ("weight", "bias")}
    feeds = {"input1": normal(3, *map(int, shape.split("x")))}
    shared_gradients, separate = gradients_of(shared, weights, feeds), gradients_of(apart, copies, feeds)
    for name in ("weight", "bias"):
        np.testing.assert_allclose(
            shared_gradients[f"a.{name}"], sum(separate[f"{n}.{name}"] for n in "abc"), rtol=1e-11
        )


def test_towers_that_share_have_equal_values_for_equal_inputs() -> None:
    net = graph(
        "block tower { conv 3 k=3; bn; tanh; fc 4 }; q: input 1x5x5; left: tower; d: input 1x5x5; "
        "right: tower share=left; output left right"
    )
    assert {name.split(".")[0] for name in net.weights} == {"left"}
    weights, x = random_weights(net, 0), normal(2, 1, 5, 5)
    values = forward(net, weights, {"q": x, "d": x}).values
    left, right = (values[name] for name in net.outputs)
    np.testing.assert_array_equal(left, right)


def test_shared_running_statistics_follow_both_batches_in_turn() -> None:
    """The second tower continues from the statistics of the first, as a PyTorch module that is called twice."""
    net = graph(
        "block tower { bn momentum=0.8; tanh }; q: input 3; left: tower; d: input 3; right: tower share=left; add left"
    )
    weights = random_weights(net, 0, np.float64)
    q, d = normal(6, 3), normal(6, 3, seed=1) + 2
    buffers = forward(net, weights, {"q": q, "d": d}, training=True).buffers
    assert buffers.keys() == {"left.bn1.mean", "left.bn1.var"}
    for what, of in (("mean", np.mean), ("var", np.var)):
        once = 0.8 * weights[f"left.bn1.{what}"] + 0.2 * of(q, 0)
        np.testing.assert_allclose(buffers[f"left.bn1.{what}"], 0.8 * once + 0.2 * of(d, 0), rtol=1e-12)


# --- frozen weights ----------------------------------------------------------------------------------------


def backward_calls(
    text: str, monkeypatch: pytest.MonkeyPatch, needs_input_gradients: bool = False
) -> tuple[list[str], Weights]:
    """The keywords of the layers whose backward ran, in order, and the gradients."""
    net = graph(text)
    seen: list[str] = []

    def spied(real: registry.Backward) -> registry.Backward:
        def spy(op: Op, weights: Mapping[str, Array], saved: Any, gradient: Array, want: bool) -> Gradients:
            seen.append(f"{op.keyword}{'' if want else ' (no input)'}")
            return real(op, weights, saved, gradient, want)

        return spy

    for kind, real in list(registry.BACKWARD.items()):
        monkeypatch.setitem(registry.BACKWARD, kind, spied(real))
    weights = random_weights(net, 0)
    feeds = {n.name: normal(2, *n.type.shape) for n in net.inputs}
    trace = forward(net, weights, feeds, training=True)
    seeds = {name: np.ones_like(trace.values[name]) for name in net.outputs}
    return seen, backward(net, weights, trace, seeds, needs_input_gradients=needs_input_gradients)[0]


def test_nothing_is_propagated_to_layers_that_are_all_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "input 2x6x6; conv 3 k=3 frozen=true; tanh; conv_transpose 2 k=2 frozen=true; relu; fc 4; tanh; fc 2"
    seen, found = backward_calls(text, monkeypatch)
    assert seen == ["fc", "tanh", "fc (no input)"]
    assert found.keys() == {f"fc{n}.{p}" for n in (1, 2) for p in ("weight", "bias")}


def test_gradients_pass_through_frozen_layers_to_those_that_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, found = backward_calls("input 2x6x6; conv 3 k=3; tanh; fc 2 frozen=true", monkeypatch)
    assert seen == ["fc", "tanh", "conv (no input)"]
    assert found.keys() == {"conv1.weight", "conv1.bias"}


def test_a_network_frozen_throughout_has_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "input 2x6x6; conv 3 k=3 frozen=true; tanh; fc 2 frozen=true"
    assert backward_calls(text, monkeypatch) == ([], {})
    seen, found = backward_calls(text, monkeypatch, needs_input_gradients=True)
    assert len(seen) >= 3
    assert found == {}


def test_a_layer_that_shares_frozen_weights_has_none_to_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the source only their owner has frozen=true."""
    text = "input 2x6x6; conv 2 k=1; a: conv 2 k=3 p=1 frozen=true; tanh; conv 2 k=3 share=a; fc 2"
    _, found = backward_calls(text, monkeypatch)
    assert found.keys() == {"conv1.weight", "conv1.bias", "fc1.weight", "fc1.bias"}


@pytest.mark.parametrize("layer", ["conv 3 k=3", "conv 3 k=3 flip=true", "conv_transpose 3 k=3 s=2", "fc 3"])
def test_freezing_changes_no_other_gradient(layer: str) -> None:
    text = "input 2x6x6; conv 2 k=2; tanh; f: {}; tanh; fc 2"
    free, frozen = graph(text.format(layer)), graph(text.format(f"{layer} frozen=true"))
    weights, feeds = random_weights(free, 0, np.float64), {"input1": normal(2, 2, 6, 6)}
    found = gradients_of(frozen, weights, feeds)
    expected = gradients_of(free, weights, feeds)
    assert expected.keys() - found.keys() == {"f.weight", "f.bias"}
    for name, gradient in found.items():
        np.testing.assert_array_equal(gradient, expected[name])
