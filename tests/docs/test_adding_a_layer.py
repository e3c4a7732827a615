"""docs/adding-a-layer.md works as written: its edits are applied to a copy of the project, and its tests are run there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guide import apply, copy_project, edits, run
from tests.paths import DOCS

LAYER = "thresholded_relu"


@pytest.mark.long
def test_the_guide_works_as_written(tmp_path: Path) -> None:
    page = DOCS / "adding-a-layer.md"
    declaration, *others = edits(page)
    tree = copy_project(tmp_path)

    apply([declaration], tree)
    halfway = run(tree, "-m", "pytest", "-q", "tests/test_architecture.py", "-k", "every_layer_is_in_every_table")
    assert halfway.returncode == 1, halfway.stdout
    holes = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith(f"{LAYER} has no ")]
    assert len(holes) == 6
    assert [hole for hole in holes if hole not in halfway.stdout] == [], halfway.stdout

    apply(others, tree)
    folders = ("tests/test_architecture.py", "tests/ops", "tests/reference", "tests/onnx", "tests/torch")
    done = run(
        tree,
        "-m",
        "pytest",
        "-q",
        *folders,
        "-k",
        f"{LAYER} or test_every_layer_has_a_row or rectifies or in_every_table",
    )
    assert done.returncode == 0, done.stdout
    assert run(tree, "-m", "cnnc", "ops", LAYER).stdout.startswith(LAYER)
