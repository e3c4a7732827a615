"""`data series "beats.csv"`: a table with one example per line: a label or targets, and the values of one series.

A line is `label, v1, v2, ...`, separated by commas, semicolons or tabs (the same throughout, as in the first line, or in a
line `sep=;` before it). Every line has the same number of values: that of the network's input 1xT, or T. `table_layout`
finds out whether the first line is a header, whether the first column numbers the lines or holds timestamps, and whether
the label stands last; what it finds is reported. The source may name all that: `label=`, `index=`, `header=`. `number_format`
finds out how numbers are written. Where a header names the columns of values, later tables may have them in another order. A
folder holds a table for each share: train.csv and test.csv. A .npz holds x (N, C, T) and y; `npz` reads it.

In: a `Request`. Out: a `Dataset` of float32 series (N, 1, T), or (N, T) for a network that takes a vector, and labels, of which the
same fraction of each class becomes the test split; or values (N, targets) for a network that predicts numbers. Classes are the
labels, sorted. Memory grows with the lines read. Every error is an E602 that names file and line.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import reason
from cnnc.core.listing import listed
from cnnc.core.tensor import format_shape
from cnnc.data import Report, Request, ignore_report
from cnnc.data.csv_rows import declared_separator, separator_of, unquoted
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.file_tree import bad_file, locate
from cnnc.data.lines import peek, read_lines
from cnnc.data.number_format import AmbiguousNumbers, find_number_format
from cnnc.data.shares import SHARES, TRAINING, share_of, shares_of
from cnnc.data.splits import class_indices_of, parse_number, report_classes, require_classes
from cnnc.data.table_layout import (
    NOTHING_DECLARED,
    SAMPLE,
    ColumnError,
    DeclaredColumns,
    TableLayout,
    find_layout,
    find_unlabelled,
    has_names,
    holds_labels,
    holds_measurements,
    is_number,
    is_timestamp,
    order_by_name,
    require_value_names,
)
from cnnc.diagnostics import CnncError

_SUFFIXES = (".csv", ".tsv", ".txt")
_SHOWN = 3
_LARGEST = float(np.finfo(np.float32).max)


def read(request: Request) -> Dataset:
    """Reads the series of a file, or of the files of a folder. Raises CnncError E602, E603."""
    path = locate(request, "series", "series.csv")
    if path.suffix.lower() == ".npz":
        from cnnc.data import npz

        return npz.read_file(request, path, "series")
    shape = _shape(request)
    files, unread = _files(path) if path.is_dir() else ({TRAINING: path}, ())
    if unread:
        request.report(f"{path}: not read: {listed(unread, _SHOWN)}")
    table = _Table(math.prod(shape) if shape else 0, request.columns)
    for share, file in files.items():
        table.read(file, request, SHARES.index(share))
    # (N * T,) -> (N, 1, T)
    series = np.frombuffer(table.values, np.float32).reshape(len(table.labels), *(shape or (1, table.length)))
    classes: tuple[str, ...] = ()
    targets: NDArray[Any] | None = None
    if not table.labels[0]:
        request.report(f"{path}: no labels: each line has the {table.length} values that the network takes")
    elif request.target_values:
        targets = table.target_values()
    else:
        classes, targets = class_indices_of([label for (label,) in table.labels])
        require_classes(request, classes, path, "" if request.label else "; `label=` names another column of labels")
        report_classes(request, path, classes, targets)
    examples = Split((series,), () if targets is None else (targets,))
    labels = targets if classes else None
    facts = ReadFacts(str(path), unread)
    shares = shares_of(request, path, classes, examples, labels, np.array(table.shares))
    return replace(shares.data_set("series", classes, facts), columns=table.names)


class _Table:
    """The examples of one or several files, in order: values one after the other, and of each example the labels or targets, its
    share, and its line. `names` are those of the columns of values, from a trained network or the first file; () without."""

    def __init__(self, length: int, names: tuple[str, ...]) -> None:
        self.length = length
        self.names = names
        self._whose = "the network takes" if length else "the first line has"
        self.values = array("f")
        self.labels: list[list[str]] = []
        self.shares: list[int] = []
        self._lines: list[str] = []

    def read(self, path: Path, request: Request, share: int) -> None:
        """Adds the examples of a file, at least one. Raises CnncError E602."""
        before = len(self.labels)
        opened = _open(path, request, self.length, self.names)
        self.names = self.names or opened.layout.value_names(opened.first)
        for line, label, row in _rows(path, opened):
            self.length = self.length or len(row)
            if len(row) != self.length:
                raise bad_file(
                    f"{path}:{line}", f"expected {self.length} values, which {self._whose}, found {len(row)}"
                )
            self.values.extend(row)
            self.labels.append(label)
            self._lines.append(f"{path}:{line}")
        if len(self.labels) == before:
            raise bad_file(path, "expected series, found none")
        if len(self.names) != self.length:  # the header lacks the name of a column, as those of R do
            self.names = ()
        self.shares += [share] * (len(self.labels) - before)

    def target_values(self) -> NDArray[np.float32]:
        """The targets as numbers (N, targets). Raises CnncError E602."""
        values = array("f")
        for where, cells in zip(self._lines, self.labels, strict=True):
            for cell in cells:
                value = parse_number(cell)
                if value is None or abs(value) > _LARGEST:
                    raise bad_file(where, f"expected a number as target, found {cell[:40]!r}")
                values.append(value)
        return np.frombuffer(values, np.float32).reshape(len(self.labels), -1)


def _files(folder: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The tables of a folder by their shares, such as train.csv and test.csv or Name_TRAIN.tsv, and the files that are not read: others,
    and a table that lacks columns of train.csv, as one without labels does. Raises CnncError E602."""
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise bad_file(folder, f"cannot be read ({reason(error)})") from error
    found: dict[str, Path] = {}
    for path in files:
        shares = {share_of(word) for word in re.split(r"[\W\d_]+", path.stem)} - {None}
        if path.suffix.lower() in _SUFFIXES and len(shares) == 1:
            found.setdefault(str(shares.pop()), path)
    if TRAINING not in found:
        raise bad_file(folder, "expected tables train.csv and test.csv, found no table of training", "name the file")
    columns = {
        share: max((len(cells) for _, cells in islice(_lines(path), 2)), default=0) for share, path in found.items()
    }
    kept = {share: found[share] for share in SHARES if share in found and columns[share] >= columns[TRAINING]}
    return kept, tuple(path.name for path in files if path not in kept.values())


def _shape(request: Request) -> tuple[int, ...]:
    """The shape of one series, () where it is not known. Raises CnncError E602 for a network with another input."""
    shapes = [entry.shape for entry in request.inputs]
    if not shapes:
        return ()
    if len(shapes) > 1 or len(shapes[0]) > 2 or (len(shapes[0]) == 2 and shapes[0][0] != 1):
        found = " and ".join(map(format_shape, shapes))
        raise CnncError.of(
            "E602",
            f"the network takes {found}; a text file holds series of one channel, 1xT",
            help="save several channels as x (N, C, T) and y in a .npz file, and name that file",
        )
    return shapes[0]


class _OpenTable(NamedTuple):
    """A table whose layout is found: the cells of its first line, and all its lines, the first too, with their numbers."""

    layout: TableLayout
    first: list[str]
    lines: Iterator[tuple[int, list[str]]]


def _open(path: Path, request: Request, length: int, names: tuple[str, ...]) -> _OpenTable:
    """A table of a data set; what is not as documented is reported. Raises CnncError E602, also where it is empty."""
    sample, lines = _table(path, request.report, request.decimal)
    layout = _layout(path, request, sample, length, names)
    if layout.has_label and not request.target_values:
        _require_labels(path, request, sample, layout)
    for finding in layout.findings(sample[0]):
        request.report(f"{path}: {finding}")
    return _OpenTable(layout, sample[0], lines)


def _rows(path: Path, table: _OpenTable) -> Iterator[tuple[int, list[str], list[float]]]:
    """The number, labels or targets, and values of each line with data. Raises CnncError E602."""
    layout, columns = table.layout, len(table.first)
    others = layout.not_values
    targets = (layout.targets or (layout.label,)) if layout.has_label else ()
    for line, cells in islice(table.lines, layout.header, None):
        if len(cells) < 2 and targets:
            raise bad_file(f"{path}:{line}", "expected a label and its values, separated by commas, semicolons or tabs")
        if layout.order or others != (0,) or targets != (0,):
            _require_cells(f"{path}:{line}", cells, columns)
        label = [cells[n] for n in targets]
        if not all(label):
            raise bad_file(f"{path}:{line}", "expected a label, found none")
        values = cells[1:] if others == (0,) and not layout.order else layout.split(cells)[1]
        yield line, label, _values(f"{path}:{line}", values, cells, layout, table.first)


def _layout(path: Path, request: Request, sample: list[list[str]], length: int, names: tuple[str, ...]) -> TableLayout:
    """The layout of a table as the source says, as a trained network knows it, or as it looks. Raises CnncError E602."""
    declared = DeclaredColumns(request.label, request.index, request.header, names)
    if len(sample[0]) == 1 and declared == NOTHING_DECLARED:
        return TableLayout(False, 0)
    try:
        layout = _found_layout(request, sample, length, declared)
        require_value_names(layout, sample[0], names)
    except ColumnError as error:
        raise bad_file(path, str(error), error.help) from error
    if not layout.has_label:
        return layout
    if max(layout.not_values, default=0) >= len(sample[0]):
        problem = f"the first line has {len(sample[0])} cells, most lines have more"
        raise bad_file(path, problem, "give all lines, a header too, the same number of cells")
    if request.target_values not in (0, len(layout.targets)):
        count, columns = request.target_values, len(layout.targets)
        message = f"label= names {columns} column{'s' * (columns != 1)}; the network's output has {count} values"
        raise bad_file(path, message, f"name {count} columns, or end with `fc {columns}`")
    if len(layout.targets) > 1 and not request.target_values:
        raise bad_file(path, f"label= names {len(layout.targets)} columns; an example has one class", "name one column")
    return layout


def _found_layout(request: Request, sample: list[list[str]], length: int, declared: DeclaredColumns) -> TableLayout:
    """The layout of a table with or without labels. Raises ColumnError."""
    if request.inputs and not (request.classes or request.target_values or request.label):
        unlabelled = find_unlabelled(sample, length, declared)  # an autoencoder needs no labels
        if unlabelled is not None and not unlabelled.has_label:
            return unlabelled
    return find_layout(sample, length, request.classes, declared, request.target_values)


def _require_labels(path: Path, request: Request, sample: list[list[str]], layout: TableLayout) -> None:
    """Raises CnncError E602 where the column of labels holds measurements, which are no classes."""
    column = [row[layout.label] for row in sample[layout.header :] if len(row) == len(sample[0])]
    if not holds_measurements(column):
        return
    found = f"found {len(set(column)):,} different fractional numbers"
    values = "values to predict, instead of classes, need `loss mse`"
    if layout.is_declared:
        name = layout.name(layout.label, sample[0])
        raise bad_file(path, f"expected labels in column {name}, {found}", values)
    message = f"expected labels in the first or last column, {found}"
    likely = layout.name(_likely_label(sample, layout), sample[0])
    raise bad_file(path, message, f"name the column of the label, such as `label={likely}`; {values}")


def _likely_label(sample: list[list[str]], layout: TableLayout) -> int:
    """The first column between the others that holds names or few whole numbers, else the second one."""
    body = list(zip(*(row for row in sample[layout.header :] if len(row) == len(sample[0])), strict=True))
    return next((n for n in layout.values(len(body)) if holds_labels(body[n])), 1)


def read_unlabelled(
    path: Path,
    length: int,
    report: Report = ignore_report,
    declared: DeclaredColumns = NOTHING_DECLARED,
    decimal: str | None = None,
) -> NDArray[np.float32]:
    """The series of a file without their labels, (N, length), for prediction.

    A length of 0 means that of the first line, whose first cell is a label if it is not a number. `declared` and `decimal` are what
    the source and the training say of the table that the network was trained on: where the header has the names of its columns,
    they may be in any order, beside others. `report` receives what is not as documented, such as a header of numbers. Raises
    CnncError E602, also for a header that lacks one of these columns.
    """
    sample, lines = _table(path, report, decimal)
    length = length or len(sample[0]) - (not is_number(sample[-1][0]))
    columns = max(map(len, sample))
    try:
        layout = _unlabelled_layout(sample, columns, length, declared)
        if len(sample) == 1 and not layout.order:  # nothing follows that it could be the header of
            layout = layout._replace(header=False)
        require_value_names(layout, sample[0], declared.values)
    except ColumnError as error:
        raise bad_file(path, str(error), error.help) from error
    length = len(layout.order) or length
    for finding in layout.findings(sample[0]):
        report(f"{path}: {finding}")
    rows = []
    for line, cells in islice(lines, layout.header, None):
        if layout.order:
            _require_cells(f"{path}:{line}", cells, len(sample[0]))
        values = layout.split(cells)[1] if layout.order or len(cells) == columns > length else cells
        if len(values) != length:
            raise bad_file(f"{path}:{line}", f"expected {length} values, with or without a label, found {len(cells)}")
        rows.append(_values(f"{path}:{line}", values, cells, layout, sample[0]))
    if not rows:
        raise bad_file(path, "expected series, found none")
    return np.array(rows, np.float32)


def _unlabelled_layout(sample: list[list[str]], columns: int, length: int, declared: DeclaredColumns) -> TableLayout:
    """The layout of a table for prediction."""
    labelled = sample[:1] + [cells for cells in sample[1:] if len(cells) == columns]
    is_named = bool(order_by_name(declared.values, sample[0]))
    if is_named or (len(sample[0]) == columns and (declared != NOTHING_DECLARED or columns > length)):
        layout = find_unlabelled(labelled, length, declared)
        if layout is not None:
            return layout
    return find_layout(labelled, length) if columns > max(1, length) else TableLayout(has_names(sample), 0)


def _require_cells(where: str, cells: list[str], count: int) -> None:
    """Raises CnncError E602 for a line with another number of cells than the first one."""
    if len(cells) != count:
        raise bad_file(where, f"expected {count} cells, as in the first line, found {len(cells)}")


def _table(
    path: Path, report: Report, decimal: str | None = None
) -> tuple[list[list[str]], Iterator[tuple[int, list[str]]]]:
    """The cells of the first lines of a table, and all lines with their numbers; cells are numbers as Python writes them.

    Raises CnncError E602, also for a table without a line.
    """
    begin, lines = peek(_lines(path), SAMPLE)
    if not begin:
        raise bad_file(path, "expected series, found none")
    try:
        number_format = find_number_format([cells for _, cells in begin], decimal)
    except AmbiguousNumbers as error:
        raise bad_file(path, f"{error} may be two numbers", error.help) from error
    for finding in number_format.findings():
        report(f"{path}: {finding}")
    if not number_format.is_plain:
        plain = number_format.plain
        begin, lines = peek(((line, [plain(cell) for cell in cells]) for line, cells in lines), SAMPLE)
    return [cells for _, cells in begin], lines


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line that is not blank; the first line may be a header. Raises CnncError E602."""
    separator = ""
    for line, text in read_lines(path):
        if not text.strip():
            continue
        if not separator:
            separator = declared_separator(text)
            if separator:
                continue
            separator = separator_of(text)
        if '"' not in text:
            yield line, [cell.strip() for cell in text.split(separator)]
            continue
        if text.count('"') % 2:
            raise bad_file(f"{path}:{line}", "the quotes of a cell do not end in its line")
        yield line, [unquoted(cell).strip() for cell in _cells_of(separator).findall(text + separator)]


@cache
def _cells_of(separator: str) -> re.Pattern[str]:
    """Matches each cell of a line that ends in a separator; inside quotes a separator is part of the cell."""
    return re.compile(rf'((?:[^{separator}"]|"[^"]*")*){separator}')


def _help(cells: list[str], position: int, layout: TableLayout, first: list[str]) -> str:
    """Help for a cell that is not a number; `position` counts all cells of the line, `first` are those of the first line."""
    cell = cells[position]
    if layout.header and cells == first:
        return "the header is repeated: leave the line out"
    if cell.lower() in ("", "nan", "na"):
        return "fill in what is missing, or leave the line out"
    if is_timestamp(cell) and not layout.order:
        return f"it is a timestamp: leave the column out with `{_left_out(position, layout, first)}`"
    if "," in cell:
        return "write decimals with a point"
    if parse_number(cell) is not None or layout.order:  # a trained network needs the column
        return ""
    if position == len(cells) - 1 and not layout.is_declared:
        return "the label comes first, before the values; `label=last` names another column"
    may_be_label = layout.has_label and not layout.is_declared and not layout.targets
    label = f"; if it is the label, write `label={layout.name(position, first)}`" if may_be_label else ""
    return f"leave a column that holds no numbers out with `{_left_out(position, layout, first)}`{label}"


def _left_out(position: int, layout: TableLayout, first: list[str]) -> str:
    """The argument of the source that leaves a column out, with those that are left out already."""
    names = [layout.name(n, first) for n in (*layout.left_out, position)]
    return f"index={names[0]}" if len(names) == 1 else f"index=[{', '.join(names)}]"


def _values(where: str, values: list[str], cells: list[str], layout: TableLayout, first: list[str]) -> list[float]:
    """The values of a line, which are some of its cells. Raises CnncError E602."""
    try:  # the fast path; cells such as `1_0`, `nan` or `١`, which float() accepts, are found below
        row = [float(cell) for cell in values]
        text = "".join(values)
        if all(-_LARGEST <= value <= _LARGEST for value in row) and "_" not in text and text.isascii():
            return row
    except ValueError:
        pass
    is_whole = len(values) == len(cells) and not layout.order
    columns = range(len(cells)) if is_whole else layout.values(len(cells))
    for number, (column, cell) in enumerate(zip(columns, values, strict=False), 1):
        value = parse_number(cell)
        if value is None or abs(value) > _LARGEST:
            what = f"value {number}" + (
                f" ({first[column]})" if layout.header and column < len(first) and first[column] else ""
            )
            raise bad_file(
                where, f"expected a number as {what}, found {cell[:40]!r}", _help(cells, column, layout, first)
            )
    return [float(cell) for cell in values]
