"""The unshared convolution: at each output position a matrix product of the patches of all images with its own weight.

    output            patches (P, N, kh·kw·C) @ kernels (P, kh·kw·C, O), P = OH·OW positions
    weight gradient   gradientᵀ (P, O, N) @ patches (P, N, kh·kw·C)
    input gradient    gradient (P, N, O) @ kernels (P, O, kh·kw·C), added where each patch was read (col2im)

One `np.matmul` computes the products of all positions of a block. A block is some rows of the output, and some images
where one row of all images is large, so that the patches of a block stay in the cache and memory does not grow with the
batch. The weights of a block are copied to channels last once, for all images.

    local 16 k=5 on 6x14x14: x (N, 14, 14, 6), weight (10, 10, 16, 6, 5, 5), output (N, 10, 10, 16);
    N = 64, float32: a row has 10 positions with patches of 150 numbers, 384 KB, so a block has 2 rows:
    (20, 64, 150) @ (20, 150, 16)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.local import Local
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.windows import geometry_of, interior, pad, taps, windows_of
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of

BLOCK_BYTES = 1 << 20  # of patches at a time
MIN_IMAGES = 32  # of a block: narrower products are slow


class _Rows(NamedTuple):
    """Some rows of the output, `rows` of its first axis, which are the positions `at`, and their kernels (P, O, kh·kw·C)."""

    rows: slice
    at: slice
    kernels: Array

    def windows(self, g: Geometry) -> Geometry:
        """The geometry of these rows, in an input that begins where their first window does."""
        return g._replace(out=(self.rows.stop - self.rows.start, *g.out[1:]))


def _row_bytes(g: Geometry, channels: int, itemsize: int) -> int:
    """The bytes of one image's patches in one output row."""
    return math.prod(g.out[1:]) * math.prod(g.k) * channels * itemsize


def _channels_last(weight: Array, rank: int) -> Array:
    """A view (OH, OW, O, kh, kw, C) of a weight (OH, OW, O, C, kh, kw)."""
    return np.moveaxis(weight, rank + 1, -1)


def _row_blocks(weight: Array, g: Geometry, count: int, row_bytes: int) -> Iterator[_Rows]:
    """The rows of the output, a few at a time for this number of images, with their kernels in the weight's own order."""
    height, width, rank = g.out[0], math.prod(g.out[1:]), len(g.out)
    step = max(1, BLOCK_BYTES // max(1, row_bytes * count))
    for start in range(0, height, step):
        stop = min(start + step, height)
        kernels = np.ascontiguousarray(weight[start:stop]).reshape((stop - start) * width, weight.shape[rank], -1)
        yield _Rows(slice(start, stop), slice(start * width, stop * width), kernels)


def _image_blocks(count: int, row_bytes: int) -> Iterator[slice]:
    """Slices of a batch of `count` images."""
    step = max(MIN_IMAGES, BLOCK_BYTES // row_bytes)
    return (slice(i, min(i + step, count)) for i in range(0, count, step))


def _patches(windows: Array) -> Array:
    """The patches (P, n, kh·kw·C) of a view (n, OH, OW, kh, kw, C), contiguous; likewise with the channels elsewhere."""
    rank = windows.ndim // 2 - 1
    by_position = windows.transpose(*range(1, rank + 1), 0, *range(rank + 1, windows.ndim))
    return np.ascontiguousarray(by_position).reshape(math.prod(windows.shape[1 : rank + 1]), len(windows), -1)


def _by_position(array: Array) -> Array:
    """A contiguous (N, OH, OW, O) as a view (P, N, O)."""
    return array.reshape(len(array), -1, array.shape[-1]).transpose(1, 0, 2)


def _add_patches(padded: Array, patches: Array, g: Geometry) -> None:
    """Adds patches (P, n, kh·kw·C) to the elements of (n, H, W, C) that they were read from."""
    rank, count, channels = len(g.out), len(padded), padded.shape[-1]
    by_image = patches.reshape(*g.out, count, -1, channels).transpose(rank, *range(rank), rank + 1, rank + 2)
    for number, (_, elements) in enumerate(taps(g)):
        padded[elements] += by_image[..., number, :]


def _weight_gradient(gradient: Array, weight: Array, g: Geometry) -> Array:
    """The gradient (P, O, kh·kw·C) of a weight in its shape (OH, OW, O, C, kh, kw)."""
    rank = len(g.out)
    shaped = gradient.reshape(*weight.shape[: rank + 1], *g.k, -1)
    return np.ascontiguousarray(np.moveaxis(shaped, -1, rank + 1))


@forward_of(Local, fresh_output=True)
def local(op: Local, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """y[n, i, j, o] = Σ_abc w[i, j, o, c, a, b]·x[n, i·s + a·d - begin, j·s + b·d - begin, c] + bias[o, i, j]."""
    (x,) = inputs
    g = geometry_of(op, x.shape[1:-1])
    windows, weight, rank = windows_of(pad(x, g.pads), g), weights["weight"], len(g.out)
    if len(x) < op.out:  # the weight is larger than the patches: these take its order, C before kh and kw
        windows = np.moveaxis(windows, -1, rank + 1)
    else:
        weight = _channels_last(weight, rank)
    y = np.empty((len(x), *g.out, op.out), x.dtype)
    row_bytes = _row_bytes(g, x.shape[-1], x.itemsize)
    for block in _row_blocks(weight, g, len(x), row_bytes):
        for images in _image_blocks(len(x), row_bytes):
            patches = _patches(windows[images, block.rows])
            np.matmul(patches, block.kernels.transpose(0, 2, 1), out=_by_position(y)[block.at, images])
    if op.bias:
        y += np.moveaxis(weights["bias"], 0, -1)
    return Outcome(y, (None if op.frozen else x, x.shape))


@backward_of(Local)
def local_backward(
    op: Local, weights: Mapping[str, Array], saved: tuple[Array | None, Axes], gradient: Array, needs_dx: bool
) -> Gradients:
    x, (count, *sizes, channels) = saved
    g, weight, spatial = geometry_of(op, tuple(sizes)), weights["weight"], tuple(sizes)
    gradient = np.ascontiguousarray(gradient)
    windows = None if x is None else windows_of(pad(x, g.pads), g)
    dpadded = np.zeros((count, *g.padded_sizes(spatial), channels), gradient.dtype) if needs_dx else None
    dweight = np.zeros((math.prod(g.out), op.out, math.prod(g.k) * channels), gradient.dtype)
    row_bytes = _row_bytes(g, channels, gradient.itemsize)
    for block in _row_blocks(_channels_last(weight, len(g.out)), g, count, row_bytes):
        for images in _image_blocks(count, row_bytes):
            part = _by_position(gradient)[block.at, images]  # (P, n, O)
            if windows is not None:
                dweight[block.at] += part.transpose(0, 2, 1) @ _patches(windows[images, block.rows])
            if dpadded is not None:
                _add_patches(dpadded[images, block.rows.start * g.s[0] :], part @ block.kernels, block.windows(g))
    dx = None if dpadded is None else np.ascontiguousarray(dpadded[interior(spatial, g.pads)])
    if windows is None:
        return Gradients((dx,))
    weight_gradients = {"weight": _weight_gradient(dweight, weight, g)}
    if op.bias:
        weight_gradients["bias"] = np.ascontiguousarray(np.moveaxis(gradient.sum(0), -1, 0))
    return Gradients((dx,), weight_gradients)


def patch_indices(g: Geometry, channels: int, sizes: Axes) -> Array:
    """For each position its patch's elements (P, C·kh·kw), as flat indices of a padded input (C, *sizes)."""
    count = channels * math.prod(sizes)
    elements = np.arange(count, dtype=np.int32 if count <= 2**31 else np.int64).reshape(1, channels, *sizes)
    windows = windows_of(np.ascontiguousarray(np.moveaxis(elements, 1, -1)), g)
    return np.asarray(_patches(np.moveaxis(windows, -1, len(g.out) + 1))[:, 0])
