"""Cross-correlation with 3x3 kernels at stride 1 by Winograd's F(4x4, 3x3): a quarter of the multiplications.

    output            Y = Aᵀ[(G k Gᵀ) ⊙ (Bᵀ d B)]A       for each tile of 4x4 outputs and the 6x6 inputs d that it reads
    kernel gradient   dk = Gᵀ[Σ over tiles (Bᵀ d B) ⊙ (A dY Aᵀ)]G

(Lavin & Gray 2016, section 4, with the points 0, 1, -1, 2, -2.) With several channels ⊙ is a matrix product over the
channels at each of the 36 positions of a tile. The transforms of both axes are one matrix each, 36x36 and 16x36, so
that they are matrix products as well. Rounding errors are some ten times those of the plain product; the method pays
from some 24 channels on.

32 channels of 16x16 pixels to 32 channels, padding 1: 4x4 = 16 tiles per image, T = 96 tiles of six images at a time.
Transformed inputs (36, 96, 32) @ transformed kernel (36, 32, 32) = (36, 96, 32), which the 16x36 transform turns into
4x4 outputs for each tile: 36·32 multiplications for 16 outputs instead of 16·9·32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.channelwise import Bias
from cnnc.reference.kernels.matmul import as_aligned, empty_aligned, matmul_columns
from cnnc.reference.kernels.windows import interior, strided_view

OUTPUT_TILE, INPUT_TILE = 4, 6
POSITIONS = INPUT_TILE * INPUT_TILE
MIN_CHANNELS = 24  # of input and output; with fewer the transforms cost more than the products save
TILES = 96  # to process at a time: enough rows for a product, few enough for the cache
MAX_TILES = 400  # of one image: all of them are processed at a time

_B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
_G = (
    np.array(
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
        np.float64,
    )
    / 24
)
_A = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    np.float64,
)


class Transforms(NamedTuple):
    """The transforms of both axes: of inputs (36, 36), kernels (36, 9), outputs (16, 36), output gradients (36, 16)."""

    inputs: Array
    kernel: Array
    outputs: Array
    gradients: Array


@cache
def _transforms(dtype: np.dtype[Any]) -> Transforms:
    return Transforms(*(np.kron(m, m).astype(dtype) for m in (_B, _G, _A, _A.T)))


def applies(g: Geometry, channels: int, outputs: int) -> bool:
    """Whether these windows can be computed this way, and are likely to be faster than with im2col."""
    fits = g.k == (3, 3) and g.s == g.d == (1, 1) and min(channels, outputs) >= MIN_CHANNELS
    if not fits:
        return False
    tiles = math.prod(-(-m // OUTPUT_TILE) for m in g.out)
    return tiles <= MAX_TILES and 2 * 36 * tiles <= 9 * math.prod(g.out)


class _Tiling(NamedTuple):
    """The number of tiles that cover an output, on each axis."""

    rows: int
    columns: int

    @classmethod
    def of(cls, g: Geometry) -> _Tiling:
        return cls(-(-g.out[0] // OUTPUT_TILE), -(-g.out[1] // OUTPUT_TILE))

    @property
    def images(self) -> int:
        """How many images to process at a time."""
        return max(1, TILES // (self.rows * self.columns))

    def is_exact(self, g: Geometry) -> bool:
        """Whether the tiles cover the output and nothing more."""
        return g.out == (OUTPUT_TILE * self.rows, OUTPUT_TILE * self.columns)


def _transformed_inputs(x: Array, g: Geometry, tiling: _Tiling) -> Iterator[tuple[slice, Array]]:
    """The transformed tiles (36, T, C) of a few images at a time, and the slice of these images."""
    channels, images = x.shape[-1], min(len(x), tiling.images)
    transform = _transforms(x.dtype).inputs
    sizes = OUTPUT_TILE * tiling.rows + 2, OUTPUT_TILE * tiling.columns + 2
    padded = np.zeros((images, *sizes, channels), x.dtype)
    n, high, wide, one = padded.strides
    shape = (INPUT_TILE, INPUT_TILE, images, tiling.rows, tiling.columns, channels)
    tiles = strided_view(padded, shape, (high, wide, n, OUTPUT_TILE * high, OUTPUT_TILE * wide, one))
    inside = interior(x.shape[1:-1], g.pads)
    tile_buffer = empty_aligned(tiles.shape, x.dtype)
    transformed_buffer = empty_aligned((POSITIONS, tile_buffer[0, 0].size), x.dtype)
    for i in range(0, len(x), images):
        block = x[i : i + images]
        count = len(block)
        padded[:count][inside] = block
        contiguous, transformed = tile_buffer, transformed_buffer
        if count < images:
            flat = tile_buffer.reshape(-1)[: tile_buffer.size // images * count]
            contiguous = flat.reshape(INPUT_TILE, INPUT_TILE, count, *tiles.shape[3:])
            transformed = transformed_buffer.reshape(-1)[: contiguous.size].reshape(POSITIONS, -1)
        np.copyto(contiguous, tiles[:, :, :count])
        matmul_columns(transform, contiguous.reshape(POSITIONS, -1), transformed)  # (36, 36) @ (36, T·C)
        yield slice(i, i + count), transformed.reshape(POSITIONS, -1, channels)


def _by_tile_position(array: Array, tiling: _Tiling) -> Array:
    """A view of contiguous (n, 4·TH, 4·TW, O) as (4, 4, n, TH, TW, O)."""
    n, *_, outputs = array.shape
    tiles = array.reshape(n, tiling.rows, OUTPUT_TILE, tiling.columns, OUTPUT_TILE, outputs)
    return tiles.transpose(2, 4, 0, 1, 3, 5)


def correlate(x: Array, kernel: Array, g: Geometry, bias: Array | None = None) -> Array:
    """The cross-correlation (N, OH, OW, O) of an input (N, H, W, C) with a kernel (3, 3, C, O)."""
    tiling = _Tiling.of(g)
    output = _Output(len(x), kernel, g, tiling, bias)
    for block, tiles in _transformed_inputs(x, g, tiling):
        output.compute(block, tiles)
    return output.out


def kernel_gradient(x: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (3, 3, C, O) of `correlate`'s kernel, given that of its output (N, OH, OW, O)."""
    tiling = _Tiling.of(g)
    total = _KernelGradient(x.shape[-1], gradient, g, tiling)
    for block, tiles in _transformed_inputs(x, g, tiling):
        total.add(block, tiles)
    return total.result()


def correlate_with_kernel_gradient(x: Array, kernel: Array, gradient: Array, g: Geometry) -> tuple[Array, Array]:
    """`correlate(x, kernel, g)` and `kernel_gradient(x, gradient, g)`, from the same transformed tiles."""
    tiling = _Tiling.of(g)
    output, total = _Output(len(x), kernel, g, tiling), _KernelGradient(x.shape[-1], gradient, g, tiling)
    for block, tiles in _transformed_inputs(x, g, tiling):
        output.compute(block, tiles)
        total.add(block, tiles)
    return output.out, total.result()


class _Output:
    """The output (N, OH, OW, O), computed a few images at a time."""

    def __init__(self, count: int, kernel: Array, g: Geometry, tiling: _Tiling, bias: Array | None = None) -> None:
        t, channels, outputs = _transforms(kernel.dtype), *kernel.shape[2:]
        self.out = np.empty((count, *g.out, outputs), kernel.dtype)
        transformed = t.kernel @ kernel.reshape(9, -1)  # (36, 9) @ (9, C·O)
        self._kernel = as_aligned(transformed.reshape(POSITIONS, channels, outputs))
        self._transform, self._g, self._tiling = t.outputs, g, tiling
        self._bias = None if bias is None else Bias(bias)

    def compute(self, block: slice, tiles: Array) -> None:
        """The outputs of a block of images, from its transformed tiles (36, T, C)."""
        out, tiling = self.out[block], self._tiling
        product = tiles @ self._kernel  # (36, T, C) @ (36, C, O)
        flat = np.empty((OUTPUT_TILE * OUTPUT_TILE, product[0].size), product.dtype)
        matmul_columns(self._transform, product.reshape(POSITIONS, -1), flat)  # (16, 36) @ (36, T·O)
        result = flat.reshape(OUTPUT_TILE, OUTPUT_TILE, len(out), tiling.rows, tiling.columns, out.shape[-1])
        if tiling.is_exact(self._g):
            _by_tile_position(out, tiling)[...] = result
        else:
            sizes = OUTPUT_TILE * tiling.rows, OUTPUT_TILE * tiling.columns
            whole_tiles = np.empty((len(out), *sizes, out.shape[-1]), out.dtype)
            _by_tile_position(whole_tiles, tiling)[...] = result
            out[...] = whole_tiles[:, : self._g.out[0], : self._g.out[1]]
        if self._bias is not None:
            self._bias.add_to(out)


class _KernelGradient:
    """The gradient (3, 3, C, O) of a kernel, summed a few images at a time."""

    def __init__(self, channels: int, gradient: Array, g: Geometry, tiling: _Tiling) -> None:
        self._transforms = _transforms(gradient.dtype)
        self._gradient, self._g, self._tiling = gradient, g, tiling
        self._total = np.zeros((POSITIONS, channels, gradient.shape[-1]), gradient.dtype)

    def add(self, block: slice, tiles: Array) -> None:
        """The contribution of a block of images, from its transformed tiles (36, T, C)."""
        gradient, tiling = self._gradient[block], self._tiling
        if not tiling.is_exact(self._g):
            sizes = OUTPUT_TILE * tiling.rows, OUTPUT_TILE * tiling.columns
            whole_tiles = np.zeros((len(gradient), *sizes, gradient.shape[-1]), gradient.dtype)
            whole_tiles[:, : self._g.out[0], : self._g.out[1]] = gradient
            gradient = whole_tiles
        parts = _by_tile_position(gradient, tiling).reshape(OUTPUT_TILE * OUTPUT_TILE, -1)
        transformed = np.empty((POSITIONS, parts.shape[1]), parts.dtype)
        matmul_columns(self._transforms.gradients, parts, transformed)  # (36, 16) @ (16, T·O)
        # (36, C, T) @ (36, T, O)
        self._total += tiles.transpose(0, 2, 1) @ transformed.reshape(POSITIONS, -1, gradient.shape[-1])

    def result(self) -> Array:
        """(9, 36) @ (36, C·O)."""
        flat = self._transforms.kernel.T @ self._total.reshape(POSITIONS, -1)
        return flat.reshape(3, 3, *self._total.shape[1:])
