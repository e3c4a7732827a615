"""The layout of a text table: whether its first line is a header, and which column is the label.

In: the cells of its first lines, the number of values per line and of classes, where they are known. Out: `TableLayout`, and
a line for each finding that the documented layout (label first, no index, header `label` or none) does not promise.

Example: with three values per line, the lines `,label,a,b,c` and `0,cat,1,2,3` have a header, an index in column 1, and the
label in column 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from statistics import mode
from typing import NamedTuple

from cnnc.core.listing import listed
from cnnc.data.splits import HEADERS, parse_number
from cnnc.diagnostics import nearest

SAMPLE = 10_000
"""The number of lines from which a layout is found."""

INDEX_NAMES = ("", "index", "id", "unnamed: 0", "row")
"""Names of a column that numbers the lines; pandas writes the first and the fourth."""

_FEW_ROWS = 4
_MANY_CLASSES = 50
_SHOWN = 10


class ColumnError(Exception):
    """A column that the source names and the table does not have; the message says which, `help` what to write."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class DeclaredColumns(NamedTuple):
    """What the source says about a table: columns of labels or targets, columns that are not read, and whether the first line is a
    header (None: not said). Columns are names, or numbers from 1; -1 is the last. `values` are the names of the columns that a
    trained network takes, in its order; they hold where the first line has them."""

    label: tuple[str | int, ...] = ()
    unread: tuple[str | int, ...] = ()
    header: bool | None = None
    values: tuple[str, ...] = ()


NOTHING_DECLARED = DeclaredColumns()


class TableLayout(NamedTuple):
    """Column numbers count from 0. `label` is the column of the label, or of the first target, `targets` has all of them; `row_numbers` is the
    column that numbers the lines, `timestamps` that of timestamps, None without one; `left_out` are the columns that the source excludes.
    `order` are the columns of values, where they were found by their names; all others are then left out."""

    header: bool
    label: int
    row_numbers: int | None = None
    timestamps: int | None = None
    targets: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    is_declared: bool = False  # the source names the label
    has_label: bool = True
    order: tuple[int, ...] = ()

    @property
    def not_values(self) -> tuple[int, ...]:
        """The columns that hold no values of the input."""
        unread = (n for n in (self.row_numbers, self.timestamps) if n is not None)
        targets = (self.targets or (self.label,)) if self.has_label else ()
        return tuple(sorted({*targets, *unread, *self.left_out}))

    def values(self, columns: int) -> Sequence[int]:
        """The columns of values in order, of a line of this many cells."""
        if self.order:
            return self.order
        dropped = self.not_values
        return [n for n in range(columns) if n not in dropped]

    def split(self, cells: Sequence[str]) -> tuple[str, list[str]]:
        """The label of a line and its values in order."""
        return cells[self.label], [cells[n] for n in self.values(len(cells))]

    def value_names(self, first: Sequence[str]) -> tuple[str, ...]:
        """The names of the columns of values; () unless each has one of its own, and none is a number, as in `1.5` and `1,5`."""
        names = tuple(first[n] for n in self.values(len(first))) if self.header else ()
        is_named = len(set(names)) == len(names) and all(
            name and parse_number(name.replace(",", ".")) is None for name in names
        )
        return names if is_named else ()

    def findings(self, first: Sequence[str]) -> Iterator[str]:
        """What is not as documented, as lines to report; `first` are the cells of the first line."""
        if self.header and first[0].lower() not in HEADERS:
            names = ", ".join(cell or '""' for cell in first[:3]) + (", ..." if len(first) > 3 else "")
            yield f"the first line is a header: {names}"
        if self.row_numbers is not None:
            yield f"column {self.row_numbers + 1} numbers the lines and is not read"
        if self.timestamps is not None:
            yield f"column {self.timestamps + 1} holds timestamps and is not read"
        if self.label and self.has_label and not self.is_declared:
            yield f"the label is in column {self.label + 1}"
        if list(self.order) != sorted(self.order):
            order = listed([first[n] for n in self.order], _SHOWN)
            yield f"columns are taken by their names, in the order of training: {order}"
        if self.order and self.left_out:
            yield f"not read: {listed([first[n] or str(n + 1) for n in self.left_out], _SHOWN)}"

    def name(self, column: int, first: Sequence[str]) -> str:
        """A column as `index=` takes it: its name, if the first line has one that is unique, else its number from 1."""
        name = first[column] if self.header and column < len(first) else ""
        if not name or list(first).count(name) > 1:
            return str(column + 1)
        return name if name.isidentifier() and name.isascii() else f'"{name}"'


def find_layout(
    rows: Sequence[Sequence[str]],
    values: int = 0,
    classes: int = 0,
    declared: DeclaredColumns = NOTHING_DECLARED,
    targets: int = 0,
) -> TableLayout:
    """The layout of a table; `rows` holds at least one line. Lines whose number of cells is not the usual one do not count.

    `values` is the number of values per line, `classes` that of different labels, `targets` that of numbers to predict (0: not
    known, or none). Raises ColumnError for a declared column that is not there, and for targets that nothing names.
    """
    order = order_by_name(declared.values, rows[0])
    if order:
        return _beside_values(rows, order, classes, declared, targets)
    first = [cell.lower() for cell in rows[0]]
    names = _has_header(rows, declared)
    columns = mode(len(row) for row in rows[names:]) if len(rows) > names else len(first)
    left_out = column_numbers(declared.unread, rows[0], names, columns)
    chosen = column_numbers(declared.label, rows[0], names, columns)
    if len(rows) == names:
        named = next((n for n, name in enumerate(first) if name in HEADERS), 0)
        return TableLayout(names, (chosen or (named,))[0], targets=chosen, left_out=left_out, is_declared=bool(chosen))
    body = list(zip(*(row for row in rows[names:] if len(row) == columns), strict=True))
    taken = {*chosen, *left_out}
    free = [n for n in range(columns) if n not in taken]
    surplus = columns - len(left_out) - values - (len(chosen) or targets or 1) if values else 0
    index = _index_column(first if names else None, body, surplus) if 0 in free else None
    leading = next((n for n in free if n != index), 0)
    timestamps = leading if leading in free and all(map(is_timestamp, body[leading])) else None
    if chosen:
        return TableLayout(names, chosen[0], index, timestamps, chosen, left_out, True)
    candidates = [n for n in free if n not in (index, timestamps)]
    if targets:
        chosen = _targets(rows[0], names, candidates, targets)
        return TableLayout(names, chosen[0], index, timestamps, chosen, left_out)
    labels = [n for n in candidates if names and len(first) == columns and first[n] in HEADERS]
    label = labels[0] if labels else _label_column(body, candidates or [0], classes)
    return TableLayout(names, label, index, timestamps, (), left_out)


def find_unlabelled(rows: Sequence[Sequence[str]], values: int, declared: DeclaredColumns) -> TableLayout | None:
    """The layout of a table for prediction, with or without the columns that the source names; None where no layout leaves this
    many values per line. Raises ColumnError where two columns have the name of a column of values."""
    order = order_by_name(declared.values, rows[0])
    if order:
        left_out = _others(rows[0], declared, order)
        return TableLayout(True, 0, left_out=left_out, has_label=False, order=order)
    cells = [cell.lower() for cell in rows[0]]
    label, unread = (
        tuple(name for name in names if isinstance(name, int) or name.lower() in cells)
        for names in (declared.label, declared.unread)
    )
    for tried in ((label, unread), ((), unread), (label, ()), ((), ())):
        with suppress(ColumnError):
            layout = find_layout(rows, values, declared=DeclaredColumns(*tried, declared.header))
            layout = layout._replace(has_label=bool(tried[0]))
            if len(cells) - len(layout.not_values) == values:
                return layout
            if layout.row_numbers is not None and len(cells) - len(layout.not_values) + 1 == values:
                return layout._replace(row_numbers=None)
    return None


def require_value_names(layout: TableLayout, first: Sequence[str], names: Sequence[str]) -> None:
    """Raises ColumnError for a header that lacks a column by whose name a trained network knows its values.

    Without a header columns are taken in order. `first` are the cells of the first line.
    """
    if not names or layout.order or not layout.header:
        return
    present = {cell.lower() for cell in first}
    missing = [name for name in names if name.lower() not in present] or names
    shown = listed(missing, _SHOWN)
    found = f"there is no column {shown}" if len(missing) == 1 else f"there are no columns {shown}"
    problem = f"{found}, which the training table has"
    order = f"in the order {listed(names, _SHOWN)}"
    raise ColumnError(problem, f"name the columns as in training; without a header they are taken {order}")


def order_by_name(names: Sequence[str], first: Sequence[str]) -> tuple[int, ...]:
    """The columns with these names, in their order; () where the first line does not have them all. Raises ColumnError."""
    present = {cell.lower() for cell in first}
    if not all(name.lower() in present for name in names):
        return ()
    try:
        found = column_numbers(names, first, True, len(first))
    except ColumnError as error:
        raise ColumnError(str(error), "the network takes it by its name: delete or rename the others") from error
    return found if len(found) == len(names) else ()


def _others(first: Sequence[str], declared: DeclaredColumns, known: Iterable[int | None]) -> tuple[int, ...]:
    """The columns that are neither known nor named by the source."""
    cells, named = [cell.lower() for cell in first], (*declared.label, *declared.unread)
    present = [name for name in named if isinstance(name, int) or name.lower() in cells]
    known = {*known, *column_numbers(present, first, True, len(first))}
    return tuple(n for n in range(len(first)) if n not in known)


def _beside_values(
    rows: Sequence[Sequence[str]], order: tuple[int, ...], classes: int, declared: DeclaredColumns, targets: int
) -> TableLayout:
    """The layout of a table of which the columns of values are known: the others hold the label or targets. Raises ColumnError."""
    unread = (*declared.unread, *(n + 1 for n in order))
    layout = find_layout(rows, 0, classes, declared._replace(unread=unread, header=True, values=()), targets)
    taken = layout.targets or (layout.label,)
    if set(taken) & {*order, layout.row_numbers, layout.timestamps}:
        raise ColumnError(
            "there is no column of labels beside those of the values", "name it as in training, or with `label=`"
        )
    known = (*order, *taken, layout.row_numbers, layout.timestamps)
    return layout._replace(left_out=_others(rows[0], declared, known), order=order)


def _targets(first: Sequence[str], header: bool, candidates: Sequence[int], count: int) -> tuple[int, ...]:
    """The columns of targets, which the header names: `target`, or `target_1`, `target_2`, ... Raises ColumnError."""
    named = [n for n in candidates if header and n < len(first) and _TARGET_NAME.fullmatch(first[n].lower())]
    if len(named) == count:
        return tuple(named)
    if count == 1:
        raise ColumnError("which column holds the target?", "name it, such as `label=last`")
    last = ", ".join(str(n + 1) for n in candidates[-count:])
    raise ColumnError(f"which {count} columns hold the targets?", f"name them, such as `label=[{last}]`")


_TARGET_NAME = re.compile(r"(label|class|target|y)[ _.-]?\d*")


def _has_header(rows: Sequence[Sequence[str]], declared: DeclaredColumns) -> bool:
    """Whether the first line is a header: as the source says, if it names one of its cells, or by what the lines hold."""
    if declared.header is not None:
        return declared.header
    asked = [name for name in (*declared.label, *declared.unread) if isinstance(name, str)]
    first = [cell.lower() for cell in rows[0]]
    if any(name.lower() in first for name in asked):
        return True
    if asked:
        raise _no_column(asked[0], rows[0], has_names(rows))
    return has_names(rows) or any(name in HEADERS for name in first)


def column_numbers(columns: Sequence[str | int], first: Sequence[str], header: bool, count: int) -> tuple[int, ...]:
    """Columns that the source names, as numbers from 0. Raises ColumnError."""
    numbers = []
    exact = _columns_by_name(first if header else ())
    any_case = _columns_by_name([name.lower() for name in first] if header else ())
    for column in columns:
        if isinstance(column, int):
            if column > count:
                raise ColumnError(f"there is no column {column}; the table has {count}")
            numbers.append(column - 1 if column > 0 else count - 1)
            continue
        same = exact.get(column) or any_case.get(column.lower())
        if not same:
            raise _no_column(column, first, header)
        if len(same) > 1:
            raise ColumnError(f"{len(same)} columns are named {column}", f"write its number, such as {same[0] + 1}")
        numbers.append(same[0])
    return tuple(dict.fromkeys(numbers))


def _columns_by_name(names: Sequence[str]) -> dict[str, list[int]]:
    """The columns of each name, in order."""
    columns: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        columns.setdefault(name, []).append(number)
    return columns


def _no_column(column: str, first: Sequence[str], header: bool) -> ColumnError:
    if not header:
        return ColumnError(
            f"there is no column {column}: the table has no header", "write its number, such as 1, first or last"
        )
    near = nearest(column, first)
    shown = listed(filter(None, first), _SHOWN)
    return ColumnError(f"there is no column {column}", f"write `{near}`" if near else f"the columns are {shown}")


def find_sentences(rows: Sequence[Sequence[str]], sentences: int) -> TableLayout:
    """The layout of a table with a label and this many sentences per line; `rows` holds at least one line."""
    first = [cell.strip().lower() for cell in rows[0]]
    columns = list(zip(*(row for row in rows if len(row) == len(first)), strict=True))
    is_numbered = first[0] in INDEX_NAMES or are_consecutive(columns[0][1:] or ("",))
    index = 0 if len(first) == sentences + 2 and is_numbered else None
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
        return not body or any(is_number(cell) or is_timestamp(cell) for cell in body[0][1:])
    ends = {n: [row[n] for row in body if len(row) == len(first)] for n in (0, len(first) - 1)}
    return any(_names_numbers(first[n], column) for n, column in ends.items()) or _holds_scale(first, body)


def _names_numbers(cell: str, column: Sequence[str]) -> bool:
    """Whether a cell is a word, or empty over 0, 1, 2, ..., where all cells below it are numbers."""
    if not column or any(parse_number(c) is None for c in column):
        return False
    is_word = any(map(str.isalpha, cell)) and parse_number(cell) is None and cell.lower() not in _MISSING
    return is_word or (not cell and len(column) > 1 and are_consecutive(column))


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
        is_scale = _rises if named and len(body) >= _FEW_ROWS and end - lead > _FEW_ROWS else are_consecutive
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


def are_consecutive(cells: Sequence[str]) -> bool:
    """Whether the cells are consecutive whole numbers from 0 or 1."""
    numbers = [parse_number(cell) for cell in cells]
    if numbers[0] not in (0, 1):
        return False
    return all(a is not None and b == a + 1 for a, b in pairwise(numbers))


def _index_column(names: Sequence[str] | None, body: Sequence[Sequence[str]], surplus: int) -> int | None:
    """0 where the first column numbers the lines: it is named so, or is one column too many."""
    is_named = names is not None and names[0] in INDEX_NAMES
    return 0 if len(body) > 2 and (is_named or surplus == 1) and are_consecutive(body[0]) else None


def _label_column(body: Sequence[Sequence[str]], candidates: Sequence[int], classes: int) -> int:
    """The first or the last column: the one with as many different cells as there are classes, or that holds names or
    few whole numbers; of equals the first."""
    first, last = candidates[0], candidates[-1]
    if classes and len(body[0]) < SAMPLE - 1:
        for n in (first, last):
            if holds_labels(body[n]) and len(set(body[n])) == classes:
                return n
    counts = [len(set(body[n])) for n in (first, last)]
    if _whole(body[first]) and holds_labels(body[last]) and 1 < counts[1] <= _MANY_CLASSES < counts[0]:
        return last  # the first holds measurements in whole numbers
    return first if holds_labels(body[first]) or not holds_labels(body[last]) or _whole(body[first]) else last


def holds_labels(column: Sequence[str]) -> bool:
    """Whether a column holds names, or whole numbers of which many are equal."""
    if not all(map(is_number, column)):
        return not all(map(is_timestamp, column))
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


_DATE = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
_TIME = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?"
_TIMESTAMP = re.compile(rf"({_DATE})([T ]+{_TIME})?( ?(Z|UTC|[+-]\d{{2}}:?\d{{2}}))?|{_TIME}", re.ASCII)


def is_timestamp(cell: str) -> bool:
    """Whether a cell is a date, a time, or both: `2024-01-31`, `31.1.2024 12:05`, `12:05:30`."""
    return _TIMESTAMP.fullmatch(cell) is not None
