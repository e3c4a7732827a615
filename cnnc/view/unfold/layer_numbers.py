"""A layer with the numbers of its input and weights: the value and the formula of each output.

In: an op, and its input, weight and bias as arrays: of exact values (cnnc/view/unfold/exact.py) or of floats. Out: the terms of an
output, their value, and the line that says how the value comes about.

    layer = LayerNumbers(conv, x, weight)      # x (1, 3, 3), weight (1, 1, 2, 2)
    layer.formula((0, 0, 1))                   # 3·1 + (-1)·0 + 1·2 + 0·(-1)
    layer.value((0, 0, 1))                     # 5
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.base import Op
from cnnc.view.unfold.exact import Polynomial, factor_text, is_symbolic, text_of
from cnnc.view.unfold.terms import Product, Sum, terms


class LayerNumbers(NamedTuple):
    """A layer, its input (C, *spatial) and parameters, shaped as in ONNX. `text` and `factor` write a value.

    With `circular` the input repeats itself beyond its borders.
    """

    op: Op
    x: Array
    weight: Array | None = None
    bias: Array | None = None
    circular: bool = False
    text: Callable[[Any], str] = text_of
    factor: Callable[[Any], str] = factor_text

    @property
    def type(self) -> TensorType:
        """The type of the input."""
        return TensorType(self.x.shape)

    @property
    def output_shape(self) -> Axes:
        """The shape of the output, (C, *spatial)."""
        return self.op.output(self.type).shape

    def positions(self) -> Iterable[Axes]:
        """The index of each output, in the order of memory."""
        return product(*map(range, self.output_shape))

    def sum_at(self, output: Axes) -> Sum:
        """The terms of an output."""
        return terms(self.op, self.type, output, self.circular)

    def element(self, term: Product) -> Any:
        """The number that a term reads, 0 for padding."""
        return self.x[term.element] if term.element is not None else 0

    def weight_of(self, term: Product) -> Any:
        """The factor of a term."""
        if term.weight is not None and self.weight is not None:
            return self.weight[term.weight]
        return _plain(term.factor)

    def value(self, output: Axes) -> Any:
        """The value of an output."""
        total = self.sum_at(output)
        return self.value_of(total)

    def value_of(self, total: Sum) -> Any:
        """The value of a sum."""
        elements = [self.element(term) for term in total.terms]
        match total.kind:
            case "max":
                return maximum([self.element(term) for term in total.terms if term.element is not None])
            case "mean":
                return sum(elements[1:], elements[0]) / Fraction(total.number) if elements else Fraction(0)
            case "norm":
                return _norm(elements, total.number)
        value = sum((a * self.weight_of(term) for a, term in zip(elements, total.terms, strict=True)), Fraction(0))
        return value + self.bias[total.bias] if total.bias is not None and self.bias is not None else value

    def outputs(self) -> Array:
        """All outputs, (C, *spatial), as an array of objects."""
        y = np.empty(self.output_shape, object)
        for position in self.positions():
            y[position] = self.value(position)
        return y

    def formula(self, output: Axes) -> str:
        """What the output is computed from: `3·1 + (-1)·0`. Products with padding, which are 0, are left out."""
        return self.formula_of(self.sum_at(output))

    def formula_of(self, total: Sum) -> str:
        """The formula of a sum."""
        read = [term for term in total.terms if term.element is not None]
        values = [self.element(term) for term in read]
        match total.kind:
            case "max":
                return f"max({', '.join(map(self.text, values))})" if len(values) > 1 else self.text(values[0])
            case "mean":
                return f"({' + '.join(map(self.factor, values)) or '0'})/{total.number}"
            case "norm" if total.number == 1:
                return " + ".join(f"|{self.text(value)}|" for value in values) or "0"
            case "norm":
                power = "²" if total.number == 2 else f"^{total.number}"
                inner = " + ".join(f"{_base(self.factor(value), total.number)}{power}" for value in values)
                return f"√({inner})" if total.number == 2 else f"({inner})^(1/{total.number})"
        parts = [f"{self.factor(self.element(term))}·{self.factor(self.weight_of(term))}" for term in read]
        if total.bias is not None and self.bias is not None:
            parts.append(self.factor(self.bias[total.bias]))
        return " + ".join(parts) or "0"


def _base(text: str, power: int) -> str:
    return text if power % 2 == 0 else f"|{text.strip('()')}|"


def _plain(factor: float) -> Any:
    """A whole factor as an exact number; others are floats."""
    return Fraction(int(factor)) if factor == int(factor) else factor


def maximum(values: Sequence[Any]) -> Any:
    """The largest value; of letters `max(a, b)`, as one symbol."""
    if not any(is_symbolic(value) for value in values):
        return max(values)
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else Polynomial.letter(f"max({', '.join(map(text_of, distinct))})")


def _norm(values: Sequence[Any], order: int) -> Any:
    """(Σ |x|^order)^(1/order): exact where the root is, else a float."""
    total = sum((abs(value) ** order for value in values), Fraction(0))
    if order == 1:
        return total
    root = float(total) ** (1 / order)
    exact = Fraction(round(root * 1000), 1000)
    return exact if isinstance(total, Fraction) and exact**order == total else root


def taps_of(shape: Axes) -> int:
    """The number of products behind one output of a kernel of this shape."""
    return math.prod(shape[1:])
