"""Which products an output of a layer adds up: a table by op class.

In: a layer, the type of its input, and the index (channel, *position) of an output. Out: a `Sum`. It holds indices only, no
numbers, so it serves literals, letters and trained weights alike.

    conv 1 k=2 on 1x3x3, output (0, 0, 1): weights (0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 1, 1)
                                        by elements (0, 0, 1),   (0, 0, 2),    (0, 1, 1),    (0, 1, 2)
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Literal, NamedTuple

from cnnc.core.arguments import Axes
from cnnc.core.tensor import TensorType
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv


class Product(NamedTuple):
    """One product. `element` is the index (channel, *position) in the layer's input; None for padding, which is 0.

    `weight` is the index in the layer's weight as it is stored, shaped as in ONNX; None where the factor is not a
    parameter: then it is `factor`.
    """

    element: Axes | None
    weight: Axes | None = None
    factor: float = 1.0


class Sum(NamedTuple):
    """What an output is made of; `bias` is its index in the layer's bias, None for none. `kind` says what is done with the terms."""

    output: Axes
    terms: tuple[Product, ...]
    bias: Axes | None = None
    kind: Literal["sum", "max"] = "sum"


TermsOf = Callable[[Any, TensorType, Axes], Sum]
TERMS: dict[type[Op], TermsOf] = {}


def terms_of(*ops: type[Op]) -> Callable[[TermsOf], TermsOf]:
    """Registers the function that gives the terms of these layers."""

    def register(function: TermsOf) -> TermsOf:
        TERMS.update(dict.fromkeys(ops, function))
        return function

    return register


def terms(op: Op, x: TensorType, output: Axes) -> Sum:
    """The terms of one output. Raises KeyError for a layer that is not in the table."""
    return TERMS[type(op)](op, x, output)


def inside(position: Axes, sizes: Axes) -> bool:
    """Whether a position lies in the data, not in the padding."""
    return all(0 <= i < m for i, m in zip(position, sizes, strict=True))


@terms_of(Conv)
def _conv(op: Conv, x: TensorType, output: Axes) -> Sum:
    """y[o, i] = b[o] + Σ_c Σ_a w[o, c, a]·x[c, i·s + a·d - begin]; with `flip` w[o, c, k - 1 - a]."""
    o, *position = output
    channels = x.channels // op.groups
    first = o // (op.out // op.groups) * channels
    rules = op.rules(x)
    products = []
    for c in range(channels):
        for tap in product(*map(range, op.k)):
            element = tuple(i * r.s + a * r.d - r.begin for i, a, r in zip(position, tap, rules, strict=True))
            stored = tuple(k - 1 - a for k, a in zip(op.k, tap, strict=True)) if op.flip else tap
            products.append(Product((first + c, *element) if inside(element, x.spatial) else None, (o, c, *stored)))
    return Sum(output, tuple(products), (o,) if op.bias else None)
