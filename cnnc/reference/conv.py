"""Convolution: the layer, and its gradients.

    output            a cross-correlation: im2col.py, depthwise.py, or in training winograd.py where that is faster
    weight gradient   its adjoint in the kernel, by the same three
    input gradient    at stride 1 the same cross-correlation of the padded gradient with the kernel rotated by 180°;
                      at other strides that for each of the s·s phases of the input, with the taps that reach it; with
                      few channels and many phases gradient @ weightᵀ, added where each column was read (col2im)

These are `convolve`, `weight_gradient` and `input_gradient`; the transposed convolution uses the same three.
Everything works for any number of spatial axes; shapes in comments show two.

    conv 16 k=5 on 6x14x14: x (N, 14, 14, 6), weight (16, 6, 5, 5), output (N, 10, 10, 16)
    input gradient: the gradient (N, 10, 10, 16), padded by 4, with the rotated kernel (5, 5, 16, 6): (N, 14, 14, 6)
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
from cnnc.reference.kernels import im2col, winograd
from cnnc.reference.kernels.channelwise import Bias, channel_sum
from cnnc.reference.kernels.depthwise import depthwise, depthwise_weight_gradient
from cnnc.reference.kernels.windows import geometry_of, interior, taps
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of

# with so few channels and so many phases, one product for all taps (col2im) is faster than one narrow product per phase
FEW_CHANNELS, MANY_PHASES = 16, 16


def kernel_of(weight: Array) -> Array:
    """A weight (O, C, kh, kw), as in ONNX, as the kernel (kh, kw, C, O) of `im2col.correlate`; a view."""
    return weight.transpose(*range(2, weight.ndim), 1, 0)


def weight_of(kernel: Array) -> Array:
    """A kernel (kh, kw, C, O) as a contiguous weight (O, C, kh, kw)."""
    return np.ascontiguousarray(kernel.transpose(-1, -2, *range(kernel.ndim - 2)))


def rotate_180(weight: Array) -> Array:
    """A weight (O, C, kh, kw) rotated by 180°, that is reversed on every spatial axis; a view."""
    return weight[:, :, *[slice(None, None, -1)] * (weight.ndim - 2)]


# --- the input gradient ----------------------------------------------------------------------------------------------


class StridePhase(NamedTuple):
    """On one axis, every s-th input element: those at `first`, first + s, ...; `size` of them.

    `taps` are the taps that reach these elements, none where no window reads them. Between these elements and the
    outputs, the taps form a convolution of stride 1 with `begin` elements of padding (negative: cropped).
    With k=3 s=2 and no padding: even elements are read by taps 0 and 2, odd ones by tap 1.
    """

    first: int
    size: int
    taps: range
    begin: int


def stride_phases(m: int, k: int, s: int, d: int, begin: int) -> list[StridePhase]:
    """The phases of an axis of m elements. Output i reads element i·s + a·d - begin with tap a."""
    phases = []
    for first in range(min(s, m)):
        tap = next((a for a in range(k) if (first + begin - a * d) % s == 0), k)
        taps_of_phase = range(tap, k, s // math.gcd(s, d))
        phases.append(StridePhase(first, -(-(m - first) // s), taps_of_phase, (first + begin - tap * d) // s))
    return phases


def _phases_of(g: Geometry, spatial: Axes) -> tuple[list[list[StridePhase]], Axes]:
    """The phases of each axis, and the dilation of a phase's taps on each axis."""
    axes = [stride_phases(m, k, s, d, b) for m, k, s, d, (b, _) in zip(spatial, g.k, g.s, g.d, g.pads, strict=True)]
    return axes, tuple(d // math.gcd(s, d) for s, d in zip(g.s, g.d, strict=True))


def _input_gradient_by_phases(
    gradient: Array, weight: Array, g: Geometry, spatial: Axes, depthwise_weight: bool = False
) -> Array:
    """A convolution with the rotated kernel for each phase of the input (Shi et al. 2016)."""
    axes, dilations = _phases_of(g, spatial)
    channels = len(weight) if depthwise_weight else weight.shape[1]
    dx = np.empty((gradient.shape[0], *spatial, channels), gradient.dtype)
    for phases in product(*axes):
        into = dx[(slice(None), *(slice(phase.first, None, s) for phase, s in zip(phases, g.s, strict=True)))]
        if all(phase.taps for phase in phases):
            phase_weight = weight[(slice(None), slice(None), *(slice(p.taps.start, None, p.taps.step) for p in phases))]
            crop, back = _gradient_windows(phases, g.out, dilations)
            if depthwise_weight:
                into[...] = depthwise(gradient[crop], rotate_180(phase_weight), back)
            else:
                _correlate_rotated(gradient[crop], phase_weight, back, into)
        else:
            into[...] = 0
    return dx


def _gradient_windows(
    phases: tuple[StridePhase, ...], sizes: Axes, dilations: Axes
) -> tuple[tuple[slice, ...], Geometry]:
    """The part of a gradient of these sizes that the phases need (an index), and the windows on it."""
    # full correlation: pad by e - 1, less the padding of the input; crop where that is negative
    reach = [effective(len(phase.taps), d) - 1 for phase, d in zip(phases, dilations, strict=True)]
    begins = [r - phase.begin for r, phase in zip(reach, phases, strict=True)]
    ends = [p.size + r - m - b for p, r, m, b in zip(phases, reach, sizes, begins, strict=True)]
    crop = (slice(max(0, -b), max(0, m + min(0, e))) for m, b, e in zip(sizes, begins, ends, strict=True))
    pads = tuple((max(0, b), max(0, e)) for b, e in zip(begins, ends, strict=True))
    k = tuple(len(phase.taps) for phase in phases)
    return (slice(None), *crop), Geometry(k, (1,) * len(sizes), dilations, pads, tuple(p.size for p in phases))


def _rotated_kernel(weight: Array) -> Array:
    """A weight (O, C, kh, kw) as the rotated kernel (kh, kw, O, C) that leads from outputs to inputs."""
    return rotate_180(weight).transpose(*range(2, weight.ndim), 0, 1)


def _correlate_rotated(gradient: Array, weight: Array, back: Geometry, into: Array) -> None:
    kernel = _rotated_kernel(weight)
    if winograd.applies(back, weight.shape[0], weight.shape[1]):
        into[...] = winograd.correlate(gradient, kernel, back)
    else:
        im2col.correlate(gradient, kernel, back, into=into)


def _input_gradient_by_col2im(gradient: Array, weight: Array, g: Geometry, spatial: Axes) -> Array:
    """The gradients of all columns in one product, each added where the column was read; a few images at a time."""
    count, positions, channels = gradient.shape[0], math.prod(g.out), weight.shape[1]
    dx = np.empty((count, *spatial, channels), gradient.dtype)
    kernel = kernel_of(weight).reshape(-1, weight.shape[0]).T  # (O, kh·kw·C)
    step = max(1, im2col.CACHE_BYTES // (positions * kernel.shape[1] * gradient.itemsize))
    for i in range(0, count, step):
        block = gradient[i : i + step]
        columns = block.reshape(len(block) * positions, -1) @ kernel  # (n·OH·OW, O) @ (O, kh·kw·C)
        columns = columns.reshape(len(block), *g.out, -1, channels)  # (n, OH, OW, kh·kw, C)
        padded = np.zeros((len(block), *g.padded_sizes(spatial), channels), gradient.dtype)
        for number, (_, elements) in enumerate(taps(g)):
            padded[elements] += columns[..., number, :]
        dx[i : i + step] = padded[interior(spatial, g.pads)]
    return dx


# --- any number of groups --------------------------------------------------------------------------------------------


def convolve(
    x: Array, weight: Array, g: Geometry, groups: int, bias: Array | None = None, *, exact: bool = False
) -> Array:
    """The cross-correlation (N, OH, OW, O) of an input (N, H, W, C) with a weight (O, C/groups, kh, kw).

    The input is padded as `g` says. `exact` excludes Winograd's method, which rounds differently.
    """
    if groups == 1 and not exact and winograd.applies(g, x.shape[-1], len(weight)):
        return winograd.correlate(x, kernel_of(weight), g, bias)
    if groups == 1:
        return im2col.correlate(x, kernel_of(weight), g, bias)
    if weight.shape[1] == 1:
        y = depthwise(x, weight, g)
    else:
        parts = zip(_split_channels(x, groups), np.split(weight, groups), strict=True)
        y = np.concatenate([im2col.correlate(p, kernel_of(w), g) for p, w in parts], -1)
    if bias is not None:
        Bias(bias).add_to(y)
    return y


def input_gradient(gradient: Array, weight: Array, g: Geometry, spatial: Axes, groups: int) -> Array:
    """The gradient (N, H, W, C) of `convolve`'s input, given that of its output (N, OH, OW, O), contiguous."""
    if groups == 1:
        if _scatter_is_faster(g, *weight.shape[:2], spatial):
            return im2col.scatter_input_gradient(gradient, kernel_of(weight), g, spatial)
        narrow = weight.shape[1] <= FEW_CHANNELS and math.prod(g.s) >= MANY_PHASES
        return (_input_gradient_by_col2im if narrow else _input_gradient_by_phases)(gradient, weight, g, spatial)
    if weight.shape[1] == 1:
        dx = _input_gradient_by_phases(gradient, weight, g, spatial, depthwise_weight=True)
        return dx if groups == len(weight) else np.asarray(dx.reshape(*dx.shape[:-1], groups, -1).sum(-1))
    parts = zip(_split_channels(gradient, groups), np.split(weight, groups), strict=True)
    return np.concatenate([input_gradient(d, w, g, spatial, 1) for d, w in parts], -1)


def weight_gradient(x: Array, gradient: Array, g: Geometry, groups: int) -> Array:
    """The gradient (O, C/groups, kh, kw) of `convolve`'s weight, given that of its output (N, OH, OW, O), contiguous."""
    if groups == 1:
        method = winograd if winograd.applies(g, x.shape[-1], gradient.shape[-1]) else im2col
        return weight_of(method.kernel_gradient(x, gradient, g))
    if x.shape[-1] == groups:
        return depthwise_weight_gradient(x, gradient, g)
    parts = zip(_split_channels(x, groups), _split_channels(gradient, groups), strict=True)
    return np.concatenate([weight_gradient(p, d, g, 1) for p, d in parts])


def _split_channels(x: Array, groups: int) -> list[Array]:
    """The channels of each group, contiguous."""
    return [np.ascontiguousarray(part) for part in np.split(x, groups, -1)]


# --- both gradients from the same windows ----------------------------------------------------------------------------


def _stride_1_windows(g: Geometry, spatial: Axes) -> tuple[tuple[slice, ...], Geometry]:
    """The part of the gradient, and the windows on it, that give the input gradient at stride 1."""
    axes, dilations = _phases_of(g, spatial)
    return _gradient_windows(tuple(phase for (phase,) in axes), g.out, dilations)


@cache
def _scatter_is_faster(g: Geometry, outputs: int, channels: int, spatial: Axes) -> bool:
    """Whether `im2col.scatter_input_gradient` is faster than the rotated kernel."""
    _, scatter = im2col.scatter_plan(g, channels, outputs)
    if math.isinf(scatter):
        return False
    _, back = _stride_1_windows(g, spatial)
    return not winograd.applies(back, outputs, channels) and scatter < im2col.nanoseconds(back, outputs, channels)


@cache
def _shared_windows(g: Geometry, outputs: int, channels: int, spatial: Axes) -> Geometry | None:
    """The windows on the gradient, if computing both gradients from them is fastest; else None."""
    if any(s > 1 for s in g.s):
        return None
    crop, back = _stride_1_windows(g, spatial)
    if any(slice(*part.indices(m)) != slice(0, m, 1) for part, m in zip(crop[1:], g.out, strict=True)):
        return None
    if winograd.applies(back, outputs, channels):
        return back
    rotated = im2col.nanoseconds(back, outputs, channels)
    _, scatter = im2col.scatter_plan(g, channels, outputs)
    separately = min(rotated, scatter) + im2col.nanoseconds(g, channels, outputs)
    return back if im2col.nanoseconds(back, outputs, channels, products=2) < separately else None


def gradients(x: Array, gradient: Array, weight: Array, g: Geometry, spatial: Axes, groups: int) -> tuple[Array, Array]:
    """`input_gradient` and `weight_gradient`.

    At stride 1 the windows on the gradient, which give the input gradient with the rotated kernel, give the weight
    gradient as well: the sum over positions of window times input is the gradient of the rotated kernel. So the
    columns (or Winograd's tiles) are gathered once.
    """
    back = _shared_windows(g, *weight.shape[:2], spatial) if groups == 1 else None
    if back is None:
        return input_gradient(gradient, weight, g, spatial, groups), weight_gradient(x, gradient, g, groups)
    method = winograd if winograd.applies(back, *weight.shape[:2]) else im2col
    kernel = _rotated_kernel(weight)
    dx, dkernel = method.correlate_with_kernel_gradient(gradient, kernel, np.ascontiguousarray(x), back)
    return dx, np.ascontiguousarray(rotate_180(dkernel.transpose(-2, -1, *range(dkernel.ndim - 2))))


# --- the layer -------------------------------------------------------------------------------------------------------


@forward_of(Conv, fresh_output=True)
def conv(op: Conv, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """ONNX Conv; with `flip` the weight is rotated first."""
    (x,) = inputs
    g = geometry_of(op, x.shape[1:-1])
    weight = rotate_180(weights["weight"]) if op.flip else weights["weight"]
    y = convolve(x, weight, g, op.groups, weights.get("bias"), exact=not mode.training)
    return Outcome(y, (None if op.frozen else x, x.shape[1:-1]))


@backward_of(Conv)
def conv_backward(
    op: Conv, weights: Mapping[str, Array], saved: tuple[Array | None, Axes], gradient: Array, needs_dx: bool
) -> Gradients:
    x, spatial = saved
    g = geometry_of(op, spatial)
    gradient = np.ascontiguousarray(gradient)
    weight = rotate_180(weights["weight"]) if op.flip else weights["weight"]
    dx: Array | None = None
    if x is None:  # frozen
        return Gradients((input_gradient(gradient, weight, g, spatial, op.groups) if needs_dx else None,))
    if needs_dx:
        dx, dweight = gradients(x, gradient, weight, g, spatial, op.groups)
    else:
        dweight = weight_gradient(x, gradient, g, op.groups)
    weight_gradients = {"weight": np.ascontiguousarray(rotate_180(dweight)) if op.flip else dweight}
    if op.bias:
        weight_gradients["bias"] = channel_sum(gradient).astype(gradient.dtype)
    return Gradients((dx,), weight_gradients)
