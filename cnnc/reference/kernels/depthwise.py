"""Depthwise cross-correlation: each channel by itself, or m outputs per channel.

np.einsum multiplies and adds in one pass, along the longest contiguous run of memory. At stride 1 that is what one tap
reads for a row of windows: OW·C numbers, multiplied by the tap's C weights repeated OW times. At other strides it is
a tap's C numbers. A few images are taken at a time, so that they stay in the cache.

An input (N, 32, 32, 64) with a 3x3 kernel at stride 1 and padding 1: windows as a view (n, 32, 3, 3, 32·64), kernel
(3, 3, 32·64), output (n, 32, 32·64), which is (n, 32, 32, 64).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.channelwise import sample_blocks
from cnnc.reference.kernels.matmul import empty_aligned
from cnnc.reference.kernels.windows import interior, strided_view, windows_of

_SPATIAL, _TAPS = "hwd", "abe"  # einsum's letters for the axes; n and c are images and channels


def _repeat_channels(x: Array, channels: int) -> Array:
    """The input with each channel repeated once per output that reads it."""
    return x if x.shape[-1] == channels else np.repeat(x, channels // x.shape[-1], -1)


def depthwise(x: Array, weight: Array, g: Geometry) -> Array:
    """(N, OH, OW, m·C) for an input (N, H, W, C) and a weight (m·C, 1, kh, kw): m outputs per channel."""
    channels, rank = len(weight), len(g.k)
    out = empty_aligned((x.shape[0], *g.out, channels), x.dtype)
    positions, taps = _SPATIAL[:rank], _TAPS[:rank]
    kernel = np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))  # (kh, kw, C)
    whole_rows = g.s[-1] == 1
    if whole_rows:
        positions, kernel = positions[:-1], np.tile(kernel, g.out[-1])  # (kh, kw, OW·C)
    out_rows = out.reshape(len(out), *g.out[: len(positions)], -1)
    for block, padded in _padded_blocks(_repeat_channels(x, channels), g, out[:1].size):
        windows = windows_of(padded, g)
        operand = _merge_last_axis(windows, rank) if whole_rows else windows
        np.einsum(f"n{positions}{taps}c,{taps}c->n{positions}c", operand, kernel, out=out_rows[block])
    return out


def _padded_blocks(x: Array, g: Geometry, output_size: int) -> Iterator[tuple[slice, Array]]:
    """A few images at a time, padded; each has `output_size` outputs. The next ones overwrite the buffer."""
    buffer: Array | None = None
    for block in sample_blocks(len(x), output_size):
        images = x[block]
        if g.padded:
            if buffer is None:
                buffer = np.zeros((len(images), *g.padded_sizes(x.shape[1:-1]), x.shape[-1]), x.dtype)
            buffer[: len(images)][interior(x.shape[1:-1], g.pads)] = images
            images = buffer[: len(images)]
        yield block, images


def _merge_last_axis(windows: Array, rank: int) -> Array:
    """(n, OH, OW, kh, kw, C) of stride 1 as a view (n, OH, kh, kw, OW·C)."""
    *outer, width = windows.shape[: 1 + rank]
    steps = windows.strides
    shape = (*outer, *windows.shape[1 + rank : -1], width * windows.shape[-1])
    return strided_view(windows, shape, (*steps[:rank], *steps[1 + rank : -1], steps[-1]))


def depthwise_weight_gradient(x: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (m·C, 1, kh, kw) of `depthwise`'s weight, given that of its output (N, OH, OW, m·C).

    The blocks of images are added up in double precision.
    """
    channels, rank = gradient.shape[-1], len(g.k)
    positions, taps = _SPATIAL[:rank], _TAPS[:rank]
    total = np.zeros((*g.k, channels), np.float64)
    for block, padded in _padded_blocks(_repeat_channels(x, channels), g, gradient[:1].size):
        windows = windows_of(padded, g)
        total += np.einsum(f"n{positions}{taps}c,n{positions}c->{taps}c", windows, gradient[block])
    return np.moveaxis(total, -1, 0)[:, None].astype(gradient.dtype)
