"""The errors of onnxruntime's operators that the rounding of NumPy does not show: the table `OPERATOR_ERRORS` by op class.

Input: an op, its weights, its first input x and its output y (float64, channels last). Output: how far a correct runtime
may deviate at each element, whatever the size of y. A class without an entry deviates by rounding alone, which
tolerance.py covers.

Most entries have one cause: the formula passes through a number of the size of 1, which a runtime computes with an error of
a few units in the last place of 1, and the result is small because 1 is subtracted from it or because it multiplies x.
onnxruntime's Sigmoid is a fraction of two polynomials that is clamped to 0..1; far below 0 it errs by 1.6e-7, where the
result is 1e-8. Its Elu computes exp(x) - 1. `python -m benchmarks.operator_errors` measures the errors; tests/onnx/
emit/test_operator_errors.py keeps every entry at no less than twice the measured error. docs/verification.md lists both.

Worked case: silu of x = -18 is -2.7e-7. UNIT·|x| = 8.6e-6 is allowed; onnxruntime deviates by up to 2.2e-6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.activation import Elu, Gelu, HardSigmoid, HardSwish, LogSoftmax, Mish, Selu, Sigmoid, Silu, Softplus
from cnnc.ops.base import Op
from cnnc.ops.norm import GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnc.ops.pool import GlobalPool, Pool
from cnnc.ops.spectrogram import Spectrogram
from cnnc.reference.spectrogram import frames_of, hann_window, transform_matrices

UNIT = 2.0**-21  # eight times the rounding error of float32 at 1, three times the largest error measured
TINY = 2.0**-120  # products and exponentials below 2^-126 become 0 in a runtime
_SMALLEST_NORMAL = 2.0**-126

OperatorError = Callable[[Any, Mapping[str, Array], Array, Array], Array | float]
"""(op, weights by short name, x, y) -> the absolute error that is allowed, broadcastable to y."""

Weights = Mapping[str, Array]


def _unit(op: Op, weights: Weights, x: Array, y: Array) -> float:
    return UNIT


def _unit_times_input(op: Op, weights: Weights, x: Array, y: Array) -> Array:
    return UNIT * np.abs(x)


def _sum_error(count: int) -> float:
    """The relative error of a sum of `count` terms: a runtime may add them one after the other, NumPy adds in pairs."""
    return UNIT * (1 + math.sqrt(count) / 2)


def _sample_norm(op: GroupNorm | InstanceNorm | LayerNorm, weights: Weights, x: Array, y: Array) -> Array:
    """(x - mean)/std·scale + shift, where mean and std are sums over a group: the mean errs relative to its own size."""
    channels = x.shape[-1]
    groups = {GroupNorm: getattr(op, "groups", 1), InstanceNorm: channels, LayerNorm: 1}[type(op)]
    rows = x.reshape(len(x), -1, groups, channels // groups)
    mean = rows.mean((1, 3), keepdims=True)
    std = np.sqrt(np.square(rows - mean).mean((1, 3), keepdims=True) + op.eps)
    error = _sum_error(rows[0, :, 0].size) * (np.abs(rows - mean) + np.abs(mean)) / std
    return np.asarray(error.reshape(x.shape) * np.abs(weights["scale"]))


def _lrn(op: LocalResponseNorm, weights: Weights, x: Array, y: Array) -> Array:
    """x·base^-beta: onnxruntime moves the window by adding one square and subtracting another, so that the error of a
    large square stays in the sum of the small ones that follow."""
    largest = np.abs(op.alpha) / op.size * np.square(x).sum(-1, keepdims=True)
    base = np.abs(np.divide(x, y, where=y != 0, out=np.ones_like(y))) ** (1 / op.beta) if op.beta else 1.0
    return np.asarray(np.abs(op.beta * y) * UNIT * largest / base)


def _global_pool(op: GlobalPool, weights: Weights, x: Array, y: Array) -> Array | float:
    if op.kind == "max":
        return 0.0
    count = x[0, ..., 0].size
    size = np.abs(y) if op.kind == "l2" else np.abs(x).mean(tuple(range(1, x.ndim - 1)), keepdims=True).reshape(y.shape)
    return np.asarray(_sum_error(count) * size + _power_underflow(count, 2 if op.kind == "l2" else 1))


def _pool(op: Pool, weights: Weights, x: Array, y: Array) -> float:
    return _power_underflow(int(np.prod(op.k)), op.order) if op.kind in ("l2", "lp") else 0.0


def _spectrogram(op: Spectrogram, weights: Weights, x: Array, y: Array) -> Array:
    """P = Σ_b m_b·(re_b² + im_b²), of which re_b and im_b are sums of k products: each errs by d, relative to the norm of the
    windowed frame, whatever its own size. So P errs by 2d·Σ m_b·|re_b, im_b| + d²·Σ m_b ≤ 2d·√(P·Σ m_b) + d²·Σ m_b."""
    (k,) = op.k
    norm = np.sqrt(np.square(frames_of(op, x) * hann_window(k)).sum(-1))[:, None]  # (N, 1, M, C)
    d = _sum_error(k) * norm
    mel = transform_matrices(op).mel
    weight = 1.0 if mel is None else mel.sum(1)[:, None, None]
    argument = np.exp(y) if op.log else y
    power = np.maximum(argument - op.eps, 0) if op.log else y
    error = 2 * d * np.sqrt(weight * power) + d**2 * weight
    return np.asarray(error / argument if op.log else error)


def _power_underflow(count: int, order: int) -> float:
    """(Σ |x|^order)^(1/order) of numbers so small that their powers become 0."""
    return float((count * _SMALLEST_NORMAL) ** (1 / order))


OPERATOR_ERRORS: dict[type[Op], OperatorError] = {
    Sigmoid: _unit,
    HardSigmoid: _unit,
    Softplus: _unit,
    LogSoftmax: _unit,
    Elu: lambda op, weights, x, y: UNIT * op.alpha * (x < 0),
    Selu: lambda op, weights, x, y: UNIT * 1.76 * (x < 0),
    Silu: _unit_times_input,
    Gelu: _unit_times_input,
    HardSwish: _unit_times_input,
    Mish: _unit_times_input,
    GroupNorm: _sample_norm,
    InstanceNorm: _sample_norm,
    LayerNorm: _sample_norm,
    LocalResponseNorm: _lrn,
    GlobalPool: _global_pool,
    Pool: _pool,
    Spectrogram: _spectrogram,
}


def operator_error(op: Op, weights: Weights, x: Array, y: Array) -> Array | float:
    """The error that a runtime may make in this op beyond rounding, broadcastable to its output y."""
    entry = OPERATOR_ERRORS.get(type(op))
    return TINY if entry is None else entry(op, weights, x, y) + TINY
