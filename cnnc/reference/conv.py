"""Convolution: the layer, and the ways back to its input.

    forward   the cross-correlation of correlation.py, or of depthwise.py
    weight    its adjoint in the kernel
              (both in training by winograd.py, where that is quicker)
    input     stride 1: the same cross-correlation of the padded gradient with the kernel turned by 180°;
              else that for each of the s·s phases of the input, with the taps that reach it; or, with
              few channels and many phases, gradient @ weightᵀ, added back where each column came from (col2im)

These are `convolve`, `kernel_gradient` and `input_gradient`; the transposed convolution is made of the same
three. Everything is written for any number of spatial axes; shapes in comments show two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.conv import Conv
from cnnc.ops.window import Geometry, effective
from cnnc.reference.kernels import im2col as correlation
from cnnc.reference.kernels import winograd
from cnnc.reference.kernels.channelwise import Offset, channel_sum
from cnnc.reference.kernels.depthwise import depthwise, depthwise_kernel
from cnnc.reference.kernels.windows import geometry_of, interior, taps
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of

FEW_CHANNELS, MANY_PHASES = 16, 16  # of narrow products: all taps at once are quicker than so many one after the other


def kernel_of(weight: Array) -> Array:
    """A weight (O, C, kh, kw) as the kernel (kh, kw, C, O) of `correlate`."""
    return weight.transpose(*range(2, weight.ndim), 1, 0)


def weight_of(kernel: Array) -> Array:
    """A kernel (kh, kw, C, O) as a weight (O, C, kh, kw)."""
    return np.ascontiguousarray(kernel.transpose(-1, -2, *range(kernel.ndim - 2)))


# --- the way back to the input ------------------------------------------------------------------------------------


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


def _phases_of(g: Geometry, spatial: Axes) -> tuple[list[list[Phase]], Axes]:
    """The phases of each axis, and the dilations of the taps that reach one."""
    axes = [phases(m, k, s, d, b) for m, k, s, d, (b, _) in zip(spatial, g.k, g.s, g.d, g.pads, strict=True)]
    return axes, tuple(d // math.gcd(s, d) for s, d in zip(g.s, g.d, strict=True))


def _by_phases(gradient: Array, weight: Array, g: Geometry, spatial: Axes, by_channel: bool = False) -> Array:
    """A convolution with the turned kernel for each phase of the input (Shi et al. 2016), perhaps of each channel alone."""
    axes, dilations = _phases_of(g, spatial)
    channels = len(weight) if by_channel else weight.shape[1]
    dx = np.empty((gradient.shape[0], *spatial, channels), gradient.dtype)
    for chosen in product(*axes):
        into = dx[(slice(None), *(slice(phase.first, None, s) for phase, s in zip(chosen, g.s, strict=True)))]
        if all(phase.taps for phase in chosen):
            reached = weight[(slice(None), slice(None), *(slice(p.taps.start, None, p.taps.step) for p in chosen))]
            at, back = _turned(chosen, g.out, dilations)
            if by_channel:
                into[...] = depthwise(gradient[at], turned(reached), back)
            else:
                _by_turned_kernel(gradient[at], reached, back, into)
        else:
            into[...] = 0
    return dx


def _turned(chosen: tuple[Phase, ...], sizes: Axes, dilations: Axes) -> tuple[tuple[slice, ...], Geometry]:
    """The part of a gradient of these sizes that a phase needs, and the windows on it."""
    # full correlation: pad by e - 1 less what the input was padded by; crop where that is negative
    reach = [effective(len(phase.taps), d) - 1 for phase, d in zip(chosen, dilations, strict=True)]
    begins = [r - phase.begin for r, phase in zip(reach, chosen, strict=True)]
    ends = [p.size + r - m - b for p, r, m, b in zip(chosen, reach, sizes, begins, strict=True)]
    inner = (slice(max(0, -b), max(0, m + min(0, e))) for m, b, e in zip(sizes, begins, ends, strict=True))
    pads = tuple((max(0, b), max(0, e)) for b, e in zip(begins, ends, strict=True))
    k = tuple(len(phase.taps) for phase in chosen)
    return (slice(None), *inner), Geometry(k, (1,) * len(sizes), dilations, pads, tuple(p.size for p in chosen))


def _turned_kernel(weight: Array) -> Array:
    """A weight (O, C, kh, kw) as the kernel (kh, kw, O, C) that goes from outputs to inputs."""
    return turned(weight).transpose(*range(2, weight.ndim), 0, 1)


def _by_turned_kernel(gradient: Array, weight: Array, back: Geometry, into: Array) -> None:
    kernel = _turned_kernel(weight)
    if winograd.suits(back, weight.shape[0], weight.shape[1]):
        into[...] = winograd.correlate(gradient, kernel, back)
    else:
        correlation.correlate(gradient, kernel, back, into=into)


def _by_col2im(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    """All columns in one product, then each added where it came from, a few images at a time."""
    count, rows, channels = gradient.shape[0], math.prod(g.out), weight.shape[1]
    dx = np.empty((count, *spatial, channels), gradient.dtype)
    kernel = kernel_of(weight).reshape(-1, weight.shape[0]).T  # (O, kh·kw·C)
    step = max(1, correlation.CACHE_BYTES // (rows * kernel.shape[1] * gradient.itemsize))
    for i in range(0, count, step):
        mine = gradient[i : i + step]
        columns = mine.reshape(len(mine) * rows, -1) @ kernel  # (n·OH·OW, O) @ (O, kh·kw·C)
        columns = columns.reshape(len(mine), *g.out, -1, channels)  # (n, OH, OW, kh·kw, C)
        padded = np.zeros((len(mine), *g.padded_sizes(spatial), channels), gradient.dtype)
        for number, (_, place) in enumerate(taps(g)):
            padded[place] += columns[..., number, :]
        dx[i : i + step] = padded[interior(spatial, g.pads)]
    return dx


# --- any number of groups -------------------------------------------------------------------------------------


def convolve(
    x: Array, weight: Array, g: Geometry, groups: int, bias: Array | None = None, *, exact: bool = False
) -> Array:
    """The cross-correlation (N, OH, OW, O) of an input (N, H, W, C), to be padded, with a weight (O, C/groups, kh, kw).

    `exact` leaves Winograd's method out, whose last digits are others.
    """
    if groups == 1 and not exact and winograd.suits(g, x.shape[-1], len(weight)):
        return winograd.correlate(x, kernel_of(weight), g, bias)
    if groups == 1:
        return correlation.correlate(x, kernel_of(weight), g, bias)
    if weight.shape[1] == 1:
        y = depthwise(x, weight, g)
    else:
        parts = zip(_split(x, groups), np.split(weight, groups), strict=True)
        y = np.concatenate([correlation.correlate(p, kernel_of(w), g) for p, w in parts], -1)
    if bias is not None:
        Offset(bias).add(y)
    return y


def input_gradient(gradient: Array, weight: Array, g: Geometry, spatial: Axes, groups: int) -> Array:
    """The gradient (N, H, W, C) of `convolve`'s input, given that of the output (N, OH, OW, O), contiguous."""
    if groups == 1:
        if _rows_suit(g, *weight.shape[:2], spatial):
            return correlation.scatter_rows(gradient, kernel_of(weight), g, spatial)
        narrow = weight.shape[1] <= FEW_CHANNELS and math.prod(g.s) >= MANY_PHASES
        return (_by_col2im if narrow else _by_phases)(gradient, weight, g, spatial)
    if weight.shape[1] == 1:
        dx = _by_phases(gradient, weight, g, spatial, by_channel=True)
        return dx if groups == len(weight) else np.asarray(dx.reshape(*dx.shape[:-1], groups, -1).sum(-1))
    parts = zip(_split(gradient, groups), np.split(weight, groups), strict=True)
    return np.concatenate([input_gradient(d, w, g, spatial, 1) for d, w in parts], -1)


def _back(g: Geometry, spatial: Axes) -> tuple[tuple[slice, ...], Geometry]:
    """The part of the gradient, and the windows on it, that make the input's gradient at stride 1."""
    axes, dilations = _phases_of(g, spatial)
    return _turned(tuple(phase for (phase,) in axes), g.out, dilations)


@cache
def _rows_suit(g: Geometry, outputs: int, channels: int, spatial: Axes) -> bool:
    """Whether `scatter_rows` is quicker than the turned kernel."""
    _, rows = correlation.scattered(g, channels, outputs)
    if math.isinf(rows):
        return False
    _, back = _back(g, spatial)
    return not winograd.suits(back, outputs, channels) and rows < correlation.cost(back, outputs, channels)


@cache
def _shared(g: Geometry, outputs: int, channels: int, spatial: Axes) -> Geometry | None:
    """The windows on the gradient where it is quickest that both gradients are made of them; None where it is not."""
    if any(s > 1 for s in g.s):
        return None
    at, back = _back(g, spatial)
    if any(slice(*part.indices(m)) != slice(0, m, 1) for part, m in zip(at[1:], g.out, strict=True)):
        return None
    if winograd.suits(back, outputs, channels):
        return back
    alone = correlation.cost(back, outputs, channels)
    _, rows = correlation.scattered(g, channels, outputs)
    apart = min(alone, rows) + correlation.cost(g, channels, outputs)
    return back if correlation.cost(back, outputs, channels, products=2) < apart else None


def gradients(x: Array, gradient: Array, weight: Array, g: Geometry, spatial: Axes, groups: int) -> tuple[Array, Array]:
    """`input_gradient` and `kernel_gradient`.

    At stride 1 the gradient's windows, which make that of the input with the turned kernel, make that of the kernel
    as well: Σ over places of window and input is the gradient of the turned kernel. So they are gathered once.
    """
    back = _shared(g, *weight.shape[:2], spatial) if groups == 1 else None
    if back is None:
        return input_gradient(gradient, weight, g, spatial, groups), kernel_gradient(x, gradient, g, groups)
    how = winograd if winograd.suits(back, *weight.shape[:2]) else correlation
    dx, dkernel = how.correlate_both(gradient, _turned_kernel(weight), np.ascontiguousarray(x), back)
    return dx, np.ascontiguousarray(turned(dkernel.transpose(-2, -1, *range(dkernel.ndim - 2))))


def kernel_gradient(x: Array, gradient: Array, g: Geometry, groups: int) -> Array:
    """The gradient (O, C/groups, kh, kw) of `convolve`'s weight, given that of the output (N, OH, OW, O), contiguous."""
    if groups == 1:
        quick = winograd.suits(g, x.shape[-1], gradient.shape[-1])
        return weight_of((winograd if quick else correlation).correlate_gradient(x, gradient, g))
    if x.shape[-1] == groups:
        return depthwise_kernel(x, gradient, g)
    parts = zip(_split(x, groups), _split(gradient, groups), strict=True)
    return np.concatenate([kernel_gradient(p, d, g, 1) for p, d in parts])


def _split(x: Array, groups: int) -> list[Array]:
    """The channels of each group."""
    return [np.ascontiguousarray(part) for part in np.split(x, groups, -1)]


# --- the layer ------------------------------------------------------------------------------------------------


def turned(weight: Array) -> Array:
    """A weight (O, C, kh, kw) turned by 180°: reversed on every spatial axis."""
    return weight[:, :, *[slice(None, None, -1)] * (weight.ndim - 2)]


@forward_of(Conv, fresh_output=True)
def conv(op: Conv, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    g = geometry_of(op, x.shape[1:-1])
    weight = turned(weights["weight"]) if op.flip else weights["weight"]
    y = convolve(x, weight, g, op.groups, weights.get("bias"), exact=not mode.training)
    return Outcome(y, (None if op.frozen else x, x.shape[1:-1]))


@backward_of(Conv)
def conv_backward(
    op: Conv, weights: Mapping[str, Array], saved: tuple[Array | None, Axes], gradient: Array, needs_dx: bool
) -> Gradients:
    x, spatial = saved
    g = geometry_of(op, spatial)
    gradient = np.ascontiguousarray(gradient)
    weight = turned(weights["weight"]) if op.flip else weights["weight"]
    dx: Array | None = None
    if x is None:
        return Gradients((input_gradient(gradient, weight, g, spatial, op.groups) if needs_dx else None,))
    if needs_dx:
        dx, dweight = gradients(x, gradient, weight, g, spatial, op.groups)
    else:
        dweight = kernel_gradient(x, gradient, g, op.groups)
    found = {"weight": np.ascontiguousarray(turned(dweight)) if op.flip else dweight}
    if op.bias:
        found["bias"] = channel_sum(gradient).astype(gradient.dtype)
    return Gradients((dx,), found)
