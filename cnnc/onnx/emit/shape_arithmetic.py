"""Whole numbers that an ONNX graph works out when it runs: one an axis, from the sizes of what it is fed.

In: an `Emitter`. Out: `Vector`, with which formulas are written as they are in Python.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.onnx.emit.emitter import END, Emitter
from cnnc.onnx.emit.size_family import varies

Numbers = int | Sequence[int]


class Vector:
    """A tensor (axes,) of int64. Divisions are of numbers that are not negative, where ONNX rounds down as Python does."""

    def __init__(self, e: Emitter, name: str) -> None:
        self.e = e
        self.name = name

    def __add__(self, other: Vector | Numbers) -> Vector:
        return self.then("Add", other)

    def __sub__(self, other: Vector | Numbers) -> Vector:
        return self.then("Sub", other)

    def __mul__(self, other: Vector | Numbers) -> Vector:
        return self.then("Mul", other)

    def __floordiv__(self, other: Vector | Numbers) -> Vector:
        return self.then("Div", other)

    def least(self, other: Vector | Numbers) -> Vector:
        return self.then("Min", other)

    def most(self, other: Vector | Numbers) -> Vector:
        return self.then("Max", other)

    def then(self, operator: str, other: Vector | Numbers) -> Vector:
        right = other.name if isinstance(other, Vector) else numbers(self.e, other).name
        return Vector(self.e, self.e.op(operator, [self.name, right], self.e.fresh("size")))


def numbers(e: Emitter, values: Numbers) -> Vector:
    """Numbers that are known; one number goes with every axis."""
    listed = [values] if isinstance(values, int) else list(values)
    return Vector(e, e.integers(f"int_{'_'.join(map(str, listed))}".replace("-", "m"), listed))


def spatial(e: Emitter, tensor: str) -> Vector:
    """The sizes of a tensor (N, C, *spatial) behind its channels."""
    shape = e.op("Shape", [tensor], e.fresh("size"))
    return Vector(e, e.op("Slice", [shape, *(numbers(e, n).name for n in (2, END))], e.fresh("size")))


def joined(e: Emitter, parts: Sequence[Vector]) -> Vector:
    """One vector of several."""
    return Vector(e, e.op("Concat", [p.name for p in parts], e.fresh("size"), axis=0)) if len(parts) > 1 else parts[0]


def of_layer(e: Emitter, suffix: str, values: Sequence[Sequence[int]]) -> Vector:
    """Numbers of the current layer, given at the reference and at each member of the family: known, or worked out.

    Raises CnncError E806 where they follow the sizes in a way that cannot be written.
    """
    reference, others = values[0], values[1:]
    if all(list(other) == list(reference) for other in others):
        return Vector(e, e.integers(suffix, reference))
    assert e.family is not None
    assert e.node is not None
    parts = []
    for place, number in enumerate(reference):
        points = [other[place] for other in others]
        if all(n == number for n in points):
            parts.append(numbers(e, number))
            continue
        found = e.family.formula(points)
        if found is None:
            raise varies(e.node, e.family)
        symbol, function = found
        made = _symbol(e, symbol)
        for operator, n in (("Mul", function.scale), ("Add", function.shift), ("Div", function.divisor)):
            made = made.then(operator, n) if n != (0 if operator == "Add" else 1) else made
        parts.append(made)
    return joined(e, parts)


def _symbol(e: Emitter, symbol: str) -> Vector:
    """The size that stands for a symbol in what is fed."""
    for node in e.graph.inputs:
        symbols = getattr(node.op, "symbols", ())
        if symbol in symbols:
            shape = e.op("Shape", [node.name], e.fresh("size"))
            axis = numbers(e, symbols.index(symbol) + 1)
            return Vector(e, e.op("Gather", [shape, axis.name], e.fresh("size"), axis=0))
    raise ValueError(f"no input has the size {symbol}")
