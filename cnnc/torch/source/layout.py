"""How long lines of generated source are broken, as formatters do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

INDENT = "    "
WIDTH = 88


def call_lines(indent: str, head: str, arguments: Sequence[str], tail: str, comment: str = "") -> Iterator[str]:
    """`head` + arguments + `tail` on one line if they fit; else the arguments on a line of their own, or one per line.

    The comment stands at the end of the line, or above it if the line would be too long.
    """
    line = f"{indent}{head}{', '.join(arguments)}{tail}"
    if comment and len(line) + len(comment) + 4 <= WIDTH:
        yield f"{line}  # {comment}"
        return
    if comment:
        yield f"{indent}# {comment}"
    if len(line) <= WIDTH or not arguments:
        yield line
        return
    yield f"{indent}{head}"
    together = f"{indent}{INDENT}{', '.join(arguments)}"
    if len(together) <= WIDTH:
        yield together
    else:
        for argument in arguments:
            yield from _argument_lines(f"{indent}{INDENT}", argument)
    yield f"{indent}{tail}"


def _argument_lines(indent: str, argument: str) -> Iterator[str]:
    """One argument; a long list with one item per line."""
    line = f"{indent}{argument},"
    if len(line) <= WIDTH or not argument.startswith("["):
        yield line
        return
    yield f"{indent}["
    yield from (f"{indent}{INDENT}{part}," for part in _parts(argument[1:-1]))
    yield f"{indent}],"


def expression_lines(indent: str, head: str, expression: str, comment: str = "") -> Iterator[str]:
    """`head` and an expression; a long call is broken after its parenthesis, another long expression is put into one."""
    if len(indent) + len(head) + len(expression) <= WIDTH:
        yield from call_lines(indent, f"{head}{expression}", [], "", comment)
        return
    start = expression.find("(")
    if start >= 0 and _closing(expression, start) == len(expression) - 1:
        yield from call_lines(
            indent, f"{head}{expression[: start + 1]}", _parts(expression[start + 1 : -1]), ")", comment
        )
    else:
        yield from call_lines(indent, f"{head}(", [expression], ")", comment)


def _closing(text: str, start: int) -> int:
    """The position of the parenthesis that closes the one at `start`."""
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] in "([{") - (text[position] in ")]}")
        if not depth:
            return position
    return -1


def _parts(text: str) -> list[str]:
    """Arguments separated by commas outside brackets."""
    parts, depth, begin = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            parts.append(text[begin:position].strip())
            begin = position + 1
    return [*parts, text[begin:].strip()]
