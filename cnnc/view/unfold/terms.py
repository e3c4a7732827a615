"""Which products an output of a layer adds up: a table by op class.

In: a layer, the type of its input, and the index (channel, *position) of an output. Out: a `Sum`. It holds indices only, no
numbers, so it serves literals, letters and trained weights alike.

    conv 1 k=2 on 1x3x3, output (0, 0, 1): weights (0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 1, 1)
                                        by elements (0, 0, 1),   (0, 0, 2),    (0, 1, 1),    (0, 1, 2)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Literal, NamedTuple

from cnnc.core.arguments import Axes
from cnnc.core.tensor import TensorType
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc
from cnnc.ops.filter import Filter
from cnnc.ops.local import Local
from cnnc.ops.pool import GlobalPool, Pool


class Product(NamedTuple):
    """One product. `element` is the index (channel, *position) in the layer's input; None for padding, which is 0.

    `weight` is the index in the layer's weight as it is stored, shaped as in ONNX; None where the factor is not a
    parameter: then it is `factor`.
    """

    element: Axes | None
    weight: Axes | None = None
    factor: float = 1.0


class Sum(NamedTuple):
    """What an output is made of; `bias` is its index in the layer's bias, None for none.

    `kind` says what is done with the terms: they are added up (sum); their mean is taken, over `number` of them (mean);
    their maximum is taken, over those that are not padding (max); or their norm, (Σ |x|^n)^(1/n) with n = `number` (norm).
    """

    output: Axes
    terms: tuple[Product, ...]
    bias: Axes | None = None
    kind: Literal["sum", "mean", "max", "norm"] = "sum"
    number: int = 1


TermsOf = Callable[[Any, TensorType, Axes], Sum]
"""(op, type of the input, index of an output) -> its terms. The position of an element may lie outside the input."""

TERMS: dict[type[Op], TermsOf] = {}


def terms_of(*ops: type[Op]) -> Callable[[TermsOf], TermsOf]:
    """Registers the function that gives the terms of these layers."""

    def register(function: TermsOf) -> TermsOf:
        TERMS.update(dict.fromkeys(ops, function))
        return function

    return register


def terms(op: Op, x: TensorType, output: Axes, circular: bool = False) -> Sum:
    """The terms of one output. Raises KeyError for a layer that is not in the table.

    With `circular`, what lies outside the input is its continuation, which repeats it, instead of padding with zeros.
    """
    total = TERMS[type(op)](op, x, output)

    def resolved(term: Product) -> Product:
        if term.element is None or inside(term.element[1:], x.spatial):
            return term
        channel, *position = term.element
        wrapped = (channel, *(i % m for i, m in zip(position, x.spatial, strict=True)))
        return term._replace(element=wrapped if circular else None)

    return total._replace(terms=tuple(map(resolved, total.terms)))


def reads(op: Op, x: TensorType, output: Axes) -> tuple[Axes, ...]:
    """The elements (channel, *position) that an output reads, those in the padding as well: their positions lie outside."""
    return tuple(term.element for term in TERMS[type(op)](op, x, output).terms if term.element is not None)


def inside(position: Axes, sizes: Axes) -> bool:
    """Whether a position lies in the data, not in the padding."""
    return all(0 <= i < m for i, m in zip(position, sizes, strict=True))


@terms_of(Conv)
def _conv(op: Conv, x: TensorType, output: Axes) -> Sum:
    """y[o, i] = b[o] + Σ_c Σ_a w[o, c, a]·x[c, i·s + a·d - begin]; with `flip` w[o, c, k - 1 - a]."""
    o, *position = output
    channels = x.channels // op.groups
    first = o // (op.out // op.groups) * channels
    products = []
    for c in range(channels):
        for tap, element in _window(op, x, position):
            stored = tuple(k - 1 - a for k, a in zip(op.k, tap, strict=True)) if op.flip else tap
            products.append(Product((first + c, *element), (o, c, *stored)))
    return Sum(output, tuple(products), (o,) if op.bias else None)


def _window(op: Conv | Local | Filter | Pool, x: TensorType, position: list[int]) -> Iterator[tuple[Axes, Axes]]:
    """Each tap of the window at a position of the output, with the position of the element that it reads."""
    rules = op.rules(x)
    for tap in product(*(range(r.k) for r in rules)):
        yield tap, tuple(i * r.s + a * r.d - r.begin for i, a, r in zip(position, tap, rules, strict=True))


@terms_of(Local)
def _local(op: Local, x: TensorType, output: Axes) -> Sum:
    """y[o, i] = b[o, i] + Σ_c Σ_a w[i, o, c, a]·x[c, i·s + a·d - begin]."""
    o, *position = output
    products = tuple(
        Product((c, *element), (*position, o, c, *tap))
        for c in range(x.channels)
        for tap, element in _window(op, x, position)
    )
    return Sum(output, products, output if op.bias else None)


@terms_of(ConvTranspose)
def _conv_transpose(op: ConvTranspose, x: TensorType, output: Axes) -> Sum:
    """y[o, i·s + a·d - begin] += w[c, o, a]·x[c, i]: tap a of the kernel that lies on element i reaches this output."""
    o, *position = output
    channels, outputs = x.channels // op.groups, op.out // op.groups
    first = o // outputs * channels
    rules = op.rules(x)
    reaching = []
    for i, r in zip(position, rules, strict=True):
        distances = ((a, i + r.begin - a * r.d) for a in range(r.k))
        on_axis = [(a, n // r.s) for a, n in distances if n % r.s == 0 and 0 <= n // r.s < r.m]
        reaching.append(on_axis[::-1])  # in the order of the elements
    products = []
    for c in range(channels):
        for pairs in product(*reaching):
            tap, element = tuple(a for a, _ in pairs), tuple(i for _, i in pairs)
            products.append(Product((first + c, *element), (first + c, o % outputs, *tap)))
    return Sum(output, tuple(products), (o,) if op.bias else None)


@terms_of(Filter)
def _filter(op: Filter, x: TensorType, output: Axes) -> Sum:
    """y[c, i] = Σ_a kernel[a]·x[c, i·s + a - begin]."""
    c, *position = output
    kernel = op.kernel()
    return Sum(
        output, tuple(Product((c, *element), None, _at(kernel, tap)) for tap, element in _window(op, x, position))
    )


def _at(kernel: Any, tap: Axes) -> float:
    for a in tap:
        kernel = kernel[a]
    return float(kernel)


@terms_of(Pool)
def _pool(op: Pool, x: TensorType, output: Axes) -> Sum:
    """The elements of the window in the same channel; padding counts only with count_pad."""
    c, *position = output
    rules = op.rules(x)
    read = list(_window(op, x, position))
    if op.count_pad:  # what overhangs the padding with `ceil` does not count
        reach = [(-r.begin, r.m + r.end) for r in rules]
        counted = [
            (tap, at) for tap, at in read if all(low <= i < high for i, (low, high) in zip(at, reach, strict=True))
        ]
    else:
        counted = [(tap, at) for tap, at in read if inside(at, x.spatial)]
    products = tuple(Product((c, *at)) for _, at in read)
    if op.kind == "max":
        return Sum(output, products, kind="max")
    if op.kind in ("l2", "lp"):
        return Sum(output, products, kind="norm", number=op.order)
    if op.kind == "avg":
        return Sum(output, products, kind="mean", number=len(counted))
    weights = {tap: math.prod(w[a] for w, a in zip(op.tap_weights(), tap, strict=True)) for tap, _ in read}
    total = sum(weights[tap] for tap, _ in counted)
    return Sum(output, tuple(Product((c, *at), None, weights[tap] / total) for tap, at in read))


@terms_of(GlobalPool)
def _global_pool(op: GlobalPool, x: TensorType, output: Axes) -> Sum:
    """All elements of the channel."""
    products = tuple(Product((output[0], *position)) for position in product(*map(range, x.spatial)))
    if op.kind == "max":
        return Sum(output, products, kind="max")
    if op.kind == "l2":
        return Sum(output, products, kind="norm", number=2)
    return Sum(output, products, kind="mean", number=len(products))


@terms_of(Fc)
def _fc(op: Fc, x: TensorType, output: Axes) -> Sum:
    """y[o] = b[o] + Σ_n w[o, n]·x[n], with the input flattened, channels first."""
    elements = product(*map(range, x.shape))
    products = tuple(Product(element, (output[0], n)) for n, element in enumerate(elements))
    return Sum(output, products, output[:1] if op.bias else None)
