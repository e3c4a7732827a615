"""The outline of a file, and the ranges that can be folded.

In: an analysis. Out: `Symbol`s as a tree: layers with their shapes, blocks, repeats, branches and the train section with what
is in them; and `Fold`s: bodies and runs of comments that take several lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from cnnc.diagnostics import Span
from cnnc.editor.analysis import Analysis, Calls, bodies_of
from cnnc.language import syntax
from cnnc.ops import OPS

SymbolKind = Literal["net", "layer", "block", "call", "variable", "section", "statement"]


class Symbol(NamedTuple):
    """A statement in the outline; `selection` is the range of its name."""

    name: str
    detail: str
    kind: SymbolKind
    span: Span
    selection: Span
    children: tuple[Symbol, ...]


class Fold(NamedTuple):
    """The first and last line, from 1, of what can be folded."""

    first: int
    last: int
    is_comment: bool


def outline(analysis: Analysis, calls: Calls = ()) -> tuple[Symbol, ...]:
    """The symbols of the file."""
    return _symbols(analysis, analysis.file.statements, calls, in_train=False)


def _symbols(
    analysis: Analysis, statements: Sequence[syntax.Statement], calls: Calls, in_train: bool
) -> tuple[Symbol, ...]:
    found = (_symbol(analysis, statement, calls, in_train) for statement in statements)
    return tuple(symbol for symbol in found if symbol is not None)


def _symbol(analysis: Analysis, statement: syntax.Statement, calls: Calls, in_train: bool) -> Symbol | None:
    span = analysis.ranges[statement.span]
    inner_train = in_train or (isinstance(statement, syntax.Call) and statement.op.text == "train")
    children = tuple(
        symbol for body in bodies_of(statement) for symbol in _symbols(analysis, body.statements, calls, inner_train)
    )
    match statement:
        case syntax.Let(name, value):
            return Symbol(name.text, _short(value.span.text), "variable", span, name.span, ())
        case syntax.Block(name, parameters):
            shown = ", ".join(p.name.text for p in parameters)
            return Symbol(name.text, f"({shown})" if shown else "", "block", span, name.span, children)
        case syntax.Call(label, op):
            visit = analysis.visit(statement.span, calls)
            shape = analysis.shape(visit.after) if visit is not None and visit.after is not None else ""
            arguments = _short(" ".join(a.span.text for a in statement.arguments))
            if op.text in OPS and not in_train:
                kind: SymbolKind = "layer"
            elif op.text in analysis.trace.blocks:
                kind = "call"
            elif op.text == "net":
                return Symbol(arguments or "net", "net", "net", span, op.span, ())
            elif statement.bodies:
                kind, shape = "section", shape if not inner_train else ""
            else:
                kind, shape = "statement", ""
                if not in_train and op.text not in ("from", "output", "include"):
                    return None
            title = f"{label.text}: {op.text}" if label is not None else op.text
            detail = " → ".join(part for part in (arguments, shape) if part)
            return Symbol(title, detail, kind, span, label.span if label is not None else op.span, children)
    return None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"


def folds(analysis: Analysis) -> list[Fold]:
    """The bodies and comments that take several lines."""
    position = analysis.source.position
    found = []
    for placed in analysis.placed:
        for body in bodies_of(placed.statement):
            first, last = position(body.span.start)[0], position(body.span.end)[0]
            if last > first + 1:
                found.append(Fold(first, last - 1, is_comment=False))
    lines = [
        c.span.line
        for c in analysis.file.comments
        if not analysis.source.line(c.span.line)[: c.span.column - 1].strip()
    ]
    run: list[int] = []
    for line in [*lines, -1]:
        if run and line != run[-1] + 1:
            if len(run) > 1:
                found.append(Fold(run[0], run[-1], is_comment=True))
            run = []
        run.append(line)
    return sorted(found)
