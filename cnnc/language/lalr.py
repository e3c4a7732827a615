"""Runs the tables that lark makes of the grammar.

In: lark's tables, and one token after the other. Out: the value of the start symbol, or `Unexpected`. Lark's own loop takes
twice as long: it looks up each rule by its hash, and calls a function for each rule that only renames its one part.

Example: in `conv 4`, the token `4` is shifted; the end reduces it to a number, an argument and, with `conv`, a call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

from lark import Lark
from lark.parse_tree_builder import ExpandSingleChild

from cnnc.language.brackets import Token


class _Reduction(NamedTuple):
    """Replaces the last `size` values by one; `build` makes it of them, None for the one value itself."""

    size: int
    build: Callable[[list[Any]], Any] | None
    symbol: str


class _Tables(NamedTuple):
    """For each state what a symbol leads to: another state, or a reduction before it. The first state, and the last one."""

    actions: dict[int, dict[str, int | _Reduction]]
    start: int
    end: int


@cache
def _tables(lark: Lark, start: str) -> _Tables:
    """The tables for one of the start symbols of a grammar."""
    conf = cast(Any, lark.parse_interactive("", start=start)).parser_state.parse_conf
    actions: dict[int, dict[str, int | _Reduction]] = {}
    for state, found in conf.states.items():
        actions[state] = {}
        for symbol, (_, argument) in found.items():
            if not isinstance(argument, int):
                build, size = conf.callbacks[argument], len(argument.expansion)
                renames = isinstance(build, ExpandSingleChild) and size == 1
                argument = _Reduction(size, None if renames else build, argument.origin.name)
            actions[state][symbol] = argument
    return _Tables(actions, conf.start_state, conf.end_state)


class Unexpected(Exception):
    """A token that the grammar does not accept here, and the terminals that it would accept."""

    def __init__(self, token: Token, expected: set[str]) -> None:
        super().__init__(token.type)
        self.token = token
        self.expected = expected


class Stacks:
    """The states and values of a parser that has taken some tokens."""

    def __init__(self, lark: Lark, start: str) -> None:
        self.tables = _tables(lark, start)
        self.states = [self.tables.start]
        self.values: list[Any] = []

    def feed(self, token: Token) -> None:
        """Takes a token; after $END, the last value is that of the start symbol.

        Raises Unexpected if the grammar does not accept it, and what building the tree raises.
        """
        actions, states, values = self.tables.actions, self.states, self.values
        kind = token.type
        while True:
            action = actions[states[-1]].get(kind)
            if type(action) is int:
                states.append(action)
                values.append(token)
                return
            if action is None:
                raise Unexpected(token, {symbol for symbol in actions[states[-1]] if symbol.isupper()})
            size, build, symbol = cast(_Reduction, action)
            if build is None:
                del states[-1]
            elif size:
                values[-size:] = (build(values[-size:]),)
                del states[-size:]
            else:
                values.append(build([]))
            states.append(cast(int, actions[states[-1]][symbol]))
            if kind == "$END" and states[-1] == self.tables.end:
                return
