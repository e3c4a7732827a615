"""Shape arithmetic: sizes that an ONNX graph computes at run time, written as Python formulas.

Input: an `Emitter`. Output: `SizeVector`, a tensor with one integer per axis. Example: for the tensor `conv1` of shape
(N, 8, H, W), `(spatial_sizes(e, "conv1") + 1) // 2` adds Shape, Slice, Add and Div nodes that compute
[(H+1)/2, (W+1)/2].
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.onnx.emit.emitter import AXIS_END, Emitter
from cnnc.onnx.emit.size_family import size_dependence_error

Sizes = int | Sequence[int]


class SizeVector:
    """A tensor (axes,) of int64. Dividends must not be negative: only then does ONNX's Div round down as Python does."""

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
        """The smaller number of each axis."""
        return self.apply("Min", other)

    def maximum(self, other: SizeVector | Sizes) -> SizeVector:
        """The larger number of each axis."""
        return self.apply("Max", other)

    def apply(self, operator: str, other: SizeVector | Sizes) -> SizeVector:
        """Adds a node of this ONNX operator, with `other` as its second input."""
        right = other.name if isinstance(other, SizeVector) else constant_sizes(self.e, other).name
        return SizeVector(self.e, self.e.op(operator, [self.name, right], self.e.fresh_name("size")))


def constant_sizes(e: Emitter, values: Sizes) -> SizeVector:
    """Known numbers as a constant; a single number broadcasts to all axes."""
    listed = [values] if isinstance(values, int) else list(values)
    return SizeVector(e, e.integers(f"int_{'_'.join(map(str, listed))}".replace("-", "m"), listed))


def spatial_sizes(e: Emitter, tensor: str) -> SizeVector:
    """The spatial sizes of a tensor (N, C, *spatial)."""
    shape = e.op("Shape", [tensor], e.fresh_name("size"))
    return SizeVector(
        e, e.op("Slice", [shape, *(constant_sizes(e, n).name for n in (2, AXIS_END))], e.fresh_name("size"))
    )


def concat_sizes(e: Emitter, parts: Sequence[SizeVector]) -> SizeVector:
    """Concatenates vectors."""
    return (
        SizeVector(e, e.op("Concat", [p.name for p in parts], e.fresh_name("size"), axis=0))
        if len(parts) > 1
        else parts[0]
    )


def layer_sizes(e: Emitter, suffix: str, values: Sequence[Sequence[int]]) -> SizeVector:
    """A vector of numbers of the current layer: a constant, or computed from the symbolic sizes of the inputs.

    `values` holds the numbers at the reference size, then at each member of the size family. Raises CnncError E806 where
    they depend on the sizes in a way that floor((a·size + b)/c) of one symbol cannot express.
    """
    reference, others = values[0], values[1:]
    if all(list(other) == list(reference) for other in others):
        return SizeVector(e, e.integers(suffix, reference))
    assert e.family is not None
    assert e.node is not None
    parts = []
    for index, number in enumerate(reference):
        points = [other[index] for other in others]
        if all(n == number for n in points):
            parts.append(constant_sizes(e, number))
            continue
        formula = e.family.formula(points)
        if formula is None:
            raise size_dependence_error(e.node, e.family)
        symbol, function = formula
        part = _symbol_size(e, symbol)
        for operator, n in (("Mul", function.scale), ("Add", function.shift), ("Div", function.divisor)):
            part = part.apply(operator, n) if n != (0 if operator == "Add" else 1) else part
        parts.append(part)
    return concat_sizes(e, parts)


def _symbol_size(e: Emitter, symbol: str) -> SizeVector:
    """The size of a symbol, read from the input that has it."""
    for node in e.graph.inputs:
        symbols = getattr(node.op, "symbols", ())
        if symbol in symbols:
            shape = e.op("Shape", [node.name], e.fresh_name("size"))
            axis = constant_sizes(e, symbols.index(symbol) + 1)
            return SizeVector(e, e.op("Gather", [shape, axis.name], e.fresh_name("size"), axis=0))
    raise ValueError(f"no input has the size {symbol}")
