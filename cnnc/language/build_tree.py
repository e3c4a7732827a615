"""Builds the syntax tree, one node per rule of the grammar.

In: the tokens and nodes of a rule's parts. Out: a node; or a CnncError for a number or string that is well formed but has
no value (`1e999`, a bad escape). It gives names no meaning.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, cast

from cnnc.diagnostics import CnncError, Edit, Span
from cnnc.language import syntax
from cnnc.language.brackets import Token

MAX_DIGITS = 40

_make = tuple.__new__  # a named tuple's own __new__ takes twice as long
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class TreeBuilder:
    """Has one method per rule of the grammar, or per named alternative of a rule.

    Lark calls it with the results of the rule's parts: tokens, nodes, and None for an optional part that is absent.
    """

    def file(self, parts: list[Any]) -> tuple[syntax.Statement, ...]:
        return tuple(parts)

    values = file

    def let(self, parts: list[Any]) -> syntax.Let:
        keyword, name, value = parts
        return syntax.Let(_name(name), value, keyword.span.to(value.span))

    def block(self, parts: list[Any]) -> syntax.Block:
        keyword, name, *parameters, body = parts
        given = tuple(p for p in parameters if p is not None)
        return syntax.Block(_name(name), given, body, keyword.span.to(name.span))

    def parameter(self, parts: list[Any]) -> syntax.BlockParameter:
        name, default = parts
        span = name.span if default is None else name.span.to(default.span)
        return syntax.BlockParameter(_name(name), default, span)

    def call(self, parts: list[Any]) -> syntax.Call:
        label, op, *rest = parts
        count = len(rest)
        while count and type(rest[count - 1]) is syntax.Body:
            count -= 1
        (source, start, _), (_, _, end) = (label or op).span, (rest[count - 1] if count else op).span
        span = _make(Span, (source, start, end))
        named = _name(label) if label else None
        return _make(syntax.Call, (named, _name(op), tuple(rest[:count]), tuple(rest[count:]), span))

    def body(self, parts: list[Any]) -> syntax.Body:
        return syntax.Body(tuple(parts[1:-1]), parts[0].span.to(parts[-1].span))

    def argument(self, parts: list[Any]) -> syntax.Argument:
        key, value = parts
        if key is None:
            return _make(syntax.Argument, (None, value, value.span))
        source, start, _ = key.span
        return _make(syntax.Argument, (_name(key), value, _make(Span, (source, start, value.span.end))))

    def number(self, parts: list[Any]) -> syntax.Number:
        token = parts[0]
        text = token.text
        value = int(text) if len(text) <= MAX_DIGITS and text.isdecimal() else _number(text, token.span)
        return _make(syntax.Number, (value, token.span))

    def text(self, parts: list[Any]) -> syntax.Text:
        token = parts[0]
        return syntax.Text(_string(token.text, token.span), token.span)

    def extent(self, parts: list[Any]) -> syntax.Extent:
        token = parts[0]
        axes = token.text.split("x")
        if any(len(axis) > MAX_DIGITS for axis in axes):
            raise CnncError.of("E004", f"a size of more than {MAX_DIGITS} characters", span=token.span)
        return syntax.Extent(tuple(int(axis) if axis.isdecimal() else axis for axis in axes), token.span)

    def word(self, parts: list[Any]) -> syntax.Word:
        token = parts[0]
        return _make(syntax.Word, (token.text, token.span))

    def items(self, parts: list[Any]) -> syntax.List:
        opening, *items, closing = parts
        return syntax.List(tuple(i for i in items if i is not None), opening.span.to(closing.span))

    def group(self, parts: list[Any]) -> syntax.Expression:
        return cast(syntax.Expression, parts[1])

    def apply(self, parts: list[Any]) -> syntax.Apply:
        function, *arguments, closing = parts
        return syntax.Apply(function.text[:-1], tuple(arguments), function.span.to(closing.span))

    def negative(self, parts: list[Any]) -> syntax.Negative:
        sign, operand = parts
        return syntax.Negative(operand, sign.span.to(operand.span))

    def sum(self, parts: list[Any]) -> syntax.Binary:
        left, operator, right = parts
        return syntax.Binary(operator.text, left, right, left.span.to(right.span))

    product = power = sum

    def malformed(self, parts: list[Any]) -> syntax.Malformed:
        text, span = parts[0].text, parts[0].span
        op, name = _OP.match(text), _DEFINED.match(text)
        defined = next((n for n in name.groups() if n), "") if name else ""
        return syntax.Malformed(op[1] if op else "", defined, span)


# The first word after a label, and the name that a statement defines, also in notation of other languages (`x = conv 3`).
_OP = re.compile(r"(?:\w+\s*:\s*)?([A-Za-z_]\w*)")
_DEFINED = re.compile(r"(?:let|block)\s+([A-Za-z_]\w*)|([A-Za-z_]\w*)\s*[:=]")


def _name(token: Token) -> syntax.Name:
    return _make(syntax.Name, (token.text, token.span))


def _number(text: str, span: Span) -> int | float:
    """The value of a number: an int for `1e2` and `64k`, a float if it has a decimal point. Raises CnncError E004."""
    digits = text.rstrip("kKMGiB")
    if len(digits) > MAX_DIGITS:
        raise CnncError.of(
            "E004", f"a number of {len(digits):,} characters; at most {MAX_DIGITS} are allowed", span=span
        )
    unit = _UNITS[text[len(digits) :]]
    if digits.isdecimal():
        return int(digits) * unit
    value = float(digits) * unit
    if not math.isfinite(value):
        raise CnncError.of("E004", f"`{text}` is too large", span=span)
    return int(value) if "." not in digits and value.is_integer() else value


def _string(text: str, span: Span) -> str:
    """The value of a string literal, whose escapes are those of JSON. Raises CnncError E003."""
    try:
        value = cast(str, json.loads(text))
        value.encode()
    except json.JSONDecodeError as error:
        if error.msg.startswith("Invalid \\escape"):
            message = f"bad escape in a string: `{text[error.pos : error.pos + 2]}`"
            at = span.source.span(span.start + error.pos, span.start + error.pos + 1)
            edits = (Edit(at, "\\\\", "write `{}` for a backslash"),)
            raise CnncError.of("E003", message, span=span, edits=edits) from error
        reason = "`\\u` needs four hexadecimal digits" if "XXXX" in error.msg else error.msg.lower()
        raise CnncError.of("E003", f"bad escape in a string: {reason}", span=span) from error
    except UnicodeEncodeError as error:
        raise CnncError.of("E003", "bad escape in a string: an unpaired surrogate", span=span) from error
    if "\0" in value:
        raise CnncError.of("E003", "bad escape in a string: null characters are not allowed", span=span)
    return value
