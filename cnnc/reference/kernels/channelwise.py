"""Arithmetic on rows (R, C) with one number per channel, and sums over rows.

NumPy's inner loops run along the last axis. Starting one costs some ten nanoseconds, as much as a hundred elements: with
few channels that is nearly all of the time. So t rows are merged into one, (R/t, t·C), the numbers of the channels are
repeated t times, and the merged rows are processed in blocks that stay in the cache.

`scale_and_shift` of an activation (64, 28, 28, 6), which is R = 50,176 rows of C = 6 channels: t = 1024 rows are
merged, so the inner loops run over 6,144 elements, on an array (49, 6144), 10 rows of it at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.reference.kernels.matmul import empty_aligned

MAP_WIDTH = 8192  # elements of an inner loop: a row and the repeated numbers of the channels fit the first-level cache
SUM_WIDTH = 1024  # elements of an inner loop whose sums are gathered in double precision
SAMPLE_BLOCK = 1 << 17  # elements of a block of samples
ROW_BLOCK = 1 << 16  # elements of a block of rows: with two more arrays of that size they fit a second-level cache


@cache
def rows_to_merge(rows: int, channels: int, width: int) -> int:
    """How many rows to merge into one of about `width` elements: a power of two that divides their number."""
    t = 1
    while t * channels < width and rows % (2 * t) == 0:
        t *= 2
    return t


def merge_rows(array: Array, t: int) -> Array:
    """Contiguous (…, C) as (R/t, t·C)."""
    return array.reshape(-1, t * array.shape[-1])


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of a few rows of this width, which fit the cache."""
    step = _rows_per_block(width)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _rows_per_block(width: int) -> int:
    return max(1, ROW_BLOCK // width)


def sample_blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of a batch of `count` samples with `size` elements each: a few samples, which fit the cache."""
    step = max(1, SAMPLE_BLOCK // max(size, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _repeated(vector: Array, t: int, like: Array) -> Array:
    """(C,) as (t·C,), in the element type of `like`."""
    return np.broadcast_to(vector.astype(like.dtype), (t, len(vector))).ravel()


class Bias:
    """A bias (C,), to be added to many arrays (…, C); keeps its repeated forms."""

    def __init__(self, vector: Array) -> None:
        self._vector = vector
        self._repeated: dict[int, Array] = {}

    def add_to(self, array: Array) -> None:
        """Adds the bias in place; the array is contiguous."""
        t = _rows_to_merge(array, MAP_WIDTH)
        if t not in self._repeated:
            self._repeated[t] = _repeated(self._vector, t, array)
        rows, repeated = merge_rows(array, t), self._repeated[t]
        for block in row_blocks(*rows.shape):
            rows[block] += repeated


def scale_and_shift(
    x: Array,
    scale: Array,
    shift: Array,
    other: Array | None = None,
    other_scale: Array | None = None,
    *,
    in_place: bool = False,
    relu: bool = False,
) -> Array:
    """x·scale + shift, or x·scale + shift + other·other_scale, of contiguous (…, C) with vectors (C,).

    With `in_place` the result overwrites x; with `relu` it is max(result, 0).
    """
    out = x if in_place else empty_aligned(x.shape, x.dtype)
    t = _rows_to_merge(x, MAP_WIDTH)
    scales, shifts = _repeated(scale, t, x), _repeated(shift, t, x)
    rows, out_rows = merge_rows(x, t), merge_rows(out, t)
    second = None
    if other is not None and other_scale is not None:
        second = merge_rows(other, t), _repeated(other_scale, t, x), _block_buffer(rows)
    zeros = _zeros(x.dtype, rows.shape[1]) if relu else None  # np.maximum with a scalar takes twice as long
    for block in row_blocks(*rows.shape):
        result = out_rows[block]
        np.multiply(rows[block], scales, out=result)
        result += shifts
        if second is not None:
            other_rows, other_scales, buffer = second
            result += np.multiply(other_rows[block], other_scales, out=buffer[: len(result)])
        if zeros is not None:
            np.maximum(result, zeros, out=result)
    return out


@cache
def _zeros(dtype: np.dtype[Any], size: int = ROW_BLOCK) -> Array:
    return np.zeros(size, dtype)


def relu(x: Array, *, in_place: bool = False) -> Array:
    """max(x, 0); with `in_place` it overwrites x where that is contiguous."""
    if not x.flags.c_contiguous:
        return np.maximum(x, 0)
    out = x if in_place else empty_aligned(x.shape, x.dtype)
    flat, out_flat, zeros = x.reshape(-1), out.reshape(-1), _zeros(x.dtype)
    for start in range(0, x.size, ROW_BLOCK):
        block = slice(start, start + ROW_BLOCK)
        np.maximum(flat[block], zeros[: x.size - start], out=out_flat[block])
    return out


def channel_sum(array: Array) -> Array:
    """Σ over the rows of contiguous (…, C): (C,) in float64.

    Each block of rows is summed in the array's precision, and the blocks in double precision.
    """
    rows = merge_rows(array, _rows_to_merge(array, SUM_WIDTH))
    total = np.zeros(rows.shape[1], np.float64)
    ones = _ones(rows)
    for block in row_blocks(*rows.shape):
        block_rows = rows[block]
        total += ones[: len(block_rows)] @ block_rows
    return _split_sums(total, array)


def channel_products(
    x: Array, centre: Array | None = None, other: Array | None = None, *, positive: Array | None = None
) -> tuple[Array, Array]:
    """Σ d and Σ d² with d = x - centre, or with g = `other` Σ g and Σ d·g, over the rows of contiguous (…, C).

    Both (C,) in float64. Without a centre d is x, which is faster, but loses more digits where x is far from 0. With
    `positive`, the output of a ReLU, g is first set to 0, in place, where that output is not positive.
    """
    t = _rows_to_merge(x, SUM_WIDTH)
    rows, second, signs = merge_rows(x, t), *(None if a is None else merge_rows(a, t) for a in (other, positive))
    ones, centres = _ones(rows), None if centre is None else _repeated(centre, t, x)
    buffer = _block_buffer(rows) if centres is not None else None
    sums, products = np.zeros(rows.shape[1], np.float64), np.zeros(rows.shape[1], np.float64)
    for block in row_blocks(*rows.shape):
        d = rows[block]
        if buffer is not None and centres is not None:
            d = np.subtract(d, centres, out=buffer[: len(d)])
        g = d if second is None else second[block]
        if signs is not None:
            g *= signs[block] > 0
        products += np.einsum("ij,ij->j", d, g)
        sums += ones[: len(g)] @ g
    return _split_sums(sums, x), _split_sums(products, x)


def _rows_to_merge(array: Array, width: int) -> int:
    return rows_to_merge(array.size // array.shape[-1], array.shape[-1], width)


def _block_buffer(rows: Array) -> Array:
    """A buffer for one block of these rows."""
    return empty_aligned((_rows_per_block(rows.shape[1]), rows.shape[1]), rows.dtype)


def _ones(rows: Array) -> Array:
    """A vector whose product with a block of these rows is their sum."""
    return np.ones(_rows_per_block(rows.shape[1]), rows.dtype)


def _split_sums(total: Array, array: Array) -> Array:
    """Sums (t·C,) of merged rows as sums (C,) of the rows."""
    return np.asarray(total.reshape(-1, array.shape[-1]).sum(0))


def sample_sum(rows: Array) -> Array:
    """The sum (N, 1, C) over the rows (N, R, C) of each sample.

    Computed as matrix products of 256 rows each, whose results are added up: several times faster than row by row,
    and ten times as exact.
    """
    count, height, channels = rows.shape
    blocked = height // 256 * 256
    ones = np.ones((1, 256), rows.dtype)
    total = ones[:, : height - blocked] @ rows[:, blocked:]  # (1, R') @ (N, R', C)
    if blocked:
        blocks = rows[:, :blocked].reshape(count, -1, 256, channels)
        total += (ones @ blocks).sum(1)  # (1, 256) @ (N, R/256, 256, C)
    return np.asarray(total)
