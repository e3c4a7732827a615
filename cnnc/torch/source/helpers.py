"""The source of the helpers that a written network needs, read as text: PyTorch need not be installed.

In: names of functions and modules of functions.py and embedded.py. Out: their definitions and those that they use, in order.

    helper_source(["depth_to_space"])     # "def depth_to_space(x: Tensor, n: int) -> Tensor: ..."
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

_FILES = (Path(__file__).parents[1] / "functions.py", Path(__file__).with_name("embedded.py"))


@cache
def definitions() -> Mapping[str, str]:
    """The source of each helper by name, in order.

    With the types of PyTorch installed, checkers ask for tuples where functions.py, which they see without, has sequences.
    """
    found: dict[str, str] = {}
    for path in _FILES:
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            segment = ast.get_source_segment(text, node) or ""
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = segment.replace("  # type: ignore[misc]", "").replace(
                    "Sequence[int]", "tuple[int, ...]"
                )
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = segment
    return found


@cache
def _used_by(name: str) -> frozenset[str]:
    """The helpers that a helper uses itself."""
    tree = ast.parse(definitions()[name])
    return frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)) & definitions().keys() - {name}


def helper_source(names: Iterable[str]) -> str:
    """The definitions of these helpers and of all that they use; "" for none."""
    needed: set[str] = set()
    pending = set(names)
    while pending:
        needed |= pending
        pending = {used for name in pending for used in _used_by(name)} - needed
    parts = [text for name, text in definitions().items() if name in needed]
    return "\n\n\n".join(parts)
