"""What the source says about the numbers of a layer or block call.

In: a graph. Out: the expressions that the source has for an argument of a layer, for a parameter of a block call, and for
the default of a parameter; None where it has none, as in a graph that was built without a source.

Example: of `conv w k=3 s=2` the argument `out` is the word `w`, and `s` is the number 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cnnc.diagnostics import Source, Span
from cnnc.graph.graph import ExpandedCall, Graph, Node
from cnnc.language import syntax
from cnnc.language.parse import parse


class SourceHints:
    """The statements of a network's sources, found by position."""

    def __init__(self, graph: Graph) -> None:
        spans = [node.span for node in graph.nodes if node.span is not None] + [call.span for call in graph.calls]
        self._calls: dict[tuple[str, int, int], syntax.Call] = {}
        self._blocks: dict[str, syntax.Block] = {}
        sources: dict[str, Source] = {span.source.name: span.source for span in spans}
        for source in sources.values():
            file, _ = parse(source)
            for statement in file.statements:
                if isinstance(statement, syntax.Block):
                    self._blocks.setdefault(statement.name.text, statement)
            for call in _calls(file.statements):
                self._calls[_key(call.span)] = call

    def of_layer(self, node: Node, argument: str) -> syntax.Expression | None:
        """The expression for an argument of a layer, by the argument's name."""
        call = self._calls.get(_key(node.span)) if node.span is not None else None
        if call is None:
            return None
        specs = list(node.op.arguments)
        positional = [spec.name for spec in specs if spec.positional]
        keys = next((spec.keys for spec in specs if spec.name == argument), ())
        return _given(call, positional, argument, keys)

    def of_call(self, block_call: ExpandedCall, parameter: str) -> syntax.Expression | None:
        """The expression for a parameter of a block call; its default if the call does not give it."""
        call, block = self._calls.get(_key(block_call.span)), self._blocks.get(block_call.block)
        if call is None or block is None:
            return None
        names = [p.name.text for p in block.parameters]
        given = _given(call, names, parameter, (parameter,))
        if given is not None:
            return given
        default = next((p.default for p in block.parameters if p.name.text == parameter), None)
        return default if isinstance(default, syntax.Number) else None

    def default(self, block_call: ExpandedCall, parameter: str) -> str:
        """The default of a block's parameter as text, if it is a number; else ""."""
        block = self._blocks.get(block_call.block)
        if block is None:
            return ""
        default = next((p.default for p in block.parameters if p.name.text == parameter), None)
        return repr(default.value) if isinstance(default, syntax.Number) else ""


def _key(span: Span) -> tuple[str, int, int]:
    return span.source.name, span.start, span.end


def _calls(statements: Iterable[syntax.Statement]) -> Iterator[syntax.Call]:
    for statement in statements:
        if isinstance(statement, syntax.Block):
            yield from _calls(statement.body.statements)
        elif isinstance(statement, syntax.Call):
            yield statement
            for body in statement.bodies:
                yield from _calls(body.statements)


def _given(call: syntax.Call, positional: list[str], argument: str, keys: Iterable[str]) -> syntax.Expression | None:
    for number, given in enumerate(call.arguments):
        if given.key is not None and given.key.text in keys:
            return given.value
        if given.key is None and number < len(positional) and positional[number] == argument:
            return given.value
    return None
