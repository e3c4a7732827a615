"""Arithmetic on rows (R, C) with one number a channel, and sums over rows.

NumPy's inner loops run along the last axis and cost some ten nanoseconds each, as much as a hundred
elements: with few channels nearly all of the time. So rows are taken several at a time, as (R/t, t·C), and the
numbers of the channels repeated t times; and a few of these at a time, so that they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.reference.kernels.matmul import aligned

LONG = 8192  # elements of an inner loop: as many repeated numbers lie in the first-level cache beside a row
SUMMED = 1024  # of one whose sums are gathered in double precision
FEW = 1 << 17  # elements of a few samples
BLOCK = 1 << 16  # elements at a time: with two more arrays of that size they fit a second-level cache


@cache
def merged(rows: int, channels: int, width: int) -> int:
    """How many rows are best taken as one: a power of two that divides their number."""
    t = 1
    while t * channels < width and rows % (2 * t) == 0:
        t *= 2
    return t


def wide(array: Array, t: int) -> Array:
    """Contiguous (…, C) as (R/t, t·C)."""
    return array.reshape(-1, t * array.shape[-1])


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows of this width that fit the cache."""
    step = _step(width)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _step(width: int) -> int:
    """How many rows of this width are one block."""
    return max(1, BLOCK // width)


def few(count: int, size: int) -> Iterator[slice]:
    """Slices of a few samples, of `size` elements each, that fit the cache."""
    step = max(1, FEW // max(size, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _repeated(vector: Array, t: int, like: Array) -> Array:
    """(C,) as (t·C,), in the element type of another array."""
    return np.broadcast_to(vector.astype(like.dtype), (t, len(vector))).ravel()


class Offset:
    """Numbers (C,) that are added to contiguous (…, C), in place, again and again."""

    def __init__(self, vector: Array) -> None:
        self._vector = vector
        self._repeated: dict[int, Array] = {}

    def add(self, array: Array) -> None:
        t = _t(array, LONG)
        if t not in self._repeated:
            self._repeated[t] = _repeated(self._vector, t, array)
        rows, repeated = wide(array, t), self._repeated[t]
        for part in blocks(*rows.shape):
            rows[part] += repeated


def scaled(
    array: Array,
    factor: Array,
    offset: Array,
    other: Array | None = None,
    more: Array | None = None,
    *,
    over: bool = False,
    floor: bool = False,
) -> Array:
    """x·factor + offset, or with two more x·factor + offset + other·more, of contiguous (…, C), with (C,) each.

    With `over` the result is written over x; with `floor` nothing of it is below zero.
    """
    made = array if over else aligned(array.shape, array.dtype)
    t = _t(array, LONG)
    f, o = _repeated(factor, t, array), _repeated(offset, t, array)
    rows, into = wide(array, t), wide(made, t)
    extra = None
    if other is not None and more is not None:
        extra = wide(other, t), _repeated(more, t, array), _buffer(rows)
    zeros = _zeros(array.dtype, rows.shape[1]) if floor else None  # beside a number np.maximum takes twice as long
    for part in blocks(*rows.shape):
        out = into[part]
        np.multiply(rows[part], f, out=out)
        out += o
        if extra is not None:
            second, m, buffer = extra
            out += np.multiply(second[part], m, out=buffer[: len(out)])
        if zeros is not None:
            np.maximum(out, zeros, out=out)
    return made


@cache
def _zeros(dtype: np.dtype[Any], size: int = BLOCK) -> Array:
    return np.zeros(size, dtype)


def floored(array: Array, *, over: bool = False) -> Array:
    """max(x, 0); with `over` written over x, which is then contiguous."""
    if not array.flags.c_contiguous:
        return np.maximum(array, 0)
    made = array if over else aligned(array.shape, array.dtype)
    flat, into, zeros = array.reshape(-1), made.reshape(-1), _zeros(array.dtype)
    for start in range(0, array.size, BLOCK):
        part = slice(start, start + BLOCK)
        np.maximum(flat[part], zeros[: array.size - start], out=into[part])
    return made


def channel_sum(array: Array) -> Array:
    """Σ over the rows of contiguous (…, C): (C,), of double precision.

    Of a block of rows the sum is single, and the blocks are added up in double precision.
    """
    rows = wide(array, _t(array, SUMMED))
    total = np.zeros(rows.shape[1], np.float64)
    ones = _ones(rows)
    for part in blocks(*rows.shape):
        seen = rows[part]
        total += ones[: len(seen)] @ seen
    return _gathered(total, array)


def channel_products(
    x: Array, centre: Array | None = None, other: Array | None = None, *, positive: Array | None = None
) -> tuple[Array, Array]:
    """Σ d and Σ d² with d = x - centre, or Σ g and Σ d·g with another g, over the rows of contiguous (…, C).

    Both (C,), of double precision. Without a centre d is x, which is quicker, but leaves more to cancel. Before all
    else g becomes 0 where what is given as `positive` is not.
    """
    t = _t(x, SUMMED)
    rows, second, signs = wide(x, t), *(None if array is None else wide(array, t) for array in (other, positive))
    ones, middle = _ones(rows), None if centre is None else _repeated(centre, t, x)
    buffer = _buffer(rows) if middle is not None else None
    sums, products = np.zeros(rows.shape[1], np.float64), np.zeros(rows.shape[1], np.float64)
    for part in blocks(*rows.shape):
        d = rows[part]
        if buffer is not None and middle is not None:
            d = np.subtract(d, middle, out=buffer[: len(d)])
        g = d if second is None else second[part]
        if signs is not None:
            g *= signs[part] > 0
        products += np.einsum("ij,ij->j", d, g)
        sums += ones[: len(g)] @ g
    return _gathered(sums, x), _gathered(products, x)


def _t(array: Array, width: int) -> int:
    return merged(array.size // array.shape[-1], array.shape[-1], width)


def _buffer(rows: Array) -> Array:
    """Room for a block of these rows."""
    return aligned((_step(rows.shape[1]), rows.shape[1]), rows.dtype)


def _ones(rows: Array) -> Array:
    """Whose product with a block of these rows is their sum."""
    return np.ones(_step(rows.shape[1]), rows.dtype)


def _gathered(total: Array, array: Array) -> Array:
    """The sums of merged rows, as sums of channels."""
    return np.asarray(total.reshape(-1, array.shape[-1]).sum(0))


def sample_sum(rows: Array) -> Array:
    """The sum (N, 1, C) over the rows (N, R, C) of each sample.

    As matrix products of 256 rows each, whose sums are added up: several times quicker than row by row, and
    ten times as exact.
    """
    count, height, channels = rows.shape
    whole = height // 256 * 256
    ones = np.ones((1, 256), rows.dtype)
    total = ones[:, : height - whole] @ rows[:, whole:]  # (1, R') @ (N, R', C)
    if whole:
        blocks = rows[:, :whole].reshape(count, -1, 256, channels)
        total += (ones @ blocks).sum(1)  # (1, 256) @ (N, R/256, 256, C)
    return np.asarray(total)
