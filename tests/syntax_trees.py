"""The syntax trees of Python files, each parsed once in a run of the tests, and what they register."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes_in(folder: Path, words: str) -> Iterator[tuple[Path, ast.AST]]:
    """All nodes of the files below a folder in which a pattern occurs: parsing the others takes seconds."""
    for path in sorted(folder.rglob("*.py")):
        if re.search(words, path.read_text(encoding="utf-8")):
            for node in ast.walk(tree_of(path)):
                yield path, node


def registered_names(path: Path, decorator: str) -> set[str]:
    """The names of the classes that a decorator in this file registers: `@forward_of(Conv)`, or `@forward_of(*TABLE)` with
    the keys of a dict. For files that import a package which may not be installed.
    """
    names: set[str] = set()
    for node in tree_of(path).body:
        for call in getattr(node, "decorator_list", ()):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == decorator:
                for argument in call.args:
                    names |= _keys_of(path, argument.value) if isinstance(argument, ast.Starred) else _name(argument)
    return names


def _name(node: ast.expr | None) -> set[str]:
    return {node.id} if isinstance(node, ast.Name) else set()


def _keys_of(path: Path, table: ast.expr) -> set[str]:
    """The keys of the dict that is assigned to this name."""
    keys: set[str] = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.AnnAssign) and _name(node.target) == _name(table) and isinstance(node.value, ast.Dict):
            keys.update(*map(_name, node.value.keys))
    return keys
