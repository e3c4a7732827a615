"""Activations and dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnc.ops.activation import Dropout, Relu, Sigmoid, Softmax, Tanh
from cnnc.reference.engine import Array, Gradients, Mode, Outcome, backward_of, forward_of

NoWeights = Mapping[str, Array]


@forward_of(Relu)
def relu(op: Relu, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    y = np.maximum(inputs[0], 0)
    return Outcome(y, y)


@backward_of(Relu)
def relu_backward(op: Relu, weights: NoWeights, y: Array, gradient: Array, want: bool) -> Gradients:
    return Gradients((gradient * (y > 0),))


@forward_of(Sigmoid)
def sigmoid(op: Sigmoid, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    # exp of a negative number only, which cannot overflow
    small = np.exp(-np.abs(inputs[0]))
    y = np.where(inputs[0] >= 0, 1, small) / (1 + small)
    return Outcome(y, y)


@backward_of(Sigmoid)
def sigmoid_backward(op: Sigmoid, weights: NoWeights, y: Array, gradient: Array, want: bool) -> Gradients:
    return Gradients((gradient * y * (1 - y),))


@forward_of(Tanh)
def tanh(op: Tanh, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    y = np.tanh(inputs[0])
    return Outcome(y, y)


@backward_of(Tanh)
def tanh_backward(op: Tanh, weights: NoWeights, y: Array, gradient: Array, want: bool) -> Gradients:
    return Gradients((gradient * (1 - y * y),))


@forward_of(Softmax)
def softmax(op: Softmax, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return Outcome(y, y)


@backward_of(Softmax)
def softmax_backward(op: Softmax, weights: NoWeights, y: Array, gradient: Array, want: bool) -> Gradients:
    return Gradients((y * (gradient - (gradient * y).sum(-1, keepdims=True)),))


@forward_of(Dropout)
def dropout(op: Dropout, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    if not mode.training or op.p == 0:
        return Outcome(x)
    if mode.random is None:
        raise ValueError("dropout in training needs random numbers")
    kept = mode.random.random(x.shape, np.float32) >= op.p
    mask = kept.astype(x.dtype) / x.dtype.type(1 - op.p)
    return Outcome(x * mask, mask)


@backward_of(Dropout)
def dropout_backward(op: Dropout, weights: NoWeights, mask: Any, gradient: Array, want: bool) -> Gradients:
    return Gradients((gradient if mask is None else gradient * mask,))
