"""Arithmetic and variables: the value of an expression.

In: an expression of the syntax tree and the `Scope` that it is in. Out: an int, float, bool, str, `WordValue`, tuple (a list)
or `Extents` (a shape such as `3x5`); or a CnncError at the part that cannot be computed. It knows nothing of layers.

Example: with `let n = 4`, `2*n + 1` is 9; without it, E101 points at `n`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

from cnnc.core.arguments import Extents, WordValue
from cnnc.diagnostics import CnncError, Diagnostic, Edit, Span, nearest
from cnnc.language import syntax
from cnnc.language.column_names import quoted_column
from cnnc.language.edits import as_written, defined_above
from cnnc.language.uses import Uses, axis_spans

LIMIT = 2**63
RESERVED_VALUES = ("true", "false", "in", "c_in", "as")


class Scope:
    """Variables: names and their values, including those of the enclosing scopes. Records which names were read.

    With `uses`, `read_at` also records where.
    """

    __slots__ = ("parent", "read", "spans", "uses", "values")

    def __init__(self, parent: Scope | None = None) -> None:
        self.parent = parent
        self.uses: Uses | None = parent.uses if parent is not None else None
        self.values: dict[str, Any] = {}
        self.spans: dict[str, Span] = {}  # where a `let` or parameter defines the name
        self.read: set[str] = set()

    def define(self, name: str, value: Any, span: Span | None = None) -> None:
        """Sets a name in this scope; `span` is where the source defines it, None for a name that it does not."""
        self.values[name] = value
        if span is not None:
            self.spans[name] = span

    def holder(self, name: str) -> Scope | None:
        """The innermost scope that defines a name; None if no scope does."""
        scope: Scope | None = self
        while scope is not None and name not in scope.values:
            scope = scope.parent
        return scope

    def look_up(self, name: str) -> Any:
        """The value of a name. Raises KeyError."""
        scope = self.holder(name)
        if scope is None:
            raise KeyError(name)
        scope.read.add(name)
        return scope.values[name]

    def read_at(self, span: Span, name: str) -> Any:
        """The value of a name that is written at a span. Raises KeyError."""
        value = self.look_up(name)
        if self.uses is not None:
            scope = self.holder(name)
            self.uses.variable(span, scope.spans.get(name) if scope is not None else None, name)
        return value

    def names(self) -> list[str]:
        """All names that can be read here, the innermost first."""
        inherited = self.parent.names() if self.parent is not None else []
        return [*self.values, *inherited]


class Unknown:
    """The value of a `let` that could not be computed; reading it raises AlreadyReported."""


class AlreadyReported(Exception):
    """A value or layer depends on something whose error was reported; there is nothing more to say."""


def evaluate(expression: syntax.Expression, scope: Scope, words: Collection[str] = ()) -> Any:
    """The value of an argument.

    A bare word is one of `words`, or else a variable, or else a `WordValue` for the caller to judge. Raises CnncError E101 to
    E104, E109, and AlreadyReported.
    """
    if isinstance(expression, syntax.Word):
        if expression.name in words:
            return WordValue(expression.name)
        try:
            return _variable(expression, scope)
        except KeyError:
            return WordValue(expression.name)
    return _compute(expression, scope)


def _variable(word: syntax.Word, scope: Scope) -> Any:
    if word.name in ("true", "false"):
        return word.name == "true"
    if word.name == "c_in" and scope.holder("c_in") is None:
        message = "`c_in` is the number of channels that a layer reads, and nothing is read here"
        raise CnncError.of("E101", message, span=word.span, help="write a number")
    value = scope.read_at(word.span, word.name)
    if isinstance(value, Unknown):
        raise AlreadyReported
    return value


def _compute(expression: syntax.Expression, scope: Scope) -> Any:
    match expression:
        case syntax.Number(value):
            return value
        case syntax.Text(value):
            return value
        case syntax.Word(name, span):
            try:
                return _variable(expression, scope)
            except KeyError:
                raise _unknown(name, span, scope) from None
        case syntax.Extent(parts, span):
            return _extents(expression, parts, span, scope)
        case syntax.List(items):
            return _items(items, scope)
        case syntax.Negative(operand):
            return -_number(operand, scope)
        case syntax.Binary("//", syntax.Extent(_, extent), _, span):
            slashes = Span(span.source, extent.end, span.end)
            comment = Edit(slashes, slashes.text.replace("//", "#", 1), "a comment begins with `#`")
            raise CnncError.of("E102", "arithmetic needs numbers", span=extent, edits=(comment,))
        case syntax.Binary(operator, left, right, span):
            return _bounded(_OPERATIONS[operator](_number(left, scope), _number(right, scope), span), span)
        case syntax.Apply(function, arguments, span):
            return _apply(function, arguments, [_number(a, scope) for a in arguments], span)


def _items(items: Sequence[syntax.Expression], scope: Scope) -> tuple[Any, ...]:
    """The values of a list; numbers, of which there may be thousands, without a call for each."""
    values = []
    for item in items:
        operand = item.operand if type(item) is syntax.Negative else item
        if type(operand) is syntax.Number:
            values.append(operand.value if operand is item else -operand.value)
        else:
            values.append(evaluate(item, scope))
    return tuple(values)


def _extents(extent: syntax.Extent, parts: Sequence[int | str], span: Span, scope: Scope) -> Extents:
    if scope.uses is not None:
        for part, at in zip(parts, axis_spans(extent), strict=True):
            if isinstance(part, str) and scope.holder(part) is not None:
                scope.read_at(at, part)
    return Extents(_axis(part, span, scope) for part in parts)


def _axis(part: int | str, span: Span, scope: Scope) -> Any:
    if isinstance(part, int):
        return part
    try:
        value = scope.look_up(part)
    except KeyError:
        raise CnncError.of(
            "E109",
            f"unknown size `{part}`",
            span=span,
            help="name it in the shape of an input, where each name in capitals is a size",
        ) from None
    if isinstance(value, Unknown):
        raise AlreadyReported
    return value


def _number(expression: syntax.Expression, scope: Scope) -> Any:
    value = _compute(expression, scope)
    if isinstance(value, bool) or not isinstance(value, int | float):
        label, help = f"this is {describe(value)}", "replace it with a number"
        raise CnncError(Diagnostic("E102", "arithmetic needs numbers", expression.span, label, help=help))
    return value


def _unknown(name: str, span: Span, scope: Scope) -> CnncError:
    near = nearest(name, scope.names())
    text = span.source.text[: span.start].rstrip()
    if text.endswith("//"):
        slashes = Span(span.source, len(text) - 2, len(text))
        edit = Edit(slashes, "#", "a comment begins with `{}`; `//` is division")
    elif near:
        edit = Edit(span, near, "did you mean `{}`?")
    else:
        edit = defined_above(span, name)
    edits = () if edit.span.source.name.startswith("--") and not near else (edit,)
    edits = (*quoted_column(span), *edits)
    return CnncError.of("E101", f"unknown name `{name}`", span=span, help="define it with `let`", edits=edits)


def _divide(a: Any, b: Any, span: Span) -> Any:
    _nonzero(b, span)
    if isinstance(a, int) and isinstance(b, int) and a % b == 0:
        return a // b
    return a / b


def _floor_divide(a: Any, b: Any, span: Span) -> Any:
    _nonzero(b, span)
    return a // b


def _remainder(a: Any, b: Any, span: Span) -> Any:
    _nonzero(b, span)
    return a % b


def _nonzero(b: Any, span: Span) -> None:
    if b == 0:
        raise CnncError.of("E103", "division by zero", span=span)


def _power(a: Any, b: Any, span: Span) -> Any:
    if a == 0 and b < 0:
        raise CnncError.of("E103", "division by zero", span=span)
    if abs(a) > 1 and abs(b) * math.log2(abs(a)) > 1023:
        raise _too_large(span)
    value = a**b
    if isinstance(value, complex):
        raise CnncError.of("E102", "root of a negative number", span=span)
    return value


_OPERATIONS: dict[str, Callable[[Any, Any, Span], Any]] = {
    "+": lambda a, b, span: a + b,
    "-": lambda a, b, span: a - b,
    "*": lambda a, b, span: a * b,
    "/": _divide,
    "//": _floor_divide,
    "%": _remainder,
    "**": _power,
}


def _apply(function: str, arguments: Sequence[syntax.Expression], numbers: list[Any], span: Span) -> Any:
    if function in ("min", "max"):
        return min(numbers) if function == "min" else max(numbers)
    if len(numbers) != 1:
        parts = [f"({as_written(a)})" if isinstance(a, syntax.Binary) else as_written(a) for a in arguments]
        edit = Edit(span, f"{function}({' / '.join(parts)})", "to round a quotient, write `{}`")
        edits = (edit,) if len(numbers) == 2 else ()
        raise CnncError.of("E102", f"`{function}` takes one number, not {len(numbers)}", span=span, edits=edits)
    (number,) = numbers
    if function == "floor":
        return math.floor(number)
    return math.ceil(number) if function == "ceil" else round(number)


def _bounded(value: Any, span: Span) -> Any:
    if not abs(value) <= LIMIT:  # too large, infinite, or not a number; an int may be too large for a float
        raise _too_large(span)
    return value


def _too_large(span: Span) -> CnncError:
    return CnncError.of("E104", "the result is too large", span=span, help="the largest number is 2**63")


def describe(value: Any) -> str:
    """What a value is, for an error message: "the word `max`"."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value:g}" if isinstance(value, float) or abs(value) > LIMIT else str(value)
        case WordValue():
            return f"the word `{value}`"
        case str():
            return "a string"
        case Extents():
            return f"the extent {'x'.join(map(str, value))}"
        case tuple():
            return f"a list of {len(value)} item{'s' if len(value) != 1 else ''}"
    return "no value"
