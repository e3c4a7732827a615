"""Symbolic sizes: for which sizes a network is legal, and how the size of each layer output depends on them.

In: a graph that was lowered with one size per symbol. Out: `LegalSizes` for each symbol, and a formula for each axis of
each output. Example: for `input 3xHxW; pool max k=2; upsample 2; add input1` H is legal from 2 on in steps of 2, and
the pool's output is H/2 high.

How it works: the size of an output along an axis is a composition of floors of linear functions of the symbol. So the
difference of two sizes with the same slope is periodic, and its period divides the least common multiple of the
steps of the receptive fields. The shapes are therefore computed with the ops' own rules for every size of one
period and below it. What holds for numbers then holds for symbols, whatever mixture of floors, ceilings,
padding, upsampling and skips a network has.
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
MAX_TYPES = 4_000_000  # types of nodes that a survey computes, some seconds
MAX_SIZE = 8192  # a network without a legal size up to this one counts as having none


class Failure(NamedTuple):
    """A size at which the network is not legal: the node that fails ("" if unknown), and the reason."""

    node: str
    message: str


class TooMuchWork(Exception):
    """A survey of the sizes takes more steps than it may."""


class StepLimit:
    """Counts the steps of a piece of work."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, steps: int) -> None:
        """Counts steps. Raises TooMuchWork."""
        self._left -= steps
        if self._left < 0:
            raise TooMuchWork


class LegalSizes(Record):
    """The legal sizes of one symbol: from `minimum` on, those whose remainder by `period` is among `residues`.

    `extra` are the legal sizes that do not follow this rule.
    """

    symbol: str
    minimum: int
    period: int
    residues: tuple[int, ...]
    extra: tuple[int, ...] = ()

    def allows(self, size: int) -> bool:
        """Whether the size is legal."""
        if size < self.minimum or not self.residues:
            return size in self.extra
        return size % self.period in self.residues

    def neighbours(self, size: int) -> tuple[int | None, int | None]:
        """The nearest legal sizes below and above, None where there is none."""
        below = next((n for n in range(size - 1, 0, -1) if self.allows(n)), None)
        reach = max(size, self.minimum, *self.extra) + 2 * self.period + 1
        above = next((n for n in range(size + 1, reach + 1) if self.allows(n)), None)
        return below, above

    def closest(self, size: int) -> int | None:
        """The size itself if it is legal, else the next one below, else above; None if there is none."""
        below, above = self.neighbours(size)
        return size if self.allows(size) else below or above

    def as_dict(self) -> dict[str, object]:
        """The rule as JSON, with the rule in words under `rule`."""
        return {
            "symbol": self.symbol,
            "rule": str(self),
            "minimum": self.minimum,
            "period": self.period,
            "residues": list(self.residues),
            "extra": list(self.extra),
        }

    def other_size(self, size: int) -> int | None:
        """Another legal size, preferably far above: floors may turn near ones into the same output sizes."""
        _, above = self.neighbours(4 * size + 64)
        return next((n for n in (above, *self.neighbours(size)) if n is not None), None)

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


class SizeSurvey(Record):
    """The legal sizes of each symbol of a network, and for each node the formulas of its output's axes.

    `reference` is the size of each symbol in the lowered graph. Sizes that differ by `period` leave the same remainders in
    every layer.
    """

    legal: Mapping[str, LegalSizes]
    formulas: Mapping[str, tuple[str, ...]]
    reference: Mapping[str, int]
    period: int = 1

    def rules(self) -> str:
        """`H ≥ 32, a multiple of 16; W ≥ 32, a multiple of 16`."""
        return "; ".join(str(rule) for rule in self.legal.values())


AssertedShapes = Callable[[Mapping[str, int]], Iterable[tuple[str, tuple[int, ...] | None]]]
"""For sizes of the symbols, the nodes whose shapes the source asserts with `expect`, and those shapes."""


class ShapeEvaluator:
    """Computes the shapes of a graph for other sizes of its symbols with the ops' own rules.

    Only the layers below an input whose size changes are computed, and a rule is applied once to the same input types:
    layers that are alike, and sizes at which they get the same, share the result. Example: of
    `repeat 50 { conv 64 k=3 p=same; relu }` one convolution is computed per size.
    """

    def __init__(self, graph: Graph, asserted: AssertedShapes) -> None:
        self.graph = graph
        self.asserted = asserted
        self._shared: dict[TensorType, TensorType] = {}  # one object for each type, so that its id stands for it
        self._outputs: dict[tuple[int, ...], TensorType | str] = {}
        self._here = {node.name: self._share(node.type) for node in graph.nodes}
        self._ops: dict[Op, Op] = {}
        self._below: dict[tuple[str, ...], list[_Step]] = {}

    def at(self, sizes: Mapping[str, int]) -> dict[str, TensorType] | Failure:
        """The type of each node, or the first failure."""
        types = self._here.copy()
        changed = []
        for node in self.graph.inputs:
            type_ = self._share(_input_type(node, sizes))
            if type_ is not types[node.name]:
                changed.append(node.name)
                types[node.name] = type_
        for step in self._steps(tuple(changed)):
            if step.keeps_type:
                types[step.name] = types[step.inputs[0]]
                continue
            output = self._output(step, [types[name] for name in step.inputs])
            if isinstance(output, str):
                return Failure(step.name, output)
            types[step.name] = output
        for name, shape in self.asserted(sizes):
            if types[name].shape != shape:
                expected = "x".join(map(str, shape)) if shape else "another shape"
                return Failure(name, f"expected {expected}, found {types[name]}")
        return types

    def _steps(self, inputs: tuple[str, ...]) -> list[_Step]:
        """The nodes below these inputs, in order."""
        if inputs not in self._below:
            below, steps = set(inputs), []
            for node in self.graph.nodes:
                if not below.isdisjoint(node.inputs):
                    below.add(node.name)
                    op = self._ops.setdefault(node.op, node.op)
                    steps.append(_Step(node.name, op, node.inputs, type(op).output is Op.output))
            self._below[inputs] = steps
        return self._below[inputs]

    def _output(self, step: _Step, inputs: list[TensorType]) -> TensorType | str:
        """The output type of a node, or why it has none."""
        key = (id(step.op), *map(id, inputs))
        known = self._outputs.get(key)
        if known is None:
            try:
                known = self._share(step.op.output(*inputs))
            except ShapeError as error:
                known = error.message
            self._outputs[key] = known
        return known

    def _share(self, type_: TensorType) -> TensorType:
        return self._shared.setdefault(type_, type_)


class _Step(NamedTuple):
    """A node as it is evaluated; equal ops are one object. `keeps_type`: its output has the type of its input."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    keeps_type: bool


def _input_type(node: Node, sizes: Mapping[str, int]) -> TensorType:
    """The type of an input at these sizes of its symbols."""
    assert isinstance(node.op, Input)
    symbols = node.op.symbols or ("",) * len(node.op.shape)
    shape = tuple(sizes.get(s, n) if s else n for s, n in zip(symbols, node.op.shape, strict=True))
    return TensorType(shape, node.type.dtype)


TypesAt = Callable[[Mapping[str, int]], dict[str, TensorType] | Failure]
"""The types of all nodes for sizes of the symbols, or the first failure."""


def resize_graph(graph: Graph, sizes: Mapping[str, int]) -> Graph | Failure:
    """The graph for other sizes of its symbols; not for a `sized` graph, whose layers themselves depend on the size."""
    types = ShapeEvaluator(graph, lambda sizes: ()).at(sizes)
    return types if isinstance(types, Failure) else with_types(graph, types)


def with_types(graph: Graph, types: Mapping[str, TensorType]) -> Graph:
    """The graph with other output types; the shapes of its inputs change with them."""
    nodes = []
    for node in graph.nodes:
        type_ = types[node.name]
        op = node.op.replace(shape=type_.shape) if isinstance(node.op, Input) else node.op
        nodes.append(node.replace(type=type_, op=op))
    return graph.replace(nodes=tuple(nodes))


def symbol_sizes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int] | Failure:
    """The sizes of the symbols for inputs of these shapes (without the batch), or the input that does not fit."""
    sizes: dict[str, int] = {}
    for node in graph.inputs:
        if node.name not in shapes:
            continue
        assert isinstance(node.op, Input)
        shape, symbols = shapes[node.name], node.op.symbols or ("",) * len(node.op.shape)
        declared = "x".join(s or str(n) for s, n in zip(symbols, node.op.shape, strict=True))
        fits = len(shape) == len(symbols)
        for symbol, size, fixed in zip(symbols, shape, node.op.shape, strict=False):
            fits = fits and (sizes.setdefault(symbol, size) if symbol else fixed) == size
        if not fits:
            return Failure(node.name, f"the input {node.name} takes {declared}, not {'x'.join(map(str, shape))}")
    return sizes


def survey_sizes(
    graph: Graph, types_at: TypesAt, reference: Mapping[str, int], divisors: Iterable[int] = ()
) -> SizeSurvey:
    """The legal sizes of each symbol, with the others at the reference, and the formulas of all shapes.

    `divisors` are the divisors in the source's own arithmetic with sizes. Raises TooMuchWork.
    """
    period = _period(graph, divisors)
    budget = StepLimit(MAX_TYPES)

    def counted(sizes: Mapping[str, int]) -> dict[str, TensorType] | Failure:
        budget.take(len(graph.nodes))
        return types_at(sizes)

    legal = {}
    samples: dict[str, dict[int, dict[str, TensorType]]] = {}
    for symbol in reference:
        legal[symbol], samples[symbol] = _scan(symbol, counted, reference, period)
    return SizeSurvey(legal, _formulas(graph, samples, period), reference, period)


def size_dependent_layer(graph: Graph, types_at: TypesAt, survey: SizeSurvey) -> tuple[Node, str] | None:
    """The first layer whose parameters change shape with the size, and the symbol to blame; None if there is none."""
    for symbol, rule in survey.legal.items():
        other = rule.other_size(survey.reference[symbol])
        types = types_at({**survey.reference, symbol: other}) if other is not None else None
        if not isinstance(types, dict):
            continue
        for node in graph.nodes:
            shapes = [p.shape for p in node.op.parameters(*(types[n] for n in node.inputs))]
            if shapes != [p.shape for p in graph.parameters(node)]:
                return node, symbol
    return None


def _period(graph: Graph, divisors: Iterable[int]) -> int:
    """The least common multiple of the steps of all receptive fields (0 if all positions have one) and the divisors, at most MAX_PERIOD."""
    from fractions import Fraction

    steps = {field.step for fields in receptive_fields(graph).values() for field in fields if field.step}
    period = 1
    for step in (*steps, *divisors):
        period = math.lcm(period, Fraction(step).numerator)
        if period > MAX_PERIOD:
            return MAX_PERIOD
    return period


def _scan(
    symbol: str, types_at: TypesAt, reference: Mapping[str, int], period: int
) -> tuple[LegalSizes, dict[int, dict[str, TensorType]]]:
    """Tries sizes from 1 until at least two periods beyond the first legal one.

    Returns the rule, and for each legal size that was tried the types of all nodes.
    """
    samples: dict[int, dict[str, TensorType]] = {}
    known = reference[symbol]
    size, stop = 0, max(known, 2 * period) + 2 * period
    while size < min(stop, MAX_SIZE):
        size += 1
        types = types_at({**reference, symbol: size})
        if not isinstance(types, Failure):
            if not samples:
                stop = max(size + 3 * period, min(stop, size + 64))
            samples[size] = types
    if not samples:
        return LegalSizes(symbol, 0, 1, (), ()), samples
    rule = _rule(symbol, sorted(samples), period, size)
    if not rule.residues and not rule.allows(known) and not isinstance(types := types_at(reference), Failure):
        rule, samples[known] = rule.replace(extra=(*rule.extra, known)), types  # above the sizes that were tried
    return rule, samples


def _rule(symbol: str, legal: Sequence[int], period: int, last: int) -> LegalSizes:
    """The shortest rule for which of 1..last are legal."""
    in_last_period = [n for n in legal if n > last - period]
    if not in_last_period:  # only some sizes are legal, e.g. because of a skip from a part of fixed size
        return LegalSizes(symbol, 0, 1, (), tuple(legal))
    shortest = _smallest_period({n % period for n in in_last_period}, period)
    residues = tuple(sorted({n % shortest for n in in_last_period}))
    members = set(legal)
    minimum = last
    while minimum > 1 and ((minimum - 1) in members) == ((minimum - 1) % shortest in residues):
        minimum -= 1
    first = next(n for n in range(minimum, last + 1) if n in members)
    return LegalSizes(symbol, first, shortest, residues, tuple(n for n in legal if n < minimum))


def _smallest_period(residues: set[int], period: int) -> int:
    """The smallest divisor of `period` after which the residues repeat."""
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
    """For each node the formula of each axis: a number, a formula in one symbol, or "?"."""
    formulas = {}
    known: dict[tuple[tuple[TensorType, ...], ...], tuple[str, ...]] = {}  # of nodes with the same types throughout
    for node in graph.nodes:
        types = tuple([tuple([types[node.name] for types in tried.values()]) for tried in samples.values()])
        if types not in known:
            known[types] = _formulas_of_axes(node.type, dict(zip(samples, types, strict=True)), samples, period)
        formulas[node.name] = known[types]
    return formulas


def _formulas_of_axes(
    reference: TensorType,
    types: Mapping[str, Sequence[TensorType]],
    samples: Mapping[str, Mapping[int, object]],
    period: int,
) -> tuple[str, ...]:
    """The formula of each axis of a node whose types at the sizes of each symbol are given."""
    axes = []
    for axis, size in enumerate(reference.shape):
        points = {
            symbol: [(n, t.shape[axis]) for n, t in zip(samples[symbol], types[symbol], strict=True)]
            for symbol in types
        }
        dependent = list(filter(None, (_formula(symbol, points[symbol], period) for symbol in points)))
        axes.append("?" if len(dependent) > 1 else dependent[0] if dependent else str(size))
    return tuple(axes)


def _formula(symbol: str, points: Sequence[tuple[int, int]], period: int) -> str:
    """The size as a function of the symbol, verified on every size that was tried; "" if constant, "?" if unknown."""
    if len({d for _, d in points}) <= 1:
        return ""
    formula = fit_formula(points, period)
    return "?" if formula is None else formula.text(symbol)


class SizeFormula(Record):
    """The function n ↦ ⌊(scale·n + shift)/divisor⌋; if `exact`, the division has no remainder at any legal size."""

    scale: int
    shift: int = 0
    divisor: int = 1
    exact: bool = True

    def text(self, symbol: str) -> str:
        """`H`, `H/2`, `⌊(H+1)/2⌋`."""
        product = symbol if self.scale == 1 else f"{self.scale}{symbol}"
        if self.divisor == 1:
            return f"{product}{self.shift:+d}" if self.shift else product
        if not self.exact:
            return f"⌊{f'({product}{self.shift:+d})' if self.shift else product}/{self.divisor}⌋"
        if self.shift % self.divisor == 0:
            return (
                f"{product}/{self.divisor}{self.shift // self.divisor:+d}"
                if self.shift
                else f"{product}/{self.divisor}"
            )
        return f"({product}{self.shift:+d})/{self.divisor}"


def fit_formula(points: Sequence[tuple[int, int]], period: int) -> SizeFormula | None:
    """The function through all points (size of the symbol, size of the axis); None if there is none of this form."""
    from fractions import Fraction

    if all(n == d for n, d in points):
        return SizeFormula(1)
    (n0, d0), *rest = points
    slope = next((Fraction(d - d0, n - n0) for n, d in reversed(rest) if (n - n0) % period == 0), None)
    if slope is None or slope <= 0:
        return None
    offsets = {d - slope * n for n, d in points}
    s, c = slope.numerator, slope.denominator
    if len(offsets) == 1:
        return SizeFormula(s, int(offsets.pop() * c), c)
    low = max(c * d - s * n for n, d in points)
    high = min(c * d - s * n + c - 1 for n, d in points)
    if low > high:
        return None
    return SizeFormula(s, 0 if low <= 0 <= high else low if low > 0 else high, c, exact=False)
