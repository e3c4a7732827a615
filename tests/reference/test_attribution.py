"""Gradients, occlusion, integrated gradients, projections and ascent on networks whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.network import check
from cnnc.reference.as_in_inference import as_in_inference
from cnnc.reference.attribution import (
    Ascent,
    Differentiable,
    ExplainedElement,
    ascend,
    differentiable,
    gradients,
    integrated_gradients,
    occlusion,
    strongest,
    target_values,
)
from cnnc.reference.backward_rules import DECONV_RULES, GUIDED_RULES, DeconvTreatment, deconv_treatment
from cnnc.reference.engine import backward, forward
from cnnc.reference.initializers import initialize
from tests.op_cases import Case, cases_for, graph_of, random_feeds, random_weights

LENET = """net n
input 1x12x12
conv 4 k=3 p=1
bn
{activation}
pool max k=2
conv 6 k=3
{activation}
fc 5
softmax
"""


def _network(source: str, x: Any, **weights: Any) -> Differentiable:
    graph = check(source).require_graph()
    all_weights = {**initialize(graph, 0), **weights}
    (name,) = [node.name for node in graph.inputs]
    return differentiable(graph, all_weights, {name: np.asarray(x)[None]})


def test_a_linear_network_is_explained_by_its_weights() -> None:
    random = np.random.default_rng(0)
    x, w = random.random((2, 4, 4)), random.standard_normal((1, 32))
    network = _network("net n\ninput 2x4x4\nfc 1\n", x, **{"fc1.weight": w})
    target = ExplainedElement("fc1", (0,))
    weights = w.reshape(2, 4, 4)
    assert np.allclose(gradients(network, network.feeds, target).inputs["input1"][0], weights, 1e-14, 0)
    integrated = integrated_gradients(network, target, 3)
    assert np.allclose(integrated.inputs["input1"], weights * x, 1e-12, 1e-15)
    assert integrated.total == pytest.approx(integrated.difference, rel=1e-12)
    hidden = occlusion(network, target, "input1", (2, 2), (2, 2))
    expected = (weights * x).reshape(2, 2, 2, 2, 2).sum((0, 2, 4))
    assert np.allclose(hidden.drops.reshape(2, 2), expected, 1e-12, 1e-14)
    assert np.allclose(hidden.map, np.kron(expected, np.ones((2, 2))), 1e-12, 1e-14)


BAR = "net n\ninput 1x7x7\nconv 1 k=3 weights=[[0, 1, 0], [0, 1, 0], [0, 1, 0]] biases=-2.5\nrelu\nfc 1 weights={} biases=0\n"


def test_maps_of_a_detector_of_one_bar_mark_the_bar() -> None:
    """The network reads whether a vertical bar of three pixels stands in the middle; other pixels do not count."""
    unit = [[0] * 25]
    unit[0][12] = 2
    x = np.zeros((1, 7, 7))
    x[0, 2:5, 3] = 1
    x[0, 0, 0] = x[0, 6, 5] = 1  # what is elsewhere changes nothing
    network = _network(BAR.format(unit), x)
    bar = np.zeros((7, 7), bool)
    bar[2:5, 3] = True
    target = ExplainedElement("fc1", (0,))
    assert target_values(network, network.feeds, target)[0] == 1
    assert np.array_equal(gradients(network, network.feeds, target).inputs["input1"][0, 0], 2.0 * bar)
    assert np.array_equal(occlusion(network, target, "input1", (1, 1), (1, 1)).map, 1.0 * bar)
    integrated = integrated_gradients(network, target, 300)  # the unit is active on the last sixth of the path
    assert np.array_equal(integrated.inputs["input1"][0] > 0, bar)
    assert integrated.total == pytest.approx(1, rel=1e-12)
    assert integrated.difference == 1


@pytest.mark.parametrize("seed", range(3))
def test_integrated_gradients_of_a_smooth_network_add_up_as_the_midpoint_rule_converges(seed: int) -> None:
    """The error of the midpoint rule falls with the square of the steps: four times as many, a sixteenth."""
    random = np.random.default_rng(seed)
    graph = check(LENET.format(activation="tanh").replace("pool max", "pool avg")).require_graph()
    weights = initialize(graph, seed)
    weights["bn1.mean"], weights["bn1.var"] = random.standard_normal(4), 0.5 + random.random(4)
    network = differentiable(graph, weights, {"input1": random.random((1, 1, 12, 12))})
    few, many = (integrated_gradients(network, ExplainedElement("fc1", (2,)), steps) for steps in (64, 256))
    assert few.difference == many.difference != 0
    assert abs(many.total - many.difference) < abs(few.total - few.difference) / 12


def test_integrated_gradients_are_exact_where_the_parts_end_at_the_kinks() -> None:
    """Three units become active at 1/4, 1/2 and 3/4 of the path: four parts have one slope each, three parts do not."""
    slopes, weights = np.array([4.0, 2.0, 4.0]), np.array([[1.0, -3.0, 2.0]])
    starts = -slopes * (0.25, 0.5, 0.75)
    first = {"fc1.weight": slopes[:, None], "fc1.bias": starts, "fc2.weight": weights, "fc2.bias": np.zeros(1)}
    network = _network("net n\ninput 1\nfc 3\nrelu\nfc 1\n", [1.0], **first)
    target = ExplainedElement("fc2", (0,))
    exact = integrated_gradients(network, target, 4)
    assert exact.difference == (weights @ np.maximum(slopes + starts, 0))[0]
    assert exact.total == pytest.approx(exact.difference, rel=1e-14)
    for steps in (3, 5, 7, 30):
        some = integrated_gradients(network, target, steps)
        assert 1e-3 < abs(some.total - some.difference) <= np.abs(weights * slopes).sum() / (2 * steps)


def test_integrated_gradients_of_a_network_of_rectifiers_add_up() -> None:
    """The slope along the path is constant between kinks, so a part is wrong by at most half its length times the change of
    the slope in it. All changes together are measured on a path four times as fine.
    """
    random = np.random.default_rng(5)
    biases = {"conv1.bias": random.standard_normal(4), "conv2.bias": random.standard_normal(6)}  # without, no kinks
    network = _network(LENET.format(activation="relu"), random.random((1, 12, 12)), **biases)
    target, steps = ExplainedElement("fc1", (0,)), 128
    x = network.feeds["input1"]
    parts = (np.arange(4 * steps) + 0.5) / (4 * steps)
    slopes = (gradients(network, {"input1": parts[:, None, None, None] * x}, target).inputs["input1"] * x).sum(
        (1, 2, 3)
    )
    changes = np.abs(np.diff(slopes)).sum()
    assert changes > 0.1
    integrated = integrated_gradients(network, target, steps)
    assert abs(integrated.total - integrated.difference) <= changes / (2 * steps)


def test_deconvnet_with_known_switches() -> None:
    """Rectification drops what is negative from above; the switches put the rest where the maxima were."""
    x = np.array([[[1, 2, 0, 0], [0, 0, 3, 0], [5, 0, 0, 1], [0, 0, 2, 0]]], float)
    source = "net n\ninput 1x4x4\nrelu\npool max k=2\nconv 1 k=2 weights=[[1, -1], [2, 0.5]] biases=7\n"
    network = _network(source, x)
    target = ExplainedElement("conv1", (0, 0, 0))
    # 1·2 - 1·3 + 2·5 + 0.5·2 + 7 = 17 goes back through the transposed filter, without the bias
    projected = gradients(network, network.feeds, target, DECONV_RULES, seeded_by_value=True)
    assert projected.values.tolist() == [17]
    expected = [[0, 17, 0, 0], [0, 0, 0, 0], [34, 0, 0, 0], [0, 0, 8.5, 0]]
    assert projected.inputs["input1"][0, 0].tolist() == expected


def test_leaky_rectifiers_scale_what_is_negative_from_above() -> None:
    """-3 and 2 come from above; the layer was active at the first element only, which does not count."""
    source = "net n\ninput 1x1x2\n{}\nconv 2 k=1x2 weights=[[[[-3, 2]]], [[[0, 0]]]] biases=0\n"
    for layer, expected in (
        ("leaky_relu 0.25", [-0.75, 2]),
        ("prelu", [-0.75, 2]),
        ("relu", [0, 2]),
        ("relu6", [0, 2]),
    ):
        network = _network(source.format(layer), np.array([[[1.0, -1.0]]]))
        target = ExplainedElement("conv1", (0, 0, 0))
        back = gradients(network, network.feeds, target, DECONV_RULES).inputs["input1"]
        assert back.ravel().tolist() == expected, layer


LINEAR = (DeconvTreatment.TRANSPOSED, DeconvTreatment.MOVED)


@pytest.mark.parametrize("case", cases_for("gradient"), ids=lambda case: case.id)
def test_layers_are_treated_as_the_report_says(case: Case) -> None:
    """A layer that is said to be transposed or moved has the same derivative everywhere, one with switches 0 and 1 only."""
    graph = graph_of(case)
    if any(node.type.dtype == "int64" for node in graph.inputs):
        return
    weights = random_weights(graph, 0, np.float64)
    graph, weights = as_in_inference(graph, weights)
    inputs = [random_feeds(case, graph, 1, seed, np.float64) for seed in (1, 2)]
    layers = [deconv_treatment(node.op) for node in graph.nodes if node.inputs]
    if not all(layer in LINEAR for layer in layers):
        return
    feeds = {node.name for node in graph.inputs if node.type.dtype == "float32"}
    back = []
    for each in inputs:
        trace = forward(graph, weights, each, training=True)
        seeds = {name: np.ones_like(trace.values[name]) for name in graph.outputs}
        back.append(backward(graph, weights, trace, seeds, needs_input_gradients=True)[1])
    for name in feeds & back[0].keys():
        np.testing.assert_allclose(back[0][name], back[1][name], rtol=1e-12, atol=1e-15)


def test_rules_differ_where_a_rectifier_was_inactive() -> None:
    x = np.array([[[1.0, -1.0]]])
    network = _network("net n\ninput 1x1x2\nrelu\nconv 1 k=1x2 weights=[[1, 1]] biases=0\n", x)
    target = ExplainedElement("conv1", (0, 0, 0))
    rules = {
        name: gradients(network, network.feeds, target, rule)
        for name, rule in {"deconv": DECONV_RULES, "guided": GUIDED_RULES}.items()
    }
    assert rules["deconv"].inputs["input1"].ravel().tolist() == [1, 1]
    assert rules["guided"].inputs["input1"].ravel().tolist() == [1, 0]


def test_the_input_that_maximizes_a_linear_unit_has_the_direction_of_its_weights() -> None:
    w = np.random.default_rng(2).standard_normal((1, 16))
    network = _network("net n\ninput 1x4x4\nfc 1\n", np.zeros((1, 4, 4)), **{"fc1.weight": w})
    how = Ascent(steps=60, rate=0.5, decay=0, blur_every=0, jitter=0, radius=1)
    result = ascend(network, [ExplainedElement("fc1", (0,))], "input1", 0, how)
    assert np.allclose(result.inputs["input1"].reshape(-1), w[0] / np.linalg.norm(w), atol=1e-6)
    again = ascend(network, [ExplainedElement("fc1", (0,))], "input1", 0, how)
    assert np.array_equal(result.inputs["input1"], again.inputs["input1"])


def test_ascent_leaves_an_input_at_which_no_unit_is_active() -> None:
    """The bias keeps the relu at 0 for the start, where the gradient is 0; the largest input is all ones."""
    network = _network("net n\ninput 1x2x2\nconv 1 k=2 weights=[[1, 1], [1, 1]] biases=-3\nrelu\n", np.zeros((1, 2, 2)))
    how = Ascent(steps=60, rate=0.5, decay=0, blur_every=0, jitter=0, noise=0, low=0, high=1)
    result = ascend(network, [ExplainedElement("relu1", (0, 0, 0))], "input1", 0, how)
    assert result.inputs["input1"].tolist() == [[[[1, 1], [1, 1]]]]
    assert result.values.tolist() == [1]


def test_the_strongest_activations_come_from_different_examples() -> None:
    graph = check("net n\ninput 1x1x3\nconv 1 k=1 weights=[1] biases=0\n").require_graph()
    images = np.array([[1, 9, 8], [0, 0, 7], [2, 3, 1]], float).reshape(3, 1, 1, 3)
    batches = iter([{"input1": images[:2]}, {"input1": images[2:]}])
    values, examples, places = strongest((graph, initialize(graph, 0)), batches, ["conv1"], 2)["conv1"]
    assert values.ravel().tolist() == [9, 7]
    assert examples.ravel().tolist() == [0, 1]
    assert places.ravel().tolist() == [1, 2]
