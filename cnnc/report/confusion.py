"""The confusion matrix of a classifier, and precision, recall and F1 of each class.

In: a square matrix of counts; rows are true classes, columns predicted ones. Out: text, or plain data for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnnc.diagnostics import cells
from cnnc.report.layout import ColumnLayout, Layout, fitted

_NO_LIMIT = Layout()


class ClassScore(NamedTuple):
    """Precision (share of the predictions of a class that are right), recall (share of its examples predicted), F1.

    `examples` is the number of examples of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    examples: int


def class_scores(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> list[ClassScore]:
    """The scores of each class; 0 for a class that has no examples or is never predicted."""
    scores = []
    for i, name in enumerate(names):
        right, predicted, examples = matrix[i][i], sum(row[i] for row in matrix), sum(matrix[i])
        precision, recall = right / predicted if predicted else 0.0, right / examples if examples else 0.0
        f1 = 2 * precision * recall / (precision + recall) if right else 0.0
        scores.append(ClassScore(name, precision, recall, f1, examples))
    return scores


_SCORES = (
    ColumnLayout("precision", right=True),
    ColumnLayout("recall", right=True, drop=1),
    ColumnLayout("f1", right=True, drop=3),
    ColumnLayout("examples", right=True, drop=2),
)
_MOST = 10  # confusions listed


def confusion_text(matrix: Sequence[Sequence[int]], names: Sequence[str], layout: Layout = _NO_LIMIT) -> str:
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


def _most_confused(matrix: Sequence[Sequence[int]], names: Sequence[str], layout: Layout) -> list[str]:
    """The most frequent wrong predictions, one per line."""
    wrong = [(row[j], -i, -j) for i, row in enumerate(matrix) for j in range(len(row)) if i != j and row[j]]
    rows = [(names[-i], names[-j], str(count)) for count, i, j in sorted(wrong, reverse=True)[:_MOST]]
    columns = (ColumnLayout("true", least=8), ColumnLayout("predicted", least=8), ColumnLayout("examples", right=True))
    return fitted(columns, rows, layout) if rows else ["every prediction is right"]
