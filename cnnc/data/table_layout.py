"""The layout of a text table: whether its first line is a header, and which column is the label.

In: the cells of its first lines, the number of values per line and of classes, where they are known. Out: `TableLayout`, and
a line for each finding that the documented layout (label first, no index, header `label` or none) does not promise.

Example: with three values per line, the lines `,label,a,b,c` and `0,cat,1,2,3` have a header, an index in column 1, and the
label in column 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import mode
from typing import NamedTuple

from cnnc.data.splits import HEADERS, parse_number

SAMPLE = 10_000
"""The number of lines from which a layout is found."""

INDEX_NAMES = ("", "index", "id", "unnamed: 0", "row")
"""Names of a column that numbers the lines; pandas writes the first and the fourth."""

_FEW_ROWS = 4


class TableLayout(NamedTuple):
    """Column numbers count from 0. `row_numbers` is the column that numbers the lines, None without one."""

    header: bool
    label: int
    row_numbers: int | None = None

    def split(self, cells: Sequence[str]) -> tuple[str, list[str]]:
        """The label of a line and its values in order."""
        dropped = (self.label, self.row_numbers)
        return cells[self.label], [cell for n, cell in enumerate(cells) if n not in dropped]

    def findings(self, first: Sequence[str]) -> Iterator[str]:
        """What is not as documented, as lines to report; `first` are the cells of the first line."""
        if self.header and first[0].lower() not in HEADERS:
            names = ", ".join(cell or '""' for cell in first[:3]) + (", ..." if len(first) > 3 else "")
            yield f"the first line is a header: {names}"
        if self.row_numbers is not None:
            yield f"column {self.row_numbers + 1} numbers the lines and is not read"
        if self.label:
            yield f"the label is in column {self.label + 1}"


def find_layout(rows: Sequence[Sequence[str]], values: int = 0, classes: int = 0) -> TableLayout:
    """The layout of a table; `rows` holds at least one line. Lines whose number of cells is not the usual one do not count.

    `values` is the number of values per line, `classes` that of different labels (0: not known).
    """
    first = [cell.lower() for cell in rows[0]]
    names = has_names(rows) or any(name in HEADERS for name in first)
    if len(rows) == names:
        return TableLayout(names, next((n for n, name in enumerate(first) if name in HEADERS), 0))
    columns = mode(len(row) for row in rows[names:])
    body = list(zip(*(row for row in rows[names:] if len(row) == columns), strict=True))
    index = _index_column(first if names else None, body, columns - values if values else 0)
    candidates = [n for n in range(columns) if n != index]
    named = [n for n in candidates if names and len(first) == columns and first[n] in HEADERS]
    label = named[0] if named else _label_column(body, candidates, classes)
    return TableLayout(names, label, index)


def find_sentences(rows: Sequence[Sequence[str]], sentences: int) -> TableLayout:
    """The layout of a table with a label and this many sentences per line; `rows` holds at least one line."""
    first = [cell.strip().lower() for cell in rows[0]]
    columns = list(zip(*(row for row in rows if len(row) == len(first)), strict=True))
    index = 0 if len(first) == sentences + 2 and _counts(columns[0][1:] or ("",)) else None
    candidates = [n for n in range(len(first)) if n != index]
    named = [n for n in candidates if first[n] in HEADERS]
    if named and not _repeats(columns[named[0]]):
        return TableLayout(True, named[0], index)
    left, right = candidates[0], candidates[-1]
    label = right if _looks_like_labels(columns[right]) and not _looks_like_labels(columns[left]) else left
    is_word = parse_number(first[label]) is None and all(
        parse_number(c.strip()) is not None for c in columns[label][1:]
    )
    are_names = any(first[n] in SENTENCE_NAMES for n in candidates if n != label)
    return TableLayout(len(rows) > 1 and not _repeats(columns[label]) and (is_word or are_names), label, index)


SENTENCE_NAMES = (
    "text",
    "sentence",
    "sentence1",
    "review",
    "comment",
    "tweet",
    "message",
    "phrase",
    "question",
    "question1",
)
"""Names of a column of sentences, in a header."""


def _repeats(column: Sequence[str]) -> bool:
    """Whether the first cell occurs again."""
    return column[0] in column[1:]


def _looks_like_labels(column: Sequence[str]) -> bool:
    """Whether the cells are short, and many of them equal."""
    words = max(len(cell.split()) for cell in column)
    return words <= 3 and len(set(column)) <= max(3, len(column) // 2)


def has_names(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line holds names of columns: no number where the others hold numbers, or a scale such as 0, 1, 2."""
    first, *body = rows
    if not any(is_number(cell) for cell in first[1:]):
        return not body or any(is_number(cell) for cell in body[0][1:])
    ends = {n: [row[n] for row in body if len(row) == len(first)] for n in (0, len(first) - 1)}
    return any(_names_numbers(first[n], column) for n, column in ends.items()) or _holds_scale(first, body)


def _names_numbers(cell: str, column: Sequence[str]) -> bool:
    """Whether a cell is a word, or empty over 0, 1, 2, ..., where all cells below it are numbers."""
    if not column or any(parse_number(c) is None for c in column):
        return False
    is_word = any(map(str.isalpha, cell)) and parse_number(cell) is None and cell.lower() not in _MISSING
    return is_word or (not cell and len(column) > 1 and _counts(column))


_MISSING = ("nan", "na", "n/a", "inf", "-inf", "none", "null", "missing")
"""Words in place of a number that is missing; they name no column."""


def _holds_scale(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether the first line is 0, 1, 2, ..., or that or rising numbers beside the names of the label and the index, and no
    other line is."""
    for lead, tail in ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1)):
        end = len(first) - tail
        named = [n for n in range(len(first)) if not lead <= n < end]
        if (
            not body
            or end - lead < max(3, 4 - len(named))
            or not all(_is_name(first[n], [row[n] for row in body if len(row) > n]) for n in named)
        ):
            continue
        is_scale = _rises if named and len(body) >= _FEW_ROWS and end - lead > _FEW_ROWS else _counts
        if is_scale(first[lead:end]) and not any(is_scale(row[lead:end]) for row in body if len(row) > lead):
            return True
    return False


def _is_name(cell: str, column: Sequence[str]) -> bool:
    """Whether the first cell of a column names it: it is a word that does not occur below it."""
    return parse_number(cell) is None and cell not in column


def _rises(cells: Sequence[str]) -> bool:
    """Whether the cells are numbers, each greater than the one before."""
    numbers = [parse_number(cell) for cell in cells]
    return all(a is not None and b is not None and a < b for a, b in pairwise(numbers))


def _counts(cells: Sequence[str]) -> bool:
    """Whether the cells are consecutive whole numbers from 0 or 1."""
    numbers = [parse_number(cell) for cell in cells]
    if numbers[0] not in (0, 1):
        return False
    return all(a is not None and b == a + 1 for a, b in pairwise(numbers))


def _index_column(names: Sequence[str] | None, body: Sequence[Sequence[str]], surplus: int) -> int | None:
    """0 where the first column numbers the lines: it is named so, or is one column too many."""
    is_named = names is not None and names[0] in INDEX_NAMES
    return 0 if len(body) > 2 and (is_named or surplus == 2) and _counts(body[0]) else None


def _label_column(body: Sequence[Sequence[str]], candidates: Sequence[int], classes: int) -> int:
    """The first or the last column: the one with as many different cells as there are classes, or that holds names or
    few whole numbers; of equals the first."""
    first, last = candidates[0], candidates[-1]
    if classes and len(body[0]) < SAMPLE - 1:
        for n in (first, last):
            if holds_labels(body[n]) and len(set(body[n])) == classes:
                return n
    return first if holds_labels(body[first]) or not holds_labels(body[last]) or _whole(body[first]) else last


def holds_labels(column: Sequence[str]) -> bool:
    """Whether a column holds names, or whole numbers of which many are equal."""
    if not all(map(is_number, column)):
        return True
    return _whole(column) and (len(column) < _FEW_ROWS or len(set(column)) <= max(2, len(column) // 2))


def holds_measurements(column: Iterable[str]) -> bool:
    """Whether a column holds numbers of which some are fractions, and too many differ to be classes."""
    cells = list(column)
    if not all(parse_number(cell) is not None for cell in cells):
        return False
    return not _whole(cells) and len(cells) >= _FEW_ROWS and len(set(cells)) > len(cells) // 2


def _whole(column: Sequence[str]) -> bool:
    numbers = [parse_number(cell) for cell in column]
    return all(n is not None and n == int(n) for n in numbers)


def is_number(cell: str) -> bool:
    """Whether a cell is a number, or stands for one that is missing."""
    return parse_number(cell) is not None or cell.lower() in ("", "nan", "na", "inf", "-inf")
