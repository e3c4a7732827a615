"""The test suite itself: what `-m quick` covers, and what a failing comparison prints."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from tests.package_edges import ALLOWED, TOP
from tests.paths import PACKAGE, ROOT
from tests.syntax_trees import tree_of
from tests.test_architecture import all_imports, imports_of, modules, package_of

LEFT_OUT = {"pytest.mark.long", "pytest.mark.slow"}


def marks(decorators: list[ast.expr]) -> set[str]:
    return {ast.unparse(d) for d in decorators} & LEFT_OUT


def has_quick_tests(path: Path) -> bool:
    """Whether a file of tests has one that `-m quick` runs."""
    body = tree_of(path).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark" and marks([node.value]):
            return False
    return any(
        isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not marks(node.decorator_list)
        for node in body
    )


@cache
def targets(path: Path) -> frozenset[str]:
    """What a file imports."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    read = (i for i in all_imports() if i.module == name) if name in modules() else imports_of(name, path)
    return frozenset(i.target for i in read)


def imported(start: Iterable[Path]) -> set[str]:
    """The modules of cnnc that files of tests import, themselves or by a helper in tests/.

    And those of the same package that these import in turn: `cnnc.onnx.importer.importer` leads to all folders of
    `cnnc.onnx.importer`, but to no other package.
    """
    files, found = dict.fromkeys(start, ""), set()
    while files:
        path, package = files.popitem()
        for target in targets(path):
            if target in modules() and target not in found and package in ("", package_of(target)):
                found.add(target)
                files[modules()[target]] = package_of(target)
            elif target.startswith("tests.") and not package and target not in found:
                found.add(target)
                helper = ROOT / f"{target.replace('.', '/')}.py"
                if helper.is_file():
                    files[helper] = ""
    return found


def packages() -> set[str]:
    """Every package that the list of edges names, and every folder of modules: `cnnc.reference.kernels`."""
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("*.py")}
    return folders | {f"cnnc.{name}" for name in (*ALLOWED, *TOP) if not name.startswith("__")}


@pytest.mark.long
def test_quick_tests_cover_every_package() -> None:
    quick = [path for path in (ROOT / "tests").rglob("test_*.py") if has_quick_tests(path)]
    covered = {name for module in imported(quick) for name in (module, module.rpartition(".")[0])}
    missing = sorted(packages() - covered)
    assert missing == [], "no quick test imports these: see the marker `long` in CONTRIBUTING.md"


def test_marks_are_read() -> None:
    """Else the test above would count every file."""
    here = ROOT / "tests"
    assert not has_quick_tests(here / "test_scripts.py")
    assert has_quick_tests(here / "test_architecture.py")


def test_a_failing_comparison_prints_every_item() -> None:
    """`verbosity_assertions` in pyproject.toml; pytest alone prints the first lines and asks for -v."""
    items = [f"item {number} of a long list" for number in range(100)]
    with pytest.raises(AssertionError) as caught:
        assert items == []
    assert [item for item in items if item not in str(caught.value)] == []
