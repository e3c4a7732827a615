"""`data npz "file.npz"`: arrays of the user's own, as numpy.savez and numpy.savez_compressed write them.

Names: `x` and `y`, or those of the network's inputs and outputs; with `x_test`, `y_test` (or NAME_test) as the test
set, else a share is held back. An array without a name that is meant is told and not read.

Inputs (N, *shape): where the network takes float32, floats become float32, uint8 stay (the loop brings them to 0..1),
other integers and booleans become float32 as they are; where it takes uint8 or int64, integers of that range are
needed. Grey images may leave out their channel. Targets: whole numbers (N,) are labels 0, 1, ...; whole numbers
(N, *spatial), without a channel, are label maps; floats (N, *shape) are values, and (N,) is (N, 1).

In: a `Request`. Out: a `Dataset`. A header is never believed: its shape is compared with the network and with the
bytes that are there before anything is allocated. Nothing is unpickled. An uncompressed array of `MAPPED` bytes or
more stays on the disk, and is read as it is indexed. Values that are not finite, and labels out of range, are E602,
and so is every other defect, naming file, array and example.
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cnnc.core.tensor import DType, TensorType, format_shape
from cnnc.data import Request
from cnnc.data.dataset import Column, Dataset, Split
from cnnc.data.sources import bad, locate, open_zip
from cnnc.data.splits import share_out, tell_classes, tell_split

MAPPED = 2**28
"""The bytes from which on an uncompressed array stays on the disk."""

LARGEST = 2**32
"""The most bytes of an array that is read into memory."""

_CHUNK = 2**20
_HEADER = 10_000
_KINDS = {"f": "floats", "i": "whole numbers", "u": "whole numbers", "b": "booleans"}
_MOST_CLASSES = 2**20


class Array(NamedTuple):
    """An array as its header says it is; no value has been read."""

    name: str
    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int
    member: zipfile.ZipInfo

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize  # of Python integers, which do not overflow

    @property
    def whole_numbers(self) -> bool:
        return self.dtype.kind in "iub"


def read(request: Request) -> Dataset:
    """The arrays of a .npz file. Raises E602, E603."""
    return read_file(request, locate(request, "npz", "data.npz"))


def read_file(request: Request, place: Path, name: str = "npz") -> Dataset:
    """As `read`, from a file that was found."""
    with open_zip(place, ".npz file") as opened:
        arrays = _headers(opened, place)
        roles = _roles(request, arrays, place)
        if roles.unread:
            request.report(f"{place}: not read: {', '.join(roles.unread)}")
        train = _split(request, opened, place, roles, "")
        test = _split(request, opened, place, roles, "_test") if roles.has_test else None
    classes, labels = _classes(request, place, train, test)
    if labels is not None:
        both = [labels] if test is None else [labels, test.labels]
        tell_classes(request, place, classes, np.concatenate(both))
    if test is None:
        train, test = share_out(request, place, train, labels)
        return Dataset(name, classes, train, test)
    data = Dataset(name, classes, train, test)
    tell_split(request, place, data)
    return data


def read_arrays(place: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Arrays of a .npz as they are, by name; where one alone is asked for, `x` or the only one there serves as well.

    Raises E602.
    """
    with open_zip(place, ".npz file") as opened:
        arrays = _headers(opened, place)
        others = ("x", *(arrays if len(arrays) == 1 else ())) if len(names) == 1 else ()
        found = {}
        for name in names:
            held = next((n for n in (name, *others) if n in arrays), None)
            if held is None:
                raise bad(
                    place, f"expected an array named {' or '.join((name, *others[:1]))}, found {', '.join(arrays)}"
                )
            _numbers(arrays[held])
            if arrays[held].bytes > LARGEST:
                raise bad(arrays[held].where, f"expected at most {LARGEST:,} bytes, found {arrays[held].bytes:,}")
            found[name] = _values(opened, arrays[held])
    return found


# ---- what is in the file


def _headers(opened: zipfile.ZipFile, place: Path) -> dict[str, Array]:
    """All arrays by their names; members that are none are left out."""
    found: dict[str, Array] = {}
    for member in opened.infolist():
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            continue
        if name in found:
            raise bad(place, f"two arrays are named {name}")
        found[name] = _header(opened, member, f"{place}: {name}", name)
    if not found:
        raise bad(place, "expected arrays (.npy), found none")
    return found


def _header(opened: zipfile.ZipFile, member: zipfile.ZipInfo, where: str, name: str) -> Array:
    try:
        with opened.open(member) as stream:
            version = npy.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version} of the format is not one of plain arrays")
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read_header(stream, max_header_size=_HEADER)
            start = stream.tell()
    except Exception as error:  # numpy, zipfile and zlib raise several kinds for a stranger's bytes
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise bad(where, f"expected an array, found no sound header of one ({reason})") from error
    if dtype.hasobject:
        raise bad(where, "holds Python objects, which are never read", "save an array of numbers")
    array = Array(name, where, tuple(int(size) for size in shape), dtype, bool(fortran), start, member)
    if array.bytes != member.file_size - start or any(size < 0 for size in array.shape):
        raise bad(
            where,
            f"its header says {format_shape(array.shape)} of {dtype}, {array.bytes:,} bytes; "
            f"found {member.file_size - start:,}",
        )
    return array


class _Roles(NamedTuple):
    """Which array is which input and target, without `_test`."""

    arrays: dict[str, Array]
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    has_test: bool
    unread: tuple[str, ...]


def _roles(request: Request, arrays: dict[str, Array], place: Path) -> _Roles:
    held = ", ".join(arrays)
    inputs = _names(request.input_names, len(request.inputs) or 1, "x", arrays)
    if inputs is None:
        wanted = " and ".join(request.input_names) or "x"
        other = " (or x)" if len(request.input_names) == 1 else ""
        raise bad(place, f"expected arrays named {wanted}{other} for the inputs, found {held}")
    targets = _names(request.output_names, len(request.output_names) or 1, "y", arrays)
    if targets is None:
        if request.classes:
            wanted = " and ".join(request.output_names) or "y"
            other = " (or y)" if len(request.output_names) == 1 and wanted != "y" else ""
            raise bad(place, f"expected arrays named {wanted}{other} for the targets, found {held}")
        request.report(f"{place}: no targets (no array y)")
        targets = ()
    tests = {name for name in (*inputs, *targets) if f"{name}_test" in arrays}
    lacking = [f"{name}_test" for name in (*inputs, *targets) if name not in tests]
    if tests and lacking:
        raise bad(place, f"expected {', '.join(lacking)} as well, as {sorted(tests)[0]}_test is there")
    read_ = {*inputs, *targets, *(f"{name}_test" for name in tests)}
    return _Roles(arrays, inputs, targets, bool(tests), tuple(name for name in arrays if name not in read_))


def _names(wanted: tuple[str, ...], count: int, short: str, arrays: dict[str, Array]) -> tuple[str, ...] | None:
    if wanted and all(name in arrays for name in wanted):
        return wanted
    return (short,) if count == 1 and short in arrays else None


# ---- columns


def _split(request: Request, opened: zipfile.ZipFile, place: Path, roles: _Roles, suffix: str) -> Split:
    inputs = [roles.arrays[name + suffix] for name in roles.inputs]
    targets = [roles.arrays[name + suffix] for name in roles.targets]
    types = request.inputs or (None,) * len(inputs)
    # Everything that headers tell is checked before any value is read.
    made_inputs = [_input(array, type_) for array, type_ in zip(inputs, types, strict=True)]
    made_targets = [_target(array) for array in targets]
    first = inputs[0]
    for array in (*inputs, *targets):
        if array.shape[0] != first.shape[0]:
            raise bad(array.where, f"holds {array.shape[0]:,} examples, but {first.name} holds {first.shape[0]:,}")
    if not first.shape[0]:
        raise bad(first.where, "expected at least one example, found none")
    columns = [_column(opened, place, a, made) for a, made in zip(inputs, made_inputs, strict=True)]
    values = [_column(opened, place, a, made) for a, made in zip(targets, made_targets, strict=True)]
    for array, column in zip(inputs, columns, strict=True):
        _check_values(array, column, "whole numbers")
    for array, column in zip(targets, values, strict=True):
        _check_values(array, column, "labels")
    return Split(tuple(columns), tuple(values))


class _Made(NamedTuple):
    """What a column is made: its element type and the shape of an example."""

    dtype: DType
    shape: tuple[int, ...]


def _numbers(array: Array) -> None:
    if array.dtype.kind not in _KINDS:
        raise bad(array.where, f"expected numbers, found {array.dtype}")
    if not array.shape:
        raise bad(array.where, "expected an array of examples, found a single number")


def _input(array: Array, wanted: TensorType | None) -> _Made:
    _numbers(array)
    shape = array.shape[1:]
    if wanted is not None and shape != wanted.shape:
        if wanted.shape[:1] != (1,) or shape != wanted.shape[1:]:  # grey, its channel left out
            turned = shape[-1:] + shape[:-1] == wanted.shape
            raise bad(
                array.where,
                f"holds examples of {format_shape(shape) or 'one number'}; the network takes {wanted}",
                f"channels come first: np.moveaxis({array.name}, -1, 1)" if turned else "",
            )
        shape = wanted.shape
    if wanted is None or wanted.dtype == "float32":
        kept: DType = "uint8" if array.dtype == np.uint8 else "float32"
        return _Made("int64" if wanted is None and array.whole_numbers and kept != "uint8" else kept, shape)
    if not array.whole_numbers or (wanted.dtype == "uint8" and array.dtype != np.uint8):
        raise bad(array.where, f"expected {wanted.dtype}, which the network takes, found {array.dtype}")
    return _Made(wanted.dtype, shape)


def _target(array: Array) -> _Made:
    _numbers(array)
    shape = array.shape[1:]
    if not array.whole_numbers:
        return _Made("float32", shape or (1,))
    return _Made("int64", () if shape == (1,) else shape)


class Converted:
    """An array that stays in its file, or in memory in fewer bytes; what is indexed is read and converted."""

    def __init__(self, values: NDArray[Any], made: _Made) -> None:
        self._values = values
        self._made = made
        self.shape = (len(values), *made.shape)
        self.dtype = np.dtype(made.dtype)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        one = isinstance(chosen, int | np.integer)
        found = _convert(np.array(self._values[chosen])[None] if one else np.array(self._values[chosen]), self._made)
        return found[0] if one else found


def _column(opened: zipfile.ZipFile, place: Path, array: Array, made: _Made) -> Column:
    if array.member.compress_type == zipfile.ZIP_STORED and array.bytes >= MAPPED:
        offset = _offset(place, array)
        order = "F" if array.fortran else "C"
        values = np.memmap(place, array.dtype, "r", offset, array.shape, order)  # type: ignore[call-overload]
        return Converted(values, made)
    if array.bytes > LARGEST:
        raise bad(
            array.where,
            f"{array.bytes:,} bytes are more than the {LARGEST:,} that are read into memory",
            "save it with np.savez, uncompressed: then it stays on the disk",
        )
    found = _values(opened, array)
    if made.shape and array.dtype.itemsize < np.dtype(made.dtype).itemsize:  # label maps grow eightfold
        return Converted(found, made)
    return _convert(found, made)


def _offset(place: Path, array: Array) -> int:
    """Where in the file the values begin, after the member's own header and that of the array."""
    try:
        with place.open("rb") as file:
            file.seek(array.member.header_offset)
            header = file.read(30)
            size = place.stat().st_size
    except OSError as error:
        raise bad(place, f"cannot be read ({(error.strerror or 'no reason given').lower()})") from error
    name, extra = struct.unpack("<HH", header[26:30]) if len(header) == 30 else (0, 0)
    offset = array.member.header_offset + 30 + int(name) + int(extra) + array.start
    if len(header) < 30 or offset + array.bytes > size:
        raise bad(array.where, "expected a whole array, found one that is cut short")
    return offset


def _values(opened: zipfile.ZipFile, array: Array) -> NDArray[Any]:
    """All values; memory grows with the bytes that are there."""
    data = bytearray()
    try:
        with opened.open(array.member) as stream:
            _skip(stream, array.start)
            while len(data) <= array.bytes:
                chunk = stream.read(min(_CHUNK, array.bytes + 1 - len(data)))
                if not chunk:
                    break
                data += chunk
    except Exception as error:  # zipfile and its decoders raise several kinds
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise bad(array.where, f"expected a sound array, found a damaged one ({reason})") from error
    if len(data) != array.bytes:
        raise bad(array.where, f"expected {array.bytes:,} bytes of values, found {len(data):,}")
    flat = np.frombuffer(data, array.dtype)
    return flat.reshape(array.shape, order="F" if array.fortran else "C")


def _skip(stream: IO[bytes], count: int) -> None:
    if len(stream.read(count)) != count:
        raise EOFError("cut short")


def _convert(values: NDArray[Any], made: _Made) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is looked for
        return np.ascontiguousarray(values, made.dtype).reshape(len(values), *made.shape)


def _chunks(column: Column) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, _CHUNK * 16 // max(1, math.prod(column.shape[1:]) * column.dtype.itemsize))
    for start in range(0, len(column), step):
        yield start, column[start : start + step]


def _check_values(array: Array, column: Column, integers: str) -> None:
    """Raises E602 for values that are not finite, and integers below 0, naming the first example of them."""
    if column.dtype == np.uint8:
        return
    wrong: Callable[[NDArray[Any]], NDArray[np.bool_]]
    wrong = (lambda v: ~np.isfinite(v)) if column.dtype.kind == "f" else (lambda v: v < 0)
    for start, values in _chunks(column):
        found = wrong(values)
        if found.any():
            first = np.argwhere(found)[0]
            value = values[tuple(first)]
            expected = "finite numbers" if column.dtype.kind == "f" else f"{integers} from 0 on"
            raise bad(array.where, f"expected {expected}, found {value} in example {start + int(first[0]):,}")


def _classes(
    request: Request, place: Path, train: Split, test: Split | None
) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """The classes, numbered, where the first target is labels; and the labels, where it is one an example."""
    if not train.targets or train.targets[0].dtype != np.int64:
        return (), None
    splits = [train] if test is None else [train, test]
    largest = 0
    for split in splits:
        for _, values in _chunks(split.targets[0]):
            counted = values[values != request.ignore] if request.ignore is not None else values
            largest = max(largest, int(counted.max(initial=0)))
    count = largest + 1
    if request.classes and count > request.classes:
        help = f"labels count from 0, so {largest} is that of class {count}"
        raise bad(place, f"found the label {largest}; the network's output has {request.classes} classes", help)
    if count > _MOST_CLASSES:
        raise bad(place, f"found the label {largest:,}, which is no number of a class", "save values as float32")
    classes = tuple(str(n) for n in range(request.classes or count))
    if train.targets[0].shape[1:]:
        return classes, None
    return classes, train.labels
