"""The step graph against the NumPy trainer: every weight, buffer and slot of the example networks after each of 20 steps.

The fast ones run with the other tests; `pytest -m slow tests/onnx/train_step` takes the rest, in about two minutes of CPU time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnc.graph.graph import Node
from cnnc.network import Network, check, load
from cnnc.onnx.train_step.build import build_step
from cnnc.onnx.train_step.compare import StepDeviation, compare_with_trainer
from cnnc.onnx.train_step.step_emitter import BACKWARDS, Passed, StepEmitter, TensorGradients
from cnnc.ops.activation import Relu
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Fc
from cnnc.ops.norm import BatchNorm
from cnnc.recipe.recipe import require_recipe
from cnnc.reference.initializers import initialize
from tests.model_files import TRAINED
from tests.paths import MODELS

STEPS, BATCH = 20, 8
FAST = ("autoencoder_digits", "digits", "lenet5", "smoothing", "text_ranker", "waves")


SMOOTH = ("autoencoder_digits", "digits", "lenet5", "smoothing", "text_ranker", "waves")
"""Networks in which rounding does not grow: no element is close to a kink, or none matters."""


def deviations_of(network: Network, steps: int = STEPS, free: bool = False) -> dict[str, StepDeviation]:
    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    step, weights = build_step(graph, recipe, {}), initialize(graph, recipe.seed)
    deviations = compare_with_trainer(network, step, weights, steps=steps, batch=BATCH, free=free)
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


@pytest.mark.long
@pytest.mark.parametrize("name", SMOOTH)
def test_trainings_that_run_on_by_themselves_stay_together(name: str) -> None:
    """After 20 steps that no one corrects, these networks have the same weights but for rounding."""
    network = load(MODELS / f"{name}.cnn")
    deviations = deviations_of(network, free=True)
    assert [d for d in deviations.values() if d.difference > 1e-4 * d.change + 1e-6] == []


RECIPES = {
    "several losses of one network": """
        input 3xHxW dtype=uint8
        c: conv 4 k=3 p=1
        relu
        g: global_pool avg
        a: fc 5
        from c
        d: conv 3 k=3 p=1
        s: sigmoid
        from c
        m: conv 2 k=1
        softmax
        output a s softmax1
        train { data npz "x.npz"; loss cross_entropy on=a weight=0.3; loss bce on=s target=input weight=2;
                loss cross_entropy on=softmax1 ignore=1 smoothing=0.1; optimizer rmsprop lr=0.01 momentum=0.9;
                clip 0.5; schedule cosine; epochs 3; metric iou }
    """,
    "shared batch norm": """
        input 2x6x6
        conv 4 k=3 p=1 bias=false
        b: bn
        relu
        conv 4 k=3 p=1 bias=false
        bn share=b
        fc 10
        train { data npz "x.npz"; loss cross_entropy; optimizer lion; seed 3 }
    """,
    "layers that drop": """
        input 4x6x6
        dropout 0.1
        a: conv 4 k=3 p=1
        drop_path 0.3
        from a
        dropout 0.5
        add drop_path1
        prelu
        fc 3
        train { data npz "x.npz"; loss mse; optimizer adamw weight_decay=0.1; clip 1 }
    """,
    "two readers, one frozen": """
        input 5x6
        a: conv 6 k=3 frozen=true
        b: conv 6 k=3 p=1
        from a
        add b
        layer_norm
        fc 4
        train { data npz "x.npz"; loss huber delta=0.3; optimizer sgd lr=0.1 momentum=0.9 nesterov=true weight_decay=0.01 }
    """,
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_train_as_in_numpy(name: str) -> None:
    network = check(RECIPES[name].replace("HxW", "7x5"), name="net")
    graph, recipe = network.require_graph(), require_recipe(network.recipe, "net")
    step, weights = build_step(graph, recipe, {}), initialize(graph, recipe.seed)
    deviations = compare_with_trainer(network, step, weights, steps=4, batch=BATCH)
    assert [d for d in deviations if not d.passes] == []
    unchanged = {name for name, parameter in graph.weights.items() if parameter.frozen}
    assert {d.name for d in deviations if not d.change} == unchanged


def test_gradients_that_cancel_are_noise() -> None:
    """The two towers cancel the gradient of their bias: what rounding leaves of it, Adam turns into steps of any size."""
    source = """
        block tower { conv 16 k=3 p=1; relu; pool max k=2; fc 32 }
        left: input 1x8x8
        a: tower
        right: input 1x8x8
        b: tower share=a
        sub a
        reshape 1x32
        global_pool l2
        train { data npz "x.npz"; loss contrastive; optimizer adam lr=0.01; seed SEED }
    """
    for seed in (0, 3):  # beside one trainer in float32, these deviate by ten times what is allowed
        deviations = deviations_of(check(source.replace("SEED", str(seed)), name="net"), steps=3)
        assert [d for d in deviations.values() if not d.passes] == []


@pytest.mark.parametrize("op", [Conv, BatchNorm, Fc, Relu], ids=lambda op: op.keyword)
def test_a_wrong_gradient_is_found(op: type[Op], monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself fails for an error of one part in ten of one gradient."""
    right = BACKWARDS[op]

    def wrong(e: StepEmitter, op: Op, node: Node, at: Passed) -> TensorGradients:
        gradients = right(e, op, node, at)
        scaled = {name: e.new("Mul", tensor, e.number(1.1)) for name, tensor in gradients.weights.items()}
        inputs = tuple(tensor and e.new("Mul", tensor, e.number(1.1)) for tensor in gradients.inputs)
        return TensorGradients(gradients.inputs, scaled) if scaled else TensorGradients(inputs)

    monkeypatch.setitem(BACKWARDS, op, wrong)
    deviations = deviations_of(load(MODELS / "digits.cnn"), steps=2)
    assert not all(d.passes for d in deviations.values())
