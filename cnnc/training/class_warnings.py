"""Warnings about the classes of a run: imbalance, a small test share, and classes that are never predicted.

In: a run before its first step, or its confusion matrix at the end. Out: W703 to W705. They judge by the numbers of
report/closing.py, which repeats them in the closing report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnc.core.intervals import wilson
from cnnc.diagnostics import Diagnostic
from cnnc.report.closing import FEWEST_TESTED, balancing, imbalance, joined, never_predicted, predicting, testing_more
from cnnc.training.closing import corrects_imbalance, counts_of_training, test_fraction
from cnnc.training.run import Run


def check_classes(run: Run) -> Iterator[Diagnostic]:
    """W703 where the classes are imbalanced and nothing corrects it; W704 where the test share is small."""
    counts = counts_of_training(run.objective, run.train)
    if not counts:
        return
    found = imbalance(run.objective.class_names(run.data), counts)
    span, loss = run.recipe.spans.get("data"), run.recipe.losses[0].kind
    if found is not None and not corrects_imbalance(run.recipe):
        help = f"{balancing(loss)}, and judge by `metric macro_f1`; `cnnc data` lists the classes"
        yield Diagnostic("W703", found, span, help=help)
    tested = len(run.data.test)
    if 0 < tested < FEWEST_TESTED:
        low, high = wilson(tested // 2, tested)
        width = f"{100 * (high - low):.0f} points wide"
        message = f"the test share has {tested} examples: the 95% interval of an accuracy of 50% is {width}"
        yield Diagnostic("W704", message, span, help=testing_more(test_fraction(run.recipe, run.data)))


def check_predictions(run: Run, confusion: Sequence[Sequence[int]]) -> Iterator[Diagnostic]:
    """W705 where classes of the test share are never predicted."""
    names = run.objective.class_names(run.data)
    missing = never_predicted(confusion)
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        training = counts_of_training(run.objective, run.train)
        help = predicting(missing, training, corrects_imbalance(run.recipe), run.recipe.losses[0].kind)
        yield Diagnostic(
            "W705",
            f"{joined([names[i] for i in missing])} {verb} never predicted",
            run.recipe.spans.get("loss"),
            help=help,
        )
