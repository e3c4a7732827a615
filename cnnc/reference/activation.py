"""Activation functions, dropout and drop_path.

Most activation functions are a formula of each element: in training, forward saves the derivative and backward
multiplies by it. The smooth ones run in blocks that stay in the cache. Cases such as x > 0 are written as sums of
maxima, minima and masks, because np.where takes ten times as long. Exponents are never positive, so no exponential
overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.activation import (
    Abs,
    Clip,
    Dropout,
    DropPath,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    HardTanh,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Mish,
    Prelu,
    Relu,
    Relu6,
    Scale,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from cnnc.reference.kernels import channelwise
from cnnc.reference.kernels.channelwise import channel_sum, sample_blocks
from cnnc.reference.registry import Gradients, Mode, NoWeights, Outcome, backward_of, forward_of

SELU_ALPHA = 1.67326319217681884765625  # ONNX Selu's defaults, to the last bit
SELU_GAMMA = 1.05070102214813232421875


# --- piecewise linear --------------------------------------------------------------------------------------------


@forward_of(Relu)
def relu(op: Relu, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    y = channelwise.relu(x, in_place=mode.may_overwrite_input)
    return Outcome(y, y)


@backward_of(Relu)
def relu_backward(op: Relu, weights: NoWeights, y: Array, gradient: Array, needs_dx: bool) -> Gradients:
    into = gradient if gradient.flags.writeable and gradient.flags.c_contiguous else np.empty(y.shape, y.dtype)
    for at in sample_blocks(len(y), y[:1].size):
        np.multiply(gradient[at], y[at] > 0, out=into[at])
    return Gradients((into,))


@forward_of(LeakyRelu)
def leaky_relu(op: LeakyRelu, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    return Outcome(np.maximum(x, 0) + op.slope * np.minimum(x, 0), x > 0 if mode.training else None)


@backward_of(LeakyRelu)
def leaky_relu_backward(
    op: LeakyRelu, weights: NoWeights, positive: Array, gradient: Array, needs_dx: bool
) -> Gradients:
    return Gradients((gradient * _choose(positive, 1, op.slope, gradient.dtype),))


@forward_of(Prelu)
def prelu(op: Prelu, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    return Outcome(np.maximum(x, 0) + weights["slope"] * np.minimum(x, 0), x)


@backward_of(Prelu)
def prelu_backward(op: Prelu, weights: Mapping[str, Array], x: Array, gradient: Array, needs_dx: bool) -> Gradients:
    """He et al. 2015, equation 8: the gradient of a channel's slope is Σ gradient·min(x, 0)."""
    weight_gradients = {"slope": channel_sum(gradient * np.minimum(x, 0)).astype(x.dtype)}
    if not needs_dx:
        return Gradients((None,), weight_gradients)
    positive = x > 0
    return Gradients((gradient * (positive + weights["slope"] * ~positive),), weight_gradients)


@forward_of(Clip, HardTanh, Relu6)
def clip(op: Clip | HardTanh | Relu6, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """ONNX Clip. At lo and hi the derivative is that of PyTorch: 1 for clip (clamp), 0 for hard_tanh and relu6."""
    (x,) = inputs
    lo, hi = (0, 6) if isinstance(op, Relu6) else (op.lo, op.hi)
    y = np.clip(x, lo, hi)
    if not mode.training:
        return Outcome(y)
    return Outcome(y, (x >= lo) & (x <= hi) if isinstance(op, Clip) else (x > lo) & (x < hi))


@forward_of(HardSigmoid)
def hard_sigmoid(op: HardSigmoid, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    inside = (np.abs(x) < 3) * x.dtype.type(1 / 6) if mode.training else None
    return Outcome(_hard_sigmoid(x), inside)


@forward_of(HardSwish)
def hard_swish(op: HardSwish, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return _by_element(inputs[0], mode, _hard_swish)


def _hard_swish(x: Array, training: bool) -> tuple[Array, Array | None]:
    """x·h with h = clip(x/6 + 1/2, 0, 1); its derivative is h + x·h', h' being 1/6 from -3 to 3."""
    h = _hard_sigmoid(x)
    return x * h, h + x * ((np.abs(x) < 3) * x.dtype.type(1 / 6)) if training else None


@forward_of(Abs)
def absolute(op: Abs, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return Outcome(np.abs(inputs[0]), np.sign(inputs[0]) if mode.training else None)


# --- smooth --------------------------------------------------------------------------------------------------------


BLOCK = 1 << 14  # elements: with the intermediate arrays of a formula they fit a second-level cache


def _by_element(x: Array, mode: Mode, formula: Callable[[Array, bool], tuple[Array, Array | None]]) -> Outcome:
    """Applies formula(x, training) -> (output, derivative or None) to each element, a block at a time."""
    flat = np.ascontiguousarray(x).reshape(-1)
    y = np.empty_like(flat)
    slope = np.empty_like(flat) if mode.training else None

    for i in range(0, flat.size, BLOCK):
        value, derivative = formula(flat[i : i + BLOCK], mode.training)
        y[i : i + BLOCK] = value
        if slope is not None:
            slope[i : i + BLOCK] = derivative
    return Outcome(y.reshape(x.shape), None if slope is None else slope.reshape(x.shape))


@forward_of(Elu)
def elu(op: Elu, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return _by_element(inputs[0], mode, lambda x, training: _elu(x, op.alpha, 1, training))


@forward_of(Selu)
def selu(op: Selu, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return _by_element(inputs[0], mode, lambda x, training: _elu(x, SELU_ALPHA, SELU_GAMMA, training))


def _elu(x: Array, alpha: float, gamma: float, training: bool) -> tuple[Array, Array | None]:
    """gamma·elu(x); the derivative of elu is alpha·exp(x) where x is not positive, else 1."""
    low = np.minimum(x, 0)
    y = gamma * (np.maximum(x, 0) + alpha * np.expm1(low))
    return y, gamma * (alpha * np.exp(low) * ~(x > 0) + (x > 0)) if training else None


@forward_of(Sigmoid)
def sigmoid(op: Sigmoid, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    y = logistic(inputs[0])
    return Outcome(y, y)


@backward_of(Sigmoid)
def sigmoid_backward(op: Sigmoid, weights: NoWeights, y: Array, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients((gradient * y * (1 - y),))


@forward_of(Tanh)
def tanh(op: Tanh, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    y = np.tanh(inputs[0])
    return Outcome(y, y)


@backward_of(Tanh)
def tanh_backward(op: Tanh, weights: NoWeights, y: Array, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients((gradient * (1 - y * y),))


@forward_of(Softplus)
def softplus(op: Softplus, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return _by_element(inputs[0], mode, _softplus)


def _softplus(x: Array, training: bool) -> tuple[Array, Array | None]:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); its derivative is the sigmoid."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), logistic(x) if training else None


@forward_of(Silu)
def silu(op: Silu, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return _by_element(inputs[0], mode, _silu)


def _silu(x: Array, training: bool) -> tuple[Array, Array | None]:
    """x·s with s = sigmoid(x); its derivative is s + x·s·(1 - s)."""
    s = logistic(x)
    return x * s, s * (1 + x * (1 - s)) if training else None


@forward_of(Mish)
def mish(op: Mish, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return _by_element(inputs[0], mode, _mish)


def _mish(x: Array, training: bool) -> tuple[Array, Array | None]:
    """x·t with t = tanh(log(1 + exp(x))) = e(e + 2)/(e(e + 2) + 2), e = exp(x); derivative t + x·(1 - t²)·sigmoid(x).

    With e = p/q, p = exp(min(x, 0)) and q = exp(-max(x, 0)), the fraction is expanded by q², so that nothing overflows.
    """
    p, q = np.exp(np.minimum(x, 0)), np.exp(-np.maximum(x, 0))
    top = p * (p + 2 * q)
    t = top / (top + 2 * q * q)
    return x * t, t + x * (1 - t * t) * (p / (p + q)) if training else None


@forward_of(Gelu)
def gelu(op: Gelu, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return _by_element(inputs[0], mode, _gelu)


def _gelu(x: Array, training: bool) -> tuple[Array, Array | None]:
    """x·Φ(x) (Hendrycks & Gimpel 2016); its derivative is Φ(x) + x·φ(x). Φ and φ are the normal distribution and density."""
    bell = np.exp(-0.5 * np.square(np.clip(x, -40, 40)))  # beyond 40 it is 0 in float64 as well
    phi = np.abs((x > 0) - bell * _tail_over_bell(x))  # Φ(x) is 1 - Q(|x|) on the right, Q(|x|) on the left
    return x * phi, phi + x * bell * (2 * math.pi) ** -0.5 if training else None


def _tail_over_bell(x: Array) -> Array:
    """Q(|x|)·exp(x²/2), where Q(a) = erfc(a/√2)/2 is the tail of the normal distribution above a (Mills' ratio)."""
    u = 2 * _CENTRE / (np.abs(x) + _CENTRE) - 1
    coefficients = _mills(10 if x.dtype == np.float32 else 25)
    y = np.full_like(u, coefficients[-1])
    for c in coefficients[-2::-1]:
        y *= u
        y += x.dtype.type(c)
    return y


_CENTRE = 4.0


@cache
def _mills(degree: int) -> tuple[float, ...]:
    """The coefficients, lowest power first, of a polynomial for Mills' ratio in u = 2·c/(a + c) - 1, c = `_CENTRE`.

    The ratio is smooth in u for all a >= 0. The polynomial interpolates math.erfc at Chebyshev points; it is fitted
    here because a table of numbers could hide a mistake. The relative error of Q is 1e-6 at degree 10, 1e-13 at 25.
    """
    lowest = 2 * _CENTRE / (37 + _CENTRE) - 1  # math.erfc is 0 a little further out

    def ratio(v: Any) -> Any:
        points = (np.asarray(v) + 1) / 2 * (1 - lowest) + lowest
        a = [2 * _CENTRE / (u + 1) - _CENTRE for u in points.tolist()]
        return np.array([math.erfc(t / math.sqrt(2)) / 2 * math.exp(t * t / 2) for t in a])

    chebyshev = np.polynomial.Chebyshev(np.polynomial.chebyshev.chebinterpolate(ratio, degree), domain=[lowest, 1])
    power = chebyshev.convert(kind=np.polynomial.Polynomial, domain=[-1, 1])
    return tuple(power.coef.tolist())


@backward_of(Abs, Clip, Elu, Gelu, HardSigmoid, HardSwish, HardTanh, Mish, Relu6, Selu, Silu, Softplus)
def times_slope(op: Any, weights: NoWeights, slope: Array, gradient: Array, needs_dx: bool) -> Gradients:
    """The backward of all layers whose forward saved the derivative at each element, `slope`."""
    return Gradients((gradient * slope,))


def _choose(mask: Array, if_true: float, if_false: float, dtype: Any) -> Array:
    chosen: Array = mask * dtype.type(if_true) + ~mask * dtype.type(if_false)
    return chosen


def logistic(x: Array) -> Array:
    """1/(1 + exp(-x)), with the fraction expanded by exp(min(x, 0)) so that nothing overflows."""
    y = np.exp(np.minimum(x, 0))
    y /= 1 + np.exp(-np.abs(x))
    return y


def _hard_sigmoid(x: Array) -> Array:
    return np.asarray(np.clip(x * x.dtype.type(1 / 6) + 0.5, 0, 1))


# --- over the channels ---------------------------------------------------------------------------------------------


@forward_of(Softmax)
def softmax(op: Softmax, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return Outcome(y, y)


@backward_of(Softmax)
def softmax_backward(op: Softmax, weights: NoWeights, y: Array, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients((y * (gradient - (gradient * y).sum(-1, keepdims=True)),))


@forward_of(LogSoftmax)
def log_softmax(op: LogSoftmax, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    y = x - x.max(-1, keepdims=True)
    y -= np.log(np.exp(y).sum(-1, keepdims=True))
    return Outcome(y, y)


@backward_of(LogSoftmax)
def log_softmax_backward(op: LogSoftmax, weights: NoWeights, y: Array, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients((gradient - np.exp(y) * gradient.sum(-1, keepdims=True),))


# --- scale, identity, dropout ----------------------------------------------------------------------------------------


@forward_of(Scale)
def scale(op: Scale, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return Outcome(inputs[0] * op.factor)


@backward_of(Scale)
def scale_backward(op: Scale, weights: NoWeights, saved: Any, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients((gradient * op.factor,))


@forward_of(Identity)
def identity(op: Identity, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    return Outcome(inputs[0])


@backward_of(Identity)
def identity_backward(op: Identity, weights: NoWeights, saved: Any, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients((gradient,))


@forward_of(Dropout, DropPath, uses_rng=True)
def dropout(op: Dropout | DropPath, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """dropout drops single elements (Srivastava et al. 2014), drop_path whole samples (Huang et al. 2016)."""
    (x,) = inputs
    if not mode.training or op.p == 0:
        return Outcome(x)
    if mode.random is None:
        raise ValueError(f"{op.keyword} in training needs random numbers")
    shape = x.shape if isinstance(op, Dropout) else (x.shape[0], *(1,) * (x.ndim - 1))
    kept = mode.random.random(shape, np.float32) >= op.p
    mask = kept.astype(x.dtype) / x.dtype.type(1 - op.p)
    return Outcome(x * mask, mask)


@backward_of(Dropout, DropPath)
def dropout_backward(
    op: Dropout | DropPath, weights: NoWeights, mask: Any, gradient: Array, needs_dx: bool
) -> Gradients:
    return Gradients((gradient if mask is None else gradient * mask,))
