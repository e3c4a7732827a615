"""The meaning of each word, for colours: layer, statement, block, label, variable, word, number, string, comment.

In: an analysis. Out: `ColouredWord`s in source order. What a bare word means, a word of its argument, a variable or a layer, is
what lowering found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cnnc.diagnostics import Span
from cnnc.editor.analysis import Analysis
from cnnc.language import syntax
from cnnc.language.expressions import RESERVED_VALUES
from cnnc.language.resolve import LANGUAGE_STATEMENTS
from cnnc.language.uses import axis_spans

TYPES = (
    "keyword",
    "class",
    "function",
    "variable",
    "parameter",
    "property",
    "enumMember",
    "number",
    "string",
    "comment",
)
MODIFIERS = ("declaration", "readonly")


class ColouredWord(NamedTuple):
    """A range on one line, an item of TYPES, and items of MODIFIERS."""

    span: Span
    type: str
    modifiers: tuple[str, ...] = ()


def colours(analysis: Analysis) -> list[ColouredWord]:
    """The colours of the file; statements that could not be parsed have none."""
    found = [ColouredWord(comment.span, "comment") for comment in analysis.file.comments]
    for statement, parents in analysis.placed:
        in_train = any(isinstance(p, syntax.Call) and p.op.text == "train" for p in parents)
        found += _statement(analysis, statement, in_train)
    unique = {colour.span.start: colour for colour in found}
    return [unique[start] for start in sorted(unique)]


def _statement(analysis: Analysis, statement: syntax.Statement, in_train: bool) -> Iterator[ColouredWord]:
    match statement:
        case syntax.Let(name, value, span):
            yield ColouredWord(Span(span.source, span.start, span.start + 3), "keyword")
            yield ColouredWord(name.span, "variable", ("declaration", "readonly"))
            yield from _value(analysis, value)
        case syntax.Block(name, parameters, _, span):
            yield ColouredWord(Span(span.source, span.start, span.start + 5), "keyword")
            yield ColouredWord(name.span, "function", ("declaration",))
            for parameter in parameters:
                yield ColouredWord(parameter.name.span, "parameter", ("declaration",))
                if parameter.default is not None:
                    yield from _value(analysis, parameter.default)
        case syntax.Call(label, op, arguments):
            if label is not None:
                yield ColouredWord(label.span, "variable", ("declaration",))
            yield ColouredWord(op.span, _op_type(analysis, op.text, in_train))
            for argument in arguments:
                if argument.key is not None:
                    yield ColouredWord(argument.key.span, "property")
                yield from _value(analysis, argument.value)


def _op_type(analysis: Analysis, word: str, in_train: bool) -> str:
    if in_train or word in LANGUAGE_STATEMENTS:
        return "keyword"
    return "function" if word in analysis.trace.blocks else "class"


_USES = {"layer": "variable", "variable": "parameter", "block": "function", "size": "parameter"}


def _value(analysis: Analysis, value: syntax.Expression) -> Iterator[ColouredWord]:
    pending = [value]
    while pending:
        value = pending.pop()
        match value:
            case syntax.Number(_, span):
                yield ColouredWord(span, "number")
            case syntax.Text(_, span):
                yield ColouredWord(span, "string")
            case syntax.Word(name, span):
                yield _word(analysis, name, span)
            case syntax.Extent(parts, span):
                if all(isinstance(part, int) for part in parts):
                    yield ColouredWord(span, "number")
                else:
                    for part, at in zip(parts, axis_spans(value), strict=True):
                        yield ColouredWord(at, "number" if isinstance(part, int) else "parameter")
            case syntax.List(items):
                pending += items
            case syntax.Negative(operand):
                pending.append(operand)
            case syntax.Binary(_, left, right):
                pending += [left, right]
            case syntax.Apply(_, arguments):
                pending += arguments


def _word(analysis: Analysis, name: str, span: Span) -> ColouredWord:
    if name in RESERVED_VALUES:
        return ColouredWord(span, "keyword")
    first = Span(span.source, span.start, span.start + len(name.partition(".")[0]))
    use = analysis.trace.uses.get(span) or analysis.trace.uses.get(first)
    if use is None:
        return ColouredWord(span, "enumMember")
    return ColouredWord(span, _USES[use.kind])
