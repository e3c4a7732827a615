"""docs/adding-a-drawing.md works as it stands: its edits, applied to a copy of the project, add a drawing and a section."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.guide import apply, copy_project, edits, run
from tests.paths import DOCS


@pytest.mark.long
def test_the_guide_adds_a_drawing(tmp_path: Path) -> None:
    steps = edits(DOCS / "adding-a-drawing.md")
    assert [step.how for step in steps] == ["create", "create", "after", "create", "after", "create", "after"]
    tree = copy_project(tmp_path)
    apply(steps, tree)

    passed = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/view/test_parameter_bars.py")
    assert passed.returncode == 0, passed.stdout

    drawn = run(tree, "-m", "cnnc", "draw", "models/lenet5.cnn", "--style", "parameters", "-o", "bars.svg")
    assert (drawn.returncode, drawn.stdout) == (0, "wrote bars.svg\n"), drawn.stderr
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (tree / "bars.svg").read_text(encoding="utf-8"))
    assert texts[:4] == ["LeNet5", "61,706 parameters in 5 layers", "conv1", "156"]
    refused = run(tree, "-m", "cnnc", "draw", "models/lenet5.cnn", "--style", "parameters", "--depth", "1")
    assert (refused.returncode, "--depth does not go with --style parameters" in refused.stderr) == (2, True)

    report = run(tree, "-m", "cnnc", "inspect", "models/digits.cnn", "-o", "report.html", "--json")
    assert report.returncode == 0, report.stderr
    counts = {"conv1": 288, "bn1": 64, "conv2": 9216, "bn2": 64, "conv3": 18432, "bn3": 128, "fc1": 10250}
    assert json.loads(report.stdout)["parameters"] == {"layers": counts}
    assert "<h2>Parameters</h2>" in (tree / "report.html").read_text(encoding="utf-8")

    listed = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/view/test_modules.py")
    assert listed.returncode == 1
    assert "parameter_bars.py" in listed.stdout
