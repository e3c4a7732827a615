"""Convolution as matrix products: im2col a few images at a time, in a buffer that stays in the cache.

    forward   columns (n·OH·OW, kh·kw·C) @ weight (kh·kw·C, O)
    weight    columnsᵀ @ gradient
    input     stride 1: the same convolution of the padded gradient with the kernel turned by 180°;
              else gradient @ weightᵀ, added back where each column came from (col2im)

Everything is written for any number of spatial axes; shapes in comments show two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnc.arguments import Axes
from cnnc.ops import window
from cnnc.ops.conv import Conv
from cnnc.reference.engine import Array, Gradients, Mode, Outcome, backward_of, forward_of
from cnnc.reference.parallel import over_batch

CACHE_BYTES = 1 << 19  # of columns at a time: half of a common second-level cache


class Geometry(NamedTuple):
    """Where windows lie: padding and sizes in numbers, for one size of input."""

    k: Axes
    s: Axes
    d: Axes
    pads: tuple[tuple[int, int], ...]
    out: Axes


def geometry(op: Conv, spatial: Axes) -> Geometry:
    pads = window.resolve(op.p, spatial, op.k, op.s, op.d)
    out = tuple(
        window.AxisRule(m, k, s, b, e, d).out
        for m, k, s, (b, e), d in zip(spatial, op.k, op.s, pads, op.d, strict=True)
    )
    return Geometry(op.k, op.s, op.d, pads, out)


def pad(x: Array, pads: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    """(N, H, W, C) with borders of `value`; the same array where there are none."""
    if not any(b or e for b, e in pads):
        return np.ascontiguousarray(x)
    spatial = x.shape[1:-1]
    sizes = tuple(m + b + e for m, (b, e) in zip(spatial, pads, strict=True))
    padded = np.full((x.shape[0], *sizes, x.shape[-1]), value, x.dtype)
    padded[interior(spatial, pads)] = x
    return padded


def interior(spatial: Axes, pads: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
    """The index of the input inside its padded array."""
    return (slice(None), *(slice(b, b + m) for m, (b, _) in zip(spatial, pads, strict=True)))


def windows_of(padded: Array, g: Geometry) -> Array:
    """A view (N, OH, OW, kh, kw, C) of a padded input: element [n, i, j, a, b, c] is x[n, i·s + a·d, j·s + b·d, c]."""
    n, *steps, channel = padded.strides
    return as_strided(
        padded,
        (padded.shape[0], *g.out, *g.k, padded.shape[-1]),
        (
            n,
            *(step * s for step, s in zip(steps, g.s, strict=True)),
            *(step * d for step, d in zip(steps, g.d, strict=True)),
            channel,
        ),
        writeable=False,
    )


def tap(index: Axes, g: Geometry) -> tuple[slice, ...]:
    """The index, in a padded array, of the elements that one tap of all windows reads: (N, OH, OW, C)."""
    return (
        slice(None),
        *(slice(i * d, i * d + s * (out - 1) + 1, s) for i, d, s, out in zip(index, g.d, g.s, g.out, strict=True)),
    )


def _is_pointwise(g: Geometry) -> bool:
    return all(k == 1 for k in g.k) and all(s == 1 for s in g.s) and not any(b or e for b, e in g.pads)


def correlate(padded: Array, kernel: Array, g: Geometry, bias: Array | None = None) -> Array:
    """The cross-correlation (N, OH, OW, O) of a padded input with a kernel (kh·kw·C, O)."""
    count, rows, taps = padded.shape[0], math.prod(g.out), kernel.shape[0]
    out = np.empty((count, *g.out, kernel.shape[1]), padded.dtype)
    view = windows_of(padded, g)
    direct = _is_pointwise(g)
    step = max(1, CACHE_BYTES // (rows * taps * padded.itemsize))

    def work(start: int, stop: int) -> None:
        buffer = None if direct else np.empty((min(step, stop - start), *view.shape[1:]), padded.dtype)
        for i in range(start, stop, step):
            j = min(i + step, stop)
            if buffer is None:
                columns = padded[i:j].reshape((j - i) * rows, taps)
            else:
                np.copyto(buffer[: j - i], view[i:j])
                columns = buffer[: j - i].reshape((j - i) * rows, taps)  # (n·OH·OW, kh·kw·C)
            made = out[i:j].reshape((j - i) * rows, -1)
            np.matmul(columns, kernel, out=made)  # (n·OH·OW, kh·kw·C) @ (kh·kw·C, O)
            if bias is not None:
                made += bias

    over_batch(count, work, 2.0 * count * rows * kernel.size)
    return out


def weight_gradient(padded: Array, gradient: Array, g: Geometry) -> Array:
    """The gradient (kh·kw·C, O) of a kernel, given that of the output (N, OH, OW, O)."""
    count, rows = padded.shape[0], math.prod(g.out)
    view = windows_of(padded, g)
    taps = math.prod(view.shape[1 + len(g.out) :])
    direct = _is_pointwise(g)
    step = max(1, CACHE_BYTES // (rows * taps * padded.itemsize))
    parts: dict[int, Array] = {}

    def work(start: int, stop: int) -> None:
        total = np.zeros((taps, gradient.shape[-1]), padded.dtype)
        buffer = None if direct else np.empty((min(step, stop - start), *view.shape[1:]), padded.dtype)
        for i in range(start, stop, step):
            j = min(i + step, stop)
            if buffer is None:
                columns = padded[i:j].reshape((j - i) * rows, taps)
            else:
                np.copyto(buffer[: j - i], view[i:j])
                columns = buffer[: j - i].reshape((j - i) * rows, taps)
            total += columns.T @ gradient[i:j].reshape((j - i) * rows, -1)  # (kh·kw·C, n·OH·OW) @ (n·OH·OW, O)
        parts[start] = total

    over_batch(count, work, 2.0 * count * rows * taps * gradient.shape[-1])
    return sum((parts[start] for start in sorted(parts)[1:]), start=parts[0])


def input_gradient(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    """The gradient (N, H, W, C) of the input, given that of the output and the weight (O, C, kh, kw)."""
    if all(s == 1 for s in g.s):
        return _by_turned_kernel(gradient, weight, g, spatial)
    return _by_col2im(gradient, weight, g, spatial)


def _by_turned_kernel(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    # full correlation: pad by e - 1 less what the input was padded by; crop where that is negative
    reach = [window.effective(k, d) - 1 for k, d in zip(g.k, g.d, strict=True)]
    pads = [(r - b, r - e) for r, (b, e) in zip(reach, g.pads, strict=True)]
    cropped = gradient[
        (slice(None), *(slice(max(0, -b), m - max(0, -e)) for m, (b, e) in zip(g.out, pads, strict=True)))
    ]
    kept = tuple((max(0, b), max(0, e)) for b, e in pads)
    turned = np.flip(weight, tuple(range(2, weight.ndim)))  # (O, C, kh, kw), turned by 180°
    kernel = np.moveaxis(turned, 1, -1)  # (O, kh, kw, C)
    kernel = np.ascontiguousarray(np.moveaxis(kernel, 0, -2)).reshape(-1, weight.shape[1])  # (kh·kw·O, C)
    back = Geometry(g.k, (1,) * len(g.k), g.d, kept, spatial)
    return correlate(pad(cropped, kept), kernel, back)


def _by_col2im(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    sizes = tuple(m + b + e for m, (b, e) in zip(spatial, g.pads, strict=True))
    padded = np.zeros((gradient.shape[0], *sizes, weight.shape[1]), gradient.dtype)

    def work(start: int, stop: int) -> None:
        mine = gradient[start:stop]
        flat = mine.reshape(-1, mine.shape[-1])
        for index in np.ndindex(*g.k):
            part = flat @ weight[(slice(None), slice(None), *index)]  # (n·OH·OW, O) @ (O, C)
            padded[start:stop][tap(index, g)] += part.reshape(*mine.shape[:-1], -1)

    over_batch(gradient.shape[0], work, 2.0 * gradient.size * weight[0].size)
    return padded[interior(spatial, g.pads)]


def rows_of(weight: Array) -> Array:
    """A weight (O, C, kh, kw) as the kernel (kh·kw·C, O) of `correlate`."""
    return np.ascontiguousarray(np.moveaxis(weight, 1, -1).reshape(weight.shape[0], -1).T)


def weight_of(kernel: Array, shape: tuple[int, ...]) -> Array:
    """A kernel (kh·kw·C, O) as a weight of shape (O, C, kh, kw)."""
    out, channels, *k = shape
    return np.ascontiguousarray(np.moveaxis(kernel.T.reshape(out, *k, channels), -1, 1))


# --- depthwise: every channel by itself, one multiply-add a tap -----------------------------------------------


def _is_depthwise(op: Conv, channels: int) -> bool:
    return op.groups == channels == op.out and channels > 1


def _depthwise(padded: Array, weight: Array, g: Geometry) -> Array:
    out = np.zeros((padded.shape[0], *g.out, padded.shape[-1]), padded.dtype)

    def work(start: int, stop: int) -> None:
        mine = padded[start:stop]
        for index in np.ndindex(*g.k):
            out[start:stop] += mine[tap(index, g)] * weight[(slice(None), 0, *index)]

    over_batch(padded.shape[0], work, 2.0 * out.size * math.prod(g.k))
    return out


def _depthwise_backward(
    padded: Array, weight: Array, gradient: Array, g: Geometry, spatial: Axes, want: bool
) -> tuple[Array | None, Array]:
    dweight = np.empty_like(weight)
    dpadded = np.zeros_like(padded) if want else None
    for index in np.ndindex(*g.k):
        seen = padded[tap(index, g)]
        axes = "nhwdc"[: seen.ndim - 1] + "c"
        dweight[(slice(None), 0, *index)] = np.einsum(f"{axes},{axes}->c", seen, gradient)
        if dpadded is not None:
            dpadded[tap(index, g)] += gradient * weight[(slice(None), 0, *index)]
    return (None if dpadded is None else dpadded[interior(spatial, g.pads)]), dweight


# --- the layer ------------------------------------------------------------------------------------------------


@forward_of(Conv)
def conv(op: Conv, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    g = geometry(op, x.shape[1:-1])
    padded, weight, bias = pad(x, g.pads), weights["weight"], weights.get("bias")
    if op.groups == 1:
        y = correlate(padded, rows_of(weight), g, bias)
    else:
        if _is_depthwise(op, x.shape[-1]):
            y = _depthwise(padded, weight, g)
        else:
            parts = zip(np.split(padded, op.groups, -1), np.split(weight, op.groups), strict=True)
            y = np.concatenate([correlate(np.ascontiguousarray(p), rows_of(w), g) for p, w in parts], -1)
        if bias is not None:
            y += bias
    return Outcome(y, (padded, x.shape[1:-1]) if mode.training else None)


@backward_of(Conv)
def conv_backward(
    op: Conv, weights: Mapping[str, Array], saved: tuple[Array, Axes], gradient: Array, want: bool
) -> Gradients:
    padded, spatial = saved
    g = geometry(op, spatial)
    weight = weights["weight"]
    gradient = np.ascontiguousarray(gradient)
    dx: Array | None
    if op.groups == 1:
        dweight = weight_of(weight_gradient(padded, gradient, g), weight.shape)
        dx = input_gradient(gradient, weight, g, spatial) if want else None
    elif _is_depthwise(op, padded.shape[-1]):
        dx, dweight = _depthwise_backward(padded, weight, gradient, g, spatial, want)
    else:
        splits = [
            [np.ascontiguousarray(a) for a in np.split(padded, op.groups, -1)],
            [np.ascontiguousarray(a) for a in np.split(gradient, op.groups, -1)],
            np.split(weight, op.groups),
        ]
        parts = list(zip(*splits, strict=True))
        dweight = np.concatenate([weight_of(weight_gradient(p, d, g), w.shape) for p, d, w in parts])
        dx = np.concatenate([input_gradient(d, w, g, spatial) for _, d, w in parts], -1) if want else None
    found = {"weight": dweight}
    if op.bias:
        found["bias"] = gradient.reshape(-1, gradient.shape[-1]).sum(0)
    return Gradients((dx,), found)
