"""Gradients of merges. The gradient of an operand that was repeated along an axis is the sum over that axis."""

from __future__ import annotations

from itertools import accumulate

from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Node
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of
from cnnc.ops.merge import Add, Concat, Maximum, Mul, Sub


def summed_to(e: StepEmitter, gradient: str, operand: TensorType, output: TensorType) -> str:
    """The gradient of an operand of this type: summed over the axes along which it was repeated."""
    axes = [axis for axis, (m, n) in enumerate(zip(operand.shape, output.shape, strict=True), 1) if m != n]
    return e.reduce("Sum", gradient, axes, keepdims=True) if axes else gradient


def _all_summed(e: StepEmitter, node: Node, gradients: list[str]) -> TensorGradients:
    pairs = zip(gradients, e.graph.input_types(node), strict=True)
    return TensorGradients(tuple(summed_to(e, gradient, type_, node.type) for gradient, type_ in pairs))


@backward_of(Add)
def _add(e: StepEmitter, op: Add, node: Node, at: Passed) -> TensorGradients:
    return _all_summed(e, node, [at.gradient] * len(at.inputs))


@backward_of(Sub)
def _sub(e: StepEmitter, op: Sub, node: Node, at: Passed) -> TensorGradients:
    return _all_summed(e, node, [at.gradient, e.new("Neg", at.gradient)])


@backward_of(Mul)
def _mul(e: StepEmitter, op: Mul, node: Node, at: Passed) -> TensorGradients:
    """An operand's factor is the product of those before it times that of those after it."""
    before = list(accumulate(at.inputs[:-1], lambda a, b: e.new("Mul", a, b)))
    after, gradients = at.gradient, list[str]()
    for number in range(len(at.inputs) - 1, -1, -1):
        gradients.insert(0, e.new("Mul", after, before[number - 1]) if number else after)
        after = e.new("Mul", after, at.inputs[number]) if number else after
    return _all_summed(e, node, gradients)


@backward_of(Maximum)
def _maximum(e: StepEmitter, op: Maximum, node: Node, at: Passed) -> TensorGradients:
    """The gradient goes to the largest operand, of equal ones to the first: what is left of it, after those before."""
    rest, gradients = at.gradient, list[str]()
    for x in at.inputs[:-1]:
        largest = e.new("Equal", x, at.output)
        gradients.append(e.where(largest, rest))
        rest = e.where(e.new("Not", largest), rest)
    return _all_summed(e, node, [*gradients, rest])


@backward_of(Concat)
def _concat(e: StepEmitter, op: Concat, node: Node, at: Passed) -> TensorGradients:
    ends = list(accumulate(type_.channels for type_ in e.graph.input_types(node)))
    parts = zip([0, *ends], ends, at.needed, strict=False)
    return TensorGradients(
        tuple(e.slice(at.gradient, [begin], [end], [1]) if needed else None for begin, end, needed in parts)
    )
