"""Reads IDX files, the format of MNIST and its relatives, plain or gzipped.

An IDX file consists of two zero bytes, a byte for the type of the values, a byte for the number of dimensions, the size
of each dimension as a big-endian unsigned 32-bit integer, and the values in row-major order.

In: files. Out: uint8 arrays, or the `Split` of a file of images and a file of labels. Only the type uint8 is read; no
image or label file of this family uses another. Headers are not trusted: memory grows with the bytes read, and at most
one byte more than the header declares is decompressed. Every error is an E602 that names the file.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import open_file, read_error
from cnnc.core.limits import require_memory_limit
from cnnc.data.catalog import DataFacts
from cnnc.data.dataset import Split, make_split
from cnnc.diagnostics import CnncError

MAX_VALUES = 2**30
"""The most values read from one file; the largest known file (EMNIST by class) holds half as many."""

IMAGES, LABELS = 3, 1
"""The number of dimensions of a file of images, and of a file of labels."""

_CHUNK = 2**20
_MAX_DIMENSIONS = 4
_UINT8 = 0x08
_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_GZIP_MAGIC = b"\x1f\x8b"

_Read = Callable[[int], bytes]


def read_split(images: Path, labels: Path, facts: DataFacts) -> Split:
    """The split of a file of images (N, H, W) and a file of labels (N,). Raises CnncError E602, E901."""
    pixels = read_idx(images, IMAGES)
    return make_split(with_channel(pixels), read_idx(labels, LABELS), facts, str(images), str(labels))


def with_channel(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey images (N, H, W) with a channel axis (N, 1, H, W)."""
    return images[:, np.newaxis]


def read_idx(path: Path, dimensions: int | None = None) -> NDArray[np.uint8]:
    """The array in an IDX file, plain or gzipped, whatever its name.

    `dimensions` is the expected number of dimensions, None for any. Raises CnncError E602, E901.
    """
    try:
        with open_file(path) as file:
            return decode_idx(file, str(path), dimensions)
    except OSError as error:
        raise read_error(path, error) from error


def decode_idx(file: IO[bytes], name: str, dimensions: int | None = None) -> NDArray[np.uint8]:
    """The array in an open, seekable file; `name` names it in errors. Raises CnncError E602."""
    zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    file.seek(0)
    if not zipped:
        return _decode(file.read, name, dimensions)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            return _decode(stream.read, name, dimensions)
    except EOFError as error:
        raise _bad_file(name, "the gzip file is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _bad_file(name, f"the gzip file is damaged ({error})") from error


def _decode(read: _Read, name: str, dimensions: int | None) -> NDArray[np.uint8]:
    shape = _shape(read, name, _dimensions(read, name, dimensions))
    expected = math.prod(shape)  # Python integers do not overflow
    sizes = "x".join(f"{size}" for size in shape)
    if math.prod(max(1, size) for size in shape) > MAX_VALUES:  # NumPy refuses also an empty array of other huge sizes
        raise _bad_file(name, f"expected at most {MAX_VALUES:,} values, found a header of {sizes}")
    require_memory_limit(expected, name)
    values = _read_at_most(read, expected + 1)
    if len(values) < expected:
        raise _bad_file(name, f"expected {expected:,} values ({sizes}), found {len(values):,}: the file is truncated")
    if len(values) > expected:
        raise _bad_file(name, f"expected {expected:,} values ({sizes}), found further bytes after them")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _dimensions(read: _Read, name: str, expected: int | None) -> int:
    """Reads the first four bytes and returns the number of dimensions. Raises CnncError E602."""
    magic = read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        content = f"the bytes {magic.hex(' ')}" if magic else "nothing"
        raise _bad_file(name, f"expected an IDX file, plain or gzipped, which begins with 00 00, found {content}")
    kind, dimensions = magic[2], magic[3]
    if kind != _UINT8:
        type_name = _TYPES.get(kind, "an unknown type")
        raise _bad_file(name, f"expected values of type uint8 (0x08), found {type_name} (0x{kind:02x})")
    if expected is not None and dimensions != expected:
        raise _bad_file(name, f"expected {_describe(expected)}, found {_describe(dimensions)}")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise _bad_file(name, f"expected 1 to {_MAX_DIMENSIONS} dimensions, found {dimensions}")
    return dimensions


def _describe(dimensions: int) -> str:
    text = f"{dimensions} dimension{'s' if dimensions != 1 else ''}"
    return {IMAGES: f"images ({text})", LABELS: f"labels ({text})"}.get(dimensions, text)


def _shape(read: _Read, name: str, dimensions: int) -> tuple[int, ...]:
    sizes = read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _bad_file(name, f"expected a header of {4 + 4 * dimensions} bytes, found {4 + len(sizes)}")
    return struct.unpack(f">{dimensions}I", sizes)


def _read_at_most(read: _Read, count: int) -> bytearray:
    """The rest of the file, at most `count` bytes. Memory grows with the bytes read, not with `count`."""
    data = bytearray()
    while len(data) < count:
        chunk = read(min(_CHUNK, count - len(data)))
        if not chunk:
            break
        data += chunk
    return data


def _bad_file(name: str, problem: str) -> CnncError:
    return CnncError.of("E602", f"{name}: {problem}")
