"""Optimizers: the published update rules, in place on the weights.

In: weights, gradients, the learning rate, and the optimizer's slots (its state, by weight and slot name).
The slots belong to the caller, who keeps them in the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.recipe.statements import Adam, AdamW, Optimizer, RmsProp, Sgd

BLOCK = 1 << 16  # numbers at a time: with the slots they stay in the cache while a rule goes over them


def update(optimizer: Optimizer, weights: Weights, gradients: Mapping[str, Array], slots: Weights, rate: float) -> None:
    """One step. `slots` is empty at first, and filled here."""
    steps = 0
    if isinstance(optimizer, Adam | AdamW):
        count = slots.setdefault("steps", np.zeros((), np.int64))
        count += 1
        steps = int(count)
    names = _slots_of(optimizer)
    for name, gradient in gradients.items():
        weight = weights[name]
        held = [_slot(slots, f"{name}.{slot}", weight) for slot in names]
        for parts in _blocks(weight, gradient, *held):
            match optimizer:
                case Sgd():
                    _sgd(optimizer, rate, *parts)
                case RmsProp():
                    _rmsprop(optimizer, rate, *parts)
                case _:
                    _adam(optimizer, rate, steps, *parts)


def _slots_of(optimizer: Optimizer) -> tuple[str, ...]:
    """What the optimizer keeps for each weight."""
    match optimizer:
        case Sgd():
            return ("velocity",) if optimizer.momentum else ()
        case RmsProp():
            return ("square", "velocity") if optimizer.momentum else ("square",)
        case _:
            return ("mean", "square")


def _slot(slots: Weights, name: str, weight: Array) -> Array:
    """A slot of a weight, of zeros at first."""
    found = slots.get(name)
    if found is None:
        found = slots[name] = np.zeros_like(weight)
    return found


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Arrays of one shape, a run of each at a time. All but the second, the gradient, are written to."""
    if arrays[0].size <= BLOCK or not all(array.flags.c_contiguous for array in arrays):
        yield arrays
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, arrays[0].size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in flat)


def clip(gradients: Mapping[str, Array], norm: float) -> None:
    """Scales all gradients down together, in place, where their common norm is above this (Pascanu et al. 2013)."""
    total = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
    if total > norm:
        for gradient in gradients.values():
            gradient *= gradient.dtype.type(norm / total)


def _sgd(op: Sgd, rate: float, weight: Array, gradient: Array, velocity: Array | None = None) -> None:
    """v ← μ·v + g; w ← w − rate·v, or, looking ahead, w − rate·(g + μ·v)."""
    if op.weight_decay:
        gradient = gradient + weight * weight.dtype.type(op.weight_decay)
    if velocity is not None:
        velocity *= weight.dtype.type(op.momentum)
        velocity += gradient
        gradient = gradient + velocity * weight.dtype.type(op.momentum) if op.nesterov else velocity
    weight -= gradient * weight.dtype.type(rate)


def _adam(op: Adam | AdamW, rate: float, step: int, weight: Array, gradient: Array, mean: Array, square: Array) -> None:
    """m and v are running means of g and g²; w ← w − rate·m̂/(sqrt(v̂) + eps) (Kingma & Ba 2015, algorithm 1).

    AdamW takes rate·weight_decay of the weight away first, Adam adds weight_decay·w to g.
    """
    real = weight.dtype.type
    if op.weight_decay:
        if isinstance(op, AdamW):
            weight *= real(1 - rate * op.weight_decay)
        else:
            gradient = gradient + weight * real(op.weight_decay)
    change = gradient - mean  # one array beside the slots is all that the step takes
    change *= real(1 - op.beta1)
    mean += change
    square *= real(op.beta2)
    np.multiply(gradient, gradient, out=change)
    change *= real(1 - op.beta2)
    square += change
    root = np.sqrt(square, out=change)
    root /= real(math.sqrt(1 - op.beta2**step))
    root += real(op.eps)
    step_by = np.divide(mean, root, out=root)
    step_by *= real(rate / (1 - op.beta1**step))
    weight -= step_by


def _rmsprop(
    op: RmsProp, rate: float, weight: Array, gradient: Array, square: Array, velocity: Array | None = None
) -> None:
    """v ← decay·v + (1 − decay)·g²; w ← w − rate·g/(sqrt(v) + eps), through a velocity where there is momentum."""
    real = weight.dtype.type
    if op.weight_decay:
        gradient = gradient + weight * real(op.weight_decay)
    square *= real(op.decay)
    square += gradient * gradient * real(1 - op.decay)
    step = gradient / (np.sqrt(square) + real(op.eps))
    if velocity is not None:
        velocity *= real(op.momentum)
        velocity += step
        step = velocity
    weight -= step * real(rate)
