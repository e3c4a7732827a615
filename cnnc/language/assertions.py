"""Assertions (`expect`) and budgets (`budget`).

In: their calls while the source is lowered, then the finished graph. Out: a diagnostic for each assertion that does not
hold and each budget that is exceeded. Shapes are checked where the `expect` is, totals once the graph is complete.

Example: `expect 16x5x5 params=61706` asserts the current tensor's shape and the parameters of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cnnc.core.arguments import BadValue, Kind, Shape, Whole
from cnnc.core.caller import written_sizes
from cnnc.core.tensor import TensorType, format_shape
from cnnc.diagnostics import CnncError, Diagnostic, Edit, Note, Span
from cnnc.graph.analysis import peak_memory, receptive_fields
from cnnc.graph.graph import Graph, Node
from cnnc.language import syntax
from cnnc.language.bind import unknown_key
from cnnc.language.edits import as_written, first_that_works, rewritten
from cnnc.language.expressions import Scope, describe, evaluate
from cnnc.language.infer import Inferred
from cnnc.language.scope import Tensor

TOTALS: dict[str, Kind] = {"params": Whole(0, 2**62), "macs": Whole(0, 2**62), "out": Shape(), "field": Shape()}
BUDGETS = ("ram", "flash", "macs", "params")
_UNITS = {"ram": "bytes", "flash": "bytes", "macs": "MACs", "params": "parameters"}
_DEPENDS_ON_SIZE = ("macs", "out", "ram")
_QUANTITIES = {**_UNITS, "ram": "bytes of peak activation memory", "flash": "bytes of parameters and buffers"}


_BUDGETS = f"its limits are {', '.join(BUDGETS)}"


def _budget_edit(span: Span, separator: str) -> Edit:
    return first_that_works([Edit(span, f"{separator}params={limit}") for limit in ("1M", "100M", "10G")])[0]


class ShapeAssertion(NamedTuple):
    """The shape that an `expect` asserts for a node's output; evaluated again for other sizes of symbols."""

    node: str
    expression: syntax.Expression
    scope: Scope

    def shape(self) -> tuple[int, ...]:
        """The shape, without the batch. Raises BadValue, CnncError, AlreadyReported."""
        return Shape().take(evaluate(self.expression, self.scope), 0)


class Assertions:
    """Collects the assertions and budgets of a file, and checks the graph against them."""

    def __init__(self) -> None:
        self.shapes: list[ShapeAssertion] = []
        self.totals: list[tuple[syntax.Argument, Any]] = []
        self.budgets: list[tuple[syntax.Argument, int]] = []

    def expect(
        self, call: syntax.Call, current: Tensor | None, scope: Scope, top: bool, nodes: Mapping[str, Node]
    ) -> Inferred:
        """The type that an `expect` gives the current tensor (None if it asserts only totals).

        A shape that does not match is reported, and assumed below. Raises CnncError E112, E122, E201 to E203, E401.
        """
        if not call.arguments:
            help = "assert the shape here, or a total of the network such as params"
            known = current is not None and current.type is not None
            edits = (rewritten(call, f"expect {current.type}"),) if current is not None and known else ()
            raise CnncError.of("E202", "expect needs a shape or a total", span=call.span, help=help, edits=edits)
        inferred = Inferred(None)
        for argument in call.arguments:
            if argument.key is None:
                inferred = self._shape(argument, current, scope, nodes)
            elif argument.key.text not in TOTALS:
                raise CnncError(unknown_key(argument, call, TOTALS))
            elif not top:
                message = f"`{argument.key.text}` can be asserted only at the top level of the file"
                help = "move it out of the body; only shapes can be asserted in one"
                raise CnncError.of("E122", message, span=argument.span, help=help)
            else:
                kind = TOTALS[argument.key.text]
                self.totals.append((argument, _take(kind, argument, scope, f"expect: {argument.key.text} takes")))
        return inferred

    def _shape(
        self, argument: syntax.Argument, current: Tensor | None, scope: Scope, nodes: Mapping[str, Node]
    ) -> Inferred:
        """The type that a shape argument of an `expect` asserts, with the diagnostic E401 if the current tensor has another.

        Raises CnncError E112, E203, E401.
        """
        shape = self._asserted_shape(argument, scope)
        if current is None:
            help = "begin with an input line"
            raise CnncError.of("E112", "expect has no tensor to check", span=argument.span, help=help)
        if current.node:
            self.shapes.append(ShapeAssertion(current.node, argument.value, scope))
        actual = current.type
        asserted_type = TensorType(shape, actual.dtype if actual is not None else "float32")
        if actual is None or actual.shape == shape:
            return Inferred(asserted_type)
        node = nodes.get(current.node)
        notes = (Note(node.span, f"outputs {actual}"),) if node is not None and node.span is not None else ()
        fixed_size = not list(syntax.words_of(argument.value))
        edits = (Edit(argument.span, str(actual), "fix the layers above, or write `expect {}`"),) if fixed_size else ()
        message = f"expected {format_shape(shape)}, found {actual}"
        label = f"the shape is {actual} here"
        help = "fix the layers above, or the shape"
        diagnostic = Diagnostic("E401", message, argument.span, label, notes, help, edits=edits)
        return Inferred(asserted_type, (diagnostic,))

    def _asserted_shape(self, argument: syntax.Argument, scope: Scope) -> tuple[int, ...]:
        """The asserted shape. Raises CnncError E203, and E401 for sizes that are not whole numbers."""
        value = evaluate(argument.value, scope)
        if isinstance(value, tuple) and all(isinstance(n, int | float) for n in value) and any(n % 1 for n in value):
            text = "x".join(f"{n:g}" for n in value)
            message = f"expected {text}, which is not a shape: sizes are whole numbers"
            raise CnncError.of("E401", message, span=argument.span)
        shape: tuple[int, ...] = _take(Shape(), argument, scope, "expect takes")
        return shape

    def add_budget(self, call: syntax.Call, scope: Scope) -> None:
        """Collects the limits of a `budget`. Raises CnncError E201 to E204."""
        if not call.arguments:
            edits = (_budget_edit(call.span.source.span(call.span.end, call.span.end), " "),)
            raise CnncError.of("E202", "budget needs a limit", span=call.span, help=_BUDGETS, edits=edits)
        for argument in call.arguments:
            if argument.key is None:
                message, value = "budget takes only `key=value` arguments", as_written(argument)
                edit = Edit(argument.span, f"params={value}", "did you mean `{}`?")
                edits = (edit._replace(otherwise=(_budget_edit(argument.span, ""),)),)
                raise CnncError.of("E204", message, span=argument.span, help=_BUDGETS, edits=edits)
            if argument.key.text not in BUDGETS:
                raise CnncError(unknown_key(argument, call, BUDGETS))
            limit = _take(Whole(0, 2**62), argument, scope, f"budget: {argument.key.text} takes")
            self.budgets.append((argument, limit))

    def check(self, graph: Graph, symbols: Mapping[str, int]) -> list[Diagnostic]:
        """E402 and E403 of the finished graph; E404 for totals that depend on one of the `symbols`, sizes that are open.

        `symbols` gives each symbol with the size it has in the graph; it is empty if all sizes are fixed.
        """
        if symbols:
            arguments = [argument for argument, _ in (*self.totals, *self.budgets)]
            sized = [a for a in arguments if a.key is not None and a.key.text in _DEPENDS_ON_SIZE]
            if sized:
                return [_needs_sizes(argument, symbols) for argument in sized]
        diagnostics = [_check_total(graph, argument, expected) for argument, expected in self.totals]
        diagnostics += [_check_budget(graph, argument, limit) for argument, limit in self.budgets]
        return [d for d in diagnostics if d is not None]


def _check_total(graph: Graph, argument: syntax.Argument, expected: Any) -> Diagnostic | None:
    assert argument.key is not None
    key = argument.key.text
    actual = _total(graph, key, expected)
    if actual == expected:
        return None
    shown = _shown(actual)
    return Diagnostic(
        "E402",
        f"expected {key}={_shown(expected)}, found {shown}",
        argument.span,
        f"it is {shown}",
        help="fix the layers, or the number",
        edits=(Edit(argument.span, f"{key}={shown.replace(',', '')}", "fix the layers, or write `{}`"),),
    )


def _check_budget(graph: Graph, argument: syntax.Argument, limit: int) -> Diagnostic | None:
    assert argument.key is not None
    key = argument.key.text
    costs = _costs(graph, key)
    total = peak_memory(graph).bytes if key == "ram" else sum(cost for cost, _ in costs)
    if total <= limit:
        return None
    largest = sorted(costs, key=lambda pair: -pair[0])[:3]
    notes = [Note(node.span, f"{cost:,} {_UNITS[key]}") for cost, node in largest if node.span is not None and cost]
    return Diagnostic(
        "E403",
        f"over budget: {total:,} {_QUANTITIES[key]}; the limit is {key}={limit:,}",
        argument.span,
        f"{total - limit:,} over the limit",
        _one_per_line(notes),
        help=_remedy(key, largest, total - limit),
    )


def _needs_sizes(argument: syntax.Argument, symbols: Mapping[str, int]) -> Diagnostic:
    assert argument.key is not None
    message = f"{argument.key.text} depends on {' and '.join(symbols)}"
    return Diagnostic("E404", message, argument.span, help=f"check it at one size: `{written_sizes(symbols)}`")


def _take(kind: Kind, argument: syntax.Argument, scope: Scope, subject: str) -> Any:
    """The value of an argument. Raises CnncError E203: "`subject` a whole number, not 1.5"."""
    value = evaluate(argument.value, scope)
    try:
        return kind.take(value, 0)
    except BadValue as bad:
        raise CnncError.of("E203", f"{subject} {bad.expected}, not {describe(value)}", span=argument.span) from None


def _total(graph: Graph, key: str, expected: Any) -> Any:
    """What an `expect` of `key` compares with `expected`: a count, or a shape (one size if it asserts only one)."""
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
    """How much of a budget each layer uses, in the budget's unit; for `ram`, the activations alive at the peak."""
    if key == "macs":
        return [(graph.macs(node), node) for node in graph.nodes]
    if key == "ram":
        alive = peak_memory(graph).alive
        return [(graph.by_name[name].type.bytes, graph.by_name[name]) for name in alive]
    owners = [node for node in graph.nodes if node.parameter_owner == node.name]
    sizes = [(sum(p.size for p in graph.parameters(n) if p.trainable or key == "flash"), n) for n in owners]
    return [(4 * size, node) for size, node in sizes] if key == "flash" else sizes


def _remedy(key: str, largest: list[tuple[int, Node]], excess: int) -> str:
    """Help for a budget that is exceeded by `excess`; `largest` are the largest costs, in descending order."""
    cost, node = largest[0]
    share = f"{node.name} alone takes {cost:,} {_UNITS[key]}"
    if key == "ram":
        return f"{share}; put a stride or pool before it, or give it fewer channels"
    if excess < cost:
        return f"{share}; reduce it to {cost - excess:,} or less"
    return f"{share}; reduce all of the marked layers"


def _one_per_line(notes: Iterable[Note]) -> tuple[Note, ...]:
    """The first note of each line; layers of a repeat or block share one. `notes` have the largest cost first."""
    by_line: dict[Span, Note] = {}
    for note in notes:
        by_line.setdefault(note.span, note)
    return tuple(by_line.values())


def _shown(value: Any) -> str:
    return format_shape(value) if isinstance(value, tuple) else f"{value:,}"
