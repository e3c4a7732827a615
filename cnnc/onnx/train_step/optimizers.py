"""The optimizers of the step graph, in a table keyed by the classes of recipe/optimizers.py.

In: a weight, its gradient and its slots. Out: their new values. The formulas are those of training/optimizers.py, in the
same order of operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto

from cnnc.onnx.train_step.step_emitter import StepEmitter
from cnnc.recipe.optimizers import Adam, AdamW, Lion, Optimizer, RmsProp, Sgd


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
    """gradient + decay·weight: the gradient with that of an L2 penalty."""
    return e.new("Add", gradient, e.new("Mul", weight, e.number(decay))) if decay else gradient


@update_of(Sgd)
def _sgd(e: StepEmitter, op: Sgd, rate: str, step: str, state: WeightState, gradient: str) -> WeightState:
    gradient, slots = with_penalty(e, gradient, state.weight, op.weight_decay), state.slots
    if slots:
        velocity = e.new("Add", e.new("Mul", slots[0], e.number(op.momentum)), gradient)
        gradient = e.new("Add", gradient, e.new("Mul", velocity, e.number(op.momentum))) if op.nesterov else velocity
        slots = (velocity,)
    return WeightState(e.new("Sub", state.weight, e.new("Mul", gradient, rate)), slots)


@update_of(Adam)
def _adam(e: StepEmitter, op: Adam, rate: str, step: str, state: WeightState, gradient: str) -> WeightState:
    """g ← g + weight_decay·w, then `_adam_step`."""
    gradient = with_penalty(e, gradient, state.weight, op.weight_decay)
    return _adam_step(e, op, rate, step, state, gradient)


@update_of(AdamW)
def _adamw(e: StepEmitter, op: AdamW, rate: str, step: str, state: WeightState, gradient: str) -> WeightState:
    """w ← w − rate·weight_decay·w, then `_adam_step` (Loshchilov & Hutter 2019, algorithm 2)."""
    if op.weight_decay:
        kept = e.shared("train.kept", lambda: e.new("Sub", e.number(1), e.new("Mul", rate, e.number(op.weight_decay))))
        state = WeightState(e.new("Mul", state.weight, kept), state.slots)
    return _adam_step(e, op, rate, step, state, gradient)


def _adam_step(
    e: StepEmitter, op: Adam | AdamW, rate: str, step: str, state: WeightState, gradient: str
) -> WeightState:
    """m and v are running means of g and g²; w ← w − rate·m̂/(sqrt(v̂) + eps) (Kingma & Ba 2015, algorithm 1)."""
    mean, square = state.slots
    mean = e.new("Add", mean, e.new("Mul", e.new("Sub", gradient, mean), e.number(1 - op.beta1)))
    square = _running_square(e, square, gradient, op.beta2)
    root_scale = e.shared("train.root_scale", lambda: _single(e, e.new("Sqrt", _bias_correction(e, op.beta2, step))))
    rate = e.shared("train.corrected_rate", lambda: _corrected_rate(e, op, rate, step))
    root = e.new("Add", e.new("Div", e.new("Sqrt", square), root_scale), e.number(op.eps))
    delta = e.new("Mul", e.new("Div", mean, root), rate)
    return WeightState(e.new("Sub", state.weight, delta), (mean, square))


def _corrected_rate(e: StepEmitter, op: Adam | AdamW, rate: str, step: str) -> str:
    """rate/(1 − β₁^step)."""
    exact = e.new("Cast", rate, to=TensorProto.DOUBLE)
    return _single(e, e.new("Div", exact, _bias_correction(e, op.beta1, step)))


def _bias_correction(e: StepEmitter, beta: float, step: str) -> str:
    """1 − β^step in double precision: for a β near 1, little of it would be left in single precision."""
    power = e.new("Pow", e.number(beta, np.float64), e.new("Cast", step, to=TensorProto.DOUBLE))
    return e.new("Sub", e.number(1, np.float64), power)


def _single(e: StepEmitter, x: str) -> str:
    return e.new("Cast", x, to=TensorProto.FLOAT)


def _running_square(e: StepEmitter, square: str, gradient: str, decay: float) -> str:
    """decay·v + (1 − decay)·g²"""
    kept = e.new("Mul", square, e.number(decay))
    return e.new("Add", kept, e.new("Mul", e.new("Mul", gradient, gradient), e.number(1 - decay)))


@update_of(RmsProp)
def _rmsprop(e: StepEmitter, op: RmsProp, rate: str, step: str, state: WeightState, gradient: str) -> WeightState:
    """v ← decay·v + (1 − decay)·g²; w ← w − rate·g/(sqrt(v) + eps) (Tieleman & Hinton 2012), with momentum as in PyTorch."""
    gradient = with_penalty(e, gradient, state.weight, op.weight_decay)
    square, *velocity = state.slots
    square = _running_square(e, square, gradient, op.decay)
    delta = e.new("Div", gradient, e.new("Add", e.new("Sqrt", square), e.number(op.eps)))
    if velocity:
        delta = e.new("Add", e.new("Mul", velocity[0], e.number(op.momentum)), delta)
        velocity = [delta]
    return WeightState(e.new("Sub", state.weight, e.new("Mul", delta, rate)), (square, *velocity))


@update_of(Lion)
def _lion(e: StepEmitter, op: Lion, rate: str, step: str, state: WeightState, gradient: str) -> WeightState:
    """w ← w − rate·(sign(β₁·m + (1 − β₁)·g) + weight_decay·w), then m ← β₂·m + (1 − β₂)·g (Chen et al. 2023)."""
    (momentum,) = state.slots
    direction = e.new("Sign", _interpolated(e, momentum, gradient, op.beta1))
    direction = with_penalty(e, direction, state.weight, op.weight_decay)
    weight = e.new("Sub", state.weight, e.new("Mul", direction, rate))
    return WeightState(weight, (_interpolated(e, momentum, gradient, op.beta2),))


def _interpolated(e: StepEmitter, old: str, new: str, beta: float) -> str:
    """beta·old + (1 − beta)·new"""
    return e.new("Add", e.new("Mul", old, e.number(beta)), e.new("Mul", new, e.number(1 - beta)))


def clip_gradients(e: StepEmitter, gradients: Mapping[str, str], norm: float) -> dict[str, str]:
    """All gradients times norm/n where n, the norm of all of them together, exceeds `norm` (Pascanu et al. 2013)."""
    squares = [e.new("ReduceSumSquare", gradient, keepdims=0) for gradient in gradients.values()]
    total = e.new("Sqrt", e.new("Sum", *squares))
    limit = e.number(norm)
    scale = e.new("Where", e.new("Greater", total, limit), e.new("Div", limit, total), e.number(1))
    return {name: e.new("Mul", gradient, scale) for name, gradient in gradients.items()}
