"""Reads Python programs without executing them: calls with their arguments, in source order.

In: the text of a program or a part of one. Out: statements and expressions of the `ast` module, and the values of constants.
"""

from __future__ import annotations

import ast
import textwrap
import warnings
from collections.abc import Mapping
from typing import Any

from cnnc.language.foreign.layers import Untranslated


def parse(text: str) -> list[ast.stmt]:
    """The statements of a program; those of each line by itself if the whole cannot be parsed."""
    for attempt in (text, textwrap.dedent(text)):
        body = _parse(attempt)
        if body is not None:
            return body
    lines = (_parse(line.strip().rstrip(",")) for line in text.splitlines())
    return [statement for body in lines for statement in body or ()]


def _parse(text: str) -> list[ast.stmt] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the program, not about cnnc
            return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def name_of(call: ast.expr) -> str:
    """The last name of what is called: `Conv2d` for `torch.nn.Conv2d`; "" if it has none."""
    if isinstance(call, ast.Attribute):
        return call.attr
    return call.id if isinstance(call, ast.Name) else ""


def constants(statements: list[ast.stmt]) -> dict[str, Any]:
    """The values of the names that the program assigns at its top level, such as `num_classes = 10`."""
    values: dict[str, Any] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                values[statement.targets[0].id] = value_of(statement.value, values)
            except Untranslated:
                continue
    return values


def value_of(node: ast.expr, names: Mapping[str, Any] = {}) -> Any:
    """The value of an expression of constants, e.g. `(28, 28, 1)` or `16 * 5 * 5`. Raises Untranslated."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        return [value_of(item, names) for item in node.elts]
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = value_of(node.operand, names)
        if isinstance(operand, int | float):
            return -operand
    if isinstance(node, ast.BinOp):
        left, right = value_of(node.left, names), value_of(node.right, names)
        if isinstance(left, int) and isinstance(right, int) and max(abs(left), abs(right)) < 2**31:
            if isinstance(node.op, ast.Mult):
                return left * right
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.FloorDiv) and right:
                return left // right
    raise Untranslated(ast.dump(node)[:40])


def arguments(call: ast.Call, parameters: str, names: Mapping[str, Any] = {}) -> dict[str, Any]:
    """The arguments of a call by parameter; `parameters` are their names in order. Raises Untranslated."""
    given: dict[str, Any] = {}
    for parameter, node in zip(parameters.split(), call.args, strict=False):
        given[parameter] = _argument(node, names)
    for keyword in call.keywords:
        if keyword.arg is not None:
            given[keyword.arg] = _argument(keyword.value, names)
    return given


def _argument(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of an argument, or the last name of an expression without one: `relu` for `tf.nn.relu`."""
    try:
        return value_of(node, names)
    except Untranslated:
        name = name_of(node.func if isinstance(node, ast.Call) else node)
        if name in names or not name:
            raise
        return BareName(name)


class BareName(str):
    """A name without a known value."""
