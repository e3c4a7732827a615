"""Model files as protobuf lays them out, written and read without a second copy of their weights.

protobuf holds a message in memory as a whole, and its bytes once more. Here the large tensors of a model stay NumPy arrays:
`file_parts` gives the file in parts, of which the arrays are some; `read_file` takes the arrays out of a file.

A ModelProto is a series of fields, each a tag (number of the field and kind), a length, and that many bytes. Only the path
to the weights matters here: graph (7) of the model, initializer (5) of the graph, raw_data (9) of a tensor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto

from cnnc.core.arrays import Array
from cnnc.core.files import open_file, read_bytes, read_error, require_memory, too_large
from cnnc.diagnostics import CnncError

MIN_LARGE_BYTES = 1024  # tensors of at least this many bytes are large
_GRAPH, _INITIALIZER, _RAW_DATA = (
    ModelProto.GRAPH_FIELD_NUMBER,
    GraphProto.INITIALIZER_FIELD_NUMBER,
    TensorProto.RAW_DATA_FIELD_NUMBER,
)
_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5  # kinds of fields

# --- writing ---------------------------------------------------------------------------------------------------------


def file_parts(model: ModelProto, content: Mapping[str, Array]) -> list[bytes | memoryview]:
    """The parts of the file of a model whose initializers named in `content` hold these arrays.

    The bytes are those of the complete message, serialized deterministically.
    """
    tensors = [part for t in model.graph.initializer for part in _tensor_field(t, content.get(t.name))]
    graph = [
        _fields(model.graph, lambda n: n < _INITIALIZER),
        *tensors,
        _fields(model.graph, lambda n: n > _INITIALIZER),
    ]
    before, after = (_fields(model, keep) for keep in (lambda n: n < _GRAPH, lambda n: n > _GRAPH))
    return [before, _head(_GRAPH, sum(map(_size, graph))), *graph, after]


def _tensor_field(tensor: TensorProto, array: Array | None) -> Iterator[bytes | memoryview]:
    """A tensor as an initializer of its graph."""
    if array is None:
        body = tensor.SerializeToString(deterministic=True)
        yield _head(_INITIALIZER, len(body)) + body
        return
    plain = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
    body = plain.SerializeToString(deterministic=True) + _head(_RAW_DATA, raw.nbytes)
    yield _head(_INITIALIZER, len(body) + raw.nbytes) + body
    yield raw


def _fields(message: Any, keep: Callable[[int], bool]) -> bytes:
    """The fields of a message whose numbers are to be kept, serialized."""
    part = type(message)()
    part.CopyFrom(message)
    for field, _ in part.ListFields():
        if not keep(field.number):
            part.ClearField(field.name)
    serialized: bytes = part.SerializeToString(deterministic=True)
    return serialized


def _head(field: int, size: int) -> bytes:
    """What stands before the bytes of a field: its tag and its length."""
    return _varint(field << 3 | _LENGTH) + _varint(size)


def _varint(number: int) -> bytes:
    """A number in groups of seven bits, lowest first; all but the last have the eighth bit set."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _size(part: bytes | memoryview) -> int:
    return memoryview(part).nbytes


# --- reading ---------------------------------------------------------------------------------------------------------


class SplitFile(NamedTuple):
    """A model file: the message without the raw data of its large initializers, and these data by the initializer's index."""

    message: bytes
    raw_data: dict[int, NDArray[np.uint8]]


MAX_MODEL_BYTES = 2**31 - 1  # protobuf's limit for a message
_LARGEST_UNEXPECTED = 1 << 26
_MAX_FIELDS = 1 << 20


def read_file(path: Path, limit: int = MAX_MODEL_BYTES, weights: bool = True) -> SplitFile:
    """Reads a model file, which may hold anything: what is not laid out as expected stays in the message.

    Without `weights`, the raw data of large initializers are neither read nor in the message. Raises CnncError E901 if the
    file cannot be read, E903 if it is larger than `limit` bytes, or laid out in another way and larger than 64 MiB, E904
    if it does not fit into memory.
    """
    try:
        with open_file(path, shell_pipe=True) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise too_large(path, limit)
            if file.seekable():
                if weights:
                    require_memory(size, str(path))
                with suppress(_Unexpected):
                    return _Splitter(file, size, weights).split()
    except OSError as error:
        raise read_error(path, error) from error
    if size > _LARGEST_UNEXPECTED:
        problem = f"{path} is not laid out as a model; such files are read up to {_LARGEST_UNEXPECTED:,} bytes"
        raise CnncError.of("E903", problem)
    return SplitFile(read_bytes(path, limit), {})


class _Unexpected(Exception):
    """The file is damaged, or laid out in a way that is legal but that no tool uses."""


class _Field(NamedTuple):
    """A field of a message: where it starts, its number and kind, where its bytes begin, and where they end."""

    start: int
    number: int
    kind: int
    begin: int
    end: int


class _Splitter:
    """Walks through the fields on the path to the weights, and reads everything once."""

    def __init__(self, file: BufferedReader, size: int, weights: bool) -> None:
        self._file = file
        self._size = size
        self._weights = weights
        self._field_count = 0
        self._raw_data: dict[int, NDArray[np.uint8]] = {}

    def split(self) -> SplitFile:
        parts: list[bytes] = []
        graphs = 0
        for field in self._fields(0, self._size):
            if field.number == _GRAPH and field.kind == _LENGTH:
                graphs += 1
                graph = self._graph(field)
                parts += (_head(_GRAPH, len(graph)), graph)
            else:
                parts.append(self._bytes(field.start, field.end))
        if graphs > 1:  # protobuf would merge them
            raise _Unexpected
        return SplitFile(b"".join(parts), self._raw_data if self._weights else {})

    def _graph(self, graph: _Field) -> bytes:
        """The graph without the raw data of its large initializers."""
        parts: list[bytes] = []
        index = 0
        for field in self._fields(graph.begin, graph.end):
            if field.number == _INITIALIZER and field.kind == _LENGTH:
                tensor = self._tensor(field, index)
                parts += (_head(_INITIALIZER, len(tensor)), tensor)
                index += 1
            else:
                parts.append(self._bytes(field.start, field.end))
        return b"".join(parts)

    def _tensor(self, tensor: _Field, index: int) -> bytes:
        """The tensor; raw data that are large are moved to `_raw_data`."""
        if tensor.end - tensor.begin < MIN_LARGE_BYTES:
            return self._bytes(tensor.begin, tensor.end)
        parts: list[bytes] = []
        for field in self._fields(tensor.begin, tensor.end):
            if field.number == _RAW_DATA and field.kind == _LENGTH and field.end - field.begin >= MIN_LARGE_BYTES:
                if index in self._raw_data:  # the last one would count
                    raise _Unexpected
                self._raw_data[index] = np.empty(field.end - field.begin if self._weights else 0, np.uint8)
                if not self._weights:
                    continue
                self._file.seek(field.begin)
                if self._file.readinto(self._raw_data[index].data) != field.end - field.begin:
                    raise _Unexpected
            else:
                parts.append(self._bytes(field.start, field.end))
        return b"".join(parts)

    def _fields(self, begin: int, end: int) -> Iterator[_Field]:
        """The fields of the message between two positions. Raises _Unexpected where they do not fill it exactly."""
        while begin < end:
            tag, at = self._number(begin)
            number, kind = tag >> 3, tag & 7
            self._field_count += 1
            if not number or self._field_count > _MAX_FIELDS:
                raise _Unexpected
            if kind == _VARINT:
                first, last = at, self._number(at)[1]
            elif kind == _LENGTH:
                length, first = self._number(at)
                last = first + length
            elif kind in (_FIXED_64, _FIXED_32):
                first, last = at, at + (8 if kind == _FIXED_64 else 4)
            else:
                raise _Unexpected
            if last > end:
                raise _Unexpected
            yield _Field(begin, number, kind, first, last)
            begin = last

    def _number(self, at: int) -> tuple[int, int]:
        """The variable-length number at a position, and the position after it."""
        self._file.seek(at)
        number = 0
        for count, group in enumerate(self._file.read(10)):
            number |= (group & 0x7F) << 7 * count
            if group < 0x80:
                return number, at + count + 1
        raise _Unexpected

    def _bytes(self, begin: int, end: int) -> bytes:
        self._file.seek(begin)
        data = self._file.read(end - begin)
        if len(data) != end - begin:
            raise _Unexpected
        return data
