"""The optimizers on PyTorch against those of the NumPy trainer in float64, over 100 steps, and clipping."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from cnnc.core.arrays import Weights
from cnnc.recipe.optimizers import Optimizer
from cnnc.torch.optimizers import clip_gradients, make_optimizer, set_slots, slots_of
from cnnc.training.optimizers import clip_gradients as clip_in_numpy
from cnnc.training.optimizers import update
from tests.training.statement_cases import OPTIMIZERS

STEPS = 100
SHAPES = {"conv1.weight": (3, 2, 3, 3), "fc1.bias": (5,)}


class TorchOptimizer:
    """An optimizer on PyTorch that begins with these weights and slots."""

    def __init__(self, op: Optimizer, weights: Weights, slots: Weights) -> None:
        self.op = op
        self.parameters = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in weights.items()}
        self.optimizer = make_optimizer(op, self.parameters.values(), fused=True)
        state = {
            f"{name}.{slot}": torch.tensor(slots.get(f"{name}.{slot}", np.zeros_like(weights[name])))
            for name in weights
            for slot in op.slots
        }
        set_slots(op, self.optimizer, self.parameters, state, int(slots.get("steps", 0)))

    def step(self, gradients: Weights, rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = rate
        for name, parameter in self.parameters.items():
            parameter.grad = torch.tensor(gradients[name])
        self.optimizer.step()

    def arrays(self) -> dict[str, Any]:
        state = slots_of(self.op, self.optimizer, self.parameters)
        return {name: tensor.detach().numpy() for name, tensor in {**self.parameters, **state}.items()}


@pytest.mark.parametrize("op", OPTIMIZERS, ids=repr)
def test_an_optimizer_steps_as_in_numpy(op: Optimizer) -> None:
    """Weights and slots, also where it takes over in the middle of a training."""
    random = np.random.default_rng(7)
    weights: Weights = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    slots: Weights = {}
    contender = TorchOptimizer(op, weights, slots)
    for step in range(STEPS):
        gradients: Weights = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
        rate = 0.1 * (1 + math.cos(math.pi * step / STEPS))
        if step == STEPS // 2:
            contender = TorchOptimizer(op, weights, slots)
        contender.step(gradients, rate)
        update(op, weights, gradients, slots, rate)
        for name, array in contender.arrays().items():
            np.testing.assert_allclose(array, {**weights, **slots}[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("norm", [0.5, 1e6])
def test_gradients_are_clipped_as_in_numpy(norm: float) -> None:
    random = np.random.default_rng(7)
    gradients = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    parameters = {name: torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for name, shape in SHAPES.items()}
    for name, parameter in parameters.items():
        parameter.grad = torch.tensor(gradients[name])
    clip_in_numpy(gradients, norm)
    clip_gradients(parameters.values(), norm)
    for name, parameter in parameters.items():
        np.testing.assert_allclose(parameter.grad.numpy(), gradients[name], rtol=1e-12)
