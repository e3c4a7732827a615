"""Matrix products in pieces small enough that OpenBLAS does not pack them.

A product first copies its matrices into the order in which the processor takes them. With few columns that costs
as much as the multiplying. On processors with AVX-512, OpenBLAS multiplies matrices with M·K·N up to a million as
they lie (its small-matrix kernels): a tall product cut into such pieces runs 1.2 to 1.7 times as fast, provided
that the matrix which all pieces share begins at a cache line. Elsewhere the pieces cost nothing worth mentioning.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from cnnc.core.arrays import Array

SMALL = 1_000_000  # M·K·N
VECTOR = 16  # numbers that the processor multiplies at once
ROWS = 96  # of a piece: fewer, where the other matrix is large, by multiples of FEWEST
FEWEST = 12
SUMMED = 256  # rows of a piece, where the pieces are added up
COLUMNS = 256
LINE = 64  # bytes


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An empty array that begins at a cache line; NumPy's own begin at any multiple of 16 bytes."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -_address(room) % LINE
    return room[start : start + size].view(dtype).reshape(shape)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])  # a third of the time of array.ctypes


def laid(matrix: Array) -> Array:
    """The matrix, contiguous and at a cache line: a copy, if need be."""
    if matrix.flags.c_contiguous and _address(matrix) % LINE == 0:
        return matrix
    made = aligned(matrix.shape, matrix.dtype)
    made[...] = matrix
    return made


@cache
def _step(depth: int, across: int, most: int = ROWS) -> int:
    """How many rows a piece takes, at most so many; 0 where the product is quicker as a whole.

    A last pair of vectors that is not full is slow, and pays only with more rows.
    """
    rows = min(most, SMALL // max(1, depth * across)) // FEWEST * FEWEST
    return rows if rows >= (FEWEST if across % (2 * VECTOR) == 0 else 3 * FEWEST) else 0


def times(rows: Array, matrix: Array, out: Array) -> Array:
    """rows (R, K) @ matrix (K, N), written into out (R, N). The matrix is `laid`, the others are contiguous."""
    (count, depth), across = rows.shape, matrix.shape[1]
    step = _step(depth, across)
    whole = count // step * step if step else 0
    if whole:
        np.matmul(rows[:whole].reshape(-1, step, depth), matrix, out=out[:whole].reshape(-1, step, across))
    if whole < count:
        np.matmul(rows[whole:], matrix, out=out[whole:])
    return out


def transposed_times(rows: Array, others: Array) -> Array:
    """rowsᵀ (K, R) @ others (R, N), of contiguous rows (R, K) and others."""
    (count, depth), across = rows.shape, others.shape[1]
    step = _step(depth, across, SUMMED)
    whole = count // step * step if step >= ROWS else 0
    if not whole:  # the pieces' own products are added up, which takes enough rows of each to pay
        return np.asarray(rows.T @ others)
    pieces = rows[:whole].reshape(-1, step, depth).transpose(0, 2, 1)
    total = np.add.reduce(pieces @ others[:whole].reshape(-1, step, across), 0)
    if whole < count:
        total += rows[whole:].T @ others[whole:]
    return np.asarray(total)


def across_times(matrix: Array, columns: Array, out: Array) -> Array:
    """matrix (M, K) @ columns (K, N), written into out (M, N), a few columns at a time; all are contiguous."""
    if columns.shape[1] % COLUMNS or matrix.size * COLUMNS > SMALL:
        return np.matmul(matrix, columns, out=out)
    parts = (array.reshape(len(array), -1, COLUMNS).transpose(1, 0, 2) for array in (columns, out))
    np.matmul(matrix, next(parts), out=next(parts))
    return out


def row_cost(depth: int, across: int) -> float:
    """Nanoseconds for one row (K,) of a product with (K, N), on a core with AVX-512 (measured, with OpenBLAS 0.3.31).

    Of a piece, by pairs of vectors, a single one, and numbers beyond; else as a share of 150 GFLOP/s.
    """
    if _step(depth, across):
        pairs, rest = divmod(across, 2 * VECTOR)
        single, more = divmod(rest, VECTOR)
        return depth * (0.38 * pairs + 0.29 * single + 0.026 * more) + 2
    return 2 * depth * across / 150 * (1 + 14 / across) * (1 + 15 / depth)
