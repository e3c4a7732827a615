"""docs/adding-an-onnx-operator.md works as written: its edits are applied to a copy of the project and tested there."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.guide import apply, copy_project, edits, run
from tests.paths import DOCS

PAGE = DOCS / "adding-an-onnx-operator.md"
LAYER = "soft_shrink"


def pytest_in(tree: Path, selection: str, *files: str) -> CompletedProcess[str]:
    return run(tree, "-m", "pytest", "-q", "-rfp", "-p", "no:cacheprovider", *files, "-k", selection)


@pytest.mark.long
def test_the_guide_works_as_written(tmp_path: Path) -> None:
    steps = edits(PAGE)
    export = next(i for i, step in enumerate(steps) if step.file.startswith("cnnc/onnx/emit"))
    importing = next(i for i, step in enumerate(steps) if step.file.startswith("cnnc/onnx/importer"))
    assert 0 < export < importing < len(steps)
    tree = copy_project(tmp_path)

    apply(steps[:export], tree)
    declared = pytest_in(tree, "every_layer_is", "tests/test_architecture.py")
    assert declared.returncode == 1, declared.stdout
    assert_printed(f"{LAYER} has no emission: @emission_of(SoftShrink) in cnnc/onnx/emit/ops/", declared.stdout)

    apply(steps[export:importing], tree)
    emitted = pytest_in(
        tree,
        f"every_layer_is or {LAYER}",
        "tests/test_architecture.py",
        "tests/reference/test_gradients.py",
        "tests/onnx/emit/test_parity.py",
        "tests/onnx/train_step/test_layers.py",
        "tests/onnx/importer/test_round_trip.py",
    )
    failed = [line for line in emitted.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1, emitted.stdout
    assert (
        f"PASSED tests/onnx/train_step/test_layers.py::test_gradients_equal_those_of_numpy[{LAYER}]" in emitted.stdout
    )
    assert f"test_round_trip.py::test_every_layer_survives_a_round_trip[{LAYER}]" in failed[0]
    assert_printed(f"Shrink `{LAYER}1` cannot be imported: the language has no layer for it", emitted.stdout)

    apply(steps[importing:], tree)
    files = ("tests/onnx/importer/test_round_trip.py", "tests/onnx/importer/test_recognize.py")
    done = pytest_in(tree, f"{LAYER} or Shrink", *files)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2, done.stdout


def assert_printed(line: str, output: str) -> None:
    """The line is in the output of a test run, and the page shows it."""
    assert line in output, output
    assert f"\n{line}\n" in PAGE.read_text(encoding="utf-8"), line
