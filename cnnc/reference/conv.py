"""Convolution as matrix products: im2col a few images at a time, in a buffer that stays in the cache.

    forward   columns (n·OH·OW, kh·kw·C) @ weight (kh·kw·C, O)
    weight    columnsᵀ @ gradient
    input     stride 1: the same convolution of the padded gradient with the kernel turned by 180°;
              else that for each of the s·s phases of the input, with the taps that reach it; or, of few
              channels, gradient @ weightᵀ, added back where each column came from (col2im)

These are `convolve`, `kernel_gradient` and `input_gradient`; the transposed convolution is made of the same
three. Everything is written for any number of spatial axes; shapes in comments show two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnc.arguments import Axes
from cnnc.ops import window
from cnnc.ops.conv import Conv
from cnnc.reference.engine import Array, Gradients, Mode, Outcome, backward_of, forward_of
from cnnc.reference.parallel import over_batch

CACHE_BYTES = 1 << 19  # of columns at a time: half of a common second-level cache
FEW_CHANNELS = 16  # in a product as narrow as these, all taps at once are quicker than one phase after the other


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


# --- one group: all input channels meet all output channels --------------------------------------------------


def _is_pointwise(g: Geometry) -> bool:
    return all(k == 1 for k in g.k) and all(s == 1 for s in g.s) and not any(b or e for b, e in g.pads)


def correlate(padded: Array, kernel: Array, g: Geometry, bias: Array | None = None, into: Array | None = None) -> Array:
    """The cross-correlation (N, OH, OW, O) of a padded input with a kernel (kh·kw·C, O); put `into` an array, if given."""
    count, rows, taps = padded.shape[0], math.prod(g.out), kernel.shape[0]
    out = np.empty((count, *g.out, kernel.shape[1]), padded.dtype) if into is None else into
    contiguous = out.flags.c_contiguous
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
            made = out[i:j].reshape((j - i) * rows, -1) if contiguous else None
            made = np.matmul(columns, kernel, out=made)  # (n·OH·OW, kh·kw·C) @ (kh·kw·C, O)
            if bias is not None:
                made += bias
            if not contiguous:
                out[i:j] = made.reshape(out[i:j].shape)

    over_batch(count, work, 2.0 * count * rows * kernel.size)
    return out


def _kernel_gradient(padded: Array, gradient: Array, g: Geometry) -> Array:
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


class Phase(NamedTuple):
    """On one axis: every s-th input element from `first` on, `size` of them, and the taps that reach them.

    Between those elements and the outputs these taps, no others, make a convolution of stride 1. It has
    `begin` elements of padding, perhaps fewer than none. `taps` holds none where no window looks.
    """

    first: int
    size: int
    taps: range
    begin: int


def phases(m: int, k: int, s: int, d: int, begin: int) -> list[Phase]:
    """The phases of an axis of m elements. Output i reads element i·s + a·d - begin with tap a."""
    found = []
    for first in range(min(s, m)):
        tap = next((a for a in range(k) if (first + begin - a * d) % s == 0), k)
        found.append(
            Phase(first, -(-(m - first) // s), range(tap, k, s // math.gcd(s, d)), (first + begin - tap * d) // s)
        )
    return found


def _by_phases(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    """A convolution with the turned kernel for each phase of the input (Shi et al. 2016)."""
    axes = [phases(m, k, s, d, b) for m, k, s, d, (b, _) in zip(spatial, g.k, g.s, g.d, g.pads, strict=True)]
    dilations = tuple(d // math.gcd(s, d) for s, d in zip(g.s, g.d, strict=True))
    dx = np.empty((gradient.shape[0], *spatial, weight.shape[1]), gradient.dtype)
    for chosen in product(*axes):
        into = dx[(slice(None), *(slice(phase.first, None, s) for phase, s in zip(chosen, g.s, strict=True)))]
        if all(phase.taps for phase in chosen):
            reached = weight[(slice(None), slice(None), *(slice(p.taps.start, None, p.taps.step) for p in chosen))]
            _by_turned_kernel(gradient, reached, chosen, dilations, into)
        else:
            into[...] = 0
    return dx


def _by_turned_kernel(gradient: Array, weight: Array, chosen: tuple[Phase, ...], dilations: Axes, into: Array) -> None:
    # full correlation: pad by e - 1 less what the input was padded by; crop where that is negative
    reach = [window.effective(len(phase.taps), d) - 1 for phase, d in zip(chosen, dilations, strict=True)]
    begins = [r - phase.begin for r, phase in zip(reach, chosen, strict=True)]
    sizes = gradient.shape[1:-1]
    ends = [p.size + r - m - b for p, r, m, b in zip(chosen, reach, sizes, begins, strict=True)]
    inner = (slice(max(0, -b), max(0, m + min(0, e))) for m, b, e in zip(sizes, begins, ends, strict=True))
    cropped = gradient[(slice(None), *inner)]
    kept = tuple((max(0, b), max(0, e)) for b, e in zip(begins, ends, strict=True))
    kernel = np.moveaxis(turned(weight), 1, -1)  # (O, kh, kw, C)
    kernel = np.ascontiguousarray(np.moveaxis(kernel, 0, -2)).reshape(-1, weight.shape[1])  # (kh·kw·O, C)
    back = Geometry(weight.shape[2:], (1,) * len(sizes), dilations, kept, tuple(phase.size for phase in chosen))
    correlate(pad(cropped, kept), kernel, back, into=into)


def _by_col2im(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    """All columns in one product, then each added where it came from."""
    count, rows, channels = gradient.shape[0], math.prod(g.out), weight.shape[1]
    sizes = tuple(m + b + e for m, (b, e) in zip(spatial, g.pads, strict=True))
    padded = np.zeros((count, *sizes, channels), gradient.dtype)
    kernel = rows_of(weight).T  # (O, kh·kw·C)
    step = max(1, CACHE_BYTES // (rows * kernel.shape[1] * gradient.itemsize))

    def work(start: int, stop: int) -> None:
        for i in range(start, stop, step):
            j = min(i + step, stop)
            columns = gradient[i:j].reshape((j - i) * rows, -1) @ kernel  # (n·OH·OW, O) @ (O, kh·kw·C)
            columns = columns.reshape(j - i, *g.out, -1, channels)  # (n, OH, OW, kh·kw, C)
            for number, index in enumerate(np.ndindex(*g.k)):
                padded[i:j][tap(index, g)] += columns[..., number, :]

    over_batch(count, work, 2.0 * gradient.size * kernel.shape[1])
    return padded[interior(spatial, g.pads)]


def rows_of(weight: Array) -> Array:
    """A weight (O, C, kh, kw) as the kernel (kh·kw·C, O) of `correlate`."""
    return np.ascontiguousarray(np.moveaxis(weight, 1, -1).reshape(weight.shape[0], -1).T)


def weight_of(kernel: Array, shape: tuple[int, ...]) -> Array:
    """A kernel (kh·kw·C, O) as a weight of shape (O, C, kh, kw)."""
    out, channels, *k = shape
    return np.ascontiguousarray(np.moveaxis(kernel.T.reshape(out, *k, channels), -1, 1))


# --- depthwise: every channel by itself, one multiply-add a tap -----------------------------------------------


def _depthwise(padded: Array, weight: Array, g: Geometry) -> Array:
    out = np.zeros((padded.shape[0], *g.out, padded.shape[-1]), padded.dtype)

    def work(start: int, stop: int) -> None:
        mine = padded[start:stop]
        for index in np.ndindex(*g.k):
            out[start:stop] += mine[tap(index, g)] * weight[(slice(None), 0, *index)]

    over_batch(padded.shape[0], work, 2.0 * out.size * math.prod(g.k))
    return out


def _depthwise_input(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    sizes = tuple(m + b + e for m, (b, e) in zip(spatial, g.pads, strict=True))
    padded = np.zeros((gradient.shape[0], *sizes, gradient.shape[-1]), gradient.dtype)

    def work(start: int, stop: int) -> None:
        for index in np.ndindex(*g.k):
            padded[start:stop][tap(index, g)] += gradient[start:stop] * weight[(slice(None), 0, *index)]

    over_batch(gradient.shape[0], work, 2.0 * gradient.size * math.prod(g.k))
    return padded[interior(spatial, g.pads)]


def _depthwise_kernel(padded: Array, gradient: Array, g: Geometry) -> Array:
    found = np.empty((gradient.shape[-1], 1, *g.k), gradient.dtype)
    axes = "nhwdc"[: gradient.ndim - 1] + "c"
    for index in np.ndindex(*g.k):
        found[(slice(None), 0, *index)] = np.einsum(f"{axes},{axes}->c", padded[tap(index, g)], gradient)
    return found


# --- any number of groups -------------------------------------------------------------------------------------


def convolve(padded: Array, weight: Array, g: Geometry, groups: int, bias: Array | None = None) -> Array:
    """The cross-correlation (N, OH, OW, O) of a padded input (N, H, W, C) with a weight (O, C/groups, kh, kw)."""
    if groups == 1:
        return correlate(padded, rows_of(weight), g, bias)
    if _is_depthwise(weight, groups):
        y = _depthwise(padded, weight, g)
    else:
        parts = zip(_split(padded, groups), np.split(weight, groups), strict=True)
        y = np.concatenate([correlate(p, rows_of(w), g) for p, w in parts], -1)
    if bias is not None:
        y += bias
    return y


def input_gradient(gradient: Array, weight: Array, g: Geometry, spatial: Axes, groups: int) -> Array:
    """The gradient (N, H, W, C) of `convolve`'s input, without its padding, given that of the output (N, OH, OW, O)."""
    if groups == 1:
        few = weight.shape[1] <= FEW_CHANNELS and any(s > 1 for s in g.s)
        return (_by_col2im if few else _by_phases)(gradient, weight, g, spatial)
    if _is_depthwise(weight, groups):
        return _depthwise_input(gradient, weight, g, spatial)
    parts = zip(_split(gradient, groups), np.split(weight, groups), strict=True)
    return np.concatenate([input_gradient(d, w, g, spatial, 1) for d, w in parts], -1)


def kernel_gradient(padded: Array, gradient: Array, g: Geometry, groups: int) -> Array:
    """The gradient (O, C/groups, kh, kw) of `convolve`'s weight, given that of the output (N, OH, OW, O)."""
    shape = gradient.shape[-1], padded.shape[-1] // groups, *g.k
    if groups == 1:
        return weight_of(_kernel_gradient(padded, gradient, g), shape)
    if shape[:2] == (groups, 1):
        return _depthwise_kernel(padded, gradient, g)
    parts = zip(_split(padded, groups), _split(gradient, groups), strict=True)
    return np.concatenate([kernel_gradient(p, d, g, 1) for p, d in parts])


def _is_depthwise(weight: Array, groups: int) -> bool:
    return weight.shape[:2] == (groups, 1)


def _split(x: Array, groups: int) -> list[Array]:
    """The channels of each group."""
    return [np.ascontiguousarray(part) for part in np.split(x, groups, -1)]


# --- the layer ------------------------------------------------------------------------------------------------


def turned(weight: Array) -> Array:
    """A weight (O, C, kh, kw) turned by 180°: reversed on every spatial axis."""
    return np.flip(weight, tuple(range(2, weight.ndim)))


@forward_of(Conv)
def conv(op: Conv, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    g = geometry(op, x.shape[1:-1])
    padded = pad(x, g.pads)
    weight = turned(weights["weight"]) if op.flip else weights["weight"]
    y = convolve(padded, weight, g, op.groups, weights.get("bias"))
    return Outcome(y, (None if op.frozen else padded, x.shape[1:-1]) if mode.training else None)


@backward_of(Conv)
def conv_backward(
    op: Conv, weights: Mapping[str, Array], saved: tuple[Array | None, Axes], gradient: Array, want: bool
) -> Gradients:
    padded, spatial = saved
    g = geometry(op, spatial)
    gradient = np.ascontiguousarray(gradient)
    weight = turned(weights["weight"]) if op.flip else weights["weight"]
    dx = input_gradient(gradient, weight, g, spatial, op.groups) if want else None
    if padded is None:
        return Gradients((dx,))
    dweight = kernel_gradient(padded, gradient, g, op.groups)
    found = {"weight": np.ascontiguousarray(turned(dweight)) if op.flip else dweight}
    if op.bias:
        found["bias"] = gradient.reshape(-1, gradient.shape[-1]).sum(0)
    return Gradients((dx,), found)
