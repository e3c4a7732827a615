"""The optimizers of the step graph, in a table keyed by the classes of recipe/optimizers.py.

In: a weight, its gradient and its slots. Out: their new values. The formulas are those of training/optimizers.py, in the
same order of operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cnnc.onnx.train_step.step_emitter import StepEmitter
from cnnc.recipe.optimizers import Optimizer, Sgd


class WeightState(NamedTuple):
    """A weight and its slots, in the order of `Optimizer.slots`; names of tensors."""

    weight: str
    slots: tuple[str, ...] = ()


StepUpdate = Callable[[StepEmitter, Any, str, str, WeightState, str], WeightState]
"""(emitter, optimizer, rate, step, state, gradient) -> the new state. `rate` is a scalar of float32. `step` is a scalar of
int64 that counts from 1, or "" for an optimizer without `counts_steps`."""

UPDATES: dict[type[Optimizer], StepUpdate] = {}


def update_of(cls: type[Optimizer]) -> Callable[[StepUpdate], StepUpdate]:
    """Registers the update rule of an optimizer."""

    def register(rule: StepUpdate) -> StepUpdate:
        UPDATES[cls] = rule
        return rule

    return register


def with_penalty(e: StepEmitter, gradient: str, weight: str, decay: float) -> str:
    """gradient + decay·weight, the gradient with that of an L2 penalty."""
    return e.new("Add", gradient, e.new("Mul", weight, e.number(decay))) if decay else gradient


@update_of(Sgd)
def _sgd(e: StepEmitter, op: Sgd, rate: str, step: str, state: WeightState, gradient: str) -> WeightState:
    gradient, slots = with_penalty(e, gradient, state.weight, op.weight_decay), state.slots
    if slots:
        velocity = e.new("Add", e.new("Mul", slots[0], e.number(op.momentum)), gradient)
        gradient = e.new("Add", gradient, e.new("Mul", velocity, e.number(op.momentum))) if op.nesterov else velocity
        slots = (velocity,)
    return WeightState(e.new("Sub", state.weight, e.new("Mul", gradient, rate)), slots)
