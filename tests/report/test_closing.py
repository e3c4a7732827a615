"""The closing report: each rule where it applies and where it does not, and the sentences about scores and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cnnc.recipe.metrics import ClassF1
from cnnc.report.closing import RULES, Closing, classes_text, confusion_facts, next_steps, score_text
from cnnc.training.metrics import score_of
from tests.paths import ROOT

GOOD = [[95, 5, 0], [4, 96, 0], [3, 2, 95]]


def closing(confusion: Sequence[Sequence[int]] = GOOD, **changes: Any) -> Closing:
    total, right = sum(map(sum, confusion)), sum(row[i] for i, row in enumerate(confusion))
    plain = Closing(
        classes=["cat", "dog", "owl"],
        confusion=confusion,
        training=[400, 400, 400],
        tested=total,
        validated=100,
        right=right,
        total=total,
        metric="accuracy",
        score=right / max(1, total),
        others=(),
        rows=(),
        best_epoch=1,
        epochs=10,
        corrected=False,
        augmented=False,
        loss="cross_entropy",
        source="runs/animals",
    )
    return plain._replace(**changes)


def rows(**curves: Sequence[float]) -> tuple[dict[str, float | None], ...]:
    count = len(next(iter(curves.values())))
    return tuple({"epoch": n + 1, **{key: curve[n] for key, curve in curves.items()}} for n in range(count))


def seen(of: Closing) -> dict[str, str]:
    return {step.rule: str(step) for step in next_steps(of)}


def test_nothing_stands_out_in_a_good_run() -> None:
    losses = [1.0, 0.5, 0.4, 0.39, 0.385, 0.384, 0.383, 0.383, 0.3825, 0.382]
    accuracy = [0.5, 0.8, 0.9, 0.9, 0.92, 0.93, 0.94, 0.94, 0.95, 0.95]
    run = rows(train_loss=losses, val_loss=losses, train_accuracy=accuracy, val_accuracy=accuracy)
    assert next_steps(closing(rows=run, best_epoch=10)) == []


def test_the_largest_class_alone() -> None:
    found = seen(closing([[0, 60, 0], [0, 200, 0], [0, 40, 0]]))
    assert "does not exceed that of always answering dog, 66.7%" in found["no better than the largest class"]
    assert "confused" not in found


def test_classes_that_are_never_predicted() -> None:
    confusion = [[90, 10, 0], [10, 90, 0], [50, 50, 0]]
    rare = {"training": [400, 400, 150]}
    found = seen(closing(confusion, **rare))["never predicted"]
    assert (
        found == "owl is never predicted: write `loss cross_entropy weights=balanced` or `data ... sampling=balanced`"
    )
    assert "alpha=balanced" in seen(closing(confusion, loss="focal", **rare))["never predicted"]
    assert "add examples" in seen(closing(confusion, corrected=True, **rare))["never predicted"]
    assert "train longer" in seen(closing(confusion))["never predicted"], "balancing equal classes changes nothing"


def test_imbalance_that_nothing_corrects() -> None:
    found = seen(closing(training=[500, 400, 100]))["imbalance"]
    assert found.startswith("cat has 5 times the training examples of owl (500 and 100): write `loss ")
    assert "imbalance" not in seen(closing(training=[500, 400, 100], corrected=True))
    assert "imbalance" not in seen(closing(training=[299, 200, 100]))


def test_few_training_examples() -> None:
    assert "of owl (12): add examples, or make more" in seen(closing(training=[30, 30, 12]))["few training examples"]
    assert "augment" not in seen(closing(training=[30, 30, 12], augmented=True))["few training examples"]


def test_few_test_examples() -> None:
    few = seen(closing([[9, 1, 0], [0, 10, 0], [0, 0, 10]]))["few test examples"]
    assert few.startswith(
        "the 95% interval of the accuracy on 30 test examples is 16 points wide: add test examples, or hold back"
    )
    more = seen(closing([[9, 1, 0], [0, 10, 0], [0, 0, 10]], test_fraction=0.2))["few test examples"]
    assert more.endswith("add test examples"), "they are held back already"
    given = seen(closing([[9, 1, 0], [0, 10, 0], [0, 0, 10]], test_fraction=None))["few test examples"]
    assert given.endswith("add test examples"), "the files have a test share"


def test_overfitting_by_the_loss_and_by_the_accuracy() -> None:
    up = rows(train_loss=[1.0, 0.5, 0.3, 0.1], val_loss=[0.9, 0.6, 0.7, 0.8])
    assert "risen from 0.6 in epoch 2 to 0.8" in seen(closing(rows=up))["overfitting"]
    gap = rows(train_loss=[1.0], val_loss=[1.0], train_accuracy=[0.99], val_accuracy=[0.85])
    assert "99.0%, on those of validation 85.0%" in seen(closing(rows=gap))["overfitting"]
    both = rows(train_loss=[1.0, 0.5, 0.6], val_loss=[0.9, 0.6, 0.8])
    assert "overfitting" not in seen(closing(rows=both))


def test_a_run_that_has_not_converged() -> None:
    losses, accuracy = [1.0, 0.8, 0.6, 0.4], [0.5, 0.6, 0.7, 0.8]
    run = rows(train_loss=losses, val_loss=losses, val_accuracy=accuracy)
    found = seen(closing(rows=run, best_epoch=4, epochs=4))["not converged"]
    assert found.endswith("from 0.6 to 0.4 in the last epochs: train longer, e.g. `--set train.epochs=8`")
    assert "not converged" not in seen(closing(rows=run, best_epoch=3, epochs=4))
    assert "not converged" not in seen(closing(rows=run, best_epoch=4, epochs=40)), "it was stopped before"
    risen = rows(train_loss=losses, val_loss=[0.2, 0.8, 0.6, 0.4], val_accuracy=accuracy)
    assert "not converged" not in seen(closing(rows=risen, best_epoch=4, epochs=4)), "it falls from a peak"
    perfect = rows(train_loss=losses, val_loss=losses, val_accuracy=[1.0] * 4)
    assert "not converged" not in seen(closing(rows=perfect, best_epoch=4, epochs=4))


def test_a_test_score_below_that_of_validation() -> None:
    better = rows(train_loss=[0.1], val_accuracy=[0.99])
    assert "95.3%, is below that of validation, 99.0%" not in seen(closing(rows=better))
    found = seen(closing(rows=better, validated=2000))["test below validation"]
    assert "95.3%, is below that of validation, 99.0%, by more than chance explains" in found
    assert "test below validation" not in seen(closing(rows=better, validated=50))


def test_classes_that_are_confused() -> None:
    found = seen(closing([[80, 20, 0], [5, 95, 0], [0, 2, 98]]))["confused"]
    assert found == (
        "predicted wrongly: cat as dog (20 of 100): look at them with `cnnc inspect runs/animals --mistakes`, "
        "and check their labels"
    )


def test_pixels_have_no_interval() -> None:
    maps = closing(tested=3)
    assert maps.interval is None
    assert "interval" not in score_text(maps)
    assert all(each["recall_interval"] is None for each in confusion_facts(maps)["classes"])


def test_texts_and_numbers() -> None:
    run = closing(others=(("top5", 1.0),))
    assert score_text(run) == "test accuracy 95.33% (286 of 300), 95% interval 92.3% to 97.2%, top5 100.00%"
    text = classes_text(run.classes, run.confusion)
    assert text == "balanced accuracy 95.33%, macro F1 95.36%; lowest recall: 95.0% of class cat (95 of 100)"
    facts = confusion_facts(run)
    assert facts["macro_f1"] == pytest.approx(score_of(ClassF1, np.array(GOOD)))
    assert [each["predicted"] for each in facts["classes"]] == [102, 103, 95]


def test_docs_list_every_rule() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in RULES if f"| {name} |" not in page] == []
