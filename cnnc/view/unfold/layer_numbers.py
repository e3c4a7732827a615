"""A layer with the numbers of its input and weights: the value and the formula of each output.

In: an op, and its input, weight and bias as arrays: of exact values (cnnc/view/unfold/exact.py) or of floats. Out: the terms of an
output, their value, and the line that says how the value comes about.

    layer = LayerNumbers(conv, x, weight)      # x (1, 3, 3), weight (1, 1, 2, 2)
    layer.formula(layer.sum_at((0, 0, 1)))     # 3·1 + (-1)·0 + 1·2 + 0·(-1)
    layer.value(layer.sum_at((0, 0, 1)))       # 5
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.base import Op
from cnnc.ops.conv import ConvTranspose
from cnnc.view.unfold.combine import combined
from cnnc.view.unfold.exact import factor_text, text_of
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
        return self.x[term.element] if term.element is not None else Fraction(0)

    def weight_of(self, term: Product) -> Any:
        """The factor of a term."""
        if term.weight is not None and self.weight is not None:
            return self.weight[term.weight]
        return Fraction(int(term.factor)) if term.factor == int(term.factor) else term.factor

    def bias_of(self, total: Sum) -> Any:
        """The bias of an output, None for none."""
        return self.bias[total.bias] if total.bias is not None and self.bias is not None else None

    def elements(self, total: Sum) -> list[Any]:
        """The number that each term of a sum reads."""
        return [self.element(term) for term in total.terms]

    def factors(self, total: Sum) -> list[Any]:
        """The factor of each term of a sum; none where a mean, maximum or norm is taken."""
        return [self.weight_of(term) for term in total.terms] if total.kind == "sum" else []

    def value(self, total: Sum) -> Any:
        """The value of a sum."""
        return combined(total, self.elements(total), self.factors(total), self.bias_of(total))

    def outputs(self) -> Array:
        """All outputs, (C, *spatial), as an array of objects."""
        y = np.empty(self.output_shape, object)
        for position in self.positions():
            y[position] = self.value(self.sum_at(position))
        return y

    def formula(self, total: Sum) -> str:
        """What a value is computed from: `3·1 + (-1)·0`. Products with padding, which are 0, are left out."""
        read = [term for term in total.terms if term.element is not None]
        values = [self.element(term) for term in read]
        n = total.number
        match total.kind:
            case "max":
                return f"max({', '.join(map(self.text, values))})"
            case "mean":
                return f"({' + '.join(map(self.factor, values)) or '0'})/{n}"
            case "norm":
                return _norm_formula([self.factor(value) for value in values], n)
        parts = [f"{self.factor(a)}·{self.factor(self.weight_of(term))}" for a, term in zip(values, read, strict=True)]
        bias = self.bias_of(total)
        return " + ".join(parts if bias is None else [*parts, self.factor(bias)]) or "0"

    def kernel_at(self, output: Axes) -> Array | None:
        """The factors of an output's window, (C, *k) or as the input for a layer that reads all of it; None for none.

        They are as they lie on the input: those of a true convolution are turned. A transposed convolution has the
        kernel that each input element is multiplied by.
        """
        if isinstance(self.op, ConvTranspose) and self.weight is not None:
            outputs = self.weight.shape[1]
            group = self.weight.shape[0] // self.op.groups
            first = output[0] // outputs * group
            return np.asarray(self.weight[first : first + group, output[0] % outputs])
        total = self.sum_at(output)
        if total.kind != "sum":
            return None
        factors = np.empty(len(total.terms), object)
        factors[:] = [self.weight_of(term) for term in total.terms]
        rules = getattr(self.op, "rules", None)
        k = tuple(r.k for r in rules(self.type)) if rules else self.x.shape[1:]
        return factors.reshape(-1, *k)


def _norm_formula(factors: Sequence[str], order: int) -> str:
    sized = factors if order % 2 == 0 else [f"|{factor.removeprefix('(').removesuffix(')')}|" for factor in factors]
    power = {1: "", 2: "²", 3: "³"}.get(order, f"^{order}")
    inner = " + ".join(f"{factor}{power}" for factor in sized) or "0"
    return {1: inner, 2: f"√({inner})"}.get(order, f"({inner})^(1/{order})")
