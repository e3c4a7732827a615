"""The table of `data images "photos" labels="labels.csv"`: which columns name files, which hold labels or targets.

    file,label            left,right,same            file,x,y,split
    cat/1.jpg,cat         a/1.jpg,a/2.jpg,1          1.jpg,0.25,0.5,train

In: the lines of a table, a `FileFinder`, and what the network takes. Out: an `ImageTable`, whose rows are cells by column. Cells are
separated by commas, semicolons or tabs, and may be in quotes. Every error is an E602 that names the table, and the line
where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cnnc.core.listing import listed
from cnnc.core.tensor import format_shape
from cnnc.data import Request
from cnnc.data.csv_rows import TableRow, csv_rows
from cnnc.data.file_finder import FileFinder
from cnnc.data.file_tree import bad_file
from cnnc.data.number_format import AmbiguousNumbers, find_number_format
from cnnc.data.splits import HEADERS, parse_number
from cnnc.data.table_layout import INDEX_NAMES, ColumnError, are_consecutive, column_numbers

SHARE_HEADERS = ("split", "share", "set", "subset", "partition")
"""Names of a column that says in which share an example is."""

_SAMPLE = 500
_SHOWN = 8


class ImageTable(NamedTuple):
    """A table, and its columns by their numbers from 0: of each input, of the share (None: none), and of the targets.

    A column of files has its input's number in `files`; the columns of numbers for a vector are in `numbers`.
    """

    source: str
    names: tuple[str, ...]
    rows: list[TableRow]
    files: dict[int, int]
    numbers: dict[int, tuple[int, ...]]
    share: int | None
    targets: tuple[int, ...]

    def name(self, column: int) -> str:
        """The name of a column in messages."""
        return self.names[column] if self.names else f"column {column + 1}"


def read_table(request: Request, source: str, lines: Sequence[str], finder: FileFinder) -> ImageTable:
    """Reads a table, and finds its columns. Raises CnncError E602."""
    rows = csv_rows(source, lines)
    if not rows:
        raise bad_file(source, "expected lines of file names and labels, found none")
    columns = len(rows[0].cells)
    uneven = next((row for row in rows if len(row.cells) != columns), None)
    if uneven is not None:
        raise bad_file(
            f"{source}:{uneven.line}", f"expected {columns} cells, as in the first line, found {len(uneven.cells)}"
        )
    header = _has_header(rows, finder) if request.header is None else request.header
    names = tuple(cell.strip() for cell in rows[0].cells) if header else ()
    if header:
        request.report(f"{source}: the first line is a header: {listed(names, _SHOWN)}")
        rows = rows[1:]
    if not rows:
        raise bad_file(source, "expected lines of file names and labels after the header, found none")
    files, numbers = _input_columns(request, source, names, rows, finder)
    used = {*files.values(), *(n for each in numbers.values() for n in each)}
    share = next((n for n, name in enumerate(names) if name.lower() in SHARE_HEADERS and n not in used), None)
    table = ImageTable(source, names, rows, files, numbers, share, ())
    unread = {*used, share, *_named_columns(table, request.index, "index")}
    others = [n for n in range(columns) if n not in unread and not _is_index(names, rows, n)]
    table = _with_plain_numbers(request, table, [*others, *(n for each in numbers.values() for n in each)])
    return table._replace(targets=_target_columns(request, table, others))


def _with_plain_numbers(request: Request, table: ImageTable, columns: Sequence[int]) -> ImageTable:
    """The table with the numbers in some columns as Python writes them, without decimal commas. Raises CnncError E602."""
    try:
        found = find_number_format([[row.cells[n] for n in columns] for row in table.rows], request.decimal)
    except AmbiguousNumbers as ambiguous:
        raise bad_file(table.source, f"{ambiguous} may be two numbers", ambiguous.help) from ambiguous
    if found.is_plain:
        return table
    for finding in found.findings():
        request.report(f"{table.source}: {finding}")
    chosen = set(columns)
    rows = [
        row._replace(cells=[found.plain(cell) if n in chosen else cell for n, cell in enumerate(row.cells)])
        for row in table.rows
    ]
    return table._replace(rows=rows)


def _has_header(rows: Sequence[TableRow], finder: FileFinder) -> bool:
    """Whether the first line names columns: none of its cells is a file, or is written as one, where those below are."""
    first, *others = rows[: _SAMPLE + 1]
    if any(re.search(r"\.\w{2,4}$", cell) or finder.find(cell) for cell in first.cells):
        return False
    words = any(cell.lower() in (*HEADERS, *SHARE_HEADERS) for cell in first.cells)
    return words or any(finder.find(cell) for row in others for cell in row.cells)


def _is_index(names: Sequence[str], rows: Sequence[TableRow], column: int) -> bool:
    """Whether the first column numbers the lines, as pandas writes it."""
    if column or not names or names[0].lower() not in INDEX_NAMES:
        return False
    return are_consecutive([row.cells[0] for row in rows])


# ---- columns of inputs


def _input_columns(
    request: Request, source: str, names: Sequence[str], rows: Sequence[TableRow], finder: FileFinder
) -> tuple[dict[int, int], dict[int, tuple[int, ...]]]:
    """The columns of each input, by the input's number: of files, and of numbers for vectors. Raises CnncError E602."""
    by_name = {name: n for n, name in enumerate(names)}
    files: dict[int, int] = {}
    numbers: dict[int, tuple[int, ...]] = {}
    for n, (name, entry) in enumerate(zip(request.input_names, request.inputs, strict=True)):
        if entry.rank == 0:
            numbers[n] = _number_columns(source, name, entry.size, by_name)
        elif name in by_name and _names_files(rows, by_name[name], finder):
            files[n] = by_name[name]
    images = [n for n, entry in enumerate(request.inputs) if entry.rank]
    if len(files) == len(images):
        return files, numbers
    taken = {n for each in numbers.values() for n in each}
    found = [n for n in _file_columns(names, rows, finder, len(images)) if n not in taken]
    if len(found) != len(images):
        inputs = [request.input_names[n] for n in images]
        problem = f"the network takes {len(inputs)} image{'s' * (len(inputs) != 1)} ({listed(inputs, _SHOWN)}); "
        if not found:
            problem += f"no column names files in the images, for example {listed(rows[0].cells, _SHOWN)}"
        else:
            problem += f"{len(found)} column{'s name' if len(found) != 1 else ' names'} files: "
            problem += listed([names[n] if names else f"column {n + 1}" for n in found], _SHOWN)
        help = f"name the columns of files in the first line as the inputs are named: {', '.join(inputs)}"
        raise bad_file(source, problem, help if found else "name the files as they are in the folder of images")
    return dict(zip(images, found, strict=True)), numbers


def _names_files(rows: Sequence[TableRow], column: int, finder: FileFinder) -> bool:
    """Whether at least half of the cells of a column name files."""
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    return 2 * sum(finder.find(row.cells[column]) is not None for row in sample) >= len(sample)


def _number_columns(source: str, name: str, size: int, by_name: dict[str, int]) -> tuple[int, ...]:
    """The columns of a vector: `age`, or `place1`, `place2`, ... Raises CnncError E602."""
    wanted = [name] if size == 1 and name in by_name else [f"{name}{n}" for n in range(1, size + 1)]
    missing = [column for column in wanted if column not in by_name]
    if missing:
        expected = name if size == 1 else f"{name}1 to {name}{size}"
        raise bad_file(
            source, f"the input {name} takes {size} number{'s' * (size != 1)}; expected {expected} in the first line"
        )
    return tuple(by_name[column] for column in wanted)


def _file_columns(names: Sequence[str], rows: Sequence[TableRow], finder: FileFinder, count: int) -> list[int]:
    """The columns of which at least half of the cells name files; where all are numbers, the first `count` of them."""
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    found: list[int] = []
    numbers: list[int] = []
    for n in range(len(rows[0].cells)):
        if names and names[n].lower() in (*HEADERS, *SHARE_HEADERS):
            continue
        named = [cell for row in sample if finder.find(cell := row.cells[n]) is not None]
        if 2 * sum(parse_number(cell) is None for cell in named) >= len(sample):
            found.append(n)
        elif 2 * len(named) >= len(sample):
            numbers.append(n)
    return found or numbers[:count]


# ---- columns of targets


def _target_columns(request: Request, table: ImageTable, others: Sequence[int]) -> tuple[int, ...]:
    """The columns of the label or of the targets. Raises CnncError E602."""
    if not (request.classes or request.target_values):
        return ()  # the network is compared with its own input
    if request.label:
        return _named_columns(table, request.label, "label")
    size = request.output.size if request.output is not None else 1
    if not others:
        raise bad_file(table.source, "expected a column of labels or targets beside the file names, found none")
    if request.classes:
        return _label_columns(request, table, others)
    numeric = [n for n in others if all(parse_number(row.cells[n]) is not None for row in table.rows)]
    wanted = [n for n in others if n in numeric or len(others) <= size]
    if len(wanted) != size:
        assert request.output is not None
        message = f"the output is {format_shape(request.output.shape)}, and {len(wanted)} columns hold numbers: "
        raise bad_file(table.source, message + listed(map(table.name, wanted), _SHOWN), _help(table, wanted[:size]))
    return tuple(wanted)


def _label_columns(request: Request, table: ImageTable, others: Sequence[int]) -> tuple[int, ...]:
    """The column of the label, or one column of 0 and 1 for each class. Raises CnncError E602."""
    named = [n for n in others if table.names and table.names[n].lower() in HEADERS]
    if len(others) == 1 or named:
        return (named[0] if named else others[0],)
    if len(others) == request.classes and is_one_hot(table.rows, others):
        request.report(f"{table.source}: a column of 0 and 1 for each class: {listed(map(table.name, others), _SHOWN)}")
        return tuple(others)
    message = f"expected one column of labels, found {len(others)}: {listed(map(table.name, others), _SHOWN)}"
    raise bad_file(table.source, message, _help(table, others[:1]))


def is_one_hot(rows: Iterable[TableRow], columns: Sequence[int]) -> bool:
    """Whether in each row one of the columns is 1 and the others are 0."""
    return all(
        sorted(parse_number(row.cells[n]) or 0 for n in columns) == [*[0] * (len(columns) - 1), 1] for row in rows
    )


def _named_columns(table: ImageTable, columns: Sequence[str | int], key: str) -> tuple[int, ...]:
    """The columns that an argument names, or numbers from 1; -1 is the last. Raises CnncError E602."""
    try:
        return column_numbers(columns, table.names, bool(table.names), len(table.rows[0].cells))
    except ColumnError as error:
        raise bad_file(table.source, str(error), error.help or f"correct {key}= in `data`") from error


def _help(table: ImageTable, columns: Sequence[int]) -> str:
    """How to name columns in the network file."""
    named = [f'"{table.names[n]}"' if table.names else str(n + 1) for n in columns]
    return (
        f"name the column in `data`: label={named[0]}"
        if len(named) == 1
        else (f"name the columns in `data`: label=[{', '.join(named)}]" if named else "")
    )
