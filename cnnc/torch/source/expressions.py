"""Numbers of a class as Python expressions of its arguments.

A block is written as one class, whatever its calls pass to it, so `w//2` of the source becomes `w // 2` of the class. An
expression is a string of Python; its value is known for every call, and a text is used only where it gives the right number
in each of them.

    evaluate("w // 2 + 1", {"w": 64})            # 33
    substitute("w // 2", {"w": "2 * n"})         # "2 * n // 2"
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from cnnc.language import syntax

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max}
_MOST = 2**63  # as in the language


class _NoNumber(Exception):
    """The expression has no value that Python and the language agree on."""


def evaluate(text: str, values: Mapping[str, Any]) -> Any:
    """The value of an expression for these values of its names; None if it has none."""
    try:
        return _value(ast.parse(text, mode="eval").body, values)
    except (_NoNumber, ArithmeticError, TypeError):
        return None


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Tuple(elts=items):
            return tuple(_value(item, values) for item in items)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            result = _OPERATORS[type(op)](_value(left, values), _value(right, values))
            if abs(result) < _MOST:
                return result
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_value(argument, values) for argument in arguments))
    raise _NoNumber


def names_in(text: str) -> list[str]:
    """The names of an expression, in order, each once."""
    tree = ast.parse(text, mode="eval")
    found = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id not in _FUNCTIONS]
    return list(dict.fromkeys(found))


def substitute(text: str, texts: Mapping[str, str]) -> str:
    """The expression with other expressions in the place of names."""

    class Substitution(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.parse(texts[node.id], mode="eval").body if node.id in texts else node

    return ast.unparse(Substitution().visit(ast.parse(text, mode="eval")))


def python_text(expression: syntax.Expression, names: Mapping[str, str]) -> str | None:
    """An expression of the source in Python, with the names of its variables replaced; None if it has no equivalent.

    Division is written as `//`: the language allows `/` where the result is whole.
    """
    match expression:
        case syntax.Number(value=value):
            return repr(value)
        case syntax.Word(name=name):
            return names.get(name)
        case syntax.Extent(parts=items) | syntax.List(items=items):
            parts = [_part_text(item, names) for item in items]
            known = [part for part in parts if part is not None]
            return f"({', '.join(known)},)" if len(known) == len(parts) else None
        case syntax.Negative(operand=operand):
            inner = python_text(operand, names)
            return None if inner is None else f"-({inner})"
        case syntax.Binary(operator=sign, left=left, right=right) if sign != "**":
            a, b = python_text(left, names), python_text(right, names)
            return None if a is None or b is None else f"({a}) {'//' if sign == '/' else sign} ({b})"
        case syntax.Apply(function=function, arguments=arguments) if function in _FUNCTIONS:
            texts = [python_text(argument, names) for argument in arguments]
            return None if None in texts else f"{function}({', '.join(map(str, texts))})"
    return None


def _part_text(item: Any, names: Mapping[str, str]) -> str | None:
    if isinstance(item, int):
        return str(item)
    return names.get(item) if isinstance(item, str) else python_text(item, names)


def tidy(text: str) -> str:
    """The same expression as Python's own printer writes it: without needless parentheses."""
    return ast.unparse(ast.parse(text, mode="eval"))
