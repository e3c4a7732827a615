"""Warnings about the classes of a run, and what its closing report and its files hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import Diagnostic
from cnnc.network import check
from cnnc.training.loop import start, train
from cnnc.training.run import Callback, Run, RunResult

NAMES = ("cat", "dog", "owl")


class Kept(Callback):
    def __init__(self) -> None:
        self.warnings: list[Diagnostic] = []

    def on_warning(self, run: Run, warning: Diagnostic) -> None:
        self.warnings.append(warning)


def share(counts: tuple[int, ...]) -> Split:
    """Examples whose class is the place of the 1; the third class looks like the first."""
    labels = np.repeat(np.arange(3), counts)
    return Split.of(np.eye(3, dtype=np.float32)[np.where(labels == 2, 0, labels)], labels)


def trained(
    folder: Path,
    training: tuple[int, ...],
    tested: tuple[int, ...],
    statements: str = "loss cross_entropy",
    test_is_drawn: bool = False,
) -> tuple[RunResult, dict[str, Diagnostic]]:
    section = f'data npz "a.npz" val=0; {statements}; optimizer sgd lr=0.5; epochs 3'
    kept = Kept()
    data = Dataset("npz", NAMES, share(training), share(tested), test_is_drawn=test_is_drawn)
    result = train(start(check(f"input 3; fc 3\ntrain {{ {section} }}"), data, folder), kept)
    return result, {warning.code: warning for warning in kept.warnings}


def test_imbalance_and_a_class_that_is_never_predicted(tmp_path: Path) -> None:
    result, warnings = trained(tmp_path, (120, 60, 20), (50, 50, 20))
    assert set(warnings) == {"W703", "W705"}
    assert warnings["W703"].message == "cat has 6 times the training examples of owl (120 and 20)"
    assert warnings["W705"].message == "owl is never predicted"
    for warning in warnings.values():
        assert "`loss cross_entropy weights=balanced` or `data ... sampling=balanced`" in warning.help
    assert result.confusion == [[50, 0, 0], [0, 50, 0], [20, 0, 0]]


@pytest.mark.parametrize("statements", ["loss cross_entropy weights=balanced", "loss focal alpha=[1, 2, 6]"])
def test_a_corrected_imbalance_is_not_reported(tmp_path: Path, statements: str) -> None:
    assert "W703" not in trained(tmp_path, (120, 60, 20), (50, 50, 20), statements)[1]


def test_a_small_test_share(tmp_path: Path) -> None:
    _, warnings = trained(tmp_path, (40, 40, 40), (10, 10, 16))
    assert (
        warnings["W704"].message
        == "the test share has 36 examples: the 95% interval of an accuracy of 50% is 31 points wide"
    )
    assert warnings["W704"].help == "add test examples", "`test=` does not change the share that the files give"
    _, warnings = trained(tmp_path, (40, 40, 40), (10, 10, 16), test_is_drawn=True)
    assert warnings["W704"].help == "add test examples, or hold back more of the data with `test=0.2`"


def test_files_of_the_closing_report(tmp_path: Path) -> None:
    trained(tmp_path, (120, 60, 20), (50, 50, 20))
    facts = json.loads((tmp_path / "confusion.json").read_text())
    assert facts["confusion"] == [[50, 0, 0], [0, 50, 0], [20, 0, 0]]
    assert [(each["name"], each["recall"], each["predicted"]) for each in facts["classes"]] == [
        ("cat", 1.0, 70),
        ("dog", 1.0, 50),
        ("owl", 0.0, 0),
    ]
    assert facts["balanced_accuracy"] == pytest.approx(2 / 3)
    assert (tmp_path / "confusion.svg").read_text().startswith("<svg")
    page = (tmp_path / "report.html").read_text()
    for text in ("Owl is never predicted", "95% interval", "prefers-color-scheme: dark", "Confusion matrix"):
        assert text in page
    assert "<script" not in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_network_that_is_no_classifier_has_a_report_without_classes(tmp_path: Path) -> None:
    split = Split((np.zeros((8, 3), np.float32),), (np.zeros((8, 2), np.float32),))
    network = check('input 3; fc 2\ntrain { data npz "a.npz" val=0; loss mse; epochs 2 }')
    result = train(start(network, Dataset("npz", (), split, split), tmp_path))
    assert result.confusion == []
    assert not (tmp_path / "confusion.json").exists()
    assert "Nothing stands out" in (tmp_path / "report.html").read_text()
