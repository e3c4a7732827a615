"""Random programs, in any layout that the grammar allows, and syntax trees without spans to compare.

A `Random` makes all choices, so that a seed reproduces a program and hypothesis can shrink one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from cnnc.diagnostics import Source
from cnnc.language.parse import parse
from tests import paths

MODELS = sorted(paths.MODELS.glob("*.cnn"))

OPS = ("conv", "relu", "pool", "fc", "net", "expect", "from", "output", "repeat", "train", "stage", "bn", "add", "in")
NAMES = ("n", "w", "width", "H", "max", "same", "in", "c_in", "true", "as", "s.*", "s.0", "stage3.skip", "min", "floor")
NUMBERS = ("0", "1", "64", "3.5", ".5", "1.", "1e2", "2E-3", "64k", "256KiB", "1.5M", "007", "1e+3")
EXTENTS = ("3x5", "1x28x28", "3xHxW", "HxW_2x3", "2x2x2x2")
STRINGS = ('""', '"a b"', '"# ; { } ( ["', '"\\"\\\\\\n\\u00e9"', '"é 漢 ✓"', '"it\'s"')
COMMENTS = ("#", "# a comment", "#:tight", "# { ( [ ; \" 'é", "#   spaces   ", "#\ttab\t")
FUNCTIONS = ("min(", "max(", "floor(", "ceil(", "round(")


class Program:
    """Writes one program. Inside brackets, spaces, newlines and comments may be between any tokens; outside, spaces matter."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def one(self, of: Sequence[Any]) -> Any:
        return of[self.random.randrange(len(of))]

    def some(self, most: int, make: Callable[[], str]) -> list[str]:
        return [make() for _ in range(self.random.randrange(most + 1))]

    def rarely(self) -> bool:
        return self.random.randrange(6) == 0

    # --- values

    def gap(self, nested: bool) -> str:
        """Between tokens where a space means nothing."""
        if not nested:
            return str(self.one(("", "", " ", "  ")))
        if self.rarely():
            return str(self.one(("\n", "\r\n", "\n\n  ", f" {self.one(COMMENTS)}\n\t", f"\n  {self.one(COMMENTS)}\n")))
        return str(self.one(("", "", " ", "\t ")))

    def value(self, depth: int, nested: bool) -> str:
        kind = self.random.randrange(12 if depth > 0 else 5)
        if kind < 5:
            return str(self.one(self.one((NUMBERS, NUMBERS, NAMES, NAMES, EXTENTS, STRINGS))))
        if kind < 7:
            return self.brackets(self.one(("(", "(", self.one(FUNCTIONS))), depth)
        if kind < 8:
            return self.brackets("[", depth)
        if kind < 9:
            return "-" + self.value(depth - 1, nested)
        operator = self.one(("+", "-", "*", "/", "//", "%", "**"))
        if operator == "-" and not nested:
            gap = self.one(("", " "))
            between = f"{gap}-{gap}"
        else:
            between = self.gap(nested) + operator + self.gap(nested)
        return self.value(depth - 1, nested) + between + self.value(depth - 1, nested)

    def brackets(self, opening: str, depth: int) -> str:
        items = self.some(3, lambda: self.value(depth - 1, True))
        if opening != "[":
            items = items or [self.value(depth - 1, True)]
        if opening == "(":
            items = items[:1]
        comma = f"{self.gap(True)},{self.gap(True)}"
        inside = comma.join(items) + (comma if opening == "[" and items and self.rarely() else "")
        return f"{opening}{self.gap(True)}{inside}{self.gap(True)}{']' if opening == '[' else ')'}"

    # --- statements

    def argument(self) -> str:
        key = (
            f"{self.one(('k', 'stride', 'bias'))}{self.one(('=', ' = ', '= '))}"
            if self.random.randrange(3) == 0
            else ""
        )
        return key + self.value(2, False)

    def call(self, depth: int) -> str:
        label = f"{self.one(('e1', 'x', 'skip'))}{self.one((': ', ' : ', ':'))}" if self.rarely() else ""
        words = [label + self.one(OPS), *self.some(3, self.argument)]
        bodies = self.some(2, lambda: self.body(depth - 1)) if depth > 0 and self.rarely() else []
        text = str(self.one((" ", "  "))).join(words)
        for number, body in enumerate(bodies):
            joints = ("", " ", "\n", " \r\n\n ", f" {self.one(COMMENTS)}\n", f"\n{self.one(COMMENTS)}\n\n")
            text += (self.one(joints) if number else " ") + body
        return text

    def let(self) -> str:
        return f"let  {self.one(('n', 'width'))}{self.gap(False)}={self.gap(False)}{self.value(3, False)}"

    def block(self, depth: int) -> str:
        parameters = [
            self.one(("w", "n", "b"))
            + (f"{self.gap(True)}={self.gap(True)}{self.value(2, True)}" if self.rarely() else "")
            for _ in range(self.random.randrange(4))
        ]
        inside = f"{self.gap(True)},{self.gap(True)}".join(parameters)
        name = self.one(("basic", "max", "down"))
        space = " " if name == "max" else self.gap(False)  # `max(` is a function
        given = f"{space}({self.gap(True)}{inside}{self.gap(True)})" if self.random.randrange(3) else ""
        return f"block {name}{given} {self.body(depth - 1)}"

    def body(self, depth: int) -> str:
        return "{" + self.gap(False) + self.statements(depth) + self.gap(False) + "}"

    def statement(self, depth: int) -> str:
        kind = self.random.randrange(8)
        if kind == 0:
            return self.let()
        return self.block(depth) if kind == 1 and depth > 0 else self.call(depth)

    def end(self) -> str:
        """Between statements."""
        comment = self.one(COMMENTS)
        ends = ("\n", "\n", "; ", ";", "\r\n", "\n\n\n", " ;; ", f" {comment}\n", f"\n  {comment}\n", f";{comment}\n\n")
        return str(self.one(ends))

    def statements(self, depth: int) -> str:
        text = self.end() if self.rarely() else ""
        for made in self.some(4, lambda: self.statement(depth)):
            text += made + self.end()
        return text

    def text(self) -> str:
        return ("\ufeff" if self.rarely() else "") + "".join(self.some(3, lambda: self.statements(2)))


def program(random: Random) -> str:
    return Program(random).text()


def bare(node: Any) -> Any:
    """A tree without spans, sources and comments, to compare."""
    if isinstance(node, tuple):
        fields = getattr(node, "_fields", None)
        if fields is None:
            return [bare(child) for child in node]
        return (
            type(node).__name__,
            *(bare(getattr(node, f)) for f in fields if f not in ("span", "source", "comments")),
        )
    return node


def tree(text: str) -> Any:
    """The bare tree of a source without syntax errors."""
    file, diagnostics = parse(Source("<test>", text))
    assert diagnostics == [], [f"{d.code} {d.message}" for d in diagnostics]
    return bare(file)


def comments(text: str) -> list[str]:
    return [c.text.rstrip() for c in parse(Source("<test>", text))[0].comments]
