"""`data series "beats.csv"`: labelled series of one channel, one per line; or of several channels, in a .npz.

A line is `label, v1, v2, ...`, separated by commas, semicolons or tabs (the same throughout, as in the first line, or in a
line `sep=;` before it). Every line has the same number of values: that of the network's input 1xT, or T. `table_layout`
finds out whether the first line is a header, whether the first column numbers the lines, and whether the label stands
last; what it finds is reported. A .npz holds x (N, C, T) and y; `npz` reads it.

In: a `Request`. Out: a `Dataset` of float32 series (N, 1, T), or (N, T) for a network that takes a vector, and labels;
classes are the labels, sorted. The same fraction of each class becomes the test split. Memory grows with the lines read.
Every error is an E602 that names file and line.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc.core.tensor import format_shape
from cnnc.data import Report, Request, ignore_report
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.file_tree import bad_file, locate
from cnnc.data.lines import peek, read_lines
from cnnc.data.splits import class_indices_of, parse_number, report_classes, require_classes, split_off_test
from cnnc.data.table_layout import SAMPLE, TableLayout, find_layout, has_names, holds_measurements, is_number
from cnnc.diagnostics import CnncError

_SEPARATOR_LINE = re.compile(r"sep=([;,\t])", re.IGNORECASE)  # as spreadsheet programs write it
_LARGEST = float(np.finfo(np.float32).max)


def read(request: Request) -> Dataset:
    """Reads the series of a file. Raises CnncError E602, E603."""
    path = locate(request, "series", "series.csv")
    if path.suffix.lower() == ".npz":
        from cnnc.data import npz

        return npz.read_file(request, path, "series")
    shape = _shape(request)
    values = array("f")
    labels: list[str] = []
    length = math.prod(shape) if shape else 0
    for line, label, row in _rows(path, request, length):
        length = length or len(row)
        if len(row) != length:
            whose = "the network takes" if shape else "the first line has"
            raise bad_file(f"{path}:{line}", f"expected {length} values, which {whose}, found {len(row)}")
        values.extend(row)
        labels.append(label)
    if not labels:
        raise bad_file(path, "expected series, found none")
    classes, class_indices = class_indices_of(labels)
    require_classes(request, classes, path)
    report_classes(request, path, classes, class_indices)
    # (N * T,) -> (N, 1, T)
    series = np.frombuffer(values, np.float32).reshape(len(labels), *(shape or (1, length)))
    train, test = split_off_test(request, path, Split.of(series, class_indices), class_indices)
    return Dataset("series", classes, train, test, facts=ReadFacts(str(path)))


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


def _rows(path: Path, request: Request, length: int) -> Iterator[tuple[int, str, list[float]]]:
    """The number, label and values of each line with data. Raises CnncError E602."""
    begin, lines = peek(_lines(path), SAMPLE)
    sample = [cells for _, cells in begin]
    if not sample:
        return
    layout = find_layout(sample, length, request.classes) if len(sample[0]) > 1 else TableLayout(False, 0)
    _require_labels(path, sample, layout)
    for finding in layout.findings(sample[0]):
        request.report(f"{path}: {finding}")
    columns = len(sample[0])
    for line, cells in islice(lines, layout.header, None):
        if len(cells) < 2:
            raise bad_file(f"{path}:{line}", "expected a label and its values, separated by commas, semicolons or tabs")
        if len(cells) != columns and layout.label == columns - 1:
            raise bad_file(f"{path}:{line}", f"expected {columns} cells, as in the first line, found {len(cells)}")
        label, values = layout.split(cells)
        if not label:
            raise bad_file(f"{path}:{line}", "expected a label, found none")
        yield line, label, _values(f"{path}:{line}", values)


def _require_labels(path: Path, sample: list[list[str]], layout: TableLayout) -> None:
    """Raises CnncError E602 where the column of labels holds measurements, which are no classes."""
    column = [row[layout.label] for row in sample[layout.header :] if len(row) == len(sample[0])]
    if holds_measurements(column):
        message = (
            f"expected labels in the first or last column, found {len(set(column)):,} different fractional numbers"
        )
        raise bad_file(
            path, message, "put the label first; values to predict, instead of classes, come from `data npz`"
        )


def read_unlabelled(path: Path, length: int, report: Report = ignore_report) -> NDArray[np.float32]:
    """The series of a file without their labels, (N, length), for prediction.

    A length of 0 means that of the first line, whose first cell is a label if it is not a number. `report` receives what is
    not as documented, such as a header of numbers. Raises CnncError E602.
    """
    begin, lines = peek(_lines(path), SAMPLE)
    sample = [cells for _, cells in begin]
    if not sample:
        raise bad_file(path, "expected series, found none")
    length = length or len(sample[0]) - (not is_number(sample[-1][0]))
    columns = max(map(len, sample))
    labelled = sample[:1] + [cells for cells in sample[1:] if len(cells) == columns]
    layout = find_layout(labelled, length) if columns > max(1, length) else TableLayout(has_names(sample), 0)
    if len(sample) == 1:  # nothing follows that it could be the header of
        layout = layout._replace(header=False)
    for finding in layout.findings(sample[0]):
        report(f"{path}: {finding}")
    rows = []
    for line, cells in islice(lines, layout.header, None):
        values = layout.split(cells)[1] if len(cells) == columns > length else cells
        if len(values) != length:
            raise bad_file(f"{path}:{line}", f"expected {length} values, with or without a label, found {len(cells)}")
        rows.append(_values(f"{path}:{line}", values))
    if not rows:
        raise bad_file(path, "expected series, found none")
    return np.array(rows, np.float32)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line that is not blank; the first line may be a header. Raises CnncError E602."""
    separator = ""
    for line, text in read_lines(path):
        if not text.strip():
            continue
        declared = _SEPARATOR_LINE.fullmatch(text.strip(" ")) if not separator else None
        if declared is not None:
            separator = declared[1]
            continue
        separator = separator or next((mark for mark in "\t;," if mark in text), ",")
        yield line, [_unquoted(cell) for cell in text.split(separator)]


def _unquoted(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1].strip() if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _help(cells: list[str], position: int) -> str:
    """Help for a cell that is not a number."""
    cell = cells[position]
    if cell.lower() in ("", "nan", "na"):
        return "fill in what is missing, or leave the line out"
    if "," in cell:
        return "write decimals with a point"
    return (
        "the label comes first, before the values" if position == len(cells) - 1 and parse_number(cell) is None else ""
    )


def _values(where: str, cells: list[str]) -> list[float]:
    try:  # the fast path; cells such as `1_0`, `nan` or `١`, which float() accepts, are found below
        row = [float(cell) for cell in cells]
        text = "".join(cells)
        if all(-_LARGEST <= value <= _LARGEST for value in row) and "_" not in text and text.isascii():
            return row
    except ValueError:
        pass
    for position, cell in enumerate(cells):
        value = parse_number(cell)
        if value is None or abs(value) > _LARGEST:
            raise bad_file(
                where, f"expected a number as value {position + 1}, found {cell[:40]!r}", _help(cells, position)
            )
    return [float(cell) for cell in cells]
