"""Cross-correlation of one group as matrix products: im2col, a piece at a time, in a buffer that stays in the cache.

    forward   columns (n·OH·OW, kh·kw·C) @ kernel (kh·kw·C, O)
    weight    columnsᵀ @ gradient

A product as narrow as O = 6 or 16 uses a third of the processor, and a row of 3·kw numbers is copied at a
third of its speed. There q neighbours of a row are made by one wider window, of kw + (q - 1)·s columns, with a
kernel that holds the q shifted copies: (OW/q) rows @ (kh·(kw + (q - 1)·s)·C, q·O). It multiplies more zeros,
copies less, and its result lies in memory as that of the plain product does. `neighbours` weighs that up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.channelwise import Offset, few
from cnnc.reference.kernels.matmul import aligned, row_cost, times, transposed_times
from cnnc.reference.kernels.windows import interior, taps, windows_of

CACHE_BYTES = 1 << 20  # of columns at a time: with the kernel and the result they fit a second-level cache


class Piece(NamedTuple):
    """Columns (rows, taps) of a run of images and of output rows."""

    at: tuple[slice, slice]
    columns: Array


@cache
def _is_pointwise(g: Geometry) -> bool:
    return all(k == 1 for k in g.k) and all(s == 1 for s in g.s) and not g.padded


def _pieces(x: Array, g: Geometry) -> Iterator[Piece]:
    """The columns of an input (N, H, W, C), which is padded on the way, piece by piece.

    A piece lies in a buffer that the next one overwrites.
    """
    count, spatial, channels = x.shape[0], x.shape[1:-1], x.shape[-1]
    taps, height = math.prod(g.k) * channels, g.out[0]
    row = math.prod(g.out[1:]) * taps * x.itemsize
    images = max(1, CACHE_BYTES // (row * height))
    rows = height if images > 1 else min(height, max(1, CACHE_BYTES // row))
    images = min(images, count)
    if _is_pointwise(g):
        for i in range(0, count, images):
            yield Piece((slice(i, i + images), slice(None)), x[i : i + images].reshape(-1, taps))
        return
    buffer = aligned((images * rows * row // x.itemsize,), x.dtype)
    padded = np.zeros((images, *g.padded_sizes(spatial), channels), x.dtype) if g.padded else None
    seen, inside = windows_of(x if padded is None else padded, g), interior(spatial, g.pads)
    for i in range(0, count, images):
        j = min(i + images, count)
        if padded is None:
            windows = seen[i:j]
        else:
            padded[: j - i][inside] = x[i:j]
            windows = seen[: j - i]
        for r in range(0, height, rows):
            part = windows[:, r : r + rows]
            columns = buffer[: part.size].reshape(part.shape)
            np.copyto(columns, part)
            yield Piece((slice(i, j), slice(r, r + rows)), columns.reshape(-1, taps))  # (n·OH·OW, kh·kw·C)


def correlate(x: Array, kernel: Array, g: Geometry, bias: Array | None = None, into: Array | None = None) -> Array:
    """The cross-correlation (N, OH, OW, O) of an input (N, H, W, C) with a kernel (kh, kw, C, O).

    The input is padded as `g` says. The result is put `into` an array, if one is given, of any strides.
    """
    out = np.empty((x.shape[0], *g.out, kernel.shape[-1]), x.dtype) if into is None else into
    if not out.size:
        return out
    q = neighbours(g, *kernel.shape[-2:]) if out.flags.c_contiguous else 1
    made = _Result(out, kernel, g, q, bias)
    for piece in _pieces(x, _widened(g, q)):
        made.take(piece)
    return out


def correlate_gradient(x: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (kh, kw, C, O) of the kernel of `correlate`, given that of its result, contiguous."""
    q = neighbours(g, x.shape[-1], gradient.shape[-1])
    total = _Sum(gradient, x.shape[-1], g, q)
    for piece in _pieces(x, _widened(g, q)):
        total.take(piece)
    return total.kernel()


def correlate_both(x: Array, kernel: Array, gradient: Array, g: Geometry) -> tuple[Array, Array]:
    """`correlate(x, kernel, g)` and `correlate_gradient(x, gradient, g)`, of the same columns."""
    q = neighbours(g, *kernel.shape[-2:])
    made = _Result(np.empty(gradient.shape, x.dtype), kernel, g, q)
    total = _Sum(gradient, x.shape[-1], g, q)
    for piece in _pieces(x, _widened(g, q)):
        made.take(piece)
        total.take(piece)
    return made.out, total.kernel()


class _Result:
    """The result (N, OH, OW, O) as it is made, piece by piece."""

    def __init__(self, out: Array, kernel: Array, g: Geometry, q: int, bias: Array | None = None) -> None:
        self.out = out
        self._flat = _shifted(kernel, g, q)
        self._whole = out if q == 1 else out.reshape(len(out), *_widened(g, q).out, -1)
        self._bias = None if bias is None else Offset(np.tile(bias, q))

    def take(self, piece: Piece) -> None:
        """columns (n·OH·OW, kh·kw·C) @ kernel (kh·kw·C, O), and the bias."""
        part, rows = self._whole[piece.at], len(piece.columns)
        if part.flags.c_contiguous:
            self._make(piece.columns, part.reshape(rows, -1))
        else:
            part[...] = self._make(piece.columns, np.empty((rows, self._flat.shape[1]), part.dtype)).reshape(part.shape)

    def _make(self, columns: Array, out: Array) -> Array:
        times(columns, self._flat, out)
        if self._bias is not None:
            self._bias.add(out)
        return out


class _Sum:
    """The gradient (kh, kw, C, O) of a kernel as it is summed up, piece by piece."""

    def __init__(self, gradient: Array, channels: int, g: Geometry, q: int) -> None:
        broad = _widened(g, q)
        self._gradient = gradient.reshape(len(gradient), *broad.out, -1)
        self._total = np.zeros((*broad.k, channels, self._gradient.shape[-1]), gradient.dtype)
        self._g, self._q = g, q

    def take(self, piece: Piece) -> None:
        """columnsᵀ (kh·kw·C, n·OH·OW) @ gradient (n·OH·OW, O)."""
        mine = self._gradient[piece.at].reshape(len(piece.columns), -1)
        self._total += transposed_times(piece.columns, mine).reshape(self._total.shape)

    def kernel(self) -> Array:
        return _unshifted(self._total, self._g, self._q)


# --- several neighbours at once ---------------------------------------------------------------------------------


@cache
def _widened(g: Geometry, q: int) -> Geometry:
    """The windows that see what q neighbours on the last axis see."""
    if q == 1:
        return g
    *k, last = g.k
    *s, step = g.s
    return g._replace(k=(*k, last + (q - 1) * step), s=(*s, q * step), out=(*g.out[:-1], g.out[-1] // q))


def _copies(array: Array, g: Geometry, q: int) -> Array:
    """A view (q, kh, kw, C, O) of contiguous (kh, kw', C, q, O): of each neighbour what belongs to its own window."""
    *upper, row, channel, neighbour, output = array.strides
    shape = (q, *g.k, array.shape[-3], array.shape[-1])
    strides = (g.s[-1] * row + neighbour, *upper, row, channel, output)
    return np.ndarray(shape, array.dtype, array, 0, strides)


def _shifted(kernel: Array, g: Geometry, q: int) -> Array:
    """The kernel (kh·kw'·C, q·O) that makes q neighbours: copies of (kh, kw, C, O), each a stride further."""
    *_, channels, outputs = kernel.shape
    made = aligned((*_widened(g, q).k, channels, q, outputs), kernel.dtype)
    if q > 1:
        made[...] = 0
    _copies(made, g, q)[...] = kernel
    return made.reshape(-1, q * outputs)


def _unshifted(gradient: Array, g: Geometry, q: int) -> Array:
    """The adjoint (kh, kw, C, O) of `_shifted`, of contiguous (kh, kw', C, q·O)."""
    parts = gradient.reshape(*gradient.shape[:-1], q, -1)
    return gradient if q == 1 else np.asarray(np.add.reduce(_copies(parts, g, q), 0))


@cache
def neighbours(g: Geometry, channels: int, outputs: int) -> int:
    """How many neighbours to make at once: what is quickest."""
    if g.d[-1] != 1:
        return 1
    return min((q for q in range(1, g.out[-1] + 1) if g.out[-1] % q == 0), key=lambda q: _cost(g, channels, outputs, q))


def cost(g: Geometry, channels: int, outputs: int, products: int = 1) -> float:
    """Nanoseconds an image for the columns, and so many products with them, by a model of the machine."""
    return _cost(g, channels, outputs, neighbours(g, channels, outputs), products)


def _cost(g: Geometry, channels: int, outputs: int, q: int, products: int = 1) -> float:
    """A copied number costs 0.15 ns, and each run of them 6 ns more (measured)."""
    run = (g.k[-1] + (q - 1) * g.s[-1]) * channels
    height = math.prod(g.k[:-1])
    depth, across = height * run, q * outputs
    return math.prod(g.out) / q * (products * row_cost(depth, across) + 0.15 * depth + 6 * height)


# --- back to the input, neighbours at once ------------------------------------------------------------------------


@cache
def scattered(g: Geometry, channels: int, outputs: int) -> tuple[int, float]:
    """How many neighbours `scatter_rows` takes at once, and its nanoseconds an image; infinite where it does not apply.

    A number that is added costs 0.4 ns, and each run of them 8 ns more (measured).
    """
    if any(s > 1 for s in g.s) or g.d[-1] != 1 or len(g.k) == 1:
        return 1, math.inf
    height = math.prod(g.k[:-1])

    def cost(q: int) -> float:
        across = height * (g.k[-1] + q - 1) * channels
        return math.prod(g.out) / q * (row_cost(q * outputs, across) + 0.4 * across + 8 * height)

    return min(((q, cost(q)) for q in range(1, g.out[-1] + 1) if g.out[-1] % q == 0), key=lambda made: made[1])


def _scattering(kernel: Array, g: Geometry, q: int) -> Array:
    """What each of q neighbours gives to all that one row of them saw: (q·O, kh·W·C), of a kernel (kh, kw, C, O)."""
    mine = np.ascontiguousarray(kernel.transpose(-1, *range(kernel.ndim - 1)))  # (O, kh, kw, C)
    made = aligned((q, len(mine), *_widened(g, q).k, mine.shape[-1]), kernel.dtype)
    made[...] = 0
    for i in range(q):
        made[i, ..., i : i + mine.shape[-2], :] = mine
    return made.reshape(q * len(mine), -1)


def scatter_rows(gradient: Array, kernel: Array, g: Geometry, spatial: Axes) -> Array:
    """The gradient (N, H, W, C) of `correlate`'s input, given that of its result (N, OH, OW, O), contiguous.

    q neighbours at once: their gradients (q·O) @ kernelᵀ is what they give to the kh rows of inputs that they saw,
    each kw + q - 1 long, where it is added.
    """
    channels, outputs = kernel.shape[-2:]
    q, _ = scattered(g, channels, outputs)
    flat = _scattering(kernel, g, q)
    groups, reach, sizes = g.out[-1] // q, (g.k[-1] + q - 1) * channels, g.padded_sizes(spatial)
    upper = g._replace(k=g.k[:-1], s=g.s[:-1], d=g.d[:-1], out=g.out[:-1], pads=g.pads[:-1])
    dx = np.empty((len(gradient), *spatial, channels), gradient.dtype)
    for at in few(len(gradient), math.prod(upper.out) * groups * flat.shape[1]):
        mine = gradient[at].reshape(-1, len(flat))
        made = times(mine, flat, np.empty((len(mine), flat.shape[1]), dx.dtype))  # (n·OH·OW/q, q·O) @ (q·O, kh·W·C)
        made = made.reshape(-1, *upper.out, groups, math.prod(upper.k), reach)
        padded = np.zeros((len(made), *sizes[:-1], sizes[-1] * channels), gradient.dtype)
        for group in range(groups):
            seen = slice(group * q * channels, group * q * channels + reach)
            for number, (_, place) in enumerate(taps(upper)):
                padded[(*place, seen)] += made[..., group, number, :]
        dx[at] = padded.reshape(-1, *sizes, channels)[interior(spatial, g.pads)]
    return dx
