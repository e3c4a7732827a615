"""docs/adding-an-optimizer.md works as it stands: its edits, applied to a copy of the project, add an optimizer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.guide import apply, copy_project, edits, run
from tests.paths import DOCS

PAGE = DOCS / "adding-an-optimizer.md"
TABLES, RULES = "tests/training/test_train_tables.py", "tests/training/test_optimizers.py"
NODES, ON_TORCH = "tests/onnx/train_step/test_statements.py", "tests/torch/test_optimizers.py"


def printed_holes() -> list[str]:
    """What the page says that the test of the tables prints."""
    block = re.search(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block is not None
    return block[1].splitlines()


@pytest.mark.long
def test_the_guide_adds_an_optimizer(tmp_path: Path) -> None:
    declaration, *rest = edits(PAGE)
    assert len(rest) == 8
    tree = copy_project(tmp_path)
    pytest = ("-m", "pytest", "-p", "no:cacheprovider")

    apply([declaration], tree)
    assert run(tree, "-m", "cnnc", "ops", "signum").stdout.startswith("optimizer signum [lr=0.001] [momentum=0.9]\n")
    failed = run(tree, *pytest, TABLES)
    assert failed.returncode == 1
    for hole in printed_holes():
        assert f" {hole}\n" in failed.stdout

    apply(rest, tree)
    passed = run(tree, *pytest, "-vv", TABLES, RULES, NODES, ON_TORCH)
    assert passed.returncode == 0, passed.stdout
    assert "test_an_optimizer_is_the_published_rule[conv1.weight-Signum(" in passed.stdout
    assert "test_an_optimizer_steps_as_in_numpy[Signum(" in passed.stdout
    settings = ("--set", "train.optimizer=signum", "--set", "train.epochs=1")
    trained = run(tree, "-m", "cnnc", "train", "models/digits.cnn", *settings, "--run", "run")
    accuracy = re.search(r"test accuracy ([\d.]+)%", trained.stdout)
    assert accuracy is not None, trained.stderr
    assert float(accuracy[1]) > 50
    documented = run(tree, "-m", "tests.report.test_docs")
    assert documented.returncode == 0, documented.stderr
    assert "| `optimizer signum` |" in (tree / "docs" / "language.md").read_text(encoding="utf-8")
