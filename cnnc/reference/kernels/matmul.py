"""Matrix products in pieces small enough that OpenBLAS does not pack them.

OpenBLAS first copies (packs) both matrices into the order in which the processor reads them. With few columns that
costs as much as the multiplication. On processors with AVX-512 it skips packing for products with M·K·N up to a
million (its small-matrix kernels): a tall product cut into such pieces runs 1.2 to 1.7 times as fast, provided that
the matrix which all pieces share begins at a cache line. On other processors the pieces cost next to nothing.

`matmul_rows` of (1450, 180) @ (180, 32), which im2col.py needs for LeNet-5's second convolution: 15 products
(96, 180) @ (180, 32), with M·K·N = 552,960 each, and one with the remaining 10 rows.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from cnnc.core.arrays import Array

SMALL_PRODUCT = 1_000_000  # M·K·N up to which OpenBLAS does not pack
VECTOR = 16  # float32 numbers that the processor multiplies at once
MAX_ROWS = 96  # of a piece; fewer where the other matrix is large, by multiples of ROW_MULTIPLE
ROW_MULTIPLE = 12
SUMMED_ROWS = 256  # of a piece where the products of the pieces are added up
COLUMNS = 256  # of a piece in `matmul_columns`
CACHE_LINE = 64  # bytes


def empty_aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An uninitialized array that begins at a cache line; NumPy's own begin at any multiple of 16 bytes."""
    size = math.prod(shape) * dtype.itemsize
    buffer = np.empty(size + CACHE_LINE, np.uint8)
    start = -_address(buffer) % CACHE_LINE
    return buffer[start : start + size].view(dtype).reshape(shape)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])  # takes a third of the time of array.ctypes


def as_aligned(matrix: Array) -> Array:
    """The matrix, contiguous and at a cache line: itself if it is, else a copy."""
    if matrix.flags.c_contiguous and _address(matrix) % CACHE_LINE == 0:
        return matrix
    copy = empty_aligned(matrix.shape, matrix.dtype)
    copy[...] = matrix
    return copy


@cache
def _piece_rows(depth: int, across: int, most: int = MAX_ROWS) -> int:
    """The number of rows of a piece, at most `most`; 0 where one product (R, depth) @ (depth, across) is faster.

    A last pair of vectors that is not full is slow, and pays only with more rows.
    """
    rows = min(most, SMALL_PRODUCT // max(1, depth * across)) // ROW_MULTIPLE * ROW_MULTIPLE
    return rows if rows >= (ROW_MULTIPLE if across % (2 * VECTOR) == 0 else 3 * ROW_MULTIPLE) else 0


def matmul_rows(rows: Array, matrix: Array, out: Array) -> Array:
    """rows (R, K) @ matrix (K, N), written into out (R, N). The matrix is aligned (`as_aligned`), all are contiguous."""
    (count, depth), across = rows.shape, matrix.shape[1]
    step = _piece_rows(depth, across)
    rows_in_pieces = count // step * step if step else 0
    if rows_in_pieces:
        np.matmul(
            rows[:rows_in_pieces].reshape(-1, step, depth), matrix, out=out[:rows_in_pieces].reshape(-1, step, across)
        )
    if rows_in_pieces < count:
        np.matmul(rows[rows_in_pieces:], matrix, out=out[rows_in_pieces:])
    return out


def matmul_transposed(rows: Array, others: Array) -> Array:
    """rowsᵀ (K, R) @ others (R, N), of contiguous rows (R, K) and others."""
    (count, depth), across = rows.shape, others.shape[1]
    step = _piece_rows(depth, across, SUMMED_ROWS)
    # adding up the products of the pieces pays only with enough rows in each
    rows_in_pieces = count // step * step if step >= MAX_ROWS else 0
    if not rows_in_pieces:
        return np.asarray(rows.T @ others)
    pieces = rows[:rows_in_pieces].reshape(-1, step, depth).transpose(0, 2, 1)
    total = np.add.reduce(pieces @ others[:rows_in_pieces].reshape(-1, step, across), 0)
    if rows_in_pieces < count:
        total += rows[rows_in_pieces:].T @ others[rows_in_pieces:]
    return np.asarray(total)


def matmul_columns(matrix: Array, columns: Array, out: Array) -> Array:
    """matrix (M, K) @ columns (K, N), written into out (M, N), `COLUMNS` columns at a time; all are contiguous."""
    if columns.shape[1] % COLUMNS or matrix.size * COLUMNS > SMALL_PRODUCT:
        return np.matmul(matrix, columns, out=out)
    parts = (array.reshape(len(array), -1, COLUMNS).transpose(1, 0, 2) for array in (columns, out))
    np.matmul(matrix, next(parts), out=next(parts))
    return out


def nanoseconds_per_row(depth: int, across: int) -> float:
    """The time for one row (K,) of `matmul_rows` with a matrix (K, N), on a core with AVX-512.

    Measured with OpenBLAS 0.3.31: for a product in pieces, a cost per pair of vectors, single vector, and remaining
    number of a row; else a share of 150 GFLOP/s.
    """
    if _piece_rows(depth, across):
        pairs, rest = divmod(across, 2 * VECTOR)
        single, more = divmod(rest, VECTOR)
        return depth * (0.38 * pairs + 0.29 * single + 0.026 * more) + 2
    return 2 * depth * across / 150 * (1 + 14 / across) * (1 + 15 / depth)
