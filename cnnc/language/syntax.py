"""The syntax tree: what the source says, and where. It assigns no meaning to names.

The parser builds a `File`; everything after it reads one. Every node has the span of the source that it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from cnnc.diagnostics import Source, Span


class Name(NamedTuple):
    text: str
    span: Span


class Number(NamedTuple):
    value: int | float
    span: Span


class Text(NamedTuple):
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
    items: tuple[Expression, ...]
    span: Span


class Negative(NamedTuple):
    operand: Expression
    span: Span


class Binary(NamedTuple):
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
    name: Name
    value: Expression
    span: Span


class BlockParameter(NamedTuple):
    name: Name
    default: Expression | None
    span: Span


class Block(NamedTuple):
    name: Name
    parameters: tuple[BlockParameter, ...]
    body: Body
    span: Span


Statement = Call | Let | Block


class File(NamedTuple):
    source: Source
    statements: tuple[Statement, ...]
    comments: tuple[Name, ...] = ()


def words_in(body: Body) -> Iterator[str]:
    """The bare words in the arguments of a body's calls."""
    pending: list[Any] = [a.value for s in body.statements if isinstance(s, Call) for a in s.arguments]
    while pending:
        value = pending.pop()
        if isinstance(value, Word):
            yield value.name
        elif isinstance(value, List):
            pending += value.items
        elif isinstance(value, Negative):
            pending.append(value.operand)
        elif isinstance(value, Binary):
            pending += [value.left, value.right]
        elif isinstance(value, Apply):
            pending += value.arguments
