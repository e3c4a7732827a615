"""The optimizers: the published update rules, in a table keyed by the classes of recipe/optimizers.py.

In: weights, gradients, the learning rate, and the optimizer's slots (its state, by weight and slot name). Out: nothing;
weights and slots are updated in place. The caller keeps the slots and saves them in checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.recipe.optimizers import Adam, AdamW, Lion, Optimizer, RmsProp, Sgd

BLOCK = 1 << 16  # elements at a time: weight, gradient and slots stay in the cache while a rule runs over them

UpdateRule = Callable[..., None]
"""(optimizer, rate, step, weight, gradient, *slots): one step of one weight, in place on weight and slots, elementwise.

`step` counts from 1, or is 0 for an optimizer without `counts_steps`. Slots begin as zeros and come in the order of
`Optimizer.slots`. The gradient is left as it is.
"""

UPDATES: dict[type[Optimizer], UpdateRule] = {}

F = TypeVar("F", bound=UpdateRule)


def update_of(cls: type[Optimizer]) -> Callable[[F], F]:
    """Registers the update rule of an optimizer."""

    def register(rule: F) -> F:
        UPDATES[cls] = rule
        return rule

    return register


def update(optimizer: Optimizer, weights: Weights, gradients: Mapping[str, Array], slots: Weights, rate: float) -> None:
    """One step for all weights that have a gradient. `slots` is empty before the first step, and is filled here."""
    rule = UPDATES[type(optimizer)]
    step = _count_step(slots) if optimizer.counts_steps else 0
    names = optimizer.slots
    for name, gradient in gradients.items():
        weight = weights[name]
        state = [_slot(slots, f"{name}.{slot}", weight) for slot in names]
        for block in _blocks(weight, gradient, *state):
            rule(optimizer, rate, step, *block)


def _count_step(slots: Weights) -> int:
    count = slots.setdefault("steps", np.zeros((), np.int64))
    count += 1
    return int(count)


def _slot(slots: Weights, name: str, weight: Array) -> Array:
    """A slot of a weight; zeros at first."""
    slot = slots.get(name)
    if slot is None:
        slot = slots[name] = np.zeros_like(weight)
    return slot


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Arrays of one shape, as blocks of BLOCK elements each. All but the second, the gradient, are written to."""
    if arrays[0].size <= BLOCK or not all(array.flags.c_contiguous for array in arrays):
        yield arrays
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, arrays[0].size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in flat)


def clip_gradients(gradients: Mapping[str, Array], norm: float) -> None:
    """Scales all gradients down, in place, where the norm of all of them together exceeds `norm` (Pascanu et al. 2013)."""
    total = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
    if total > norm:
        for gradient in gradients.values():
            gradient *= gradient.dtype.type(norm / total)


@update_of(Sgd)
def _sgd(op: Sgd, rate: float, step: int, weight: Array, gradient: Array, velocity: Array | None = None) -> None:
    """g ← g + weight_decay·w; v ← μ·v + g; w ← w − rate·v, or with Nesterov momentum w − rate·(g + μ·v), as in PyTorch."""
    if op.weight_decay:
        gradient = gradient + weight * weight.dtype.type(op.weight_decay)
    if velocity is not None:
        velocity *= weight.dtype.type(op.momentum)
        velocity += gradient
        gradient = gradient + velocity * weight.dtype.type(op.momentum) if op.nesterov else velocity
    weight -= gradient * weight.dtype.type(rate)


@update_of(Adam)
def _adam(op: Adam, rate: float, step: int, weight: Array, gradient: Array, mean: Array, square: Array) -> None:
    """g ← g + weight_decay·w, then `_adam_step`."""
    if op.weight_decay:
        gradient = gradient + weight * weight.dtype.type(op.weight_decay)
    _adam_step(op, rate, step, weight, gradient, mean, square)


@update_of(AdamW)
def _adamw(op: AdamW, rate: float, step: int, weight: Array, gradient: Array, mean: Array, square: Array) -> None:
    """w ← w − rate·weight_decay·w, then `_adam_step` (Loshchilov & Hutter 2019, algorithm 2)."""
    if op.weight_decay:
        weight *= weight.dtype.type(1 - rate * op.weight_decay)
    _adam_step(op, rate, step, weight, gradient, mean, square)


def _adam_step(
    op: Adam | AdamW, rate: float, step: int, weight: Array, gradient: Array, mean: Array, square: Array
) -> None:
    """m and v are running means of g and g²; w ← w − rate·m̂/(sqrt(v̂) + eps) (Kingma & Ba 2015, algorithm 1)."""
    real = weight.dtype.type
    change = gradient - mean  # the only array that a step allocates
    change *= real(1 - op.beta1)
    mean += change
    square *= real(op.beta2)
    np.multiply(gradient, gradient, out=change)
    change *= real(1 - op.beta2)
    square += change
    root = np.sqrt(square, out=change)
    root /= real(math.sqrt(1 - op.beta2**step))
    root += real(op.eps)
    delta = np.divide(mean, root, out=root)
    delta *= real(rate / (1 - op.beta1**step))
    weight -= delta


@update_of(RmsProp)
def _rmsprop(
    op: RmsProp,
    rate: float,
    step: int,
    weight: Array,
    gradient: Array,
    square: Array,
    velocity: Array | None = None,
) -> None:
    """g ← g + weight_decay·w; v ← decay·v + (1 − decay)·g²; w ← w − rate·g/(sqrt(v) + eps) (Tieleman & Hinton 2012).

    With momentum, u ← momentum·u + g/(sqrt(v) + eps) and w ← w − rate·u, as in PyTorch.
    """
    real = weight.dtype.type
    if op.weight_decay:
        gradient = gradient + weight * real(op.weight_decay)
    square *= real(op.decay)
    square += gradient * gradient * real(1 - op.decay)
    delta = gradient / (np.sqrt(square) + real(op.eps))
    if velocity is not None:
        velocity *= real(op.momentum)
        velocity += delta
        delta = velocity
    weight -= delta * real(rate)


@update_of(Lion)
def _lion(op: Lion, rate: float, step: int, weight: Array, gradient: Array, momentum: Array) -> None:
    """w ← w − rate·(sign(β₁·m + (1 − β₁)·g) + weight_decay·w), then m ← β₂·m + (1 − β₂)·g (Chen et al. 2023)."""
    real = weight.dtype.type
    direction = np.sign(momentum * real(op.beta1) + gradient * real(1 - op.beta1))
    if op.weight_decay:
        direction += weight * real(op.weight_decay)
    weight -= direction * real(rate)
    momentum *= real(op.beta2)
    momentum += gradient * real(1 - op.beta2)
