"""Pooling, a tap of the window at a time: a tap of all windows is one strided slice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnc.arguments import Axes
from cnnc.ops import window
from cnnc.ops.pool import Pool
from cnnc.reference.conv import Geometry, interior, pad, tap
from cnnc.reference.engine import Array, Gradients, Mode, Outcome, backward_of, forward_of
from cnnc.reference.parallel import over_batch


def geometry(op: Pool, spatial: Axes) -> Geometry:
    """Where windows lie; the padding at the end reaches as far as the last window (ceil) needs."""
    pads = window.resolve(op.p, spatial, op.k, op.stride, op.d)
    rules = [
        window.AxisRule(m, k, s, b, e, d, op.ceil)
        for m, k, s, (b, e), d in zip(spatial, op.k, op.stride, pads, op.d, strict=True)
    ]
    reach = tuple((r.begin, max(r.end, (r.out - 1) * r.s + r.e - r.m - r.begin)) for r in rules)
    return Geometry(op.k, op.stride, op.d, reach, tuple(r.out for r in rules))


@forward_of(Pool)
def pool(op: Pool, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    g = geometry(op, x.shape[1:-1])
    if op.kind == "max":
        y, winner = _max(pad(x, g.pads, -np.inf), g, mode.training)
        return Outcome(y, (winner, x.shape))
    padded = pad(x, g.pads)
    y = padded[tap((0,) * len(g.k), g)].copy()
    for index in list(np.ndindex(*g.k))[1:]:
        y += padded[tap(index, g)]
    y /= counts(op, x.shape[1:-1], g).astype(x.dtype)
    return Outcome(y, (None, x.shape))


@backward_of(Pool)
def pool_backward(op: Pool, weights: Mapping[str, Array], saved: Any, gradient: Array, want: bool) -> Gradients:
    winner, shape = saved
    spatial = shape[1:-1]
    g = geometry(op, spatial)
    sizes = tuple(m + b + e for m, (b, e) in zip(spatial, g.pads, strict=True))
    padded = np.zeros((shape[0], *sizes, shape[-1]), gradient.dtype)
    if op.kind == "avg":
        gradient = gradient / counts(op, spatial, g).astype(gradient.dtype)

    def work(start: int, stop: int) -> None:
        mine, into = gradient[start:stop], padded[start:stop]
        for number, index in enumerate(np.ndindex(*g.k)):
            into[tap(index, g)] += mine if winner is None else mine * (winner[start:stop] == number)

    over_batch(shape[0], work, 3.0 * gradient.size * math.prod(g.k))
    return Gradients((padded[interior(spatial, g.pads)],))


def _max(padded: Array, g: Geometry, training: bool) -> tuple[Array, Array | None]:
    """The largest of each window, and which tap it was (the first of equals, as in onnxruntime)."""
    taps = math.prod(g.k)
    shape = (padded.shape[0], *g.out, padded.shape[-1])
    best = np.empty(shape, padded.dtype)
    winner = np.zeros(shape, np.uint8 if taps <= 256 else np.int32) if training else None

    def work(start: int, stop: int) -> None:
        mine, top = padded[start:stop], best[start:stop]
        for number, index in enumerate(np.ndindex(*g.k)):
            seen = mine[tap(index, g)]
            if number == 0:
                np.copyto(top, seen)
                continue
            if winner is not None:
                np.copyto(winner[start:stop], number, where=seen > top, casting="unsafe")
            np.maximum(top, seen, out=top)

    over_batch(shape[0], work, 3.0 * best.size * taps)
    return best, winner


def counts(op: Pool, spatial: Axes, g: Geometry) -> Array:
    """How many elements each window averages over, (OH, OW, 1): those of the input, or of the padded input."""
    pads = window.resolve(op.p, spatial, op.k, op.stride, op.d)
    total = np.ones((), np.int64)
    for m, (begin, end), k, s, d, out in zip(spatial, pads, op.k, op.stride, op.d, g.out, strict=True):
        low, high = (0, m + begin + end) if op.count_pad else (begin, begin + m)
        places = np.arange(out)[:, None] * s + np.arange(k) * d  # (out, k), in the padded input
        total = total[..., None] * ((places >= low) & (places < high)).sum(1)
    return total[..., None]
