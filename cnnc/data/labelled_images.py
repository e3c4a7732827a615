"""`data images "photos" labels="labels.csv"`: images that a table names, with a label or targets for each line.

    photos/cat/1.jpg ...     labels.csv: file,label          one input, one label
                             labels.csv: left,right,same     a network of two inputs, left and right
                             labels.csv: file,x,y            two targets for an output of two numbers

In: a `Request` with the path, the table and the types of the network's inputs and output. Out: a `Dataset` with a column of images for
each input, and labels (N,) or values (N, *shape). Files are found in the folder or .zip as `file_finder` says, columns as
`image_table` says. A file that several lines name is decoded once. Lines whose file is missing or not an image, and lines
without a label, are skipped and reported. Shares are given by a column named split, or by folders train and test, else
drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import read_bytes
from cnnc.core.listing import listed
from cnnc.core.tensor import format_shape
from cnnc.data import Request
from cnnc.data.beside_images import find_beside, name_within
from cnnc.data.dataset import Column, Dataset, ReadFacts, SelectedExamples, Split, display_name
from cnnc.data.file_finder import FileFinder
from cnnc.data.file_tree import FileTree, bad_file, locate, open_tree
from cnnc.data.image_column import ImageColumn, load_images
from cnnc.data.image_decoder import Scan, Shape, ruled_files
from cnnc.data.image_file import require_pillow
from cnnc.data.image_table import ImageTable, is_one_hot, read_table
from cnnc.data.images import REPORT_FROM, read_facts, report_conversions
from cnnc.data.lines import decode_line
from cnnc.data.shares import NAMES, image_dataset, share_numbers_of, share_of
from cnnc.data.splits import class_indices_of, parse_number, report_classes, require_classes
from cnnc.diagnostics import CnncError

_MOST_BYTES = 2**28
_SHOWN = 3


def read(request: Request) -> Dataset:
    """Reads the table and its images. Raises CnncError E602, E603, and E906 without Pillow."""
    path = locate(request, "images", "photos")
    require_pillow()
    tree = open_tree(path)
    source, lines_of_table, name_in_tree = _table_lines(request, tree)
    finder = FileFinder(tree)
    table = read_table(request, source, lines_of_table, finder)
    for message in _findings(request, table):
        request.report(f"{source}: {message}")
    lines = _resolve(table, finder)
    images = _load(request, tree, table, lines)
    skipped = _skipped_lines(table, lines, images)
    _report_skipped(request, table, skipped)
    good = np.setdiff1d(np.arange(len(table.rows)), list(skipped))
    if not len(good):
        raise bad_file(source, f"no line can be read; line {table.rows[0].line}: {skipped[0]}")
    kept = table._replace(rows=[table.rows[n] for n in good])
    classes, labels = _labels(request, kept) if request.classes else ((), None)
    targets: tuple[Column, ...] = () if labels is None else (labels,)
    if request.target_values:
        targets = (_target_values(request, kept),)
    inputs = tuple(
        images[n].rows([lines.names[n][i] for i in good]) if n in images else _numbers(kept, n)
        for n in range(max(1, len(request.inputs)))
    )
    if labels is not None:
        report_classes(request, source, classes, labels)
    named = {name for column in lines.names.values() for name in column if name is not None}
    unread = [name for name in tree.files if name not in named and name != name_in_tree]
    if unread:
        files = f"{len(unread):,} file{'s' * (len(unread) != 1)}"
        request.report(f"{source}: not read: {files} of {tree.path} that no line names, such as {unread[0]}")
    facts = _facts(source, table, images, skipped, unread)
    shares = _shares(kept, [[column[n] or "" for n in good] for column in lines.names.values()])
    data = image_dataset(request, source, classes, Split(inputs, targets), labels, shares, facts)
    if len(images) > 1:
        _report_reused(request, source, data)
    return data


def image_shapes(request: Request) -> dict[int, Shape]:
    """The shape of each input that is an image, by its number. Raises CnncError E602 for an input that is neither an
    image nor a vector."""
    shapes = {}
    for n, (name, entry) in enumerate(zip(request.input_names, request.inputs, strict=True)):
        if entry.rank == 2 and entry.channels in (1, 3):
            shapes[n] = (entry.channels, entry.spatial[0], entry.spatial[1])
        elif entry.rank:
            message = f"the input {name} is {format_shape(entry.shape)}, which is not an image"
            help = "images are grey or RGB, such as `input 1x28x28` or `input 3x64x64`"
            raise CnncError.of("E602", message, help=help)
    if not shapes:
        message = "no input of the network is an image"
        raise CnncError.of("E602", message, help="for a table of numbers write `data series`")
    return shapes


# ---- the table and its files


def _table_lines(request: Request, tree: FileTree) -> tuple[str, list[str], str | None]:
    """The name of the table in messages, its lines, and its name inside the images, None where it lies elsewhere."""
    assert request.labels is not None
    found = find_beside(request, tree, "labels", request.labels)
    name_in_tree = name_within(tree, found) if isinstance(found, Path) else found
    display = str(found) if isinstance(found, Path) else tree.display_name(found)
    if found.is_dir() if isinstance(found, Path) else found not in tree.files:
        raise bad_file(display, "expected a .csv or .tsv file, found a folder", "name the table with labels=")
    content = read_bytes(found, _MOST_BYTES) if isinstance(found, Path) else tree.read(found, _MOST_BYTES)
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    file = PurePosixPath(display).name
    return display, [decode_line(line, f"{display}:{n}", file) for n, line in enumerate(lines, 1)], name_in_tree


def _findings(request: Request, table: ImageTable) -> Iterator[str]:
    """What the table is read as."""
    inputs = request.input_names or ("the input",)
    columns = {inputs[n]: table.name(column) for n, column in table.files.items()}
    named = ", ".join(map(table.name, table.targets))
    targets = f"; {'label' if request.classes else 'target'}: {named}" if named else ""
    files = ", ".join(columns.values()) if len(columns) < 2 else ", ".join(f"{c} ({n})" for n, c in columns.items())
    share = f"; share: {table.name(table.share)}" if table.share is not None else ""
    yield f"files: {files}{targets}{share}"


class _Lines(NamedTuple):
    """The file of each line, by the input's number; None where there is none, with the reason by the line's number."""

    names: dict[int, list[str | None]]
    problems: dict[int, str]


def _resolve(table: ImageTable, finder: FileFinder) -> _Lines:
    names: dict[int, list[str | None]] = {}
    problems: dict[int, str] = {}
    for n, column in table.files.items():
        written = [row.cells[column] for row in table.rows]
        names[n] = [finder.find(cell) if cell else None for cell in written]
        for i, (cell, name) in enumerate(zip(written, names[n], strict=True)):
            if name is None:
                problems.setdefault(i, f"there is no file {cell}" if cell else "no file is named")
    for i, row in enumerate(table.rows):
        if any(not row.cells[column] for column in table.targets):
            problems.setdefault(i, f"no {table.name(table.targets[0])} is given")
    return _Lines(names, problems)


# ---- images


class _LoadedImages:
    """The images of the inputs of one shape: each file once, by its name."""

    def __init__(self, names: Sequence[str], column: ImageColumn, scan: Scan) -> None:
        self.names = names
        self.scan = scan
        self._column = column
        self._number = {name: n for n, name in enumerate(names)}

    def problem(self, name: str) -> str | None:
        """Why a file is not an image."""
        reason = self.scan.skipped.get(self._number[name])
        return None if reason is None else f"{PurePosixPath(name).name} cannot be read: {reason}"

    def rows(self, names: Sequence[str | None]) -> Column:
        """The images with these names, in this order."""
        return SelectedExamples(self._column, np.array([self._number[name or ""] for name in names], np.int64))


def _load(request: Request, tree: FileTree, table: ImageTable, lines: _Lines) -> dict[int, _LoadedImages]:
    """The images of each input by its number; inputs of the same shape share them."""
    shapes = image_shapes(request)
    groups = {shape: [n for n in shapes if shapes[n] == shape] for shape in shapes.values()}
    loaded: dict[int, _LoadedImages] = {}
    for shape, inputs in groups.items():
        names = sorted({name for n in inputs for name in lines.names[n] if name is not None})
        if len(names) >= REPORT_FROM:
            request.report(f"{tree.path}: decoding {len(names):,} files")
        images = _LoadedImages(names, *load_images(ruled_files(tree, request), names, shape))
        report_conversions(request, tree.path, images.scan, shape)
        loaded |= dict.fromkeys(inputs, images)
    return loaded


def _skipped_lines(table: ImageTable, lines: _Lines, images: dict[int, _LoadedImages]) -> dict[int, str]:
    """Why lines are left out, by the number of the row."""
    skipped = dict(lines.problems)
    for n, loaded in images.items():
        for i, name in enumerate(lines.names[n]):
            if i not in skipped and name is not None and (problem := loaded.problem(name)):
                skipped[i] = problem
    return dict(sorted(skipped.items()))


def _report_skipped(request: Request, table: ImageTable, skipped: dict[int, str]) -> None:
    if skipped:
        shown = listed((f"line {table.rows[n].line}: {reason}" for n, reason in skipped.items()), _SHOWN, "; ")
        request.report(f"{table.source}: skipped {len(skipped):,} of {len(table.rows):,} lines: {shown}")


def _facts(
    source: str, table: ImageTable, images: dict[int, _LoadedImages], skipped: dict[int, str], unread: Sequence[str]
) -> ReadFacts:
    """What was read, of the images of all inputs."""
    facts = ReadFacts(source)
    for loaded in {id(each): each for each in images.values()}.values():
        facts = read_facts(source, loaded.names, loaded.scan, ())
    reasons = {f"line {table.rows[n].line}": reason for n, reason in skipped.items()}
    return replace(facts, skipped=reasons, unread=list(unread))


def _report_reused(request: Request, source: str, data: Dataset) -> None:
    """Reports how many test examples have an image that a training example has too, as pairs of a few images do."""
    trained = {file for n in range(len(data.train)) for file in _files_of(data.train, n)}
    reused = sum(not trained.isdisjoint(_files_of(data.test, n)) for n in range(len(data.test)))
    if reused:
        request.report(
            f"{source}: {reused:,} of {len(data.test):,} test examples have an image that training examples have too; "
            "a column named split keeps them apart"
        )


def _files_of(examples: Split, n: int) -> set[str]:
    return {file for column in examples.inputs if (file := display_name(column, n))}


# ---- targets and shares


def _labels(request: Request, table: ImageTable) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The classes, and the labels (N,). Raises CnncError E602."""
    if len(table.targets) > 1:
        if not is_one_hot(table.rows, table.targets):
            message = "label= names several columns, which are not 1 for the class of the example and 0 for the others"
            raise bad_file(table.source, message, "name one column of labels")
        return tuple(map(table.name, table.targets)), _values(table, table.targets).argmax(1).astype(np.int64)
    classes, labels = class_indices_of([row.cells[table.targets[0]] for row in table.rows])
    require_classes(request, classes, table.source)
    return classes, labels


def _target_values(request: Request, table: ImageTable) -> NDArray[np.float32]:
    """The targets in the shape of the output, (N, *shape). Raises CnncError E602."""
    shape = request.output.shape if request.output is not None else (len(table.targets),)
    values = _values(table, table.targets)
    if values.shape[1] != np.prod(shape):
        message = f"{values.shape[1]} columns of targets for an output of {format_shape(shape)}"
        raise bad_file(table.source, message, "name as many columns with label= as the output has numbers")
    return values.reshape(len(values), *shape)


def _numbers(table: ImageTable, entry: int) -> NDArray[np.float32]:
    """The numbers of an input that is a vector, (N, size)."""
    return _values(table, table.numbers[entry])


def _values(table: ImageTable, columns: Sequence[int]) -> NDArray[np.float32]:
    """The numbers in some columns, (N, columns). Raises CnncError E602."""
    values = np.empty((len(table.rows), len(columns)), np.float64)
    for i, row in enumerate(table.rows):
        for k, column in enumerate(columns):
            number = parse_number(row.cells[column])
            if number is None or abs(number) > np.finfo(np.float32).max:
                message = f"expected a number as {table.name(column)}, found {row.cells[column][:40]!r}"
                raise bad_file(f"{table.source}:{row.line}", message)
            values[i, k] = number
    return values.astype(np.float32)


def _shares(table: ImageTable, files: Sequence[Sequence[str]]) -> NDArray[np.int64] | None:
    """The share of each line, None where the table and the folders give none. Raises CnncError E602."""
    if table.share is None:
        return share_numbers_of([name.partition("/")[0] for name in files[0]])
    words = [row.cells[table.share] or "train" for row in table.rows]
    for row, word in zip(table.rows, words, strict=True):
        if share_of(word) is None:
            known = ", ".join(name for names in NAMES.values() for name in names)
            message = f"expected a share as {table.name(table.share)}, found {word[:40]!r}"
            raise bad_file(f"{table.source}:{row.line}", message, f"shares are {known}")
    return share_numbers_of(words)
