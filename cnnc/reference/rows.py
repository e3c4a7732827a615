"""Arithmetic on rows (R, C) with one number a channel, and sums over rows.

NumPy's inner loops run along the last axis and cost some ten nanoseconds each, as much as a hundred
elements: with few channels nearly all of the time. So rows are taken several at a time, as (R/t, t·C), and the
numbers of the channels repeated t times; and a few of these at a time, so that they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnc.reference.engine import Array

WIDTH = 512  # elements of an inner loop, at which its cost no longer counts
BLOCK = 1 << 15  # elements at a time: with two more arrays of that size they fit a second-level cache


def merged(rows: int, channels: int) -> int:
    """How many rows are best taken as one: a power of two that divides their number."""
    t = 1
    while t * channels < WIDTH and rows % (2 * t) == 0:
        t *= 2
    return t


def wide(array: Array, t: int) -> Array:
    """Contiguous (…, C) as (R/t, t·C)."""
    return array.reshape(-1, t * array.shape[-1])


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows of this width that fit the cache."""
    step = max(1, BLOCK // width)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def few(count: int, size: int) -> Iterator[slice]:
    """Slices of a few samples, of `size` elements each, that fit the cache."""
    step = max(1, 4 * BLOCK // max(size, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def add_channels(array: Array, vector: Array) -> None:
    """Adds (C,) to contiguous (…, C), in place."""
    t = _t(array)
    rows, repeated = wide(array, t), np.tile(vector, t)
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
) -> Array:
    """x·factor + offset, or with two more x·factor + offset + other·more, of contiguous (…, C), with (C,) each.

    With `over` the result is written over x.
    """
    made = array if over else np.empty_like(array)
    t = _t(array)
    f, o = (np.tile(vector.astype(array.dtype), t) for vector in (factor, offset))
    rows, into = wide(array, t), wide(made, t)
    second = m = None
    if other is not None and more is not None:
        second, m = wide(other, t), np.tile(more.astype(array.dtype), t)
    buffer = _buffer(rows) if second is not None else None
    for part in blocks(*rows.shape):
        out = into[part]
        np.multiply(rows[part], f, out=out)
        out += o
        if second is not None and m is not None and buffer is not None:
            out += np.multiply(second[part], m, out=buffer[: len(out)])
    return made


def channel_sum(array: Array) -> Array:
    """Σ over the rows of contiguous (…, C): (C,), of double precision.

    Of a block of rows the sum is single, and the blocks are added up in double precision.
    """
    rows = wide(array, _t(array))
    total = np.zeros(rows.shape[1], np.float64)
    for part in blocks(*rows.shape):
        total += np.add.reduce(rows[part], 0)
    return _gathered(total, array)


def channel_products(x: Array, centre: Array, other: Array | None = None) -> tuple[Array, Array]:
    """Σ d and Σ d² with d = x - centre, or Σ g and Σ d·g with another g, over the rows of contiguous (…, C).

    Both (C,), of double precision.
    """
    t = _t(x)
    rows, second = wide(x, t), None if other is None else wide(other, t)
    middle = np.tile(centre.astype(x.dtype), t)
    buffer = _buffer(rows)
    sums, products = np.zeros(rows.shape[1], np.float64), np.zeros(rows.shape[1], np.float64)
    for part in blocks(*rows.shape):
        seen = rows[part]
        d = np.subtract(seen, middle, out=buffer[: len(seen)])
        g = d if second is None else second[part]
        sums += np.add.reduce(g, 0)
        np.multiply(d, g, out=d)
        products += np.add.reduce(d, 0)
    return _gathered(sums, x), _gathered(products, x)


def _t(array: Array) -> int:
    return merged(array.size // array.shape[-1], array.shape[-1])


def _buffer(rows: Array) -> Array:
    """Room for one of the `blocks` of these rows."""
    return np.empty((max(1, BLOCK // rows.shape[1]), rows.shape[1]), rows.dtype)


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
