"""Cross-correlation with 3x3 kernels at stride 1 by Winograd's F(4x4, 3x3): a quarter of the multiplications.

    forward   Y = Aᵀ[(G k Gᵀ) ⊙ (Bᵀ d B)]A       for each tile of 4x4 outputs and its 6x6 inputs d
    weight    dk = Gᵀ[Σ over tiles (Bᵀ d B) ⊙ (A dY Aᵀ)]G

(Lavin & Gray 2016, section 4; the points are 0, 1, -1, 2, -2.) ⊙ becomes a matrix product over channels for each
of the 36 places of a tile. The transforms of both axes are one matrix each, 36x36 and 16x36, so that they are
products as well. Rounding is some ten times that of the plain product; it pays from some 24 channels on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.channelwise import Offset
from cnnc.reference.kernels.matmul import across_times, aligned, laid
from cnnc.reference.kernels.windows import interior, view

TILE, SEEN = 4, 6
PLACES = SEEN * SEEN
CHANNELS = 24  # as many on both sides, or the transforms cost more than the products save
TILES = 96  # at a time: enough rows for a product, few enough for the cache
MOST_TILES = 400  # of one image: all of them are worked through at a time

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
    """The transforms, of both axes at once: of inputs (36, 36), kernels (36, 9), results (16, 36), and gradients (36, 16)."""

    inputs: Array
    kernel: Array
    results: Array
    spread: Array


@cache
def _transforms(dtype: np.dtype[Any]) -> Transforms:
    return Transforms(*(np.kron(m, m).astype(dtype) for m in (_B, _G, _A, _A.T)))


def suits(g: Geometry, channels: int, outputs: int) -> bool:
    """Whether these windows can be worked through like this, and are worth it."""
    fits = g.k == (3, 3) and g.s == g.d == (1, 1) and min(channels, outputs) >= CHANNELS
    if not fits:
        return False
    tiles = math.prod(-(-m // TILE) for m in g.out)
    return tiles <= MOST_TILES and 2 * 36 * tiles <= 9 * math.prod(g.out)


class _Tiles(NamedTuple):
    """The tiles of an output of these sizes."""

    high: int
    wide: int

    @classmethod
    def of(cls, g: Geometry) -> _Tiles:
        return cls(-(-g.out[0] // TILE), -(-g.out[1] // TILE))

    @property
    def images(self) -> int:
        """How many images to work through at a time."""
        return max(1, TILES // (self.high * self.wide))

    def fill(self, g: Geometry) -> bool:
        """Whether they cover the output and nothing more."""
        return g.out == (TILE * self.high, TILE * self.wide)


def _inputs(x: Array, g: Geometry, tiles: _Tiles) -> Iterator[tuple[slice, Array]]:
    """The transformed tiles (36, T, C) of a few images at a time."""
    channels, images = x.shape[-1], min(len(x), tiles.images)
    transform = _transforms(x.dtype).inputs
    sizes = TILE * tiles.high + 2, TILE * tiles.wide + 2
    padded = np.zeros((images, *sizes, channels), x.dtype)
    n, high, wide, one = padded.strides
    shape = (SEEN, SEEN, images, tiles.high, tiles.wide, channels)
    seen = view(padded, shape, (high, wide, n, TILE * high, TILE * wide, one))
    place = interior(x.shape[1:-1], g.pads)
    gathered = aligned(seen.shape, x.dtype)
    made = aligned((PLACES, gathered[0, 0].size), x.dtype)
    for i in range(0, len(x), images):
        mine = x[i : i + images]
        count = len(mine)
        padded[:count][place] = mine
        into, out = gathered, made
        if count < images:
            into = gathered.reshape(-1)[: gathered.size // images * count].reshape(SEEN, SEEN, count, *seen.shape[3:])
            out = made.reshape(-1)[: into.size].reshape(PLACES, -1)
        np.copyto(into, seen[:, :, :count])
        across_times(transform, into.reshape(PLACES, -1), out)  # (36, 36) @ (36, T·C)
        yield slice(i, i + count), out.reshape(PLACES, -1, channels)


def _split(array: Array, tiles: _Tiles) -> Array:
    """A view of (n, 4·TH, 4·TW, O), contiguous, as (4, 4, n, TH, TW, O)."""
    n, *_, outputs = array.shape
    return array.reshape(n, tiles.high, TILE, tiles.wide, TILE, outputs).transpose(2, 4, 0, 1, 3, 5)


def correlate(x: Array, kernel: Array, g: Geometry, bias: Array | None = None) -> Array:
    """The cross-correlation (N, OH, OW, O) of an input (N, H, W, C) with a kernel (3, 3, C, O)."""
    tiles = _Tiles.of(g)
    made = _Result(len(x), kernel, g, tiles, bias)
    for at, seen in _inputs(x, g, tiles):
        made.take(at, seen)
    return made.out


def correlate_gradient(x: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (3, 3, C, O) of the kernel of `correlate`, given that of its result (N, OH, OW, O)."""
    tiles = _Tiles.of(g)
    total = _Sum(x.shape[-1], gradient, g, tiles)
    for at, seen in _inputs(x, g, tiles):
        total.take(at, seen)
    return total.kernel()


def correlate_both(x: Array, kernel: Array, gradient: Array, g: Geometry) -> tuple[Array, Array]:
    """`correlate(x, kernel, g)` and `correlate_gradient(x, gradient, g)`, of the same transformed tiles."""
    tiles = _Tiles.of(g)
    made, total = _Result(len(x), kernel, g, tiles), _Sum(x.shape[-1], gradient, g, tiles)
    for at, seen in _inputs(x, g, tiles):
        made.take(at, seen)
        total.take(at, seen)
    return made.out, total.kernel()


class _Result:
    """The result (N, OH, OW, O) as it is made, a few images at a time."""

    def __init__(self, count: int, kernel: Array, g: Geometry, tiles: _Tiles, bias: Array | None = None) -> None:
        t, channels, outputs = _transforms(kernel.dtype), *kernel.shape[2:]
        self.out = np.empty((count, *g.out, outputs), kernel.dtype)
        self._weight = laid((t.kernel @ kernel.reshape(9, -1)).reshape(PLACES, channels, outputs))  # (36, 9) @ (9, C·O)
        self._results, self._g, self._tiles = t.results, g, tiles
        self._bias = None if bias is None else Offset(bias)

    def take(self, at: slice, seen: Array) -> None:
        """From transformed tiles (36, T, C)."""
        out, tiles = self.out[at], self._tiles
        product = seen @ self._weight  # (36, T, C) @ (36, C, O)
        made = np.empty((TILE * TILE, product[0].size), product.dtype)
        across_times(self._results, product.reshape(PLACES, -1), made)  # (16, 36) @ (36, T·O)
        made = made.reshape(TILE, TILE, len(out), tiles.high, tiles.wide, out.shape[-1])
        if tiles.fill(self._g):
            _split(out, tiles)[...] = made
        else:
            room = np.empty((len(out), TILE * tiles.high, TILE * tiles.wide, out.shape[-1]), out.dtype)
            _split(room, tiles)[...] = made
            out[...] = room[:, : self._g.out[0], : self._g.out[1]]
        if self._bias is not None:
            self._bias.add(out)


class _Sum:
    """The gradient (3, 3, C, O) of a kernel as it is summed up, a few images at a time."""

    def __init__(self, channels: int, gradient: Array, g: Geometry, tiles: _Tiles) -> None:
        t = _transforms(gradient.dtype)
        self._gradient, self._g, self._tiles = gradient, g, tiles
        self._spread, self._kernel = t.spread, t.kernel
        self._total = np.zeros((PLACES, channels, gradient.shape[-1]), gradient.dtype)

    def take(self, at: slice, seen: Array) -> None:
        """From transformed tiles (36, T, C)."""
        mine, tiles = self._gradient[at], self._tiles
        if not tiles.fill(self._g):
            room = np.zeros((len(mine), TILE * tiles.high, TILE * tiles.wide, mine.shape[-1]), mine.dtype)
            room[:, : self._g.out[0], : self._g.out[1]] = mine
            mine = room
        parts = _split(mine, tiles).reshape(TILE * TILE, -1)
        spread = across_times(
            self._spread, parts, np.empty((PLACES, parts.shape[1]), parts.dtype)
        )  # (36, 16) @ (16, T·O)
        # (36, C, T) @ (36, T, O)
        self._total += seen.transpose(0, 2, 1) @ spread.reshape(PLACES, -1, mine.shape[-1])

    def kernel(self) -> Array:
        """(9, 36) @ (36, C·O)."""
        return (self._kernel.T @ self._total.reshape(PLACES, -1)).reshape(3, 3, *self._total.shape[1:])
