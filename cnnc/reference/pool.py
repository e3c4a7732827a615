"""Pooling, and the ways back to a larger image.

Windows are worked through a tap at a time: a tap of all windows is one strided slice; and a few images at a
time, so that what is made of them stays in the cache. Shapes in comments show two spatial axes; everything is
written for any number of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.channelwise import few, sample_sum
from cnnc.reference.kernels.windows import geometry_of, interior, pad, tap, taps
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of

NoWeights = Mapping[str, Array]


# --- pool ------------------------------------------------------------------------------------------------------


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
    (x,) = inputs
    spatial = x.shape[1:-1]
    g = geometry_of(op, spatial)
    if op.kind == "max":
        y = _max(x, g)
    elif op.kind in ("l2", "lp"):
        y = _norm(op.order, x, g)
    elif op.kind == "weighted":
        share = _tap_shares(op, spatial, x.dtype)
        y = _over_taps(x, g, lambda seen, index: seen * share(index))
    else:
        y = _over_taps(x, g, lambda seen, index: seen)
        y /= _element_counts(op, spatial).astype(x.dtype)
    keeps = op.kind in ("max", "l2", "lp")
    return Outcome(y, PoolSaved(x.shape, x, y, mode.may_overwrite_input) if keeps else PoolSaved(x.shape))


@backward_of(Pool)
def pool_backward(op: Pool, weights: NoWeights, saved: PoolSaved, gradient: Array, needs_dx: bool) -> Gradients:
    spatial = saved.shape[1:-1]
    g = geometry_of(op, spatial)
    if saved.x is not None and saved.y is not None:
        if op.kind == "max":
            return Gradients((_max_gradient(saved.x, saved.y, gradient, g, saved.may_overwrite_input),))
        return Gradients((_norm_gradient(op.order, pad(saved.x, g.pads), saved.y, gradient, saved.shape, g),))
    if op.kind == "weighted":
        share = _tap_shares(op, spatial, gradient.dtype)
        return Gradients((_spread(saved.shape, g, gradient, lambda at, number, index: gradient[at] * share(index)),))
    gradient = gradient / _element_counts(op, spatial).astype(gradient.dtype)
    return Gradients((_spread(saved.shape, g, gradient, lambda at, number, index: gradient[at]),))


def _tiles(g: Geometry) -> bool:
    """Whether each element of the padded input lies in one window at most, at one tap."""
    return all(s >= (k - 1) * d + 1 for k, s, d in zip(g.k, g.s, g.d, strict=True))


def _over_taps(x: Array, g: Geometry, part: Callable[[Array, Axes], Array]) -> Array:
    """The sum (N, OH, OW, C) over taps of part(what the tap sees, its index)."""
    total = np.empty((x.shape[0], *g.out, x.shape[-1]), x.dtype)
    for at in few(len(x), math.prod(x.shape[1:])):
        seen, into = pad(x[at], g.pads), total[at]
        for number, (index, place) in enumerate(taps(g)):
            if number:
                into += part(seen[place], index)
            else:
                into[...] = part(seen[place], index)
    return total


def _spread(shape: tuple[int, ...], g: Geometry, like: Array, part: Callable[[slice, int, Axes], Array]) -> Array:
    """The adjoint of `_over_taps`, (N, H, W, C): part(samples, tap's number, its index), added where the tap read."""
    dx = np.empty(shape, like.dtype)
    tiles = _tiles(g)
    for at in few(shape[0], math.prod(shape[1:])):
        padded = np.zeros((at.stop - at.start, *g.padded_sizes(shape[1:-1]), shape[-1]), like.dtype)
        for number, (index, place) in enumerate(taps(g)):
            if tiles:
                padded[place] = part(at, number, index)
            else:
                padded[place] += part(at, number, index)
        dx[at] = padded[interior(shape[1:-1], g.pads)]
    return dx


def _max(x: Array, g: Geometry) -> Array:
    """The largest of each window, (N, OH, OW, C): over its rows, which are long runs of memory, then over its columns."""
    best = np.empty((x.shape[0], *g.out, x.shape[-1]), x.dtype)
    last = len(g.k) - 1
    for at in few(len(x), math.prod(x.shape[1:])):
        seen = pad(x[at], g.pads, -np.inf)
        for axis, (k, s, d, out) in enumerate(zip(g.k, g.s, g.d, g.out, strict=True)):
            before = (slice(None),) * (1 + axis)
            first, *others = (seen[(*before, slice(i * d, i * d + s * (out - 1) + 1, s))] for i in range(k))
            into = best[at] if axis == last else None
            for other in others:
                first = into = np.maximum(first, other, out=into)
            seen = first
        if g.k[last] == 1:
            best[at] = seen
    return best


def _max_gradient(x: Array, y: Array, gradient: Array, g: Geometry, own: bool) -> Array:
    """Each gradient where its window had its maximum: at the first of equal ones.

    It takes the place of the input where that is its `own`, and windows cover it without overlap.
    """
    spatial, tiles = x.shape[1:-1], _tiles(g)
    direct = tiles and not g.padded  # nothing is added up, and nothing falls outside
    covered = direct and all(k * out == m for k, out, m in zip(g.k, g.out, spatial, strict=True))
    if covered and own:
        dx = x
    else:
        dx = np.zeros(x.shape, x.dtype) if direct else np.empty(x.shape, x.dtype)
    for at in few(len(x), math.prod(x.shape[1:])):
        if covered and _put_where_alone(x[at], y[at], gradient[at], g, dx[at]):
            continue
        seen, top, mine = pad(x[at], g.pads, -np.inf), y[at], gradient[at]
        into = dx[at] if direct else np.zeros(seen.shape, x.dtype)
        left, hit, some = np.ones(top.shape, np.bool_), np.empty(top.shape, np.bool_), np.empty_like(mine)
        for _, place in taps(g):
            np.equal(seen[place], top, out=hit)
            hit &= left
            left ^= hit
            if tiles:
                np.multiply(mine, hit, out=into[place])
            else:
                into[place] += np.multiply(mine, hit, out=some)
        if not direct:
            dx[at] = into[interior(spatial, g.pads)]
    return dx


def _put_where_alone(x: Array, y: Array, gradient: Array, g: Geometry, dx: Array) -> bool:
    """The gradients of windows that cover the input, if each maximum is alone; else nothing is done, and the answer no.

    A maximum, and its gradient, is repeated for the columns of its window, so that rows are compared as they lie.
    """
    upper = [size for pair in zip(g.out[:-1], g.k[:-1], strict=True) for size in pair]
    tops, mine = (_along_rows(array, g) for array in (y, gradient))
    hit = x.reshape(len(x), *upper, -1) == tops  # (n, OH, kh, W·C)
    if np.count_nonzero(hit) != y.size:
        return False
    np.multiply(mine, hit, out=dx.reshape(hit.shape))
    return True


def _along_rows(array: Array, g: Geometry) -> Array:
    """(n, OH, OW, C), each number as often as a window has columns: (n, OH, 1, W·C)."""
    made = np.empty((*array.shape[:-1], g.k[-1], array.shape[-1]), array.dtype)
    made[...] = array[..., None, :]
    return made.reshape(len(array), *(size for out in g.out[:-1] for size in (out, 1)), -1)


def _winners(x: Array, g: Geometry) -> Array:
    """Which tap of each window has its maximum, the first of equal ones (as in onnxruntime): (N, OH, OW, C)."""
    padded = pad(x, g.pads, -np.inf)
    best = np.full((x.shape[0], *g.out, x.shape[-1]), -np.inf, x.dtype)
    winner = np.zeros(best.shape, np.int32)
    for number, (_, place) in enumerate(taps(g)):
        seen = padded[place]
        winner += (seen > best) * (number - winner)
        np.maximum(best, seen, out=best)
    return winner


def _norm(order: int, x: Array, g: Geometry) -> Array:
    """(Σ |x|^p)^(1/p) of each window (ONNX LpPool); padding adds 0.

    From p = 3 on relative to the window's largest, as high powers soon leave the range of float32.
    """
    if order == 1:
        return _over_taps(x, g, lambda seen, index: np.abs(seen))
    if order == 2:
        return np.sqrt(_over_taps(x, g, lambda seen, index: seen * seen))
    size = np.abs(pad(x, g.pads))
    unit = _max(size, g._replace(pads=((0, 0),) * len(g.pads)))
    unit[(unit == 0) | np.isinf(unit)] = 1
    total = np.zeros_like(unit)
    for _, place in taps(g):
        total += (size[place] / unit) ** float(order)
    return np.asarray(unit * total ** (1 / order))


def _norm_gradient(order: int, padded: Array, y: Array, gradient: Array, shape: tuple[int, ...], g: Geometry) -> Array:
    """dy/dx = sign(x)·(|x|/y)^(p - 1), and 0 where the whole window is 0."""
    if order == 1:
        return _spread(shape, g, gradient, lambda at, _, index: gradient[at] * np.sign(padded[at][tap(index, g)]))
    safe = y + (y == 0)
    if order == 2:
        scaled = gradient / safe
        return _spread(shape, g, gradient, lambda at, _, index: scaled[at] * padded[at][tap(index, g)])

    def part(at: slice, number: int, index: Axes) -> Array:
        ratio = padded[at][tap(index, g)] / safe[at]
        return np.asarray(gradient[at] * np.sign(ratio) * np.abs(ratio) ** float(order - 1))

    return _spread(shape, g, gradient, part)


def _taps_inside(op: Pool, spatial: Axes) -> list[Array]:
    """For each axis, (out, k): which taps of a window lie in the input, or, with count_pad, in the padded input."""
    inside = []
    for rule in op.rules(TensorType((1, *spatial))):
        low, high = (0, rule.m + rule.begin + rule.end) if op.count_pad else (rule.begin, rule.begin + rule.m)
        positions = np.arange(rule.out)[:, None] * rule.s + np.arange(rule.k) * rule.d  # in the padded input
        inside.append((positions >= low) & (positions < high))
    return inside


def _element_counts(op: Pool, spatial: Axes) -> Array:
    """How many elements each window averages over, (OH, OW, 1): those of the input, or of the padded input."""
    total = np.ones((), np.int64)
    for seen in _taps_inside(op, spatial):
        total = total[..., None] * seen.sum(1)
    return total[..., None]


def _tap_shares(op: Pool, spatial: Axes, dtype: Any) -> Callable[[Axes], Array]:
    """What share a tap has in the mean of each window of `weighted`, (OH, OW, 1), by the tap's index.

    Weights are products of those of the axes, and so are their sums. The largest that is seen counts as 1
    before they are brought to a sum of 1: far from the centre all of them may be too small for a float.
    """
    axes = []
    for seen, exponents in zip(_taps_inside(op, spatial), op.tap_exponents(), strict=True):
        e = np.where(seen, exponents, -np.inf)  # (out, k)
        weight = np.exp(e - e.max(1, keepdims=True))
        axes.append(weight / weight.sum(1, keepdims=True))

    def share(index: Axes) -> Array:
        total = np.ones(())
        for axis, i in zip(axes, index, strict=True):
            total = total[..., None] * axis[:, i]
        return total[..., None].astype(dtype)

    return share


# --- global_pool -----------------------------------------------------------------------------------------------


@forward_of(GlobalPool)
def global_pool(op: GlobalPool, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """ONNX GlobalMaxPool (the first of equals wins), GlobalAveragePool and GlobalLpPool (p = 2)."""
    (x,) = inputs
    rows = x.reshape(x.shape[0], -1, x.shape[-1])  # (N, H·W, C)
    kept: Any = None
    if op.kind == "max":
        y = rows.max(1, keepdims=True)
        kept = _first(rows == y)[:, None] if mode.training else None
    elif op.kind == "avg":
        y = sample_sum(rows) / x.dtype.type(rows.shape[1])
    else:
        y = np.sqrt(sample_sum(rows * rows))
        kept = (rows, y)
    made = y.reshape(x.shape[0], *(1 for _ in x.shape[1:-1]), x.shape[-1])
    return Outcome(made, (x.shape, kept) if mode.training else None)


def _first(hit: Array) -> Array:
    """The index (N, C) of the first that is true in each column of (N, R, C); np.argmax takes three times as long."""
    count = hit.shape[1]
    left = np.arange(count, 0, -1, dtype=np.min_scalar_type(count))[:, None]
    return np.asarray(np.minimum(count - (hit * left).max(1).astype(np.int64), count - 1))


@backward_of(GlobalPool)
def global_pool_backward(op: GlobalPool, weights: NoWeights, saved: Any, gradient: Array, needs_dx: bool) -> Gradients:
    shape, kept = saved
    count = math.prod(shape[1:-1])
    g = gradient.reshape(shape[0], 1, shape[-1])
    if op.kind == "max":
        dx = np.zeros((shape[0], count, shape[-1]), gradient.dtype)
        np.put_along_axis(dx, kept, g, 1)
    elif op.kind == "avg":
        dx = np.broadcast_to(g / g.dtype.type(count), (shape[0], count, shape[-1]))
    else:
        rows, y = kept
        dx = rows * (g / (y + (y == 0)))
    return Gradients((dx.reshape(shape),))


# --- unpool ----------------------------------------------------------------------------------------------------


@forward_of(Unpool)
def unpool(op: Unpool, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    x, source = inputs
    assert op.pool is not None, "lowering puts the pool in"
    g = geometry_of(op.pool, source.shape[1:-1])
    winner = _winners(source, g)
    y = _spread(source.shape, g, x, lambda at, number, index: x[at] * (winner[at] == number))
    return Outcome(y, winner if mode.training else None)


@backward_of(Unpool)
def unpool_backward(op: Unpool, weights: NoWeights, winner: Array, gradient: Array, needs_dx: bool) -> Gradients:
    """Each value's gradient is that of its place; what the pool read only decides on places, so it has none."""
    assert op.pool is not None
    g = geometry_of(op.pool, gradient.shape[1:-1])
    padded = pad(gradient, g.pads)
    dx = np.zeros(winner.shape, gradient.dtype)
    for number, (_, place) in enumerate(taps(g)):
        dx += padded[place] * (winner == number)
    return Gradients((dx, np.zeros_like(gradient)))


# --- upsample --------------------------------------------------------------------------------------------------


@forward_of(Upsample)
def upsample(op: Upsample, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    y = inputs[0]
    for axis, n in enumerate(op.n, start=1):
        if n > 1:
            y = np.repeat(y, n, axis) if op.mode == "nearest" else _stretched(y, axis, n)
    return Outcome(y)


@backward_of(Upsample)
def upsample_backward(op: Upsample, weights: NoWeights, saved: Any, gradient: Array, needs_dx: bool) -> Gradients:
    dx = gradient
    for axis, n in enumerate(op.n, start=1):
        if n > 1:
            dx = _shrunk(dx, axis, n, op.mode == "nearest")
    return Gradients((dx,))


def _phases(n: int) -> list[tuple[int, float]]:
    """For each r of 0..n-1: output q·n + r lies `share` of the way from input q + low to the next.

    ONNX Resize with half_pixel: output i lies at (i + 1/2)/n - 1/2 in the input.
    """
    places = [(r + 0.5) / n - 0.5 for r in range(n)]
    return [(math.floor(place), place - math.floor(place)) for place in places]


def _stretched(x: Array, axis: int, n: int) -> Array:
    """Linear interpolation along an axis; beyond the edge the outermost element goes on."""
    m = x.shape[axis]
    y = np.empty((*x.shape[:axis], m * n, *x.shape[axis + 1 :]), x.dtype)
    source, made = np.moveaxis(x, axis, 1), np.moveaxis(y, axis, 1)

    for at in few(x.shape[0], y[:1].size):
        edged = np.concatenate([source[at, :1], source[at], source[at, -1:]], 1)
        for r, (low, share) in enumerate(_phases(n)):
            part = edged[:, low + 1 : low + 1 + m] * (1 - share)
            part += edged[:, low + 2 : low + 2 + m] * share
            made[at, r::n] = part
    return y


def _shrunk(gradient: Array, axis: int, n: int, nearest: bool) -> Array:
    """The adjoint of np.repeat, or of `_stretched`, along an axis."""
    m = gradient.shape[axis] // n
    dx = np.empty((*gradient.shape[:axis], m, *gradient.shape[axis + 1 :]), gradient.dtype)
    source, made = np.moveaxis(gradient, axis, 1), np.moveaxis(dx, axis, 1)

    for at in few(gradient.shape[0], gradient[:1].size):
        taken = source[at]
        edged = np.zeros((taken.shape[0], m + 2, *taken.shape[2:]), gradient.dtype)
        for r, (low, share) in enumerate(_phases(n)):
            part = taken[:, r::n]
            if nearest:
                edged[:, 1:-1] += part
                continue
            edged[:, low + 1 : low + 1 + m] += part * (1 - share)
            edged[:, low + 2 : low + 2 + m] += part * share
        edged[:, 1] += edged[:, 0]
        edged[:, -2] += edged[:, -1]
        made[at] = edged[:, 1:-1]
    return dx


# --- maxout ----------------------------------------------------------------------------------------------------


@forward_of(Maxout)
def maxout(op: Maxout, weights: NoWeights, inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """Goodfellow et al. 2013; of equals the first has the gradient."""
    (x,) = inputs
    y = x[..., :: op.n].copy()
    winner = np.zeros(y.shape, np.int32) if mode.training else None
    for r in range(1, op.n):
        seen = x[..., r :: op.n]
        if winner is not None:
            np.copyto(winner, r, where=seen > y)
        np.maximum(y, seen, out=y)
    return Outcome(y, winner)


@backward_of(Maxout)
def maxout_backward(op: Maxout, weights: NoWeights, winner: Array, gradient: Array, needs_dx: bool) -> Gradients:
    dx = np.empty((*gradient.shape[:-1], gradient.shape[-1] * op.n), gradient.dtype)
    for r in range(op.n):
        dx[..., r :: op.n] = gradient * (winner == r)
    return Gradients((dx,))
