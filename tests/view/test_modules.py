"""A newcomer finds each module of cnnc/view in the docstring of its package."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.paths import PACKAGE
from tests.syntax_trees import tree_of

PACKAGES = [path.parent for path in sorted((PACKAGE / "view").rglob("__init__.py"))]


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_the_docstring_of_a_package_lists_its_modules(folder: Path) -> None:
    text = ast.get_docstring(tree_of(folder / "__init__.py")) or ""
    there = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    there |= {f"{path.name}/" for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"}
    listed = set(re.findall(r"\w+\.py|\w+/(?!\w)", text))
    assert sorted(there - listed) == [], "add these to the docstring"
    assert sorted(listed - there) == [], "the docstring lists what is not there"
