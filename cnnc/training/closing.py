"""What a score tells about a network's classes and training data, as plain numbers for cnnc/report.

In: an objective with its data, a score and the confusion matrix. Out: `Closing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.data.dataset import Dataset, Split
from cnnc.recipe.recipe import Recipe
from cnnc.report.closing import Closing
from cnnc.report.confusion import Matrix
from cnnc.training.balance import class_counts
from cnnc.training.objective import Objective, Score


def closing_of_score(
    objective: Objective, data: Dataset, train: Split, score: Score, confusion: Matrix, source: str
) -> Closing:
    """What a score tells, without the curves of a training; `train` is the training share.

    `source` is what was scored, as a command takes it.
    """
    recipe = objective.recipe
    return Closing(
        objective.class_names(data),
        confusion,
        counts_of_training(objective, train),
        len(data.test),
        0,
        score.right if confusion else 0,
        score.total if confusion else 0,
        score.metric,
        score.result,
        score.others,
        (),
        0,
        recipe.epochs,
        corrects_imbalance(recipe),
        recipe.augment is not None,
        recipe.losses[0].kind,
        source,
        test_fraction(recipe, data),
    )


def test_fraction(recipe: Recipe, data: Dataset) -> float | None:
    """The `test=` of the source; None where the files of the data have a test share."""
    return recipe.data.test if data.test_is_drawn else None


def corrects_imbalance(recipe: Recipe) -> bool:
    """Whether weights of classes or sampling correct an imbalance."""
    return recipe.data.sampling is not None or any(loss.balance is not None for loss in recipe.losses)


def counts_of_training(objective: Objective, train: Split) -> Sequence[int]:
    """The training examples of each class; () where examples do not have one label each."""
    term = objective.term_by_target.get("labels")
    if term is None or term.column is None or train.targets[term.column][:1].size != 1:
        return ()
    counts: list[int] = class_counts(
        train.targets[term.column], term.node.type.channels, term.loss.ignored_label
    ).tolist()
    return counts
