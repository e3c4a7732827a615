"""The optimizers against their published rules in plain float64 (statement_cases.py), and against PyTorch if installed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Weights
from cnnc.recipe.optimizers import Adam, AdamW, Optimizer, RmsProp, Sgd
from cnnc.training.optimizers import BLOCK, clip_gradients, update
from tests.training.statement_cases import FORMULAS, OPTIMIZERS

STEPS = 12
SHAPES = {"conv1.weight": (3, 2, 3, 3), "fc1.bias": (5,)}
RATES = [0.1 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)]


def weights_and_gradients(dtype: Any = np.float64) -> tuple[Weights, list[Weights]]:
    random = np.random.default_rng(7)

    def draw() -> Weights:
        return {name: random.normal(0, 1, shape).astype(dtype) for name, shape in SHAPES.items()}

    return draw(), [draw() for _ in range(STEPS)]


def trained(optimizer: Optimizer, dtype: Any = np.float64) -> Weights:
    weights, gradients = weights_and_gradients(dtype)
    slots: Weights = {}
    for gradient, rate in zip(gradients, RATES, strict=True):
        update(optimizer, weights, gradient, slots, rate)
    return weights


@pytest.mark.parametrize("op", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("name", SHAPES)
def test_an_optimizer_is_the_published_rule(op: Optimizer, name: str) -> None:
    weights, gradients = weights_and_gradients()
    expected = FORMULAS[type(op)](op, weights[name], [gradient[name] for gradient in gradients], RATES)
    np.testing.assert_allclose(trained(op)[name], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("op", OPTIMIZERS, ids=repr)
def test_float32_stays_float32(op: Optimizer) -> None:
    weights, gradients = weights_and_gradients(np.float32)
    before = dict(weights)
    slots: Weights = {}
    for gradient, rate in zip(gradients, RATES, strict=True):
        update(op, weights, gradient, slots, rate)
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert all(array.dtype == np.float32 for name, array in slots.items() if name != "steps")
    assert all(weights[name] is before[name] for name in SHAPES), "weights are changed where they are"
    exact = trained(op)
    for name in SHAPES:
        np.testing.assert_allclose(weights[name], exact[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", OPTIMIZERS, ids=repr)
def test_slots_are_those_that_are_declared(op: Optimizer) -> None:
    """The training-memory estimate counts them."""
    weights, gradients = weights_and_gradients()
    slots: Weights = {}
    update(op, weights, gradients[0], slots, 0.1)
    names = [f"{name}.{slot}" for name in SHAPES for slot in op.slots]
    assert sorted(slots) == sorted([*names, *(["steps"] if op.counts_steps else [])])
    assert all(slots[f"{name}.{slot}"].shape == SHAPES[name] for name in SHAPES for slot in op.slots)


@pytest.mark.parametrize("op", OPTIMIZERS, ids=repr)
def test_gradients_are_left_alone(op: Optimizer) -> None:
    weights, gradients = weights_and_gradients()
    before = {name: array.copy() for name, array in gradients[0].items()}
    slots: Weights = {}
    update(op, weights, gradients[0], slots, 0.1)
    update(op, weights, gradients[0], slots, 0.1)
    for name in SHAPES:
        np.testing.assert_array_equal(gradients[0][name], before[name])


@pytest.mark.parametrize("op", OPTIMIZERS, ids=repr)
def test_a_weight_without_gradient_stays(op: Optimizer) -> None:
    weights, gradients = weights_and_gradients()
    before = weights["fc1.bias"].copy()
    update(op, weights, {"conv1.weight": gradients[0]["conv1.weight"]}, {}, 0.1)
    np.testing.assert_array_equal(weights["fc1.bias"], before)


@pytest.mark.parametrize("op", OPTIMIZERS, ids=repr)
def test_a_large_weight_is_updated_as_a_small_one(op: Optimizer) -> None:
    """Large weights are updated a block at a time."""
    random = np.random.default_rng(1)
    large, gradient = random.normal(size=BLOCK + 9), random.normal(size=BLOCK + 9)
    weights, slots = {"w": large.copy(), "end": large[-9:].copy()}, dict[str, Any]()
    for rate in RATES[:3]:
        update(op, weights, {"w": gradient, "end": gradient[-9:]}, slots, rate)
    np.testing.assert_array_equal(weights["w"][-9:], weights["end"])


@pytest.mark.long
@pytest.mark.parametrize("op", [op for op in OPTIMIZERS if isinstance(op, Sgd | Adam | AdamW | RmsProp)], ids=repr)
def test_pytorch_agrees(op: Sgd | Adam | AdamW | RmsProp) -> None:
    torch = pytest.importorskip("torch")
    weights, gradients = weights_and_gradients()
    parameters = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in weights.items()}
    options: dict[str, Any] = {"lr": 1.0, "weight_decay": op.weight_decay}
    if isinstance(op, Sgd):
        optimizer = torch.optim.SGD(parameters.values(), momentum=op.momentum, nesterov=op.nesterov, **options)
    elif isinstance(op, RmsProp):
        options |= {"alpha": op.decay, "momentum": op.momentum, "eps": op.eps}
        optimizer = torch.optim.RMSprop(parameters.values(), **options)
    else:
        rule = torch.optim.Adam if isinstance(op, Adam) else torch.optim.AdamW
        optimizer = rule(parameters.values(), betas=(op.beta1, op.beta2), eps=op.eps, **options)
    slots: Weights = {}
    for step in range(100):
        gradient, rate = gradients[step % STEPS], RATES[step % STEPS]
        optimizer.param_groups[0]["lr"] = rate
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(gradient[name])
        optimizer.step()
        update(op, weights, gradient, slots, rate)
    for name, parameter in parameters.items():
        np.testing.assert_allclose(weights[name], parameter.detach().numpy(), rtol=1e-9, atol=1e-10)


def test_clip_scales_all_gradients_by_their_common_norm() -> None:
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    clip_gradients(gradients, 10)
    assert gradients["a"][0] == 3
    clip_gradients(gradients, 1)
    np.testing.assert_allclose([gradients["a"][0], gradients["b"][0, 0]], [0.6, 0.8])
