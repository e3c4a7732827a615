"""Layers that merge several inputs: add, sub, mul, maximum, concat.

Operands are broadcast: along an axis where an operand has one element and another has more, its gradient is the sum,
for example (N, 1, 1, C) against (N, H, W, C). Every forward and backward takes time proportional to the number of
operands.
"""

from __future__ import annotations

from functools import reduce
from itertools import accumulate

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.merge import Add, Concat, Maximum, Mul, Sub
from cnnc.reference.registry import Gradients, Mode, NoWeights, Outcome, backward_of, forward_of

Operands = tuple[Array, ...]
Shapes = tuple[tuple[int, ...], ...]


def summed_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an operand of this shape: summed over the axes along which it was repeated."""
    axes = tuple(i for i, (m, n) in enumerate(zip(shape, gradient.shape, strict=True)) if m != n)
    return gradient.sum(axes, keepdims=True) if axes else gradient


@forward_of(Add, fresh_output=True)
def add(op: Add, weights: NoWeights, inputs: Operands, mode: Mode) -> Outcome:
    shapes = tuple(x.shape for x in inputs)
    total, *others = inputs
    in_place = mode.may_overwrite_input and total.shape == np.broadcast_shapes(*shapes)
    if not others:
        total = total.copy()
    for x in others:
        total = np.add(total, x, out=total if in_place else None)
        in_place = total.shape == np.broadcast_shapes(*shapes)
    return Outcome(total, shapes)


@backward_of(Add)
def add_backward(op: Add, weights: NoWeights, shapes: Shapes, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients(tuple(summed_to(gradient, shape) for shape in shapes))


@forward_of(Sub)
def sub(op: Sub, weights: NoWeights, inputs: Operands, mode: Mode) -> Outcome:
    a, b = inputs
    return Outcome(a - b, (a.shape, b.shape))


@backward_of(Sub)
def sub_backward(op: Sub, weights: NoWeights, shapes: Shapes, gradient: Array, needs_dx: bool) -> Gradients:
    a, b = shapes
    return Gradients((summed_to(gradient, a), -summed_to(gradient, b)))


@forward_of(Mul)
def mul(op: Mul, weights: NoWeights, inputs: Operands, mode: Mode) -> Outcome:
    return Outcome(reduce(np.multiply, inputs), inputs)


@backward_of(Mul)
def mul_backward(op: Mul, weights: NoWeights, inputs: Operands, gradient: Array, needs_dx: bool) -> Gradients:
    """An operand's factor is the product of those before it times that of those after it: no division, so 0 is safe."""
    before: list[Array | None] = [None, *accumulate(inputs[:-1], np.multiply)]
    after = gradient  # times the operands after the current one
    gradients = []
    for x, product in zip(reversed(inputs), reversed(before), strict=True):
        gradients.append(summed_to(after if product is None else after * product, x.shape))
        after = after if product is None else after * x
    return Gradients(tuple(reversed(gradients)))


@forward_of(Maximum)
def maximum(op: Maximum, weights: NoWeights, inputs: Operands, mode: Mode) -> Outcome:
    y = reduce(np.maximum, inputs)
    return Outcome(y, (inputs, y))


@backward_of(Maximum)
def maximum_backward(
    op: Maximum, weights: NoWeights, saved: tuple[Operands, Array], gradient: Array, needs_dx: bool
) -> Gradients:
    """The gradient goes to the largest operand; of equal ones to the first, as in a max pool."""
    inputs, y = saved
    not_found = np.ones(y.shape, np.bool_)
    gradients = []
    for x in inputs:
        largest = (x == y) & not_found
        not_found &= ~largest
        gradients.append(summed_to(gradient * largest, x.shape))
    return Gradients(tuple(gradients))


@forward_of(Concat)
def concat(op: Concat, weights: NoWeights, inputs: Operands, mode: Mode) -> Outcome:
    return Outcome(np.concatenate(inputs, -1), [x.shape[-1] for x in inputs])


@backward_of(Concat)
def concat_backward(op: Concat, weights: NoWeights, channels: list[int], gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients(tuple(np.split(gradient, np.cumsum(channels[:-1]), -1)))
