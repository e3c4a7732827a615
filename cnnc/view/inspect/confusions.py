"""A confusion matrix as a heat map, and the recall and precision of each class.

In: a square matrix of counts; rows are true classes, columns predicted ones. Out: items of a section.

    confusion_items([[9, 1], [0, 8]], ("cat", "dog"))
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.core.intervals import interval_text, wilson
from cnnc.view.document import Item, Table
from cnnc.view.inspect.tiles import LONGEST_LABEL
from cnnc.view.labels import SMALL
from cnnc.view.page import Band, Cell, Grid, Page
from cnnc.view.text_width import shortened, text_width

LARGEST_MATRIX, CONFUSIONS = 30, 30
"""The most classes of a heat map, and the most confusions that are listed."""
LEGEND = (
    "Recall is the share of the examples of a class that are predicted as this class; precision is the share of the predictions "
    "of a class that are right; F1 is their harmonic mean."
)
_COLUMNS_WIDTH = 700
"""The most room for the columns of a heat map whose heads are names."""
Counts = Sequence[Sequence[int]]


def confusion_items(matrix: Counts, names: Sequence[str], has_intervals: bool = True) -> list[Item]:
    """The heat map, or for many classes the largest confusions; and a table of the classes.

    The recall has an interval where each example has one label (`has_intervals`), not where pixels are counted.
    """
    first = _heat_map(matrix, names) if len(matrix) <= LARGEST_MATRIX else _largest(matrix, names)
    return [first, _classes(matrix, names, has_intervals)]


def _heat_map(matrix: Counts, names: Sequence[str]) -> Page:
    cells = []
    for i, row in enumerate(matrix):
        total = sum(row)
        hints = [f"{n:,} of {total:,} of {names[i]} predicted as {names[j]}" for j, n in enumerate(row)]
        texts = [f"{n}" if n else "" for n in row]
        shades = [n / total if total else 0.0 for n in row]
        cells.append(
            tuple(Cell(text, "plain", shade, hint) for text, shade, hint in zip(texts, shades, hints, strict=True))
        )
    title = "rows: true class, columns: predicted class"
    note = "The shade of a cell is its share of the row: on the diagonal, the recall of the class. An empty cell is 0."
    rows, columns = _heads(names)
    grid = Grid("confusion", title, tuple(cells), rows, columns, note)
    return Page("Confusion matrix", "How often each true class is predicted as each class", (Band((grid,)),))


def _heads(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names beside and above the matrix; above it numbers where the names are too wide, which then stand beside it too."""
    most = _COLUMNS_WIDTH / len(names) - 6
    if all(text_width(name, SMALL) <= most for name in names):
        return tuple(names), tuple(names)
    numbers = tuple(map(str, range(len(names))))
    numbered = (name if name == n else f"{n}  {name}" for n, name in zip(numbers, names, strict=True))
    return tuple(shortened(name, LONGEST_LABEL, SMALL) for name in numbered), numbers


def _largest(matrix: Counts, names: Sequence[str]) -> Table:
    wrong = [(-n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    rows = tuple((names[i], names[j], f"{-n:,}", f"{sum(matrix[i]):,}") for n, i, j in sorted(wrong)[:CONFUSIONS])
    title = f"The largest confusions: {len(rows)} of {len(wrong):,}"
    return Table(("true", "predicted", "examples", "of the class"), rows, (False, False, True, True), title)


def _classes(matrix: Counts, names: Sequence[str], has_intervals: bool) -> Table:
    def share(part: int, whole: int) -> str:
        return f"{part / whole:.1%}" if whole else "none"

    rows = []
    for i, name in enumerate(names):
        right, examples, predicted = matrix[i][i], sum(matrix[i]), sum(row[i] for row in matrix)
        interval = interval_text(wilson(right, examples)).replace(" ", "\u00a0") if examples else "none"
        scores = (share(right, examples), *([interval] if has_intervals else []), share(right, predicted))
        f1 = share(2 * right, examples + predicted)
        rows.append((name, *scores, f1, f"{examples:,}", f"{predicted:,}"))
    between = ("95% interval",) if has_intervals else ()
    heads = ("class", "recall", *between, "precision", "F1", "examples", "predictions")
    title = "Recall, precision and F1 of each class"
    return Table(heads, tuple(rows), (False, *[True] * (len(heads) - 1)), title)
