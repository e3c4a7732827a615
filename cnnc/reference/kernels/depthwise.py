"""Depthwise cross-correlation: every channel by itself.

np.einsum multiplies and adds in one go, along the longest run of memory: at stride 1 what a tap of a row of windows
sees, OW·C numbers, which meet the tap's C weights repeated OW times; else a tap's C numbers. A few images at a time,
so that they stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.channelwise import few
from cnnc.reference.kernels.matmul import aligned
from cnnc.reference.kernels.windows import interior, view, windows_of

_SPATIAL, _TAPS = "hwd", "abe"  # the letters of axes: n images, c channels


def _each(x: Array, channels: int) -> Array:
    """The input with each channel as often as there are results of it."""
    return x if x.shape[-1] == channels else np.repeat(x, channels // x.shape[-1], -1)


def depthwise(x: Array, weight: Array, g: Geometry) -> Array:
    """(N, OH, OW, m·C) of an input (N, H, W, C) and a weight (m·C, 1, kh, kw): m results of each channel."""
    channels, rank = len(weight), len(g.k)
    out = aligned((x.shape[0], *g.out, channels), x.dtype)
    places, taps = _SPATIAL[:rank], _TAPS[:rank]
    kernel = np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))  # (kh, kw, C)
    rows = g.s[-1] == 1
    if rows:
        places, kernel = places[:-1], np.tile(kernel, g.out[-1])  # (kh, kw, OW·C)
    into = out.reshape(len(out), *g.out[: len(places)], -1)
    for at, padded in _padded(_each(x, channels), g, out[:1].size):
        windows = windows_of(padded, g)
        np.einsum(
            f"n{places}{taps}c,{taps}c->n{places}c", _merged(windows, rank) if rows else windows, kernel, out=into[at]
        )
    return out


def _padded(x: Array, g: Geometry, size: int) -> Iterator[tuple[slice, Array]]:
    """A few images at a time, of which each makes so many numbers, with their padding; the next ones lie in its place."""
    room: Array | None = None
    for at in few(len(x), size):
        seen = x[at]
        if g.padded:
            if room is None:
                room = np.zeros((len(seen), *g.padded_sizes(x.shape[1:-1]), x.shape[-1]), x.dtype)
            room[: len(seen)][interior(x.shape[1:-1], g.pads)] = seen
            seen = room[: len(seen)]
        yield at, seen


def _merged(windows: Array, rank: int) -> Array:
    """(n, OH, OW, kh, kw, C) of stride 1 as (n, OH, kh, kw, OW·C)."""
    *outer, width = windows.shape[: 1 + rank]
    steps = windows.strides
    shape = (*outer, *windows.shape[1 + rank : -1], width * windows.shape[-1])
    return view(windows, shape, (*steps[:rank], *steps[1 + rank : -1], steps[-1]))


def depthwise_kernel(x: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (m·C, 1, kh, kw) of `depthwise`'s weight. Pieces are added up in double precision."""
    channels, rank = gradient.shape[-1], len(g.k)
    places, taps = _SPATIAL[:rank], _TAPS[:rank]
    total = np.zeros((*g.k, channels), np.float64)
    for at, padded in _padded(_each(x, channels), g, gradient[:1].size):
        total += np.einsum(f"n{places}{taps}c,n{places}c->{taps}c", windows_of(padded, g), gradient[at])
    return np.moveaxis(total, -1, 0)[:, None].astype(gradient.dtype)
