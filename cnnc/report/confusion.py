"""The confusion matrix of a classifier, and precision, recall and F1 of each class.

In: a square matrix of counts; rows are true classes, columns predicted ones. Out: text, or plain data for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnnc.diagnostics import cells
from cnnc.report.layout import ColumnLayout, Layout, fitted

Matrix = Sequence[Sequence[int]]

_NO_LIMIT = Layout()


class ClassScore(NamedTuple):
    """Precision (share of the predictions of a class that are right), recall (share of its examples predicted), F1.

    F1 is 2·precision·recall/(precision + recall). `examples` is the number of examples of the class, `predicted` how often
    it is predicted.
    """

    name: str
    precision: float
    recall: float
    f1: float
    examples: int
    predicted: int

    @property
    def occurs(self) -> bool:
        """Whether it is the class of an example or of a prediction."""
        return bool(self.examples or self.predicted)


def class_scores(matrix: Matrix, names: Sequence[str] | None = None) -> list[ClassScore]:
    """The scores of each class, by default with its number as name; 0 for a class without examples or predictions."""
    scores = []
    for i, name in enumerate(map(str, range(len(matrix))) if names is None else names):
        right, predicted, examples = matrix[i][i], sum(row[i] for row in matrix), sum(matrix[i])
        precision, recall = right / predicted if predicted else 0.0, right / examples if examples else 0.0
        f1 = 2 * right / (predicted + examples) if right else 0.0
        scores.append(ClassScore(name, precision, recall, f1, examples, predicted))
    return scores


class MeanScores(NamedTuple):
    """The means that count each class equally: of F1 over the classes that occur, of recall over those with examples."""

    macro_f1: float
    balanced_accuracy: float


def mean_scores(matrix: Matrix) -> MeanScores:
    """What `metric macro_f1` and `metric balanced_accuracy` compute; 0 of an empty matrix."""
    scores = class_scores(matrix)
    f1 = [score.f1 for score in scores if score.occurs]
    recall = [score.recall for score in scores if score.examples]
    return MeanScores(sum(f1) / max(1, len(f1)), sum(recall) / max(1, len(recall)))


class Confused(NamedTuple):
    """How many examples of the class `true` are predicted as the class `predicted`, by their numbers."""

    true: int
    predicted: int
    examples: int


def most_confused(matrix: Matrix) -> list[Confused]:
    """The wrong predictions, the most frequent first."""
    pairs = [Confused(i, j, n) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    return sorted(pairs, key=lambda pair: (-pair.examples, pair.true, pair.predicted))


_SCORES = (
    ColumnLayout("precision", right=True),
    ColumnLayout("recall", right=True, drop=1),
    ColumnLayout("f1", right=True, drop=3),
    ColumnLayout("examples", right=True, drop=2),
)
_MOST = 10  # confusions listed


def confusion_text(matrix: Matrix, names: Sequence[str], layout: Layout = _NO_LIMIT) -> str:
    """The matrix as text with the scores of each class on the right; rows are true classes, columns predicted ones.

    Where the width does not suffice, the scores follow the matrix; where the matrix alone is too wide, the most frequent
    confusions take its place.
    """
    counts = [[name, *(str(n) if n else "." for n in row)] for name, row in zip(names, matrix, strict=True)]
    scores = [
        [f"{s.precision:.1%}", f"{s.recall:.1%}", f"{s.f1:.1%}", f"{s.examples:,}"] for s in class_scores(matrix, names)
    ]
    columns = [ColumnLayout("true \\ predicted"), *(ColumnLayout(name, right=True) for name in names)]
    both = fitted(
        [*columns, *_SCORES], [a + b for a, b in zip(counts, scores, strict=True)], layout._replace(width=None)
    )
    if _fits(both, layout):
        return "\n".join(both)
    alone = fitted(columns, counts, layout._replace(width=None))
    first = alone if _fits(alone, layout) else _most_confused(matrix, names, layout)
    rows = [[name, *row] for name, row in zip(names, scores, strict=True)]
    return "\n".join([*first, "", *fitted([ColumnLayout("class", least=8), *_SCORES], rows, layout)])


def _fits(lines: Sequence[str], layout: Layout) -> bool:
    return layout.width is None or max(map(cells, lines)) <= layout.width


def _most_confused(matrix: Matrix, names: Sequence[str], layout: Layout) -> list[str]:
    """The most frequent wrong predictions, one per line."""
    rows = [(names[pair.true], names[pair.predicted], str(pair.examples)) for pair in most_confused(matrix)[:_MOST]]
    columns = (ColumnLayout("true", least=8), ColumnLayout("predicted", least=8), ColumnLayout("examples", right=True))
    return fitted(columns, rows, layout) if rows else ["every prediction is right"]
