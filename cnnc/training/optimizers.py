"""Optimizers: the published update rules, in place on the weights.

In: weights, gradients, the learning rate, and the optimizer's slots (its state, by weight and slot name).
The slots belong to the caller, who keeps them in the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cnnc.recipe import Adam, Optimizer, Sgd
from cnnc.reference.engine import Array, Weights


def update(optimizer: Optimizer, weights: Weights, gradients: Mapping[str, Array], slots: Weights, rate: float) -> None:
    """One step. `slots` is empty at first, and filled here."""
    if isinstance(optimizer, Sgd):
        for name, gradient in gradients.items():
            _sgd(optimizer, weights[name], gradient, slots, name, rate)
        return
    steps = slots.setdefault("steps", np.zeros((), np.int64))
    steps += 1
    for name, gradient in gradients.items():
        _adam(optimizer, weights[name], gradient, slots, name, rate, int(steps))


def _sgd(op: Sgd, weight: Array, gradient: Array, slots: Weights, name: str, rate: float) -> None:
    """v ← μ·v + g; w ← w − rate·v, or, looking ahead, w − rate·(g + μ·v)."""
    if op.weight_decay:
        gradient = gradient + weight * weight.dtype.type(op.weight_decay)
    if op.momentum:
        velocity = slots.setdefault(f"{name}.velocity", np.zeros_like(weight))
        velocity *= weight.dtype.type(op.momentum)
        velocity += gradient
        gradient = gradient + velocity * weight.dtype.type(op.momentum) if op.nesterov else velocity
    weight -= gradient * weight.dtype.type(rate)


def _adam(op: Adam, weight: Array, gradient: Array, slots: Weights, name: str, rate: float, step: int) -> None:
    """m and v are running means of g and g²; w ← w − rate·m̂/(sqrt(v̂) + eps) (Kingma & Ba 2015, algorithm 1)."""
    real = weight.dtype.type
    if op.weight_decay:
        gradient = gradient + weight * real(op.weight_decay)
    mean = slots.setdefault(f"{name}.mean", np.zeros_like(weight))
    square = slots.setdefault(f"{name}.square", np.zeros_like(weight))
    mean += (gradient - mean) * real(1 - op.beta1)
    square *= real(op.beta2)
    square += gradient * gradient * real(1 - op.beta2)
    root = np.sqrt(square) / real(math.sqrt(1 - op.beta2**step)) + real(op.eps)
    weight -= mean / root * real(rate / (1 - op.beta1**step))
