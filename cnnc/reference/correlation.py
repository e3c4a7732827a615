"""Cross-correlation of one group as matrix products: im2col, a piece at a time, in a buffer that stays in the cache.

    forward   columns (n·OH·OW, kh·kw·C) @ kernel (kh·kw·C, O)
    weight    columnsᵀ @ gradient

A product as narrow as O = 6 or 16 uses a third of the processor, and a row of 3·kw numbers is copied at a
third of its speed. There q neighbours of a row are made by one wider window, of kw + (q - 1)·s columns, with a
kernel that holds the q shifted copies: (OW/q) rows @ (kh·(kw + (q - 1)·s)·C, q·O). It multiplies more zeros,
copies less, and its result lies in memory as that of the plain product does. `_neighbours` weighs that up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from cnnc.arguments import Axes
from cnnc.reference.engine import Array
from cnnc.reference.rows import few, merged, wide
from cnnc.reference.windows import Geometry, interior, tap, windows_of

CACHE_BYTES = 1 << 20  # of columns at a time: with the kernel and the result they fit a second-level cache


class Piece(NamedTuple):
    """Columns (rows, taps) of a run of images and of output rows."""

    at: tuple[slice, slice]
    columns: Array


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
    direct = _is_pointwise(g)
    padded = np.zeros((images, *g.sizes(spatial), channels), x.dtype) if g.padded else None
    buffer = np.empty(0 if direct else images * rows * row // x.itemsize, x.dtype)
    for i in range(0, count, images):
        j = min(i + images, count)
        seen = x[i:j]
        if padded is not None:
            padded[: j - i][interior(spatial, g.pads)] = seen
            seen = padded[: j - i]
        if direct:
            yield Piece((slice(i, j), slice(None)), seen.reshape(-1, taps))
            continue
        view = windows_of(seen, g)
        for r in range(0, height, rows):
            part = view[:, r : r + rows]
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
    q = _neighbours(g, kernel.shape[-2], kernel.shape[-1]) if out.flags.c_contiguous else 1
    flat = _shifted(kernel, g, q).reshape(-1, q * kernel.shape[-1])
    broad = _widened(g, q)
    whole = out if q == 1 else out.reshape(len(out), *broad.out, -1)
    offsets = _Offsets(bias, q)
    for at, columns in _pieces(x, broad):
        part = whole[at]
        if not part.flags.c_contiguous:
            made = columns @ flat  # (n·OH·OW, kh·kw·C) @ (kh·kw·C, O)
            offsets.add(made)
            part[...] = made.reshape(part.shape)
            continue
        made = part.reshape(len(columns), -1)
        np.matmul(columns, flat, out=made)
        offsets.add(made)
    return out


class _Offsets:
    """A bias that is added to piece after piece, as often repeated as its rows are merged."""

    def __init__(self, bias: Array | None, q: int) -> None:
        self.bias = None if bias is None else np.tile(bias, q)
        self._repeated: dict[int, Array] = {}

    def add(self, rows: Array) -> None:
        """Adds the bias to rows (R, C), in place."""
        if self.bias is None:
            return
        t = merged(*rows.shape)
        if t not in self._repeated:
            self._repeated[t] = np.tile(self.bias, t)
        rows = wide(rows, t)
        rows += self._repeated[t]


def correlate_gradient(x: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (kh, kw, C, O) of the kernel of `correlate`, given that of its result, contiguous."""
    channels, outputs = x.shape[-1], gradient.shape[-1]
    q = _neighbours(g, channels, outputs)
    broad = _widened(g, q)
    total = np.zeros((math.prod(broad.k) * channels, q * outputs), x.dtype)
    made = np.empty_like(total)
    gradient = gradient.reshape(len(gradient), *broad.out, -1)
    for at, columns in _pieces(x, broad):
        # (kh·kw·C, n·OH·OW) @ (n·OH·OW, O)
        total += np.matmul(columns.T, gradient[at].reshape(len(columns), -1), out=made)
    return _unshifted(total.reshape(*broad.k, channels, q * outputs), g, q)


# --- several neighbours at once ---------------------------------------------------------------------------------


def _widened(g: Geometry, q: int) -> Geometry:
    """The windows that see what q neighbours on the last axis see."""
    if q == 1:
        return g
    *k, last = g.k
    *s, step = g.s
    return g._replace(k=(*k, last + (q - 1) * step), s=(*s, q * step), out=(*g.out[:-1], g.out[-1] // q))


def _shifted(kernel: Array, g: Geometry, q: int) -> Array:
    """The kernel (kh, kw', C, q·O) that makes q neighbours: copies of (kh, kw, C, O), each a stride further."""
    if q == 1:
        return np.ascontiguousarray(kernel)
    *k, width, channels, outputs = kernel.shape
    step = g.s[-1]
    made = np.zeros((*k, width + (q - 1) * step, channels, q, outputs), kernel.dtype)
    for i in range(q):
        made[..., i * step : i * step + width, :, i, :] = kernel
    return made.reshape(*made.shape[:-2], q * outputs)


def _unshifted(gradient: Array, g: Geometry, q: int) -> Array:
    """The adjoint of `_shifted`."""
    if q == 1:
        return gradient
    width, step = g.k[-1], g.s[-1]
    parts = gradient.reshape(*gradient.shape[:-1], q, -1)
    total = parts[..., :width, :, 0, :].copy()
    for i in range(1, q):
        total += parts[..., i * step : i * step + width, :, i, :]
    return total


@cache
def _neighbours(g: Geometry, channels: int, outputs: int) -> int:
    """How many neighbours to make at once: what is quickest."""
    if g.d[-1] != 1:
        return 1
    return min((q for q in range(1, g.out[-1] + 1) if g.out[-1] % q == 0), key=lambda q: _cost(g, channels, outputs, q))


def _cost(g: Geometry, channels: int, outputs: int, q: int) -> float:
    """Nanoseconds an image, by a model of the machine.

    Measured (OpenBLAS, AVX-512): a product of width O and depth K runs at O/(O + 14)·K/(K + 15) of the full rate
    of some 150 GFLOP/s a core; a copied number costs 0.15 ns, and each run of them 6 ns more.
    """
    run = (g.k[-1] + (q - 1) * g.s[-1]) * channels
    height = math.prod(g.k[:-1])
    depth, across = height * run, q * outputs
    return math.prod(g.out) / q * (_product(depth, across) + 0.15 * depth + 6 * height)


def _product(depth: int, across: int) -> float:
    """Nanoseconds for one row of a product."""
    return 2 * depth * across / 150 * (1 + 14 / across) * (1 + 15 / depth)


# --- back to the input, a row of windows at a time ---------------------------------------------------------------


def rows_suit(g: Geometry, back: Geometry, channels: int, outputs: int) -> bool:
    """Whether `scatter_rows` is quicker than `back`, the cross-correlation of the gradient that does the same."""
    if g.d[-1] != 1 or len(g.k) == 1:
        return False
    depth, across = outputs * g.out[-1], (g.k[-1] + (g.out[-1] - 1) * g.s[-1]) * channels * math.prod(g.k[:-1])
    rows = math.prod(g.out[:-1]) * (_product(depth, across) + 0.4 * across)
    return rows < _cost(back, outputs, channels, _neighbours(back, outputs, channels))


def scatter_rows(gradient: Array, kernel: Array, g: Geometry, spatial: Axes) -> Array:
    """The gradient (N, H, W, C) of `correlate`'s input, given that of its result (N, OH, OW, O), contiguous.

    All OW neighbours at once: their gradients @ kernelᵀ is what one row of outputs gives to the kh rows of inputs
    that it saw, which is added there.
    """
    count, channels, width = len(gradient), kernel.shape[-2], g.out[-1]
    broad = _widened(g, width)
    flat = _shifted(kernel, g, width).reshape(-1, width * kernel.shape[-1])  # (kh·W·C, OW·O)
    sizes = g.sizes(spatial)
    reach = broad.k[-1] * channels
    dx = np.empty((count, *spatial, channels), gradient.dtype)
    lines = math.prod(g.out[:-1])
    for at in few(count, lines * len(flat)):
        mine = gradient[at].reshape(-1, flat.shape[1])
        made = (mine @ flat.T).reshape(-1, *g.out[:-1], *g.k[:-1], reach)  # (n·OH, OW·O) @ (OW·O, kh·W·C)
        padded = np.zeros((len(made), *sizes[:-1], sizes[-1] * channels), gradient.dtype)
        upper = g._replace(k=g.k[:-1], s=g.s[:-1], d=g.d[:-1], out=g.out[:-1], pads=g.pads[:-1])
        for index in np.ndindex(*upper.k):
            padded[(*tap(index, upper), slice(reach))] += made[(..., *index, slice(None))]
        dx[at] = padded.reshape(-1, *sizes, channels)[interior(spatial, g.pads)]
    return dx
