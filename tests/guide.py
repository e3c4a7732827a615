"""Applies the worked example of a guide in docs/ to a copy of the project, so that a test can run it there.

In: a Markdown page. Out: its edits in the order of the page, and the result of commands in the edited copy.

A guide states each edit in a line of its own, followed by a blank line and a fenced block with the new lines:

    In `cnnc/recipe/optimizers.py`, append:
    In `cnnc/recipe/optimizers.py`, after the line `from __future__ import annotations`:
    In `cnnc/recipe/optimizers.py`, replace the line `lr: float = _LR`:
    Create `cnnc/recipe/another.py`:

The line between backticks is compared without its indentation and must occur exactly once in the file. The block is
taken as it stands, so its lines carry the indentation that they have in the file. Fenced blocks after any other text
(commands, output, networks) are no edits. Example of a test:

    steps = edits(DOCS / "adding-an-optimizer.md")
    tree = copy_project(tmp_path)
    apply(steps[:1], tree)
    assert run(tree, "-m", "pytest", "-q", "tests/training/test_train_tables.py").returncode == 1
    apply(steps[1:], tree)
    assert run(tree, "-m", "pytest", "-q", "tests/training/test_train_tables.py").returncode == 0
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.paths import ROOT

_EDIT = re.compile(
    r"^(?P<verb>In|Create) `(?P<file>[^`]+)`(?:, (?P<how>append|after the line|replace the line)(?: `(?P<line>[^`]+)`)?)?:\n"
    r"\n```[^\n]*\n(?P<block>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_PARTS = ("cnnc", "grammar", "tests", "docs", "models", "benchmarks", "pyproject.toml", "README.md", "CONTRIBUTING.md")
_LEFT_OUT = shutil.ignore_patterns("*.pyc.*", ".*_cache", "runs")  # other processes write NAME.pyc.NUMBER and rename it


class Edit(NamedTuple):
    """One edit: `how` is append, create, after or replace; `line` is the line that the last two look for."""

    file: str
    how: str
    line: str
    block: str


def edits(page: Path) -> list[Edit]:
    """The edits of a guide, in the order of the page."""
    verbs = {"append": "append", "after the line": "after", "replace the line": "replace", None: "create"}
    text = page.read_text(encoding="utf-8")
    return [Edit(m["file"], verbs[m["how"]], m["line"] or "", m["block"]) for m in _EDIT.finditer(text)]


def copy_project(folder: Path) -> Path:
    """Copies the package, its tests, docs and models into `folder`/project, and returns that path.

    Compiled modules are copied too: Python uses them for all sources that no edit changes.
    """
    tree = folder / "project"
    tree.mkdir()
    for name in _PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=_LEFT_OUT)
        else:
            shutil.copy2(ROOT / name, tree / name)
    return tree


def apply(steps: Iterable[Edit], tree: Path) -> None:
    """Makes the edits in the copy. Fails where a line is not found exactly once, or a file is (not) there."""
    for step in steps:
        path = tree / step.file
        assert path.exists() == (step.how != "create"), f"{step.how} {step.file}"
        if step.how == "create":
            path.write_text(step.block, encoding="utf-8")
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if step.how == "append":
            lines += ["\n\n", step.block]
        else:
            at = [number for number, line in enumerate(lines) if line.strip() == step.line.strip()]
            assert len(at) == 1, f"{step.file} has the line `{step.line}` {len(at)} times"
            lines[at[0] + (step.how == "after") : at[0] + 1] = [step.block]
        path.write_text("".join(lines), encoding="utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()  # an edit within the same second may leave the size and the time as they were


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in the copy, which imports the cnnc of the copy: `run(tree, "-m", "cnnc", "check", "a.cnn")`."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "NO_COLOR": "1", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
