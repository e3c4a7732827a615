"""Pools that ONNX has no operator for, and that are written as convolutions with a fixed kernel of sum 1."""

from __future__ import annotations

import itertools
from functools import reduce
from math import log, prod, sqrt

import numpy as np

from cnnc.core.arguments import Word
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.parts import WindowArguments
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.ops import window
from cnnc.ops.base import Op
from cnnc.ops.filter import Filter
from cnnc.ops.pool import Pool

MAX_CANDIDATES = 64  # paddings that are tried for a pool whose mean is corrected
MAX_PLACES = 2**22  # of an image that is looked at window by window


def pool_of_kernel(c: Interpreter, x: Layer, w: WindowArguments, weight: Array) -> Layer | None:
    """The pool that a depthwise convolution is: a mean over a dilated window, or one weighted from the centre.

    Where padding is read it counts in the mean; `corrected` is for the others.
    """
    found = _kind(w, weight)
    if found is None:
        return None
    kind, sigma = found
    return c.add(Pool, x, kind=Word(kind), k=w.k, s=w.s, d=w.d, p=w.p, sigma=sigma, count_pad=w.p != 0)


def _kind(w: WindowArguments, weight: Array) -> tuple[str, float | None] | None:
    kernel = weight[0, 0]
    if not (weight == weight[:1]).all() or (kernel < 0).any() or abs(float(kernel.sum()) - 1) > 1e-4:
        return None
    if (kernel == kernel.ravel()[0]).all() and max(w.d) > 1:
        return "avg", None
    for sigma in _sigmas(kernel):
        values = {} if sigma is None else {"sigma": sigma}
        op = Pool.make(kernel.ndim, kind=Word("weighted"), k=kernel.shape, **values)
        axes = [np.exp(np.subtract(a, max(a))) for a in op.tap_exponents()]
        made = reduce(np.multiply.outer, [a / a.sum() for a in axes])
        if np.array_equal(np.float32(made), kernel):
            return "weighted", sigma
    return None


def _sigmas(kernel: Array) -> list[float | None]:
    """The deviations that a kernel may have: the default, then what the ratio of two neighbours says, ever more exactly."""
    found: list[float | None] = [None]
    axis = max(range(kernel.ndim), key=lambda a: kernel.shape[a])
    k = kernel.shape[axis]
    line = np.moveaxis(kernel, axis, 0).reshape(k, -1).sum(1).astype(np.float64)
    if k < 3 or line[0] <= 0 or line[0] >= line[k // 2]:
        return found
    distance = ((k - 1) / 2) ** 2 - (k // 2 - (k - 1) / 2) ** 2
    exact = sqrt(distance / (2 * log(line[k // 2] / line[0])))
    return found + [float(f"{exact:.{digits}g}") for digits in range(1, 9)]


def corrected(c: Interpreter, pool: Layer, seen: Array) -> Layer | None:
    """The pool whose sums are divided by what each window sees of the input, where `seen` is that."""
    op = _as_pool(pool.op)
    if op is None or op.kind not in ("avg", "weighted"):
        return None
    (x,) = pool.inputs
    if seen.shape != (1, 1, *pool.type.spatial):
        return None
    for candidate in _candidates(op, x):
        made = _seen(candidate, x)
        if made is not None and made.shape == seen.shape[1:] and np.allclose(made, seen[0], rtol=1e-5, atol=1e-6):
            return c.add_op(candidate, (x,))
    return None


def _as_pool(op: Op) -> Pool | None:
    """The pool itself, or the mean that a filter of equal numbers is."""
    if isinstance(op, Filter):
        numbers = np.asarray(op.kernel())
        if np.allclose(numbers, 1 / numbers.size, rtol=1e-6, atol=0):
            return Pool("avg", op.k, op.s, op.p, (1,) * len(op.k), False, False, None, None)
    return op if isinstance(op, Pool) else None


def _candidates(op: Pool, x: Layer) -> list[Pool]:
    """Without padding in the mean; then with it, and with what `ceil` adds at the end left out."""
    found = [op.replace(count_pad=False)]
    pads = op.p
    rules = op.rules(x.type)
    if isinstance(pads, str):
        pads = tuple((r.begin, r.end) for r in rules)
    lacking = itertools.product(*(range(min(e, s - 1) + 1) for (_, e), s in zip(pads, op.stride, strict=True)))
    for less in itertools.islice(lacking, MAX_CANDIDATES):
        asked = tuple((b, e - n) for (b, e), n in zip(pads, less, strict=True))
        found.append(op.replace(p=asked, ceil=True, count_pad=True))
    plain = sorted(found[1:], key=lambda c: len(window.pads_text(c.p)))  # p=1 rather than p=[1, 1, 2, 1]
    return [*found[:1], *plain]


def _seen(op: Pool, x: Layer) -> Array | None:
    """The share of its weights that each window sees in x, (1, *spatial): the pool of an image of ones over its own sum.

    The plain sums of a pool whose padding counts are those of the same window over an image with zeros around.
    """
    rules = op.rules(x.type)
    if any(r.out < 1 for r in rules) or prod(r.m + r.begin + r.end + r.s * r.e for r in rules) > MAX_PLACES:
        return None
    k = op.k
    if op.kind == "avg":
        kernel = np.full(k, 1 / prod(k))
    else:
        axes = [np.exp(np.subtract(a, max(a))) for a in op.tap_exponents()]
        kernel = reduce(np.multiply.outer, [a / a.sum() for a in axes])
    wide = [(r.begin, r.end + r.s * r.e) for r in rules]
    ones = np.pad(np.ones(x.type.spatial), [(0, 0)] * x.rank)
    if op.count_pad:
        ones = np.pad(ones, [(r.begin, r.end) for r in rules], constant_values=1)
        ones = np.pad(ones, [(0, r.s * r.e) for r in rules])
    else:
        ones = np.pad(ones, wide)
    found = np.zeros([r.out for r in rules])
    for tap in itertools.product(*(range(n) for n in k)):
        places = tuple(slice(t * r.d, t * r.d + (r.out - 1) * r.s + 1, r.s) for t, r in zip(tap, rules, strict=True))
        found += kernel[tap] * ones[places]
    return found[None]
