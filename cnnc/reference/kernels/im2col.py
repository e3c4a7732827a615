"""Cross-correlation of one group as matrix products (im2col), in pieces whose columns stay in the cache.

    output            columns (n·OH·OW, kh·kw·C) @ kernel (kh·kw·C, O)
    kernel gradient   columnsᵀ @ gradient (n·OH·OW, O)

A product as narrow as O = 6 or 16 uses a third of the processor, and columns of few channels are copied in short runs
of kw·C numbers, with C = 3 at a third of the speed. So one row of the product computes q adjacent positions of an output
row: it reads a wider window, of kw + (q - 1)·s columns, and the kernel holds q copies, each shifted by a stride. This
multiplies more zeros but copies less, and the result has the same layout in memory as that of the plain product.
`positions_per_row` picks the q that a model of the machine predicts to be fastest.

LeNet-5's second convolution, (N, 14, 14, 6) with a 5x5 kernel to (N, 10, 10, 16), q = 2: the windows are 5x6 with
stride (1, 2), so the columns are (n·10·5, 5·6·6 = 180), the kernel is (180, 2·16), and the product (n·50, 32) is
(n, 10, 10, 16). The plain product would be (n·100, 150) @ (150, 16).
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
from cnnc.reference.kernels.channelwise import Bias, sample_blocks
from cnnc.reference.kernels.matmul import empty_aligned, matmul_rows, matmul_transposed, nanoseconds_per_row
from cnnc.reference.kernels.windows import interior, taps, windows_of

CACHE_BYTES = 1 << 20  # of columns at a time: with the kernel and the result they fit a second-level cache


class Piece(NamedTuple):
    """The columns (rows, taps) of some images and some of their output rows; `at` is the index of these in the output."""

    at: tuple[slice, slice]
    columns: Array


@cache
def _is_pointwise(g: Geometry) -> bool:
    return all(k == 1 for k in g.k) and all(s == 1 for s in g.s) and not g.padded


def _pieces(x: Array, g: Geometry) -> Iterator[Piece]:
    """The columns of an input (N, H, W, C), which is padded as `g` says, piece by piece.

    The columns of a piece lie in a buffer that the next piece overwrites.
    """
    count, spatial, channels = x.shape[0], x.shape[1:-1], x.shape[-1]
    depth, height = math.prod(g.k) * channels, g.out[0]
    row_bytes = math.prod(g.out[1:]) * depth * x.itemsize
    images = max(1, CACHE_BYTES // (row_bytes * height))
    rows = height if images > 1 else min(height, max(1, CACHE_BYTES // row_bytes))
    images = min(images, count)
    if _is_pointwise(g):
        for i in range(0, count, images):
            yield Piece((slice(i, i + images), slice(None)), x[i : i + images].reshape(-1, depth))
        return
    buffer = empty_aligned((images * rows * row_bytes // x.itemsize,), x.dtype)
    padded = np.zeros((images, *g.padded_sizes(spatial), channels), x.dtype) if g.padded else None
    all_windows, inside = windows_of(x if padded is None else padded, g), interior(spatial, g.pads)
    for i in range(0, count, images):
        j = min(i + images, count)
        if padded is None:
            windows = all_windows[i:j]
        else:
            padded[: j - i][inside] = x[i:j]
            windows = all_windows[: j - i]
        for r in range(0, height, rows):
            part = windows[:, r : r + rows]
            columns = buffer[: part.size].reshape(part.shape)
            np.copyto(columns, part)
            yield Piece((slice(i, j), slice(r, r + rows)), columns.reshape(-1, depth))  # (n·OH·OW, kh·kw·C)


def correlate(x: Array, kernel: Array, g: Geometry, bias: Array | None = None, into: Array | None = None) -> Array:
    """The cross-correlation (N, OH, OW, O) of an input (N, H, W, C) with a kernel (kh, kw, C, O).

    The input is padded as `g` says. The result is written to `into`, if given, an array of any strides.
    """
    out = np.empty((x.shape[0], *g.out, kernel.shape[-1]), x.dtype) if into is None else into
    if not out.size:
        return out
    q = positions_per_row(g, *kernel.shape[-2:]) if out.flags.c_contiguous else 1
    output = _Output(out, kernel, g, q, bias)
    for piece in _pieces(x, _widened(g, q)):
        output.compute(piece)
    return out


def kernel_gradient(x: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (kh, kw, C, O) of `correlate`'s kernel, given that of its output (N, OH, OW, O), contiguous."""
    q = positions_per_row(g, x.shape[-1], gradient.shape[-1])
    total = _KernelGradient(gradient, x.shape[-1], g, q)
    for piece in _pieces(x, _widened(g, q)):
        total.add(piece)
    return total.result()


def correlate_with_kernel_gradient(x: Array, kernel: Array, gradient: Array, g: Geometry) -> tuple[Array, Array]:
    """`correlate(x, kernel, g)` and `kernel_gradient(x, gradient, g)`, from the same columns."""
    q = positions_per_row(g, *kernel.shape[-2:])
    output = _Output(np.empty(gradient.shape, x.dtype), kernel, g, q)
    total = _KernelGradient(gradient, x.shape[-1], g, q)
    for piece in _pieces(x, _widened(g, q)):
        output.compute(piece)
        total.add(piece)
    return output.out, total.result()


class _Output:
    """The output (N, OH, OW, O), computed piece by piece."""

    def __init__(self, out: Array, kernel: Array, g: Geometry, q: int, bias: Array | None = None) -> None:
        self.out = out
        self._kernel = _shifted_copies(kernel, g, q)
        self._widened_out = out if q == 1 else out.reshape(len(out), *_widened(g, q).out, -1)
        self._bias = None if bias is None else Bias(np.tile(bias, q))

    def compute(self, piece: Piece) -> None:
        """columns (n·OH·OW, kh·kw·C) @ kernel (kh·kw·C, O), plus the bias."""
        part, rows = self._widened_out[piece.at], len(piece.columns)
        if part.flags.c_contiguous:
            self._product(piece.columns, part.reshape(rows, -1))
        else:
            product = self._product(piece.columns, np.empty((rows, self._kernel.shape[1]), part.dtype))
            part[...] = product.reshape(part.shape)

    def _product(self, columns: Array, out: Array) -> Array:
        matmul_rows(columns, self._kernel, out)
        if self._bias is not None:
            self._bias.add_to(out)
        return out


class _KernelGradient:
    """The gradient (kh, kw, C, O) of a kernel, summed piece by piece."""

    def __init__(self, gradient: Array, channels: int, g: Geometry, q: int) -> None:
        wide = _widened(g, q)
        self._gradient = gradient.reshape(len(gradient), *wide.out, -1)
        self._total = np.zeros((*wide.k, channels, self._gradient.shape[-1]), gradient.dtype)
        self._g, self._q = g, q

    def add(self, piece: Piece) -> None:
        """columnsᵀ (kh·kw·C, n·OH·OW) @ gradient (n·OH·OW, O)."""
        gradient = self._gradient[piece.at].reshape(len(piece.columns), -1)
        self._total += matmul_transposed(piece.columns, gradient).reshape(self._total.shape)

    def result(self) -> Array:
        return _sum_of_shifted(self._total, self._g, self._q)


# --- q adjacent positions per row of the product ---------------------------------------------------------------------


@cache
def _widened(g: Geometry, q: int) -> Geometry:
    """The windows that read what q adjacent windows on the last axis read: k=5 s=1 out=10 with q = 2 is k=6 s=2 out=5."""
    if q == 1:
        return g
    *k, last = g.k
    *s, step = g.s
    return g._replace(k=(*k, last + (q - 1) * step), s=(*s, q * step), out=(*g.out[:-1], g.out[-1] // q))


def _shifted_view(array: Array, g: Geometry, q: int) -> Array:
    """A view (q, kh, kw, C, O) of contiguous (kh, kw', C, q, O): for each of q positions the taps of its own window."""
    *upper, row, channel, position, output = array.strides
    shape = (q, *g.k, array.shape[-3], array.shape[-1])
    strides = (g.s[-1] * row + position, *upper, row, channel, output)
    return np.ndarray(shape, array.dtype, array, 0, strides)


def _shifted_copies(kernel: Array, g: Geometry, q: int) -> Array:
    """The kernel (kh·kw'·C, q·O) of q positions: q copies of (kh, kw, C, O), each shifted by a stride, else 0."""
    *_, channels, outputs = kernel.shape
    copies = empty_aligned((*_widened(g, q).k, channels, q, outputs), kernel.dtype)
    if q > 1:
        copies[...] = 0
    _shifted_view(copies, g, q)[...] = kernel
    return copies.reshape(-1, q * outputs)


def _sum_of_shifted(gradient: Array, g: Geometry, q: int) -> Array:
    """The adjoint (kh, kw, C, O) of `_shifted_copies`, of contiguous (kh, kw', C, q·O)."""
    parts = gradient.reshape(*gradient.shape[:-1], q, -1)
    return gradient if q == 1 else np.asarray(np.add.reduce(_shifted_view(parts, g, q), 0))


@cache
def positions_per_row(g: Geometry, channels: int, outputs: int) -> int:
    """q, the number of adjacent output positions that one row of the product computes: the fastest divisor of OW."""
    if g.d[-1] != 1:
        return 1
    divisors = (q for q in range(1, g.out[-1] + 1) if g.out[-1] % q == 0)
    return min(divisors, key=lambda q: _nanoseconds(g, channels, outputs, q))


def nanoseconds(g: Geometry, channels: int, outputs: int, products: int = 1) -> float:
    """The predicted time per image, for the columns and this number of products with them."""
    return _nanoseconds(g, channels, outputs, positions_per_row(g, channels, outputs), products)


def _nanoseconds(g: Geometry, channels: int, outputs: int, q: int, products: int = 1) -> float:
    """Copying a number costs 0.15 ns, and each contiguous run of them 6 ns more (measured)."""
    run = (g.k[-1] + (q - 1) * g.s[-1]) * channels
    height = math.prod(g.k[:-1])
    depth, across = height * run, q * outputs
    return math.prod(g.out) / q * (products * nanoseconds_per_row(depth, across) + 0.15 * depth + 6 * height)


# --- the input's gradient, q adjacent positions at once --------------------------------------------------------------


@cache
def scatter_plan(g: Geometry, channels: int, outputs: int) -> tuple[int, float]:
    """The q that suits `scatter_input_gradient` best, and the predicted nanoseconds per image; inf where it cannot be used.

    Adding a number costs 0.4 ns, and each contiguous run of them 8 ns more (measured).
    """
    if any(s > 1 for s in g.s) or g.d[-1] != 1 or len(g.k) == 1:
        return 1, math.inf
    height = math.prod(g.k[:-1])

    def time(q: int) -> float:
        across = height * (g.k[-1] + q - 1) * channels
        return math.prod(g.out) / q * (nanoseconds_per_row(q * outputs, across) + 0.4 * across + 8 * height)

    return min(((q, time(q)) for q in range(1, g.out[-1] + 1) if g.out[-1] % q == 0), key=lambda plan: plan[1])


def _scatter_kernel(kernel: Array, g: Geometry, q: int) -> Array:
    """(q·O, kh·W·C) of a kernel (kh, kw, C, O): what each of q positions adds to the W = kw + q - 1 columns they read."""
    from_outputs = np.ascontiguousarray(kernel.transpose(-1, *range(kernel.ndim - 1)))  # (O, kh, kw, C)
    copies = empty_aligned((q, len(from_outputs), *_widened(g, q).k, from_outputs.shape[-1]), kernel.dtype)
    copies[...] = 0
    for i in range(q):
        copies[i, ..., i : i + from_outputs.shape[-2], :] = from_outputs
    return copies.reshape(q * len(from_outputs), -1)


def scatter_input_gradient(gradient: Array, kernel: Array, g: Geometry, spatial: Axes) -> Array:
    """The gradient (N, H, W, C) of `correlate`'s input, given that of its output (N, OH, OW, O), contiguous; stride 1.

    q positions at once: their gradients (q·O) @ kernelᵀ are what they add to the kh rows of inputs that they read,
    each row kw + q - 1 columns long. LeNet-5's second convolution, q = 5: gradients (n·10·2, 5·16) @ (80, 5·9·6) are
    runs of 9·6 numbers, added at five rows of the padded input (n, 14, 14·6).
    """
    channels, outputs = kernel.shape[-2:]
    q, _ = scatter_plan(g, channels, outputs)
    flat = _scatter_kernel(kernel, g, q)
    groups, run, sizes = g.out[-1] // q, (g.k[-1] + q - 1) * channels, g.padded_sizes(spatial)
    upper = g._replace(k=g.k[:-1], s=g.s[:-1], d=g.d[:-1], out=g.out[:-1], pads=g.pads[:-1])
    dx = np.empty((len(gradient), *spatial, channels), gradient.dtype)
    for block in sample_blocks(len(gradient), math.prod(upper.out) * groups * flat.shape[1]):
        rows = gradient[block].reshape(-1, len(flat))
        product = matmul_rows(rows, flat, np.empty((len(rows), flat.shape[1]), dx.dtype))
        runs = product.reshape(-1, *upper.out, groups, math.prod(upper.k), run)
        padded = np.zeros((len(runs), *sizes[:-1], sizes[-1] * channels), gradient.dtype)
        for group in range(groups):
            columns = slice(group * q * channels, group * q * channels + run)
            for number, (_, rows_read) in enumerate(taps(upper)):
                padded[(*rows_read, columns)] += runs[..., group, number, :]
        dx[block] = padded.reshape(-1, *sizes, channels)[interior(spatial, g.pads)]
    return dx
