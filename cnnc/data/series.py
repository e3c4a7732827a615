"""`data series "beats.csv"`: series of one channel and their labels, one a line; or of several channels, in a .npz.

A line is `label, v1, v2, ...`, separated by commas, semicolons or tabs (one of them throughout; the first line tells
which). Every line has the same number of values: that of the network's input 1xT, or T. A first line whose values are
no numbers, or whose label is `label`, `class` or `target`, is a header. A .npz holds x (N, C, T) and y, and is read by `npz`.

In: a `Request`. Out: a `Dataset` of float32 (N, 1, T), or (N, T) for a network that takes a vector, and labels;
classes are the labels, sorted. The test share is drawn from the seed, from each class alike. Memory grows with the
lines that are there. Every defect is an E602 that names file and line.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc.core.tensor import format_shape
from cnnc.data import Request
from cnnc.data.dataset import Dataset, Split
from cnnc.data.lines import lines
from cnnc.data.sources import bad, locate
from cnnc.data.splits import HEADERS, check_classes, classes_of, number, share_out, tell_classes
from cnnc.diagnostics import CnncError

_LARGEST = float(np.finfo(np.float32).max)


def read(request: Request) -> Dataset:
    """The series of a file. Raises E602, E603."""
    place = locate(request, "series", "series.csv")
    if place.suffix.lower() == ".npz":
        from cnnc.data import npz

        return npz.read_file(request, place, "series")
    shape = _shape(request)
    values = array("f")
    labels: list[str] = []
    length = math.prod(shape) if shape else 0
    for line, label, row in _rows(place):
        length = length or len(row)
        if len(row) != length:
            whose = "the network takes" if shape else "the first line has"
            raise bad(f"{place}:{line}", f"expected {length} values, which {whose}, found {len(row)}")
        values.extend(row)
        labels.append(label)
    if not labels:
        raise bad(place, "expected series, found none")
    classes, places = classes_of(labels)
    check_classes(request, classes, place)
    tell_classes(request, place, classes, places)
    # (N * T,) -> (N, 1, T)
    series = np.frombuffer(values, np.float32).reshape(len(labels), *(shape or (1, length)))
    return Dataset("series", classes, *share_out(request, place, Split.of(series, places), places))


def _shape(request: Request) -> tuple[int, ...]:
    """The shape of a series, () where it is not known. Raises E602 for a network that takes none of one channel."""
    shapes = [entry.shape for entry in request.inputs]
    if not shapes:
        return ()
    if len(shapes) > 1 or len(shapes[0]) > 2 or (len(shapes[0]) == 2 and shapes[0][0] != 1):
        found = " and ".join(map(format_shape, shapes))
        raise CnncError.of(
            "E602",
            f"the network takes {found}; a file of lines holds series of one channel, 1xT",
            help="for several channels write a .npz of x (N, C, T) and y, and name that",
        )
    return shapes[0]


def _rows(path: Path) -> Iterator[tuple[int, str, list[float]]]:
    """The number, the label and the values of each line that is not blank."""
    for line, (label, *cells) in _lines(path):
        if not cells:
            raise bad(f"{path}:{line}", "expected a label and its values, separated by commas, semicolons or tabs")
        if not label:
            raise bad(f"{path}:{line}", "expected a label, found none")
        yield line, label, _values(f"{path}:{line}", cells)


def read_unlabelled(path: Path, length: int) -> NDArray[np.float32]:
    """The series of a file for a network to look at, (N, length); lines may begin with a label, which is left out.

    Without a length (0) it is that of the first line, whose first cell is a label where it is no number. Raises E602.
    """
    rows = []
    for line, cells in _lines(path):
        length = length or len(cells) - (not _is_number(cells[0]))
        if len(cells) not in (length, length + 1):
            raise bad(f"{path}:{line}", f"expected {length} values, with or without a label, found {len(cells)}")
        rows.append(_values(f"{path}:{line}", cells[-length:]))
    if not rows:
        raise bad(path, "expected series, found none")
    return np.array(rows, np.float32)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line that is neither blank nor a header."""
    separator = ""
    for line, text in lines(path):
        if not text.strip():
            continue
        first = not separator
        separator = separator or next((mark for mark in "\t;," if mark in text), ",")
        cells = [_bare(cell) for cell in text.split(separator)]
        header = cells[0].lower() in HEADERS or (len(cells) > 1 and not any(map(_is_number, cells[1:])))
        if not (first and header):
            yield line, cells


def _bare(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1].strip() if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _way(cells: list[str], place: int) -> str:
    """What helps where a cell is no number."""
    cell = cells[place]
    if cell.lower() in ("", "nan", "na"):
        return "fill in what is missing, or leave the line out"
    if "," in cell:
        return "write decimals with a point"
    return "the label comes first, before the values" if place == len(cells) - 1 and number(cell) is None else ""


def _is_number(cell: str) -> bool:
    return number(cell) is not None or cell.lower() in ("", "nan", "na", "inf", "-inf")


def _values(where: str, cells: list[str]) -> list[float]:
    try:  # the quick way; what Python takes for numbers beyond the usual is looked for below
        row = [float(cell) for cell in cells]
        if all(-_LARGEST <= value <= _LARGEST for value in row) and "_" not in "".join(cells):
            return row
    except ValueError:
        pass
    for place, cell in enumerate(cells):
        value = number(cell)
        if value is None or abs(value) > _LARGEST:
            raise bad(where, f"expected a number as value {place + 1}, found {cell[:40]!r}", _way(cells, place))
    return [float(cell) for cell in cells]
