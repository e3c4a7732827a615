"""Sizes as symbols: for which sizes a network is legal, and how each tensor's size follows from them.

In: a graph that was lowered with one size for each symbol. Out: `Legal` for each symbol, and formulas.

How it works: the size of every tensor along an axis is a composition of floors of linear functions of the
symbol, so the difference of two sizes of the same slope is periodic, with a period that divides the least
common multiple of the steps of the receptive fields. The shapes are therefore computed for every size of
one period, and for those below it, by running the ops' own rules again: what is right for numbers
is right for symbols, whatever mixture of floors, ceilings, padding, upsampling and skips there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cnnc.core.record import Record
from cnnc.core.tensor import TensorType
from cnnc.graph.analysis import receptive_fields
from cnnc.graph.graph import Graph, Node
from cnnc.ops.base import Op, ShapeError
from cnnc.ops.dense import Input

MAX_PERIOD = 2048
MAX_SIZE = 8192  # a network whose smallest legal size is above this is taken for one without


class Failure(NamedTuple):
    """Where a size fails, and why."""

    node: str
    message: str


class Legal(Record):
    """The legal sizes of one symbol: from `minimum` on, those whose remainder by `period` is among `residues`;
    `extra` are legal ones below the minimum."""

    symbol: str
    minimum: int
    period: int
    residues: tuple[int, ...]
    extra: tuple[int, ...] = ()

    def holds(self, size: int) -> bool:
        if size < self.minimum or not self.residues:
            return size in self.extra
        return size % self.period in self.residues

    def near(self, size: int) -> tuple[int | None, int | None]:
        """The nearest legal sizes below and above."""
        below = next((n for n in range(size - 1, 0, -1) if self.holds(n)), None)
        reach = max(size, self.minimum, *self.extra) + 2 * self.period + 1
        above = next((n for n in range(size + 1, reach + 1) if self.holds(n)), None)
        return below, above

    def closest(self, size: int) -> int | None:
        """The size itself where it is legal, else the next below, or above; None where none is near."""
        below, above = self.near(size)
        return size if self.holds(size) else below or above

    def as_dict(self) -> dict[str, object]:
        """The rule for programs, and in words."""
        return {
            "symbol": self.symbol,
            "rule": str(self),
            "minimum": self.minimum,
            "period": self.period,
            "residues": list(self.residues),
            "extra": list(self.extra),
        }

    def another(self, size: int) -> int | None:
        """Another legal size, far above where there is one: near ones may come to the same after floors."""
        _, above = self.near(4 * size + 64)
        return next((n for n in (above, *self.near(size)) if n is not None), None)

    def __str__(self) -> str:
        if not self.residues:
            return f"{self.symbol} = {' or '.join(map(str, self.extra))}" if self.extra else f"no size {self.symbol}"
        parts = [f"{self.symbol} ≥ {self.minimum}"]
        if self.period > 1:
            parts.append(self._residue_text())
        if self.extra:
            parts.append(f"or {', '.join(map(str, self.extra))}")
        return ", ".join(parts)

    def _residue_text(self) -> str:
        if self.residues == (0,):
            return f"a multiple of {self.period}"
        if len(self.residues) == 1:
            return f"{self.residues[0]} more than a multiple of {self.period}"
        shown = ", ".join(map(str, self.residues[:8])) + (", ..." if len(self.residues) > 8 else "")
        return f"{self.symbol} mod {self.period} one of {shown}"


class Survey(Record):
    """What is known of a network with symbols: the legal sizes of each, and the formula of each tensor's axes.

    Sizes that are a `period` apart come to the same remainders in every layer.
    """

    legal: Mapping[str, Legal]
    formulas: Mapping[str, tuple[str, ...]]
    reference: Mapping[str, int]
    period: int = 1

    def rules(self) -> str:
        """`H ≥ 32, a multiple of 16; W ≥ 32, a multiple of 16`."""
        return "; ".join(str(rule) for rule in self.legal.values())


Expected = Callable[[Mapping[str, int]], Iterable[tuple[str, tuple[int, ...] | None]]]
"""For sizes of the symbols, the nodes whose shapes the text expects, and those shapes."""


class Shapes:
    """The shapes of a graph for other sizes of its symbols, by the ops' own rules."""

    def __init__(self, graph: Graph, expected: Expected) -> None:
        self.graph = graph
        self.expected = expected

    def at(self, sizes: Mapping[str, int]) -> dict[str, TensorType] | Failure:
        """The type of each node, or the first failure."""
        types: dict[str, TensorType] = {}
        for node in self.graph.nodes:
            made = self._node(node, types, sizes)
            if isinstance(made, Failure):
                return made
            types[node.name] = made
        for name, shape in self.expected(sizes):
            if types[name].shape != shape:
                wanted = "x".join(map(str, shape)) if shape else "another shape"
                return Failure(name, f"expected {wanted}, found {types[name]}")
        return types

    def _node(self, node: Node, types: Mapping[str, TensorType], sizes: Mapping[str, int]) -> TensorType | Failure:
        op = node.op
        if isinstance(op, Input):
            shape = tuple(
                sizes.get(s, n) if s else n for s, n in zip(op.symbols or (None,) * 9, op.shape, strict=False)
            )
            return TensorType(shape, node.type.dtype)
        inputs = tuple(types[name] for name in node.inputs)
        if type(op).output is Op.output:
            return inputs[0]
        try:
            return op.output(*inputs)
        except ShapeError as error:
            return Failure(node.name, error.message)


At = Callable[[Mapping[str, int]], dict[str, TensorType] | Failure]
"""The types of all nodes for sizes of the symbols, or the first failure."""


def resized(graph: Graph, sizes: Mapping[str, int]) -> Graph | Failure:
    """The graph for other sizes of its symbols, by the ops' own rules; not one that is `sized`, whose layers differ."""
    types = Shapes(graph, lambda sizes: ()).at(sizes)
    return types if isinstance(types, Failure) else retyped(graph, types)


def retyped(graph: Graph, types: Mapping[str, TensorType]) -> Graph:
    """The graph with other types, its inputs' shapes included."""
    nodes = []
    for node in graph.nodes:
        made = types[node.name]
        op = node.op.replace(shape=made.shape) if isinstance(node.op, Input) else node.op
        nodes.append(node.replace(type=made, op=op))
    return graph.replace(nodes=tuple(nodes))


def sizes_of(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int] | Failure:
    """The sizes of the symbols in inputs of these shapes (without the batch), or which of them does not fit."""
    found: dict[str, int] = {}
    for node in graph.inputs:
        if node.name not in shapes:
            continue
        assert isinstance(node.op, Input)
        shape, symbols = shapes[node.name], node.op.symbols or ("",) * len(node.op.shape)
        wanted = "x".join(s or str(n) for s, n in zip(symbols, node.op.shape, strict=True))
        fits = len(shape) == len(symbols)
        for symbol, size, fixed in zip(symbols, shape, node.op.shape, strict=False):
            fits = fits and (found.setdefault(symbol, size) if symbol else fixed) == size
        if not fits:
            return Failure(node.name, f"the input {node.name} takes {wanted}, not {'x'.join(map(str, shape))}")
    return found


def survey(graph: Graph, at: At, reference: Mapping[str, int], divisors: Iterable[int] = ()) -> Survey:
    """The legal sizes of each symbol, the others held at the reference, and the formulas of all shapes.

    `divisors` are those of the text's own arithmetic, where sizes take part in it.
    """
    period = _period(graph, divisors)
    legal = {}
    samples: dict[str, dict[int, dict[str, TensorType]]] = {}
    for symbol in reference:
        legal[symbol], samples[symbol] = _scan(symbol, at, reference, period)
    return Survey(legal, _formulas(graph, samples, period), reference, period)


def depends_on_size(graph: Graph, at: At, found: Survey) -> tuple[Node, str] | None:
    """The first layer whose parameters have other shapes at another legal size, and the symbol to blame."""
    for symbol, rule in found.legal.items():
        other = rule.another(found.reference[symbol])
        types = at({**found.reference, symbol: other}) if other is not None else None
        if not isinstance(types, dict):
            continue
        for node in graph.nodes:
            made = [p.shape for p in node.op.parameters(*(types[n] for n in node.inputs))]
            if made != [p.shape for p in graph.parameters(node)]:
                return node, symbol
    return None


def _period(graph: Graph, divisors: Iterable[int]) -> int:
    from fractions import Fraction

    steps = {field.step for fields in receptive_fields(graph).values() for field in fields}
    period = 1
    for step in (*steps, *divisors):
        period = math.lcm(period, Fraction(step).numerator)
        if period > MAX_PERIOD:
            return MAX_PERIOD
    return period


def _scan(
    symbol: str, at: At, reference: Mapping[str, int], period: int
) -> tuple[Legal, dict[int, dict[str, TensorType]]]:
    """Tries sizes from 1 until two periods beyond the first legal one, and a few far above."""
    found: dict[int, dict[str, TensorType]] = {}
    known = reference[symbol]
    size, stop = 0, max(known, 2 * period) + 2 * period
    while size < min(stop, MAX_SIZE):
        size += 1
        made = at({**reference, symbol: size})
        if not isinstance(made, Failure):
            if not found:
                stop = max(size + 3 * period, min(stop, size + 64))
            found[size] = made
    if not found:
        return Legal(symbol, 0, 1, (), ()), found
    rule = _rule(symbol, sorted(found), period, size)
    if not rule.residues and not rule.holds(known) and not isinstance(made := at(reference), Failure):
        rule, found[known] = rule.replace(extra=(*rule.extra, known)), made  # beyond the sizes that were tried
    return rule, found


def _rule(symbol: str, legal: Sequence[int], period: int, last: int) -> Legal:
    """The shortest rule that says which of 1..last are legal."""
    in_last_period = [n for n in legal if n > last - period]
    if not in_last_period:  # legal at some sizes only, as of a skip from a part of fixed size
        return Legal(symbol, 0, 1, (), tuple(legal))
    small = _smallest_period({n % period for n in in_last_period}, period)
    residues = tuple(sorted({n % small for n in in_last_period}))
    members = set(legal)
    minimum = last
    while minimum > 1 and ((minimum - 1) in members) == ((minimum - 1) % small in residues):
        minimum -= 1
    first = next(n for n in range(minimum, last + 1) if n in members)
    return Legal(symbol, first, small, residues, tuple(n for n in legal if n < minimum))


def _smallest_period(residues: set[int], period: int) -> int:
    for p in range(1, period + 1):
        if period % p == 0 and all((r + p) % period in residues for r in residues):
            return p
    return period


# --- formulas ------------------------------------------------------------------------------------------------


def _formulas(
    graph: Graph,
    samples: Mapping[str, Mapping[int, Mapping[str, TensorType]]],
    period: int,
) -> dict[str, tuple[str, ...]]:
    found = {}
    for node in graph.nodes:
        axes = []
        for axis, size in enumerate(node.type.shape):
            parts = [_formula(symbol, node.name, axis, tried, period) for symbol, tried in samples.items()]
            moving = [part for part in parts if part]
            axes.append("?" if len(moving) > 1 else moving[0] if moving else str(size))
        found[node.name] = tuple(axes)
    return found


def _formula(symbol: str, node: str, axis: int, tried: Mapping[int, Mapping[str, TensorType]], period: int) -> str:
    """The size as a function of the symbol, verified on every size that was tried; "" where it is constant."""
    points = [(n, types[node].shape[axis]) for n, types in tried.items()]
    if len({d for _, d in points}) <= 1:
        return ""
    found = fit(points, period)
    return "?" if found is None else found.text(symbol)


class Floor(Record):
    """n ↦ ⌊(scale·n + shift)/divisor⌋; the division is without remainder at every size where it is `exact`."""

    scale: int
    shift: int = 0
    divisor: int = 1
    exact: bool = True

    def text(self, symbol: str) -> str:
        """`H`, `H/2`, `⌊(H+1)/2⌋`."""
        whole = symbol if self.scale == 1 else f"{self.scale}{symbol}"
        if self.divisor == 1:
            return f"{whole}{self.shift:+d}" if self.shift else whole
        if not self.exact:
            return f"⌊{f'({whole}{self.shift:+d})' if self.shift else whole}/{self.divisor}⌋"
        if self.shift % self.divisor == 0:
            return f"{whole}/{self.divisor}{self.shift // self.divisor:+d}" if self.shift else f"{whole}/{self.divisor}"
        return f"({whole}{self.shift:+d})/{self.divisor}"


def fit(points: Sequence[tuple[int, int]], period: int) -> Floor | None:
    """The function that gives these values at these sizes, all of them; None where no such function does."""
    from fractions import Fraction

    if all(n == d for n, d in points):
        return Floor(1)
    (n0, d0), *rest = points
    slope = next((Fraction(d - d0, n - n0) for n, d in reversed(rest) if (n - n0) % period == 0), None)
    if slope is None or slope <= 0:
        return None
    offsets = {d - slope * n for n, d in points}
    s, c = slope.numerator, slope.denominator
    if len(offsets) == 1:
        return Floor(s, int(offsets.pop() * c), c)
    low = max(c * d - s * n for n, d in points)
    high = min(c * d - s * n + c - 1 for n, d in points)
    if low > high:
        return None
    return Floor(s, 0 if low <= 0 <= high else low if low > 0 else high, c, exact=False)
