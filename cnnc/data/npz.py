"""`data npz "file.npz"`: arrays as numpy.savez and numpy.savez_compressed write them.

Names: `x` and `y`, or those of the network's inputs and outputs. `x_test` and `y_test` (or NAME_test) are the test
share, and NAME_val the validation share; without them, random parts become these shares. NAME_train is NAME. Arrays with other names are reported and not read.

Inputs (N, *shape): where the network takes float32, floats become float32, uint8 stays uint8 (training scales it to
0..1), other integers and booleans become float32 unscaled; where it takes uint8 or int64, integers are required. Grey
images may omit the channel axis. Targets: integers (N,) are labels 0, 1, ...; integers (N, *spatial), without a channel
axis, are label maps; floats (N, *shape) are values, and (N,) becomes (N, 1).

In: a `Request`. Out: a `Dataset`. Headers are not trusted: the shape is compared with the network and with the size of
the file before memory is allocated. Nothing is unpickled. An uncompressed array of `MAPPED_FROM` bytes or more stays on
the disk and is read when it is indexed. Non-finite numbers, labels out of range and every other error are an E602 that
names file, array and example.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cnnc.core.files import first_line, open_file, reason, require_memory
from cnnc.core.tensor import DType, TensorType, format_shape
from cnnc.data import Request
from cnnc.data.dataset import Column, Dataset, ReadFacts, Split
from cnnc.data.file_tree import bad_file, locate, open_zip
from cnnc.data.shares import TEST, TRAINING, VALIDATION, report_missing
from cnnc.data.splits import report_classes, report_split, split_off_test

MAPPED_FROM = 2**28
"""Uncompressed arrays of this many bytes or more stay on the disk."""

LARGEST = 2**32
"""The most bytes of an array that is read into memory."""

MAX_RATIO = 100
"""The most times that an array of `MAPPED_FROM` bytes or more is compressed; numbers that were measured are not."""

_CHUNK = 2**20
_HEADER = 10_000
_NUMBER_KINDS = {"f": "floats", "i": "whole numbers", "u": "whole numbers", "b": "booleans"}
_MAX_CLASSES = 2**20
_SUFFIXES = {VALIDATION: "_val", TEST: "_test"}


class ArrayHeader(NamedTuple):
    """The header of an array. `where` is its name in errors, `start` the offset of the values in the `member` of the file."""

    name: str
    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int
    member: zipfile.ZipInfo

    @property
    def bytes(self) -> int:
        """The bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize  # Python integers do not overflow

    @property
    def whole_numbers(self) -> bool:
        """Whether the values are integers or booleans."""
        return self.dtype.kind in "iub"


def read(request: Request) -> Dataset:
    """Reads the arrays of a .npz file. Raises CnncError E602, E603."""
    return read_file(request, locate(request, "npz", "data.npz"))


def read_file(request: Request, path: Path, name: str = "npz") -> Dataset:
    """As `read`, from a given path; `name` becomes the name of the data set. Raises CnncError E602."""
    with open_zip(path, ".npz file") as archive:
        arrays, others = _headers(archive, path), tuple(_no_arrays(archive))
        return data_of(request, path, arrays, partial(_column, archive, path), others, name)


def data_of(
    request: Request,
    path: Path,
    arrays: dict[str, ArrayHeader],
    column: Callable[[ArrayHeader, ColumnType], Column],
    others: Sequence[str] = (),
    name: str = "npz",
) -> Dataset:
    """The data set of arrays by name, each of which `column` reads; `path` is what errors cite, `others` is not read.

    Raises CnncError E602.
    """
    roles = _roles(request, arrays, path)
    unread = (*roles.unused, *others)
    if unread:
        request.report(f"{path}: not read: {', '.join(unread)}")
    train = _split(request, column, roles, "")
    given = {share: _split(request, column, roles, suffix) for share, suffix in roles.given.items()}
    classes, labels = _classes(request, path, train, list(given.values()))
    if labels is not None:
        report_classes(request, path, classes, np.concatenate([labels, *(part.labels for part in given.values())]))
    facts = ReadFacts(str(path), unread)
    validation, test = given.get(VALIDATION), given.get(TEST)
    if test is None:
        train, test = split_off_test(request, path, train, labels)
        if validation is not None:
            request.report(f"{path}: {len(validation):,} validation examples")
        return Dataset(name, classes, train, test, facts=facts, validation=validation, test_is_drawn=True)
    data = Dataset(name, classes, train, test, facts=facts, validation=validation)
    report_split(request, path, data)
    if labels is not None:
        for share, part in {TRAINING: train, **given}.items():
            report_missing(request, path, share, classes, part.labels)
    return data


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Arrays of a .npz by name, unconverted. For a single name, `x` or the only array of the file is accepted too.

    Raises CnncError E602.
    """
    with open_zip(path, ".npz file") as archive:
        arrays = _headers(archive, path)
        alternatives = ("x", *(arrays if len(arrays) == 1 else ())) if len(names) == 1 else ()
        arrays_by_name = {}
        for name in names:
            name_in_file = next((n for n in (name, *alternatives) if n in arrays), None)
            if name_in_file is None:
                raise bad_file(
                    path, f"expected an array named {' or '.join((name, *alternatives[:1]))}, found {', '.join(arrays)}"
                )
            array = arrays[name_in_file]
            _require_numbers(array)
            _require_readable_size(array)
            arrays_by_name[name] = _values(archive, array)
    return arrays_by_name


# ---- headers and names


def _headers(archive: zipfile.ZipFile, path: Path) -> dict[str, ArrayHeader]:
    """The headers of all arrays by name; members that are not arrays are skipped. Raises CnncError E602."""
    headers: dict[str, ArrayHeader] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            continue
        if name in headers:
            raise bad_file(path, f"two arrays are named {name}")
        headers[name] = _header(archive, member, f"{path}: {name}", name)
    if not headers:
        raise bad_file(path, "expected arrays (.npy), found none")
    return headers


def _no_arrays(archive: zipfile.ZipFile) -> Iterator[str]:
    """The names of members that are not arrays."""
    return (name for name in archive.namelist() if not name.endswith(".npy"))


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str, name: str) -> ArrayHeader:
    try:
        with archive.open(member) as stream:
            version = npy.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version} of the .npy format is not supported")
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read_header(stream, max_header_size=_HEADER)
            start = stream.tell()
    except Exception as error:  # numpy, zipfile and zlib raise several kinds for damaged files
        raise bad_file(where, f"the header of the array is damaged ({first_line(error)})") from error
    if dtype.hasobject:
        raise bad_file(where, "holds Python objects, which are never unpickled", "save an array of numbers")
    array = ArrayHeader(name, where, tuple(int(size) for size in shape), dtype, bool(fortran), start, member)
    if array.bytes != member.file_size - start or any(size < 0 for size in array.shape):
        raise bad_file(
            where,
            f"its header says {format_shape(array.shape)} of {dtype}, {array.bytes:,} bytes; "
            f"found {member.file_size - start:,}",
        )
    return array


class _ArrayRoles(NamedTuple):
    """The names of the arrays of inputs and targets, without the suffixes of shares; `given` has those of the shares that are there."""

    arrays: dict[str, ArrayHeader]
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    given: dict[str, str]
    unused: tuple[str, ...]


def _roles(request: Request, arrays: dict[str, ArrayHeader], path: Path) -> _ArrayRoles:
    short = {name: name.removesuffix("_train") for name in arrays}
    arrays = {name if short[name] in arrays else short[name]: array for name, array in arrays.items()}
    names = ", ".join(arrays)
    inputs = _names(request.input_names, len(request.inputs) or 1, "x", arrays)
    if inputs is None:
        expected = " and ".join(request.input_names) or "x"
        alternative = " (or x)" if len(request.input_names) == 1 else ""
        raise bad_file(path, f"expected arrays named {expected}{alternative} for the inputs, found {names}")
    targets = _names(request.output_names, len(request.output_names) or 1, "y", arrays)
    if targets is None:
        if request.classes:
            expected = " and ".join(request.output_names) or "y"
            alternative = " (or y)" if len(request.output_names) == 1 and expected != "y" else ""
            raise bad_file(path, f"expected arrays named {expected}{alternative} for the targets, found {names}")
        request.report(f"{path}: no targets (no array y)")
        targets = ()
    given = {}
    for share, suffix in _SUFFIXES.items():
        there = [name for name in (*inputs, *targets) if f"{name}{suffix}" in arrays]
        missing = [f"{name}{suffix}" for name in (*inputs, *targets) if name not in there]
        if there and missing:
            raise bad_file(path, f"expected {', '.join(missing)} as well, as {sorted(there)[0]}{suffix} is there")
        if there:
            given[share] = suffix
    used = {f"{name}{suffix}" for name in (*inputs, *targets) for suffix in ("", *given.values())}
    return _ArrayRoles(arrays, inputs, targets, given, tuple(name for name in arrays if name not in used))


def _names(names: tuple[str, ...], count: int, short: str, arrays: dict[str, ArrayHeader]) -> tuple[str, ...] | None:
    if names and all(name in arrays for name in names):
        return names
    return (short,) if count == 1 and short in arrays else None


# ---- columns


def _split(
    request: Request, column: Callable[[ArrayHeader, ColumnType], Column], roles: _ArrayRoles, suffix: str
) -> Split:
    inputs = [roles.arrays[name + suffix] for name in roles.inputs]
    targets = [roles.arrays[name + suffix] for name in roles.targets]
    types = request.inputs or (None,) * len(inputs)
    # Headers are checked completely before values are read.
    input_types = [_input(array, type_) for array, type_ in zip(inputs, types, strict=True)]
    target_types = [_target(array) for array in targets]
    first_input = inputs[0]
    for array in (*inputs, *targets):
        if array.shape[0] != first_input.shape[0]:
            raise bad_file(
                array.where, f"holds {array.shape[0]:,} examples, but {first_input.name} holds {first_input.shape[0]:,}"
            )
    if not first_input.shape[0]:
        raise bad_file(first_input.where, "expected at least one example, found none")
    input_columns = [column(array, type_) for array, type_ in zip(inputs, input_types, strict=True)]
    target_columns = [column(array, type_) for array, type_ in zip(targets, target_types, strict=True)]
    for array, values in zip(inputs, input_columns, strict=True):
        _check_values(array, values, "whole numbers")
    for array, values in zip(targets, target_columns, strict=True):
        _check_values(array, values, "labels")
    return Split(tuple(input_columns), tuple(target_columns))


class ColumnType(NamedTuple):
    """The element type and example shape that a column is converted to."""

    dtype: DType
    shape: tuple[int, ...]


def _require_numbers(array: ArrayHeader, help: str = "") -> None:
    if array.dtype.kind not in _NUMBER_KINDS:
        raise bad_file(array.where, f"expected numbers, found {array.dtype}", help)
    if not array.shape:
        raise bad_file(array.where, "expected an array of examples, found a single number")


def _input(array: ArrayHeader, expected: TensorType | None) -> ColumnType:
    _require_numbers(array, f"leave words out, and write {array.name} = {array.name}.astype(np.float32)")
    shape = array.shape[1:]
    if expected is not None and shape != expected.shape:
        if expected.shape[:1] != (1,) or shape != expected.shape[1:]:  # a grey image may omit its channel axis
            turned = shape[-1:] + shape[:-1] == expected.shape
            raise bad_file(
                array.where,
                f"holds examples of {format_shape(shape) or 'one number'}; the network takes {expected}",
                f"put the channels first: np.moveaxis({array.name}, -1, 1)" if turned else "",
            )
        shape = expected.shape
    if expected is None or expected.dtype == "float32":
        column_dtype: DType = "uint8" if array.dtype == np.uint8 else "float32"
        return ColumnType(
            "int64" if expected is None and array.whole_numbers and column_dtype != "uint8" else column_dtype, shape
        )
    if not array.whole_numbers or (expected.dtype == "uint8" and array.dtype != np.uint8):
        raise bad_file(array.where, f"the network takes {expected.dtype}, found {array.dtype}")
    return ColumnType(expected.dtype, shape)


def _target(array: ArrayHeader) -> ColumnType:
    numbered = f"number the labels: classes, {array.name} = np.unique({array.name}, return_inverse=True)"
    _require_numbers(array, numbered if array.dtype.kind in "UO" else "")
    shape = array.shape[1:]
    if not array.whole_numbers:
        return ColumnType("float32", shape or (1,))
    return ColumnType("int64", () if shape == (1,) else shape)


class ConvertedColumn:
    """An array that stays on the disk, or in memory in its original type; examples are converted when indexed."""

    def __init__(self, values: NDArray[Any], column_type: ColumnType) -> None:
        self._values = values
        self._column_type = column_type
        self.shape = (len(values), *column_type.shape)
        self.dtype = np.dtype(column_type.dtype)
        self.in_memory = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        single = isinstance(chosen, int | np.integer)
        values = np.array(self._values[chosen])
        converted = convert(values[None] if single else values, self._column_type)
        return converted[0] if single else converted


def _column(archive: zipfile.ZipFile, path: Path, array: ArrayHeader, column_type: ColumnType) -> Column:
    if array.member.compress_type == zipfile.ZIP_STORED and array.bytes >= MAPPED_FROM:
        offset = _offset(path, array)
        order = "F" if array.fortran else "C"
        with open_file(path) as file:
            values = np.memmap(file, array.dtype, "r", offset, array.shape, order)  # type: ignore[call-overload]
        return ConvertedColumn(values, column_type)
    _require_readable_size(array)
    values = _values(archive, array)
    # converted in memory, a uint8 label map would take eight times as much
    if column_type.shape and array.dtype.itemsize < np.dtype(column_type.dtype).itemsize:
        return ConvertedColumn(values, column_type)
    return convert(values, column_type)


def _require_readable_size(array: ArrayHeader) -> None:
    """Raises CnncError E602 for an array that is too large for memory, or that a small file unfolds to; E904 where memory lacks."""
    help = "save it with np.savez: an uncompressed array stays on the disk"
    if array.bytes > LARGEST:
        raise bad_file(array.where, f"has {array.bytes:,} bytes; at most {LARGEST:,} are read into memory", help)
    if array.bytes >= MAPPED_FROM and array.bytes > MAX_RATIO * array.member.compress_size:
        times = array.bytes // max(1, array.member.compress_size)
        problem = f"unfolds to {array.bytes:,} bytes, {times:,} times its size in the file; at most {MAX_RATIO} times are read"
        raise bad_file(array.where, problem, help)
    require_memory(array.bytes, array.where)


def _offset(path: Path, array: ArrayHeader) -> int:
    """The offset in the .npz at which the values begin: after the member's header and the array's. Raises E602."""
    try:
        with open_file(path) as file:
            file.seek(array.member.header_offset)
            header = file.read(30)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise bad_file(path, f"cannot be read ({reason(error)})") from error
    name, extra = struct.unpack("<HH", header[26:30]) if len(header) == 30 else (0, 0)
    offset = array.member.header_offset + 30 + int(name) + int(extra) + array.start
    if len(header) < 30 or offset + array.bytes > size:
        raise bad_file(array.where, "the array is truncated")
    return offset


def _values(archive: zipfile.ZipFile, array: ArrayHeader) -> NDArray[Any]:
    """Reads all values; memory grows with the bytes read, not with the header. Raises CnncError E602."""
    data = bytearray()
    try:
        with archive.open(array.member) as stream:
            _skip(stream, array.start)
            while len(data) <= array.bytes:
                chunk = stream.read(min(_CHUNK, array.bytes + 1 - len(data)))
                if not chunk:
                    break
                data += chunk
    except Exception as error:  # zipfile and its decoders raise several kinds
        raise bad_file(array.where, f"the array is damaged ({first_line(error)})") from error
    if len(data) != array.bytes:
        raise bad_file(array.where, f"expected {array.bytes:,} bytes of values, found {len(data):,}")
    flat = np.frombuffer(data, array.dtype)
    return flat.reshape(array.shape, order="F" if array.fortran else "C")


def _skip(stream: IO[bytes], count: int) -> None:
    if len(stream.read(count)) != count:
        raise EOFError("truncated")


def convert(values: NDArray[Any], column_type: ColumnType) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # overflow becomes infinite, which _check_values reports
        return np.ascontiguousarray(values, column_type.dtype).reshape(len(values), *column_type.shape)


def _chunks(column: Column) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, _CHUNK * 16 // max(1, math.prod(column.shape[1:]) * column.dtype.itemsize))
    for start in range(0, len(column), step):
        yield start, column[start : start + step]


def _check_values(array: ArrayHeader, column: Column, integers: str) -> None:
    """Raises CnncError E602 for non-finite numbers and negative integers, with the first such example."""
    if column.dtype == np.uint8:
        return
    is_invalid: Callable[[NDArray[Any]], NDArray[np.bool_]]
    is_invalid = (lambda v: ~np.isfinite(v)) if column.dtype.kind == "f" else (lambda v: v < 0)
    for start, values in _chunks(column):
        invalid = is_invalid(values)
        if invalid.any():
            first = np.argwhere(invalid)[0]
            value = values[tuple(first)]
            expected = "finite numbers" if column.dtype.kind == "f" else f"{integers} from 0 on"
            raise bad_file(array.where, f"expected {expected}, found {value} in example {start + int(first[0]):,}")


def _classes(
    request: Request, path: Path, train: Split, others: Sequence[Split]
) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """The names of the classes ("0", "1", ...), where the first target holds labels; and the labels, where they are (N,).

    Raises CnncError E602 for labels out of range.
    """
    if not train.targets or train.targets[0].dtype != np.int64:
        return (), None
    largest = 0
    for split in (train, *others):
        for _, values in _chunks(split.targets[0]):
            counted = values[values != request.ignore] if request.ignore is not None else values
            largest = max(largest, int(counted.max(initial=0)))
    count = largest + 1
    if request.classes and count > request.classes:
        help = f"labels count from 0: with label {largest} the network needs {count} classes"
        raise bad_file(path, f"found the label {largest}; the network's output has {request.classes} classes", help)
    if count > _MAX_CLASSES:
        raise bad_file(
            path,
            f"found the label {largest:,}, more than {_MAX_CLASSES:,}; float32 targets are values",
            "save values as float32",
        )
    classes = tuple(str(n) for n in range(request.classes or count))
    if train.targets[0].shape[1:]:
        return classes, None
    return classes, train.labels
