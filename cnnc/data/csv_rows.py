"""Rows of a CSV file whose cells may be in quotes and hold separators and line breaks, as RFC 4180 describes.

In: the lines of a file. Out: `TableRow`s. Cells are separated by commas, semicolons or tabs, whichever comes first in this order
among those of the first line outside its quotes: tab, semicolon, comma; or by what a line `sep=;` before it declares.

    csv_rows("a.csv", ['label,text', 'good,"fine, and funny"'])[1].cells    # ['good', 'fine, and funny']

`separator_of`, `declared_separator` and `unquoted` serve readers whose cells do not reach over lines, and which read line by line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import NamedTuple

from cnnc.data.file_tree import bad_file

_SEPARATOR_LINE = re.compile(r" *sep=([;,\t])\s*", re.IGNORECASE)  # as spreadsheet programs write it
_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*')


class TableRow(NamedTuple):
    """The number of the row's last line in its file, and its cells."""

    line: int
    cells: list[str]


def csv_rows(source: str, lines: Sequence[str]) -> list[TableRow]:
    """The rows that are not blank; `source` names the file in errors. Raises CnncError E602."""
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    separator = declared_separator(lines[first]) if lines else ""
    if separator:
        first += 1
    else:
        separator = separator_of("".join(lines[first : first + 1]))
    reader = csv.reader(lines[first:], delimiter=separator, skipinitialspace=True, strict=True)
    try:
        rows = [TableRow(first + reader.line_num, [_on_one_line(cell) for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise bad_file(f"{source}:{first + reader.line_num}", f"the line is not a line of cells ({error})") from error
    return [row for row in rows if any(row.cells)]


def _on_one_line(cell: str) -> str:
    """A cell without spaces around it; a line break or tab inside, as of a cell that a spreadsheet wrapped, is a space."""
    return re.sub(r"\s*[\n\r\t\v\f]\s*", " ", cell.strip())


def declared_separator(line: str) -> str:
    """The separator that a line `sep=;` before a table declares; "" for any other line."""
    declared = _SEPARATOR_LINE.fullmatch(line)
    return declared[1] if declared is not None else ""


def separator_of(line: str) -> str:
    """The separator of the cells of a line: the first of tab, semicolon and comma that it has outside its quotes."""
    outside_quotes = re.sub(r'"[^"]*"', "", line)
    return next((mark for mark in "\t;," if mark in outside_quotes), ",")


def unquoted(cell: str) -> str:
    """The content of a cell in quotes; any other cell as it is."""
    quoted = _QUOTED.fullmatch(cell)
    return quoted[1].replace('""', '"') if quoted else cell
