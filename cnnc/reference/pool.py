"""Pooling, unpooling, upsampling and maxout.

Windows are processed one tap at a time, as what one tap reads for all windows is one strided slice, and a few images
at a time, so that intermediate arrays stay in the cache. Shapes in comments show two spatial axes; everything works
for any number of them.

    pool max k=2 on 16x8x8: x (N, 8, 8, 16), output (N, 4, 4, 16); tap (0, 1) reads x[:, 0:8:2, 1:8:2, :], (N, 4, 4, 16)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.channelwise import sample_blocks, sample_sum
from cnnc.reference.kernels.windows import geometry_of, interior, pad, tap_slices, taps
from cnnc.reference.registry import Gradients, Mode, NoWeights, Outcome, backward_of, forward_of

# --- pool ------------------------------------------------------------------------------------------------------------


class PoolSaved(NamedTuple):
    """What a pool's backward needs: the input's shape, and input and output where the gradient depends on them.

    `may_overwrite_input` says that nothing else reads the input, as in `Mode`.
    """

    shape: tuple[int, ...]
    x: Array | None = None
    y: Array | None = None
    may_overwrite_input: bool = False


@forward_of(Pool)
def pool(op: Pool, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """ONNX MaxPool, AveragePool and LpPool; the formula of `weighted` is in `cnnc.ops.pool.Pool`."""
    (x,) = inputs
    spatial = x.shape[1:-1]
    g = geometry_of(op, spatial)
    if op.kind == "max":
        y = _max(x, g)
    elif op.kind in ("l2", "lp"):
        y = _lp_norm(op.order, x, g)
    elif op.kind == "weighted":
        share = _tap_shares(op, spatial, x.dtype)
        y = _sum_over_taps(x, g, lambda elements, index: elements * share(index))
    else:
        y = _sum_over_taps(x, g, lambda elements, index: elements)
        y /= _element_counts(op, spatial).astype(x.dtype)
    if op.kind in ("max", "l2", "lp"):
        return Outcome(y, PoolSaved(x.shape, x, y, mode.may_overwrite_input))
    return Outcome(y, PoolSaved(x.shape))


@backward_of(Pool)
def pool_backward(op: Pool, weights: NoWeights, saved: PoolSaved, gradient: Array, needs_dx: bool) -> Gradients:
    shape, spatial = saved.shape, saved.shape[1:-1]
    g = geometry_of(op, spatial)
    if saved.x is not None and saved.y is not None:
        if op.kind == "max":
            return Gradients((_max_gradient(saved.x, saved.y, gradient, g, saved.may_overwrite_input),))
        return Gradients((_lp_norm_gradient(op.order, pad(saved.x, g.pads), saved.y, gradient, shape, g),))
    if op.kind == "weighted":
        share = _tap_shares(op, spatial, gradient.dtype)
        return Gradients((_add_at_taps(shape, g, gradient, lambda at, number, index: gradient[at] * share(index)),))
    gradient = gradient / _element_counts(op, spatial).astype(gradient.dtype)
    return Gradients((_add_at_taps(shape, g, gradient, lambda at, number, index: gradient[at]),))


def _windows_are_disjoint(g: Geometry) -> bool:
    """Whether each element of the padded input is read by one window at most, and there by one tap."""
    return all(s >= (k - 1) * d + 1 for k, s, d in zip(g.k, g.s, g.d, strict=True))


def _sum_over_taps(x: Array, g: Geometry, term: Callable[[Array, Axes], Array]) -> Array:
    """The sum (N, OH, OW, C) over taps of term(the elements that the tap reads, the tap's index)."""
    total = np.empty((x.shape[0], *g.out, x.shape[-1]), x.dtype)
    for at in sample_blocks(len(x), math.prod(x.shape[1:])):
        padded, into = pad(x[at], g.pads), total[at]
        for number, (index, elements) in enumerate(taps(g)):
            if number:
                into += term(padded[elements], index)
            else:
                into[...] = term(padded[elements], index)
    return total


def _add_at_taps(shape: tuple[int, ...], g: Geometry, like: Array, term: Callable[[slice, int, Axes], Array]) -> Array:
    """The adjoint (N, H, W, C) of `_sum_over_taps`: adds term(samples, number of the tap, its index) where the tap read."""
    dx = np.empty(shape, like.dtype)
    disjoint = _windows_are_disjoint(g)
    for at in sample_blocks(shape[0], math.prod(shape[1:])):
        padded = np.zeros((at.stop - at.start, *g.padded_sizes(shape[1:-1]), shape[-1]), like.dtype)
        for number, (index, elements) in enumerate(taps(g)):
            if disjoint:
                padded[elements] = term(at, number, index)
            else:
                padded[elements] += term(at, number, index)
        dx[at] = padded[interior(shape[1:-1], g.pads)]
    return dx


def _max(x: Array, g: Geometry) -> Array:
    """The maximum of each window, (N, OH, OW, C): over its rows, which are long runs of memory, then over its columns."""
    best = np.empty((x.shape[0], *g.out, x.shape[-1]), x.dtype)
    last = len(g.k) - 1
    for at in sample_blocks(len(x), math.prod(x.shape[1:])):
        reduced = pad(x[at], g.pads, -np.inf)
        for axis, (k, s, d, out) in enumerate(zip(g.k, g.s, g.d, g.out, strict=True)):
            before = (slice(None),) * (1 + axis)
            first, *others = (reduced[(*before, slice(i * d, i * d + s * (out - 1) + 1, s))] for i in range(k))
            into = best[at] if axis == last else None
            for other in others:
                first = into = np.maximum(first, other, out=into)
            reduced = first
        if g.k[last] == 1:
            best[at] = reduced
    return best


def _max_gradient(x: Array, y: Array, gradient: Array, g: Geometry, may_overwrite_x: bool) -> Array:
    """The gradient (N, H, W, C) of `_max`: each goes to the maximum of its window, the first of equal ones.

    It overwrites x where that is allowed and the windows cover x without overlap.
    """
    spatial, disjoint = x.shape[1:-1], _windows_are_disjoint(g)
    direct = disjoint and not g.padded  # nothing has to be added up, and nothing falls outside
    covered = direct and all(k * out == m for k, out, m in zip(g.k, g.out, spatial, strict=True))
    if covered and may_overwrite_x:
        dx = x
    else:
        dx = np.zeros(x.shape, x.dtype) if direct else np.empty(x.shape, x.dtype)
    for at in sample_blocks(len(x), math.prod(x.shape[1:])):
        if covered and _unique_max_gradient(x[at], y[at], gradient[at], g, dx[at]):
            continue
        padded, top, top_gradient = pad(x[at], g.pads, -np.inf), y[at], gradient[at]
        into = dx[at] if direct else np.zeros(padded.shape, x.dtype)
        # not_found: no earlier tap of the window is its maximum
        not_found, hit, term = np.ones(top.shape, np.bool_), np.empty(top.shape, np.bool_), np.empty_like(top_gradient)
        for _, elements in taps(g):
            np.equal(padded[elements], top, out=hit)
            hit &= not_found
            not_found ^= hit
            if disjoint:
                np.multiply(top_gradient, hit, out=into[elements])
            else:
                into[elements] += np.multiply(top_gradient, hit, out=term)
        if not direct:
            dx[at] = into[interior(spatial, g.pads)]
    return dx


def _unique_max_gradient(x: Array, y: Array, gradient: Array, g: Geometry, dx: Array) -> bool:
    """`_max_gradient` of windows that cover x, if no window has two equal maxima; else does nothing and returns false.

    Maxima and gradients are repeated for the columns of their window, so that whole rows are compared: with
    `pool max k=2` on (n, 8, 8, 16) rows (n, 4, 2, 8·16) of x with (n, 4, 1, 8·16) of y.
    """
    upper = [size for pair in zip(g.out[:-1], g.k[:-1], strict=True) for size in pair]
    top, top_gradient = (_repeat_columns(array, g) for array in (y, gradient))
    hit = x.reshape(len(x), *upper, -1) == top  # (n, OH, kh, W·C)
    if np.count_nonzero(hit) != y.size:
        return False
    np.multiply(top_gradient, hit, out=dx.reshape(hit.shape))
    return True


def _repeat_columns(array: Array, g: Geometry) -> Array:
    """(n, OH, OW, C) as (n, OH, 1, W·C): each element repeated for the columns of its window."""
    repeated = np.empty((*array.shape[:-1], g.k[-1], array.shape[-1]), array.dtype)
    repeated[...] = array[..., None, :]
    return repeated.reshape(len(array), *(size for out in g.out[:-1] for size in (out, 1)), -1)


def _argmax_taps(x: Array, g: Geometry) -> Array:
    """The number of the tap with the maximum of each window, the first of equal ones as in onnxruntime: (N, OH, OW, C)."""
    padded = pad(x, g.pads, -np.inf)
    best = np.full((x.shape[0], *g.out, x.shape[-1]), -np.inf, x.dtype)
    winner = np.zeros(best.shape, np.int32)
    for number, (_, elements) in enumerate(taps(g)):
        candidate = padded[elements]
        winner += (candidate > best) * (number - winner)
        np.maximum(best, candidate, out=best)
    return winner


def _lp_norm(order: int, x: Array, g: Geometry) -> Array:
    """(Σ |x|^p)^(1/p) of each window (ONNX LpPool); padding adds 0.

    From p = 3 on the elements are divided by the largest of the window first, as high powers exceed float32.
    """
    if order == 1:
        return _sum_over_taps(x, g, lambda elements, index: np.abs(elements))
    if order == 2:
        return np.sqrt(_sum_over_taps(x, g, lambda elements, index: elements * elements))
    size = np.abs(pad(x, g.pads))
    unit = _max(size, g._replace(pads=((0, 0),) * len(g.pads)))
    unit[(unit == 0) | np.isinf(unit)] = 1
    total = np.zeros_like(unit)
    for _, elements in taps(g):
        total += (size[elements] / unit) ** float(order)
    return np.asarray(unit * total ** (1 / order))


def _lp_norm_gradient(
    order: int, padded: Array, y: Array, gradient: Array, shape: tuple[int, ...], g: Geometry
) -> Array:
    """dy/dx = sign(x)·(|x|/y)^(p - 1), and 0 where the whole window is 0."""
    if order == 1:
        return _add_at_taps(
            shape, g, gradient, lambda at, _, index: gradient[at] * np.sign(padded[at][tap_slices(index, g)])
        )
    safe = y + (y == 0)
    if order == 2:
        scaled = gradient / safe
        return _add_at_taps(shape, g, gradient, lambda at, _, index: scaled[at] * padded[at][tap_slices(index, g)])

    def term(at: slice, number: int, index: Axes) -> Array:
        ratio = padded[at][tap_slices(index, g)] / safe[at]
        return np.asarray(gradient[at] * np.sign(ratio) * np.abs(ratio) ** float(order - 1))

    return _add_at_taps(shape, g, gradient, term)


def _taps_inside(op: Pool, spatial: Axes) -> list[Array]:
    """For each axis, (out, k): which taps of a window read the input, or with count_pad the padded input."""
    inside = []
    for rule in op.rules(TensorType((1, *spatial))):
        low, high = (0, rule.m + rule.begin + rule.end) if op.count_pad else (rule.begin, rule.begin + rule.m)
        positions = np.arange(rule.out)[:, None] * rule.s + np.arange(rule.k) * rule.d  # in the padded input
        inside.append((positions >= low) & (positions < high))
    return inside


def _element_counts(op: Pool, spatial: Axes) -> Array:
    """How many elements each window averages, (OH, OW, 1): those of the input, or with count_pad of the padded input."""
    total = np.ones((), np.int64)
    for inside in _taps_inside(op, spatial):
        total = total[..., None] * inside.sum(1)
    return total[..., None]


def _tap_shares(op: Pool, spatial: Axes, dtype: Any) -> Callable[[Axes], Array]:
    """A function from a tap's index to its share (OH, OW, 1) in the mean of each window of `pool weighted`.

    Shares are products over the axes of weights that sum to 1. On each axis, the largest weight inside the input counts
    as 1 before they are divided by their sum: far from the centre all of them may be too small for a float.
    """
    axes = []
    for inside, exponents in zip(_taps_inside(op, spatial), op.tap_exponents(), strict=True):
        e = np.where(inside, exponents, -np.inf)  # (out, k)
        weight = np.exp(e - e.max(1, keepdims=True))
        axes.append(weight / weight.sum(1, keepdims=True))

    def share(index: Axes) -> Array:
        total = np.ones(())
        for axis, i in zip(axes, index, strict=True):
            total = total[..., None] * axis[:, i]
        return total[..., None].astype(dtype)

    return share


# --- global_pool -----------------------------------------------------------------------------------------------------


@forward_of(GlobalPool)
def global_pool(op: GlobalPool, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """ONNX GlobalMaxPool (the first of equal maxima wins), GlobalAveragePool and GlobalLpPool (p = 2)."""
    (x,) = inputs
    rows = x.reshape(x.shape[0], -1, x.shape[-1])  # (N, H·W, C)
    state: Any = None  # what the gradient of this kind depends on
    if op.kind == "max":
        y = rows.max(1, keepdims=True)
        state = _first_true(rows == y)[:, None] if mode.training else None
    elif op.kind == "avg":
        y = sample_sum(rows) / x.dtype.type(rows.shape[1])
    else:
        y = np.sqrt(sample_sum(rows * rows))
        state = (rows, y)
    output = y.reshape(x.shape[0], *(1 for _ in x.shape[1:-1]), x.shape[-1])
    return Outcome(output, (x.shape, state) if mode.training else None)


def _first_true(hit: Array) -> Array:
    """The index (N, C) of the first true element in each column of (N, R, C); np.argmax takes three times as long."""
    count = hit.shape[1]
    countdown = np.arange(count, 0, -1, dtype=np.min_scalar_type(count))[:, None]
    return np.asarray(np.minimum(count - (hit * countdown).max(1).astype(np.int64), count - 1))


@backward_of(GlobalPool)
def global_pool_backward(op: GlobalPool, weights: NoWeights, saved: Any, gradient: Array, needs_dx: bool) -> Gradients:
    shape, state = saved
    count = math.prod(shape[1:-1])
    g = gradient.reshape(shape[0], 1, shape[-1])
    if op.kind == "max":
        dx = np.zeros((shape[0], count, shape[-1]), gradient.dtype)
        np.put_along_axis(dx, state, g, 1)
    elif op.kind == "avg":
        dx = np.broadcast_to(g / g.dtype.type(count), (shape[0], count, shape[-1]))
    else:
        rows, y = state
        dx = rows * (g / (y + (y == 0)))
    return Gradients((dx.reshape(shape),))


# --- unpool ----------------------------------------------------------------------------------------------------------


@forward_of(Unpool)
def unpool(op: Unpool, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """Each element goes to the maximum of its window in the pool's input; the rest is 0 (Zeiler & Fergus 2014)."""
    x, source = inputs
    assert op.pool is not None, "lowering sets the pool"
    g = geometry_of(op.pool, source.shape[1:-1])
    winner = _argmax_taps(source, g)
    y = _add_at_taps(source.shape, g, x, lambda at, number, index: x[at] * (winner[at] == number))
    return Outcome(y, winner if mode.training else None)


@backward_of(Unpool)
def unpool_backward(op: Unpool, weights: NoWeights, winner: Array, gradient: Array, needs_dx: bool) -> Gradients:
    """Each element gets the gradient at the position that it was moved to. The pool's input only selects positions, so its
    gradient is 0.
    """
    assert op.pool is not None
    g = geometry_of(op.pool, gradient.shape[1:-1])
    padded = pad(gradient, g.pads)
    dx = np.zeros(winner.shape, gradient.dtype)
    for number, (_, elements) in enumerate(taps(g)):
        dx += padded[elements] * (winner == number)
    return Gradients((dx, np.zeros_like(gradient)))


# --- upsample --------------------------------------------------------------------------------------------------------


@forward_of(Upsample)
def upsample(op: Upsample, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """ONNX Resize with mode nearest or linear, one axis after the other."""
    y = inputs[0]
    for axis, n in enumerate(op.n, start=1):
        if n > 1:
            y = np.repeat(y, n, axis) if op.mode == "nearest" else _interpolate(y, axis, n)
    return Outcome(y)


@backward_of(Upsample)
def upsample_backward(op: Upsample, weights: NoWeights, saved: Any, gradient: Array, needs_dx: bool) -> Gradients:
    dx = gradient
    for axis, n in enumerate(op.n, start=1):
        if n > 1:
            dx = _upsample_adjoint(dx, axis, n, op.mode == "nearest")
    return Gradients((dx,))


def interpolation_phases(n: int) -> list[tuple[int, float]]:
    """(low, share) for each r of 0..n-1: output q·n + r lies `share` of the way from input q + low to the next.

    ONNX Resize with half_pixel: output i lies at (i + 1/2)/n - 1/2 in the input. n = 2: (-1, 0.75), (0, 0.25).
    """
    positions = [(r + 0.5) / n - 0.5 for r in range(n)]
    return [(math.floor(position), position - math.floor(position)) for position in positions]


def _interpolate(x: Array, axis: int, n: int) -> Array:
    """Linear interpolation to n times as many elements along an axis; the outermost elements are repeated at the edge."""
    m = x.shape[axis]
    y = np.empty((*x.shape[:axis], m * n, *x.shape[axis + 1 :]), x.dtype)
    source, target = np.moveaxis(x, axis, 1), np.moveaxis(y, axis, 1)

    for at in sample_blocks(x.shape[0], y[:1].size):
        edged = np.concatenate([source[at, :1], source[at], source[at, -1:]], 1)
        for r, (low, share) in enumerate(interpolation_phases(n)):
            result = edged[:, low + 1 : low + 1 + m] * (1 - share)
            result += edged[:, low + 2 : low + 2 + m] * share
            target[at, r::n] = result
    return y


def _upsample_adjoint(gradient: Array, axis: int, n: int, nearest: bool) -> Array:
    """The adjoint of np.repeat (`nearest`) or `_interpolate` along an axis."""
    m = gradient.shape[axis] // n
    dx = np.empty((*gradient.shape[:axis], m, *gradient.shape[axis + 1 :]), gradient.dtype)
    source, target = np.moveaxis(gradient, axis, 1), np.moveaxis(dx, axis, 1)

    for at in sample_blocks(gradient.shape[0], gradient[:1].size):
        block = source[at]
        edged = np.zeros((block.shape[0], m + 2, *block.shape[2:]), gradient.dtype)
        for r, (low, share) in enumerate(interpolation_phases(n)):
            every_nth = block[:, r::n]
            if nearest:
                edged[:, 1:-1] += every_nth
                continue
            edged[:, low + 1 : low + 1 + m] += every_nth * (1 - share)
            edged[:, low + 2 : low + 2 + m] += every_nth * share
        edged[:, 1] += edged[:, 0]
        edged[:, -2] += edged[:, -1]
        target[at] = edged[:, 1:-1]
    return dx


# --- maxout ----------------------------------------------------------------------------------------------------------


@forward_of(Maxout)
def maxout(op: Maxout, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """The largest of each n successive channels (Goodfellow et al. 2013); of equal ones the first gets the gradient."""
    (x,) = inputs
    y = x[..., :: op.n].copy()
    winner = np.zeros(y.shape, np.int32) if mode.training else None
    for r in range(1, op.n):
        candidate = x[..., r :: op.n]
        if winner is not None:
            np.copyto(winner, r, where=candidate > y)
        np.maximum(y, candidate, out=y)
    return Outcome(y, winner)


@backward_of(Maxout)
def maxout_backward(op: Maxout, weights: NoWeights, winner: Array, gradient: Array, needs_dx: bool) -> Gradients:
    dx = np.empty((*gradient.shape[:-1], gradient.shape[-1] * op.n), gradient.dtype)
    for r in range(op.n):
        dx[..., r :: op.n] = gradient * (winner == r)
    return Gradients((dx,))
