"""The step graph against the NumPy trainer: every weight, buffer and slot after 20 steps."""

from __future__ import annotations

from cnnc.network import load
from cnnc.onnx.train_step.build import build_step
from cnnc.onnx.train_step.compare import compare_with_trainer
from cnnc.reference.initializers import initialize
from tests.paths import MODELS


def test_lenet5_learns_as_in_numpy() -> None:
    network = load(MODELS / "lenet5.cnn")
    graph, recipe = network.require_graph(), network.recipe
    assert recipe is not None
    step = build_step(graph, recipe, {})
    weights = initialize(graph, recipe.seed)
    deviations = compare_with_trainer(network, step, weights, steps=20, batch=4)
    assert {d.name for d in deviations} == {*graph.weights, *(f"{name}.velocity" for name in graph.weights)}
    assert [d for d in deviations if not d.difference <= 2e-5 * d.scale] == []
    assert min(d.scale for d in deviations) > 1e-3  # all of them learned
