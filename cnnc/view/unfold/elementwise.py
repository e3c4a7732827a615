"""Layers that compute an output from the elements at its own position: a formula with its numbers.

In: a `LayerRun` and the index of an output. Out: `Formula`. A table by op class, for layers without a sum of products.

    relu1(3,14,20) = max(-0.31, 0) = 0
    bn1(3,14,20) = (0.5123 - 0.1)/√(0.25 + 1e-05)·1.2 + 0.3 = 1.289
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.ops import activation as a
from cnnc.ops.base import Op
from cnnc.ops.merge import Add, Maximum, Mul, Sub
from cnnc.ops.norm import Affine, BatchNorm, Normalize
from cnnc.reference.activation import SELU_ALPHA, SELU_GAMMA
from cnnc.view.unfold.exact import factor_text, text_of
from cnnc.view.unfold.layer_run import LayerRun


class Formula(NamedTuple):
    """The formula of one output with its numbers, its value in float64, and the engine's number."""

    text: str
    total: float
    engine: float

    @property
    def difference(self) -> float:
        """How far the engine's number is from the total."""
        return abs(self.total - self.engine)


class Position(NamedTuple):
    """What a layer reads at the position of an output: one number of each input, and the channel's parameters."""

    op: Any
    x: tuple[float, ...]
    weights: dict[str, float]
    channel: int
    channels: tuple[float, ...]  # of the first input at this position


FormulaOf = Callable[[Position], tuple[str, float]]
FORMULAS: dict[type[Op], FormulaOf] = {}


def formula_of(*ops: type[Op]) -> Callable[[FormulaOf], FormulaOf]:
    """Registers the function that gives the formula of these layers and its value."""

    def register(function: FormulaOf) -> FormulaOf:
        FORMULAS.update(dict.fromkeys(ops, function))
        return function

    return register


def output_formula(run: LayerRun, output: Axes) -> Formula:
    """The formula of one output. Raises KeyError for a layer that is not in the table."""
    shape = run.output.shape
    x = tuple(float(np.broadcast_to(array, shape)[output]) for array in run.inputs)
    channel, *place = output
    weights = {name: float(values[channel]) for name, values in run.weights.items()}
    at_place = np.moveaxis(run.x, 0, -1)[tuple(place)] if run.x.shape == shape else ()
    channels = tuple(map(float, at_place))
    text, total = FORMULAS[type(run.op)](Position(run.op, x, weights, channel, channels))
    return Formula(text, total, float(run.output[output]))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _clamped(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


@formula_of(a.Relu)
def _relu(p: Position) -> tuple[str, float]:
    return f"max({text_of(p.x[0])}, 0)", max(p.x[0], 0.0)


@formula_of(a.LeakyRelu, a.Prelu)
def _leaky_relu(p: Position) -> tuple[str, float]:
    (x,) = p.x
    slope = p.weights["slope"] if isinstance(p.op, a.Prelu) else p.op.slope
    return (text_of(x), x) if x > 0 else (f"{text_of(slope)}·{factor_text(x)}", slope * x)


@formula_of(a.Elu)
def _elu(p: Position) -> tuple[str, float]:
    (x,) = p.x
    return (text_of(x), x) if x > 0 else (f"{p.op.alpha:g}·(exp({text_of(x)}) - 1)", p.op.alpha * math.expm1(x))


@formula_of(a.Selu)
def _selu(p: Position) -> tuple[str, float]:
    (x,) = p.x
    if x > 0:
        return f"{SELU_GAMMA:.5g}·{text_of(x)}", SELU_GAMMA * x
    return f"{SELU_GAMMA:.5g}·{SELU_ALPHA:.5g}·(exp({text_of(x)}) - 1)", SELU_GAMMA * SELU_ALPHA * math.expm1(x)


@formula_of(a.Sigmoid)
def _sigmoid(p: Position) -> tuple[str, float]:
    return f"1/(1 + exp(-{factor_text(p.x[0])}))", _logistic(p.x[0])


@formula_of(a.Tanh)
def _tanh(p: Position) -> tuple[str, float]:
    return f"tanh({text_of(p.x[0])})", math.tanh(p.x[0])


@formula_of(a.Softplus)
def _softplus_formula(p: Position) -> tuple[str, float]:
    return f"log(1 + exp({text_of(p.x[0])}))", _softplus(p.x[0])


@formula_of(a.Gelu)
def _gelu(p: Position) -> tuple[str, float]:
    (x,) = p.x
    return f"{factor_text(x)}·Φ({text_of(x)})", x * 0.5 * math.erfc(-x / math.sqrt(2))


@formula_of(a.Silu)
def _silu(p: Position) -> tuple[str, float]:
    (x,) = p.x
    return f"{factor_text(x)}/(1 + exp(-{factor_text(x)}))", x * _logistic(x)


@formula_of(a.Mish)
def _mish(p: Position) -> tuple[str, float]:
    (x,) = p.x
    return f"{factor_text(x)}·tanh(log(1 + exp({text_of(x)})))", x * math.tanh(_softplus(x))


@formula_of(a.Relu6, a.Clip, a.HardTanh)
def _clip(p: Position) -> tuple[str, float]:
    low, high = (0.0, 6.0) if isinstance(p.op, a.Relu6) else (p.op.lo, p.op.hi)
    return f"min(max({text_of(p.x[0])}, {low:g}), {high:g})", _clamped(p.x[0], low, high)


@formula_of(a.HardSigmoid, a.HardSwish)
def _hard_sigmoid(p: Position) -> tuple[str, float]:
    (x,) = p.x
    gate, text = _clamped(x / 6 + 0.5, 0.0, 1.0), f"min(max({text_of(x)}/6 + 1/2, 0), 1)"
    return (text, gate) if isinstance(p.op, a.HardSigmoid) else (f"{factor_text(x)}·{text}", x * gate)


@formula_of(a.Abs)
def _abs(p: Position) -> tuple[str, float]:
    return f"|{text_of(p.x[0])}|", abs(p.x[0])


@formula_of(a.Scale)
def _scale(p: Position) -> tuple[str, float]:
    return f"{p.op.factor:g}·{factor_text(p.x[0])}", p.op.factor * p.x[0]


@formula_of(a.Identity, a.Dropout, a.DropPath)
def _identity(p: Position) -> tuple[str, float]:
    return text_of(p.x[0]), p.x[0]


@formula_of(a.Softmax, a.LogSoftmax)
def _softmax(p: Position) -> tuple[str, float]:
    (x,) = p.x
    largest = max(p.channels)
    total = math.fsum(math.exp(v - largest) for v in p.channels)
    count = len(p.channels)
    if count <= 12:
        terms = " + ".join(f"exp({text_of(v)})" for v in p.channels)
    else:
        terms = f"Σ exp of {count:,} channels, {text_of(total * math.exp(largest)) if largest < 700 else 'large'}"
    if isinstance(p.op, a.LogSoftmax):
        return f"{text_of(x)} - log({terms})", x - largest - math.log(total)
    return f"exp({text_of(x)})/({terms})", math.exp(x - largest) / total


@formula_of(BatchNorm)
def _batch_norm(p: Position) -> tuple[str, float]:
    (x,), w = p.x, p.weights
    text = f"({text_of(x)} - {factor_text(w['mean'])})/√({text_of(w['var'])} + {p.op.eps:g})"
    total = (x - w["mean"]) / math.sqrt(w["var"] + p.op.eps)
    if not p.op.affine:
        return text, total
    return f"{text}·{factor_text(w['scale'])} + {factor_text(w['shift'])}", total * w["scale"] + w["shift"]


@formula_of(Affine)
def _affine(p: Position) -> tuple[str, float]:
    (x,), w = p.x, p.weights
    text = f"{factor_text(w['scale'])}·{factor_text(x)} + {factor_text(w['shift'])}"
    return text, w["scale"] * x + w["shift"]


@formula_of(Normalize)
def _normalize(p: Position) -> tuple[str, float]:
    mean, std = (values[p.channel % len(values)] for values in (p.op.mean, p.op.std))
    return f"({text_of(p.x[0])} - {mean:g})/{std:g}", (p.x[0] - mean) / std


@formula_of(Add)
def _add(p: Position) -> tuple[str, float]:
    return " + ".join(map(factor_text, p.x)), math.fsum(p.x)


@formula_of(Sub)
def _sub(p: Position) -> tuple[str, float]:
    return " - ".join(map(factor_text, p.x)), p.x[0] - p.x[1]


@formula_of(Mul)
def _mul(p: Position) -> tuple[str, float]:
    return "·".join(map(factor_text, p.x)), math.prod(p.x)


@formula_of(Maximum)
def _maximum(p: Position) -> tuple[str, float]:
    return f"max({', '.join(map(text_of, p.x))})", max(p.x)
