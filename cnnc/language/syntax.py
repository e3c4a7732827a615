"""The syntax tree: what was written, and where. Nothing here knows what any of it means."""

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
    """A name where a value stands: a word (`max`), a variable, a layer, `in`, `true`."""

    name: str
    span: Span


class Extent(NamedTuple):
    """`3x5`, `3xHxW`: one part an axis, a number or a name in capitals."""

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
    """A value of a call, by its place or by its key."""

    key: Name | None
    value: Expression
    span: Span


class Body(NamedTuple):
    statements: tuple[Statement, ...]
    span: Span


class Call(NamedTuple):
    """`label: op value ... key=value ... { ... } ...`; the span is that of the head, without the bodies."""

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
    """The bare words among the values of a body's calls."""
    waiting: list[Any] = [a.value for s in body.statements if isinstance(s, Call) for a in s.arguments]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Word):
            yield value.name
        elif isinstance(value, List):
            waiting += value.items
        elif isinstance(value, Negative):
            waiting.append(value.operand)
        elif isinstance(value, Binary):
            waiting += [value.left, value.right]
        elif isinstance(value, Apply):
            waiting += value.arguments
