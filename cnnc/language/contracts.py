"""Contracts: `expect` and `budget`.

In: their calls as the text is lowered, then the whole graph. Out: a diagnostic for each that is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnc.core.arguments import BadValue, Kind, Shape, Whole
from cnnc.core.tensor import TensorType, format_shape
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span
from cnnc.graph.analysis import peak_memory, receptive_fields
from cnnc.graph.graph import Graph, Node
from cnnc.language import syntax
from cnnc.language.bind import unknown_key
from cnnc.language.expressions import Scope, evaluate, kind
from cnnc.language.infer import Outcome
from cnnc.language.scope import Tensor

TOTALS: dict[str, Kind] = {"params": Whole(0, 2**62), "macs": Whole(0, 2**62), "out": Shape(), "field": Shape()}
BUDGETS = ("ram", "flash", "macs", "params")
_UNITS = {"ram": "bytes", "flash": "bytes", "macs": "MACs", "params": "parameters"}
_WHAT = {**_UNITS, "ram": "bytes of values at once", "flash": "bytes of weights"}


class Expectation(NamedTuple):
    """A shape that a node's value was asserted to have; evaluated anew for other sizes of symbols."""

    node: str
    expression: syntax.Expression
    scope: Scope

    def shape(self) -> tuple[int, ...]:
        """Raises BadValue, CnncError, Silent."""
        return Shape().take(evaluate(self.expression, self.scope), 0)


class Contracts:
    """Gathers the contracts of a text, and holds the graph against them."""

    def __init__(self) -> None:
        self.expectations: list[Expectation] = []
        self.totals: list[tuple[syntax.Argument, Any]] = []
        self.budgets: list[tuple[syntax.Argument, int]] = []

    def expect(
        self, call: syntax.Call, current: Tensor | None, scope: Scope, top: bool, nodes: Mapping[str, Node]
    ) -> Outcome:
        """An `expect` where it stands. A shape that is not met is reported, and taken for true from there on."""
        if not call.arguments:
            raise CnncError.of("E202", "expect needs a shape or a total", span=call.span, help="`expect 16x5x5`")
        made = Outcome(None)
        for argument in call.arguments:
            if argument.key is None:
                made = self._shape(argument, current, scope, nodes)
            elif argument.key.text not in TOTALS:
                raise CnncError(unknown_key(argument.key, "expect", TOTALS))
            elif not top:
                help = "move it out of the body; a shape may be expected anywhere"
                raise CnncError.of("E122", "totals are expected at the top of the file", span=argument.span, help=help)
            else:
                kind_ = TOTALS[argument.key.text]
                self.totals.append((argument, _take(kind_, argument, scope, f"expect: {argument.key.text} takes")))
        return made

    def _shape(
        self, argument: syntax.Argument, current: Tensor | None, scope: Scope, nodes: Mapping[str, Node]
    ) -> Outcome:
        shape = self._expected(argument, scope)
        if current is None:
            raise CnncError.of("E112", "expect has no tensor to look at", span=argument.span)
        if current.node:
            self.expectations.append(Expectation(current.node, argument.value, scope))
        found = current.type
        type_ = TensorType(shape, found.dtype if found is not None else "float32")
        if found is None or found.shape == shape:
            return Outcome(type_)
        node = nodes.get(current.node)
        notes = (Note(node.span, f"makes {found}"),) if node is not None and node.span is not None else ()
        help = f"mend the layers above, or write `expect {found}`"
        message = f"expected {format_shape(shape)}, found {found}"
        return Outcome(type_, (Diagnostic("E401", message, argument.span, f"here it is {found}", notes, help),))

    def _expected(self, argument: syntax.Argument, scope: Scope) -> tuple[int, ...]:
        value = evaluate(argument.value, scope)
        if isinstance(value, tuple) and all(isinstance(n, int | float) for n in value) and any(n % 1 for n in value):
            text = "x".join(f"{n:g}" for n in value)
            raise CnncError.of("E401", f"expected {text}, which is no shape: sizes are whole", span=argument.span)
        taken: tuple[int, ...] = _take(Shape(), argument, scope, "expect takes")
        return taken

    def add_budget(self, call: syntax.Call, scope: Scope) -> None:
        """A `budget`. Raises CnncError for a key or value that it does not have."""
        if not call.arguments:
            raise CnncError.of("E202", "budget needs a bound", span=call.span, help="`budget ram=256KiB params=1M`")
        for argument in call.arguments:
            if argument.key is None:
                raise CnncError.of("E204", "budget takes keys only", span=argument.span, help="`budget params=1M`")
            if argument.key.text not in BUDGETS:
                raise CnncError(unknown_key(argument.key, "budget", BUDGETS))
            bound = _take(Whole(0, 2**62), argument, scope, f"budget: {argument.key.text} takes")
            self.budgets.append((argument, bound))

    def check(self, graph: Graph, open_sizes: bool) -> list[Diagnostic]:
        """What the whole graph does not keep. With `open_sizes`, figures that depend on a size cannot be held to a number."""
        if open_sizes:
            sized = [a for a, _ in [*self.totals, *self.budgets] if a.key is not None and a.key.text in _SIZED]
            if sized:
                return [_needs_sizes(argument) for argument in sized]
        found = [self._total(graph, argument, expected) for argument, expected in self.totals]
        found += [self._budget(graph, argument, bound) for argument, bound in self.budgets]
        return [d for d in found if d is not None]

    def _total(self, graph: Graph, argument: syntax.Argument, expected: Any) -> Diagnostic | None:
        assert argument.key is not None
        key = argument.key.text
        found = _figure(graph, key, expected)
        if found == expected:
            return None
        shown, wanted = _shown(found), _shown(expected)
        return Diagnostic(
            "E402",
            f"expected {key}={wanted}, found {shown}",
            argument.span,
            f"it is {shown}",
            help=f"mend the layers, or write `{key}={shown.replace(',', '')}`",
        )

    def _budget(self, graph: Graph, argument: syntax.Argument, bound: int) -> Diagnostic | None:
        assert argument.key is not None
        key = argument.key.text
        costs = _costs(graph, key)
        total = peak_memory(graph).bytes if key == "ram" else sum(cost for cost, _ in costs)
        if total <= bound:
            return None
        unit = _UNITS[key]
        largest = sorted(costs, key=lambda pair: -pair[0])[:3]
        notes = tuple(Note(node.span, f"{cost:,} {unit}") for cost, node in largest if node.span is not None and cost)
        return Diagnostic(
            "E403",
            f"over the budget: {total:,} {_WHAT[key]}; {key}={bound:,} is the most allowed",
            argument.span,
            f"{total - bound:,} too many",
            _one_a_line(notes),
            help=_remedy(key, largest, total - bound),
        )


_SIZED = ("macs", "out", "ram")


def _needs_sizes(argument: syntax.Argument) -> Diagnostic:
    assert argument.key is not None
    message = f"{argument.key.text} depends on sizes that are symbols"
    return Diagnostic("E404", message, argument.span, help="check it for one size: `--at H=224,W=224`")


def _take(kind_: Kind, argument: syntax.Argument, scope: Scope, what: str) -> Any:
    value = evaluate(argument.value, scope)
    try:
        return kind_.take(value, 0)
    except BadValue as bad:
        raise CnncError.of("E203", f"{what} {bad.expected}, not {kind(value)}", span=argument.span) from None


def _figure(graph: Graph, key: str, expected: Any) -> Any:
    if key == "params":
        return graph.total_parameters
    if key == "macs":
        return graph.total_macs
    output = graph.outputs[0]
    if key == "out":
        return graph.by_name[output].type.shape
    sizes = tuple(f.elements for f in receptive_fields(graph)[output])
    return sizes[:1] if len(expected) == 1 and len(set(sizes)) == 1 else sizes


def _costs(graph: Graph, key: str) -> list[tuple[int, Node]]:
    """What each layer takes of a budget."""
    if key == "macs":
        return [(graph.macs(node), node) for node in graph.nodes]
    if key == "ram":
        alive = peak_memory(graph).alive
        return [(graph.by_name[name].type.bytes, graph.by_name[name]) for name in alive]
    own = [(sum(p.size for p in graph.parameters(n) if p.trainable or key == "flash"), n) for n in graph.nodes]
    owners = [(size, n) for size, n in own if n.parameter_owner == n.name]
    return [(4 * size, n) for size, n in owners] if key == "flash" else owners


def _remedy(key: str, largest: list[tuple[int, Node]], excess: int) -> str:
    cost, node = largest[0]
    share = f"{node.name} alone takes {cost:,}"
    if key == "ram":
        return f"{share}; a stride or pool before it, or fewer channels, brings it down"
    if excess < cost:
        return f"{share}; with {cost - excess:,} or less there it fits"
    return f"{share}; the lines marked must shrink together"


def _one_a_line(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Layers of a repeat or block share a line: the dearest speaks for it."""
    seen: dict[Span, Note] = {}
    for note in notes:
        seen.setdefault(note.span, note)
    return tuple(seen.values())


def _shown(value: Any) -> str:
    return format_shape(value) if isinstance(value, tuple) else f"{value:,}"
