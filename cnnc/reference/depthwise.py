"""Depthwise cross-correlation: every channel by itself.

At stride 1 what a tap of a row of windows sees is contiguous, OW·C numbers, and meets the tap's C weights
repeated OW times: np.einsum multiplies and adds in one go. A few images at a time, so that they stay in the cache.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnc.arguments import Axes
from cnnc.reference.engine import Array
from cnnc.reference.rows import few
from cnnc.reference.windows import Geometry, interior, pad, tap, windows_of

_SPATIAL, _TAPS = "hwd", "abe"  # the letters of axes: n images, c channels


def _each(x: Array, channels: int) -> Array:
    """The input with each channel as often as there are results of it."""
    return x if x.shape[-1] == channels else np.repeat(x, channels // x.shape[-1], -1)


def depthwise(x: Array, weight: Array, g: Geometry) -> Array:
    """(N, OH, OW, m·C) of an input (N, H, W, C) and a weight (m·C, 1, kh, kw): m results of each channel."""
    channels = len(weight)
    x = _each(x, channels)
    out = np.empty((x.shape[0], *g.out, channels), x.dtype)
    by_piece = _by_tap if g.s[-1] > 1 else _by_rows
    for at in few(len(x), out[:1].size):
        by_piece(pad(x[at], g.pads), weight, g, out[at])
    return out


def _by_rows(padded: Array, weight: Array, g: Geometry, out: Array) -> None:
    rank = len(g.k)
    places, taps = _SPATIAL[: rank - 1], _TAPS[:rank]
    kernel = np.tile(np.moveaxis(weight[:, 0], 0, -1), g.out[-1])  # (kh, kw, OW·C)
    into = out.reshape(*out.shape[:-2], -1)
    np.einsum(f"n{places}{taps}c,{taps}c->n{places}c", _merged(windows_of(padded, g), rank), kernel, out=into)


def _by_tap(padded: Array, weight: Array, g: Geometry, out: Array) -> None:
    buffer = np.empty_like(out)
    for number, index in enumerate(np.ndindex(*g.k)):
        seen, factor = padded[tap(index, g)], weight[(slice(None), 0, *index)]
        if number:
            out += np.multiply(seen, factor, out=buffer)
        else:
            np.multiply(seen, factor, out=out)


def _merged(windows: Array, rank: int) -> Array:
    """(n, OH, OW, kh, kw, C) of stride 1 as (n, OH, kh, kw, OW·C)."""
    *outer, width = windows.shape[: 1 + rank]
    steps = windows.strides
    return as_strided(
        windows,
        (*outer, *windows.shape[1 + rank : -1], width * windows.shape[-1]),
        (*steps[:rank], *steps[1 + rank : -1], steps[-1]),
        writeable=False,
    )


def depthwise_input(gradient: Array, weight: Array, g: Geometry, spatial: Axes, inputs: int) -> Array:
    """The gradient (N, H, W, C) of `depthwise`'s input, given that of its result (N, OH, OW, m·C), contiguous."""
    back = _turned(g, spatial)
    if back is not None:
        dx = depthwise(gradient, np.flip(weight, tuple(range(2, weight.ndim))), back)
    else:
        dx = _scattered(gradient, weight, g, spatial)
    if inputs == len(weight):
        return dx
    return np.asarray(dx.reshape(*dx.shape[:-1], inputs, -1).sum(-1))


def _turned(g: Geometry, spatial: Axes) -> Geometry | None:
    """The windows, on the gradient, of the cross-correlation that makes the input's: of stride 1, cut nowhere."""
    if any(s > 1 for s in g.s):
        return None
    reach = [(k - 1) * d for k, d in zip(g.k, g.d, strict=True)]
    pads = tuple((r - b, r - e) for r, (b, e) in zip(reach, g.pads, strict=True))
    return g._replace(pads=pads, out=spatial) if all(b >= 0 and e >= 0 for b, e in pads) else None


def _scattered(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    """A tap at a time, added where it read."""
    channels = gradient.shape[-1]
    dx = np.empty((gradient.shape[0], *spatial, channels), gradient.dtype)
    for at in few(len(dx), dx[:1].size):
        padded = np.zeros((at.stop - at.start, *g.sizes(spatial), channels), gradient.dtype)
        buffer = np.empty_like(gradient[at])
        for index in np.ndindex(*g.k):
            padded[tap(index, g)] += np.multiply(gradient[at], weight[(slice(None), 0, *index)], out=buffer)
        dx[at] = padded[interior(spatial, g.pads)]
    return dx


def depthwise_kernel(x: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (m·C, 1, kh, kw) of `depthwise`'s weight. Pieces are added up in double precision."""
    channels, rank = gradient.shape[-1], len(g.k)
    x = _each(x, channels)
    places, taps = _SPATIAL[:rank], _TAPS[:rank]
    total = np.zeros((*g.k, channels), np.float64)
    for at in few(len(x), gradient[:1].size):
        total += np.einsum(f"n{places}{taps}c,n{places}c->{taps}c", windows_of(pad(x[at], g.pads), g), gradient[at])
    return np.moveaxis(total, -1, 0)[:, None].astype(gradient.dtype)
