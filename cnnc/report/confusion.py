"""The confusion matrix of a classifier, and precision, recall and F1 of each class.

In: a square matrix of counts; rows are true classes, columns predicted ones. Out: text, or plain data for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


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


def confusion_text(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """The matrix as text with the scores of each class on the right; rows are true classes, columns predicted ones."""
    cells = [[name, *(str(n) if n else "." for n in row)] for name, row in zip(names, matrix, strict=True)]
    scores = [
        [f"{s.precision:.1%}", f"{s.recall:.1%}", f"{s.f1:.1%}", f"{s.examples:,}"] for s in class_scores(matrix, names)
    ]
    head = ["true \\ predicted", *names, "precision", "recall", "f1", "examples"]
    rows = [head, *(a + b for a, b in zip(cells, scores, strict=True))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join(lines)
