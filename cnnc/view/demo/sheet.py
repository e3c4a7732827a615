"""Columns of examples as a page holds them: images as one PNG sheet, everything else as an array.

In: an array (N, ...). Out: `PackedColumn`, bytes and how they are read. A sheet holds images of 8 bits and one or three channels
below each other, (N·H, W), with the one filter of PNG for all rows that packs them best.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_SAMPLE_ROWS = 2000
"""The rows on which the filters are compared."""


class PackedColumn(NamedTuple):
    """`entry` is plain data: dtype, shape, and encoding, "png" or "array" (little-endian)."""

    entry: dict[str, Any]
    content: bytes


def packed_column(values: NDArray[Any]) -> PackedColumn:
    """Packs a column: integers in the smallest type that holds them."""
    if values.dtype == np.uint8 and values.ndim == 4 and values.shape[1] in (1, 3) and len(values):
        entry = {"dtype": "uint8", "shape": list(values.shape), "encoding": "png"}
        return PackedColumn(entry, png_sheet(values))
    if values.dtype.kind in "iu" and values.dtype != np.uint8:
        values = values.astype(_smallest(values))
    elif values.dtype.kind == "f":
        values = values.astype(np.float32)
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    return PackedColumn(
        {"dtype": str(values.dtype), "shape": list(values.shape), "encoding": "array"}, little.tobytes()
    )


def _smallest(values: NDArray[Any]) -> np.dtype[Any]:
    """The smallest signed type: unsigned bytes are pixels, which an input of floats gets as fractions."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.int64)


def png_sheet(images: NDArray[np.uint8]) -> bytes:
    """Images (N, C, H, W) of one or three channels as one PNG, below each other."""
    count, channels, height, width = images.shape
    rows = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).reshape(count * height, width * channels)
    sample = rows[:_SAMPLE_ROWS]
    kind = min(range(5), key=lambda kind: len(zlib.compress(_filtered(sample, kind, channels).tobytes(), 6)))
    header = struct.pack(">IIBBBBB", width, count * height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(_filtered(rows, kind, channels).tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(piece for name, content in parts for piece in _chunk(name, content))


def _chunk(name: bytes, content: bytes) -> Iterator[bytes]:
    yield struct.pack(">I", len(content))
    yield name + content
    yield struct.pack(">I", zlib.crc32(name + content))


def _filtered(rows: NDArray[np.uint8], kind: int, back: int) -> NDArray[np.uint8]:
    """Rows after a filter of PNG, with its number before each: differences to left (a), above (b), above left (c)."""
    a, b, c = (np.zeros(rows.shape, np.int16) for _ in range(3))
    a[:, back:] = rows[:, :-back]
    b[1:] = rows[:-1]
    c[1:, back:] = rows[:-1, :-back]
    guess = _paeth(a, b, c) if kind == 4 else (0, a, b, (a + b) >> 1)[kind]
    content = (rows.astype(np.int16) - guess).astype(np.uint8)
    return np.concatenate([np.full((len(rows), 1), kind, np.uint8), content], 1)


def _paeth(a: NDArray[np.int16], b: NDArray[np.int16], c: NDArray[np.int16]) -> NDArray[np.int16]:
    """Whichever of left, above and above left is nearest to a + b − c."""
    pa, pb, pc = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    nearest = np.where(pb <= pc, b, c)
    return np.where((pa <= pb) & (pa <= pc), a, nearest)
