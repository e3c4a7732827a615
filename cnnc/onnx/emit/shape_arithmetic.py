"""Whole numbers that an ONNX graph works out when it runs: one an axis, from the sizes of what it is fed.

In: an `Emitter`. Out: `Vector`, with which formulas are written as they are in Python.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.onnx.emit.emitter import AXIS_END, Emitter
from cnnc.onnx.emit.size_family import size_dependence_error

Sizes = int | Sequence[int]


class SizeVector:
    """A tensor (axes,) of int64. Divisions are of numbers that are not negative, where ONNX rounds down as Python does."""

    def __init__(self, e: Emitter, name: str) -> None:
        self.e = e
        self.name = name

    def __add__(self, other: SizeVector | Sizes) -> SizeVector:
        return self.apply("Add", other)

    def __sub__(self, other: SizeVector | Sizes) -> SizeVector:
        return self.apply("Sub", other)

    def __mul__(self, other: SizeVector | Sizes) -> SizeVector:
        return self.apply("Mul", other)

    def __floordiv__(self, other: SizeVector | Sizes) -> SizeVector:
        return self.apply("Div", other)

    def minimum(self, other: SizeVector | Sizes) -> SizeVector:
        return self.apply("Min", other)

    def maximum(self, other: SizeVector | Sizes) -> SizeVector:
        return self.apply("Max", other)

    def apply(self, operator: str, other: SizeVector | Sizes) -> SizeVector:
        right = other.name if isinstance(other, SizeVector) else constant_sizes(self.e, other).name
        return SizeVector(self.e, self.e.op(operator, [self.name, right], self.e.fresh_name("size")))


def constant_sizes(e: Emitter, values: Sizes) -> SizeVector:
    """Numbers that are known; one number goes with every axis."""
    listed = [values] if isinstance(values, int) else list(values)
    return SizeVector(e, e.integers(f"int_{'_'.join(map(str, listed))}".replace("-", "m"), listed))


def spatial_sizes(e: Emitter, tensor: str) -> SizeVector:
    """The sizes of a tensor (N, C, *spatial) behind its channels."""
    shape = e.op("Shape", [tensor], e.fresh_name("size"))
    return SizeVector(
        e, e.op("Slice", [shape, *(constant_sizes(e, n).name for n in (2, AXIS_END))], e.fresh_name("size"))
    )


def concat_sizes(e: Emitter, parts: Sequence[SizeVector]) -> SizeVector:
    """One vector of several."""
    return (
        SizeVector(e, e.op("Concat", [p.name for p in parts], e.fresh_name("size"), axis=0))
        if len(parts) > 1
        else parts[0]
    )


def layer_sizes(e: Emitter, suffix: str, values: Sequence[Sequence[int]]) -> SizeVector:
    """Numbers of the current layer, given at the reference and at each member of the family: known, or worked out.

    Raises CnncError E806 where they follow the sizes in a way that cannot be written.
    """
    reference, others = values[0], values[1:]
    if all(list(other) == list(reference) for other in others):
        return SizeVector(e, e.integers(suffix, reference))
    assert e.family is not None
    assert e.node is not None
    parts = []
    for place, number in enumerate(reference):
        points = [other[place] for other in others]
        if all(n == number for n in points):
            parts.append(constant_sizes(e, number))
            continue
        found = e.family.formula(points)
        if found is None:
            raise size_dependence_error(e.node, e.family)
        symbol, function = found
        made = _symbol(e, symbol)
        for operator, n in (("Mul", function.scale), ("Add", function.shift), ("Div", function.divisor)):
            made = made.apply(operator, n) if n != (0 if operator == "Add" else 1) else made
        parts.append(made)
    return concat_sizes(e, parts)


def _symbol(e: Emitter, symbol: str) -> SizeVector:
    """The size that stands for a symbol in what is fed."""
    for node in e.graph.inputs:
        symbols = getattr(node.op, "symbols", ())
        if symbol in symbols:
            shape = e.op("Shape", [node.name], e.fresh_name("size"))
            axis = constant_sizes(e, symbols.index(symbol) + 1)
            return SizeVector(e, e.op("Gather", [shape, axis.name], e.fresh_name("size"), axis=0))
    raise ValueError(f"no input has the size {symbol}")
