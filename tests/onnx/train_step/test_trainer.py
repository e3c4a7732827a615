"""The step graph against the NumPy trainer: every weight, buffer and slot of the example networks after each of 20 steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnc.network import Network, load
from cnnc.onnx.train_step.build import build_step
from cnnc.onnx.train_step.compare import StepDeviation, compare_with_trainer
from cnnc.recipe.recipe import require_recipe
from cnnc.reference.initializers import initialize
from tests.paths import MODELS

STEPS, BATCH = 20, 8
TRAINED = [path for path in sorted(MODELS.glob("*.cnn")) if load(path).recipe is not None]
FAST = ("autoencoder_digits", "digits", "lenet5", "smoothing", "text_ranker", "waves")


def deviations_of(network: Network, steps: int = STEPS, batch: int = BATCH) -> dict[str, StepDeviation]:
    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    step, weights = build_step(graph, recipe, {}), initialize(graph, recipe.seed)
    deviations = compare_with_trainer(network, step, weights, steps=steps, batch=batch)
    slots = {
        f"{name}.{slot}" for name in graph.weights if graph.weights[name].trainable for slot in recipe.optimizer.slots
    }
    assert {d.name for d in deviations} == {*graph.weights, *slots}
    return {d.name: d for d in deviations}


def require_equal(deviations: dict[str, StepDeviation]) -> None:
    assert [d for d in deviations.values() if not d.passes] == []
    assert all(d.change > 0 for d in deviations.values()), "a weight, buffer or slot did not change"


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=pytest.mark.long if p.stem in FAST else pytest.mark.slow) for p in TRAINED],
)
def test_example_networks_train_as_in_numpy(path: Path) -> None:
    require_equal(deviations_of(load(path)))


def test_lenet5_deviates_by_no_more_than_rounding() -> None:
    """The tolerance of this network is not widened by the trainer's own deviation."""
    deviations = deviations_of(load(MODELS / "lenet5.cnn"), steps=5, batch=4)
    assert [d for d in deviations.values() if d.difference > 2e-5 * d.change + 1e-7] == []
