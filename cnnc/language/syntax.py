"""The syntax tree: what the source says, and where. It assigns no meaning to names.

The parser builds a `File`; everything after it reads one. Every node has the span of the source that it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from cnnc.diagnostics import Source, Span


class Name(NamedTuple):
    """A word where the grammar wants a name: of an op, a key, a label; also the text of a comment."""

    text: str
    span: Span


class Number(NamedTuple):
    """`3`, `0.5`, `64k`."""

    value: int | float
    span: Span


class Text(NamedTuple):
    """A string, without its quotes."""

    value: str
    span: Span


class Word(NamedTuple):
    """A name used as a value: a word (`max`), a variable, a layer, `in` or `true`."""

    name: str
    span: Span


class Extent(NamedTuple):
    """`3x5`, `3xHxW`: one part per axis, each a number or a name in capitals."""

    parts: tuple[int | str, ...]
    span: Span


class List(NamedTuple):
    """`[0, 1]`."""

    items: tuple[Expression, ...]
    span: Span


class Negative(NamedTuple):
    """`-n`."""

    operand: Expression
    span: Span


class Binary(NamedTuple):
    """`n + 1`; `operator` is one of + - * / // % **."""

    operator: str
    left: Expression
    right: Expression
    span: Span


class Apply(NamedTuple):
    """A function of arithmetic: min, max, floor, ceil, round."""

    function: str
    arguments: tuple[Expression, ...]
    span: Span


Expression = Number | Text | Word | Extent | List | Negative | Binary | Apply


class Argument(NamedTuple):
    """An argument of a call: `key=value`, or positional if `key` is None."""

    key: Name | None
    value: Expression
    span: Span


class Body(NamedTuple):
    """The statements between braces."""

    statements: tuple[Statement, ...]
    span: Span


class Call(NamedTuple):
    """`label: op value ... key=value ... { ... } ...`; the span covers the head, not the bodies."""

    label: Name | None
    op: Name
    arguments: tuple[Argument, ...]
    bodies: tuple[Body, ...]
    span: Span


class Let(NamedTuple):
    """`let name = value`."""

    name: Name
    value: Expression
    span: Span


class BlockParameter(NamedTuple):
    """`w` or `w=16`."""

    name: Name
    default: Expression | None
    span: Span


class Block(NamedTuple):
    """`block name(parameters) { ... }`; the span covers `block name`."""

    name: Name
    parameters: tuple[BlockParameter, ...]
    body: Body
    span: Span


class Malformed(NamedTuple):
    """A statement with a syntax error: its first word, and the name that it defines; "" for either if there is none."""

    op: str
    name: str
    span: Span


Statement = Call | Let | Block | Malformed


class File(NamedTuple):
    """A whole source; each statement with a syntax error is a `Malformed`."""

    source: Source
    statements: tuple[Statement, ...]
    comments: tuple[Name, ...] = ()


def words_in(body: Body) -> Iterator[str]:
    """The bare words in the arguments of a body's calls."""
    return words_of(*(a.value for s in body.statements if isinstance(s, Call) for a in s.arguments))


def words_of(*expressions: Expression) -> Iterator[str]:
    """The bare words in expressions, and the names of sizes in extents."""
    pending: list[Any] = list(expressions)
    while pending:
        value = pending.pop()
        if isinstance(value, Word):
            yield value.name
        elif isinstance(value, Extent):
            yield from (part for part in value.parts if isinstance(part, str))
        elif isinstance(value, List):
            pending += value.items
        elif isinstance(value, Negative):
            pending.append(value.operand)
        elif isinstance(value, Binary):
            pending += [value.left, value.right]
        elif isinstance(value, Apply):
            pending += value.arguments
