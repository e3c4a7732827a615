"""One version of an open file, checked: what every feature of the editor reads.

In: a path and a text. Out: `Analysis`: the network with its diagnostics and its trace, and the statements by place. An analysis
never changes; each version of a text has one of its own.

Example: `analyse("lenet5.cnn", text).at(offset).after` is the current tensor behind the statement at an offset.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cnnc.core.arguments import WordValue
from cnnc.core.tensor import TensorType
from cnnc.diagnostics import Source, Span
from cnnc.graph.graph import Graph, Node
from cnnc.graph.sizes import SizeSurvey
from cnnc.language import syntax
from cnnc.language.edits import whole
from cnnc.language.include import Reader, read_source
from cnnc.language.scope import Frame, Tensor
from cnnc.language.size_survey import survey_of_part
from cnnc.language.trace import LoweringTrace, Visit
from cnnc.network import Network, check
from cnnc.ops.base import ShapeError
from cnnc.report.table import format_size

Calls = tuple[str, ...]
"""The block calls around a statement, outermost first, by their full names."""


class Placed(NamedTuple):
    """A statement, and the statements whose bodies it is in, outermost first."""

    statement: syntax.Statement
    parents: tuple[syntax.Statement, ...]


class Here(NamedTuple):
    """What an offset is in: the statement (None between statements), those around it, the tensor before it, and the names."""

    statement: syntax.Statement | None
    parents: tuple[syntax.Statement, ...]
    before: Tensor | None
    frame: Frame | None


class Analysis:
    """A checked text: that of the network, or of a file that it includes, whose blocks then have the shapes of their calls."""

    def __init__(self, network: Network, included: syntax.File | None = None) -> None:
        assert network.trace is not None
        self.network = network
        self.trace: LoweringTrace = network.trace
        self.file = included or self.trace.file
        self.source: Source = self.file.source

    @property
    def text(self) -> str:
        """The text that was checked."""
        return self.source.text

    # --- statements ------------------------------------------------------------------------------------------

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """All statements of the file, in order of their beginnings."""
        return tuple(_walk(self.file.statements, ()))

    @cached_property
    def ranges(self) -> dict[Span, Span]:
        """The range of each statement with its bodies, by that of its head."""
        return {placed.statement.span: whole(placed.statement) for placed in self.placed}

    def statement_at(self, offset: int) -> Placed | None:
        """The innermost statement that an offset is in or directly behind."""
        found = None
        for placed in self.placed:
            if placed.statement.span.start > offset:
                break
            if offset <= self.ranges[placed.statement.span].end:
                found = placed
        return found

    def visit(self, statement: Span, calls: Calls = ()) -> Visit | None:
        """What lowering saw at a statement, in the block call `calls` or else in the first."""
        visits = self.trace.visits.get(statement)
        if not visits:
            return None
        for visit in visits:
            shorter = min(len(visit.path), len(calls))
            if visit.path[:shorter] == calls[:shorter]:
                return visit
        return visits[0]

    def here(self, offset: int, calls: Calls = ()) -> Here:
        """What an offset is in; a statement that is being written counts up to the end of its line."""
        parents, body = self._body_at(offset)
        above = [s for s in body if s.span.start <= offset]
        if above:
            last = above[-1]
            visit = self.visit(last.span, calls)
            between = self.text[whole(last).end : offset]
            inside = offset <= whole(last).end or not re.search(r"[\n;]", between)
            if visit is None:
                return Here(last if inside else None, parents, None, None)
            return Here(last if inside else None, parents, visit.before if inside else visit.after, visit.frame)
        for statement in body[:1]:
            visit = self.visit(statement.span, calls)
            if visit is not None:
                return Here(None, parents, visit.before, visit.frame)
        outer = self.visit(parents[-1].span, calls) if parents else None
        if outer is not None:
            return Here(None, parents, outer.before, outer.frame)
        return Here(None, parents, None, self.trace.top)

    def _body_at(self, offset: int) -> tuple[tuple[syntax.Statement, ...], Sequence[syntax.Statement]]:
        """The innermost body that an offset is in, and the statements around it."""
        parents: tuple[syntax.Statement, ...] = ()
        statements: Sequence[syntax.Statement] = self.file.statements
        while True:
            for statement in statements:
                body = next((b for b in bodies_of(statement) if b.span.start < offset < b.span.end), None)
                if body is not None:
                    parents, statements = (*parents, statement), body.statements
                    break
            else:
                return parents, statements

    # --- layers ----------------------------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The layers that could be lowered, by name; in a file without errors, all."""
        return {node.name: node for node in self.trace.nodes}

    @cached_property
    def graph(self) -> Graph:
        """The layers that could be lowered, as a graph; without those that follow an assertion that does not hold."""
        if self.network.graph is not None:
            return self.network.graph
        sound: dict[str, Node] = {}
        for node in self.trace.nodes:
            if all(name in sound for name in node.inputs) and _fits(node, [sound[name].type for name in node.inputs]):
                sound[node.name] = node
        return Graph(self.network.name, tuple(sound.values()), tuple(sound)[-1:])

    @cached_property
    def formulas(self) -> Mapping[str, tuple[str, ...]] | None:
        """The sizes of each layer's output as formulas of the symbols; None for a network without symbols."""
        if not self.trace.symbols:
            return None
        survey: SizeSurvey | None = self.network.survey or survey_of_part(self.graph, self.trace.symbols)
        return survey.formulas if survey is not None else {}

    def shape(self, tensor: Tensor) -> str:
        """The shape of a tensor as the language writes it, with formulas of the symbols; "" if it is unknown."""
        if tensor.type is None:
            return ""
        return self.node_shape(tensor.node, tensor.type)

    def node_shape(self, name: str, type: TensorType) -> str:
        """The shape of a layer's output; "" where it has symbols and their formulas are unknown."""
        if self.formulas is None:
            return str(type)
        formula = self.formulas.get(name)
        if formula is None:
            return ""
        return format_size(formula)

    def input_types(self, node: Node) -> tuple[TensorType, ...]:
        """The types that a layer reads."""
        return tuple(self.nodes[name].type for name in node.inputs)

    @cached_property
    def _parameters(self) -> dict[str, int]:
        return {}

    def parameters(self, node: Node) -> int:
        """The number of trainable parameters of a layer that are its own, not shared with one above."""
        count = self._parameters.get(node.name)
        if count is None:
            count = 0
            if node.parameter_owner == node.name and node.name in self.graph.by_name:
                count = sum(p.size for p in node.op.parameters(*self.input_types(node)) if p.trainable)
            self._parameters[node.name] = count
        return count


def _fits(node: Node, types: Sequence[TensorType]) -> bool:
    """Whether a layer gives its type for these inputs: below a failed `expect`, it was lowered for the asserted shape."""
    try:
        return node.op.output(*types) == node.type
    except (ShapeError, ValueError):
        return False


def analyse(path: str, text: str, read: Reader = read_source) -> Analysis:
    """Checks a text as the file at `path`, "" for one that is not saved. `read` reads the files that it includes."""
    root = Path(path).parent if path else None
    return Analysis(check(text, path or "<unsaved>", root=root, read=read, traced=True, try_edits=False))


def value_text(value: object) -> str:
    """A single value of a variable as the language writes it, on one line; "" for a list."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not isinstance(value, WordValue):
        return json.dumps(value, ensure_ascii=False)
    return str(value) if isinstance(value, int | float | str) else ""


def in_include(analysis: Analysis, path: str) -> Analysis | None:
    """The analysis of the file at `path` as one that the network includes; None if it does not."""
    for file in analysis.trace.included.values():
        if Path(file.source.name).resolve() == Path(path).resolve():
            return Analysis(analysis.network, file)
    return None


def is_library(analysis: Analysis) -> bool:
    """Whether a file holds only definitions, for other files to include."""
    statements = analysis.file.statements
    return bool(statements) and all(
        isinstance(s, syntax.Block | syntax.Let) or (isinstance(s, syntax.Call) and s.op.text == "include")
        for s in statements
    )


def bodies_of(statement: syntax.Statement) -> tuple[syntax.Body, ...]:
    """The bodies of a statement."""
    if isinstance(statement, syntax.Call):
        return statement.bodies
    return (statement.body,) if isinstance(statement, syntax.Block) else ()


def _walk(statements: Sequence[syntax.Statement], parents: tuple[syntax.Statement, ...]) -> Iterator[Placed]:
    """Statements and those in their bodies, in source order, without recursion: bodies may be nested a thousand deep."""
    pending: list[tuple[syntax.Statement, tuple[syntax.Statement, ...]]] = [(s, parents) for s in reversed(statements)]
    while pending:
        statement, around = pending.pop()
        yield Placed(statement, around)
        for body in reversed(bodies_of(statement)):
            pending += [(s, (*around, statement)) for s in reversed(body.statements)]
