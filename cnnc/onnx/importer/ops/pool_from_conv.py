"""Pools that ONNX has no operator for: exported as depthwise convolutions with a fixed kernel whose sum is 1.

Example: a mean over a dilated 3x3 window is a Conv whose kernel holds 1/9 everywhere. Where the padding must not count
in the mean, a Div by the coverage follows: the part of the kernel's weight that falls inside the image.
"""

from __future__ import annotations

import itertools
from functools import reduce
from math import log, prod, sqrt

import numpy as np

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.padding import ImportedWindow
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.ops import window
from cnnc.ops.base import Op
from cnnc.ops.filter import Filter
from cnnc.ops.pool import Pool

MAX_CANDIDATES = 64  # paddings tried for a pool that is divided by its coverage
MAX_POSITIONS = 2**22  # of an image whose coverage is computed


def pool_of_kernel(ctx: Interpreter, x: Layer, window: ImportedWindow, weight: Array) -> Layer | None:
    """The pool that a depthwise convolution equals: a mean over a dilated window, or a Gaussian mean; else None.

    Padding counts in the mean; for means without padding see `pool_of_coverage`.
    """
    recognized = _recognize_kernel(window, weight)
    if recognized is None:
        return None
    kind, sigma = recognized
    return ctx.add(
        Pool,
        x,
        kind=WordValue(kind),
        k=window.k,
        s=window.s,
        d=window.d,
        p=window.p,
        sigma=sigma,
        count_pad=window.p != 0,
    )


def _recognize_kernel(window: ImportedWindow, weight: Array) -> tuple[str, float | None] | None:
    """The kind of pool of a kernel, and the sigma of a weighted one (None for the default); None for other kernels."""
    kernel = weight[0, 0]
    if not (weight == weight[:1]).all() or (kernel < 0).any() or abs(float(kernel.sum()) - 1) > 1e-4:
        return None
    if (kernel == kernel.ravel()[0]).all() and max(window.d) > 1:
        return "avg", None
    for sigma in _candidate_sigmas(kernel):
        values = {} if sigma is None else {"sigma": sigma}
        op = Pool.make(kernel.ndim, kind=WordValue("weighted"), k=kernel.shape, **values)
        if np.array_equal(np.float32(_gaussian_kernel(op)), kernel):
            return "weighted", sigma
    return None


def _gaussian_kernel(op: Pool) -> Array:
    """The kernel (*k) of a weighted pool in float64, with sum 1."""
    axes = [np.exp(np.subtract(a, max(a))) for a in op.tap_exponents()]
    return np.asarray(reduce(np.multiply.outer, [a / a.sum() for a in axes]))


def _candidate_sigmas(kernel: Array) -> list[float | None]:
    """The standard deviations that a Gaussian kernel may have.

    First None, the default; then the value that the ratio of centre and border gives, to 1, 2, ... 8 digits.
    """
    sigmas: list[float | None] = [None]
    axis = max(range(kernel.ndim), key=lambda a: kernel.shape[a])
    k = kernel.shape[axis]
    profile = np.moveaxis(kernel, axis, 0).reshape(k, -1).sum(1).astype(np.float64)
    if k < 3 or profile[0] <= 0 or profile[0] >= profile[k // 2]:
        return sigmas
    distance = ((k - 1) / 2) ** 2 - (k // 2 - (k - 1) / 2) ** 2
    exact = sqrt(distance / (2 * log(profile[k // 2] / profile[0])))
    return sigmas + [float(f"{exact:.{digits}g}") for digits in range(1, 9)]


def pool_of_coverage(ctx: Interpreter, pool: Layer, coverage: Array) -> Layer | None:
    """The pool whose mean leaves padding out: `pool` divided by its coverage (1, 1, *spatial); else None."""
    op = _as_pool(pool.op)
    if op is None or op.kind not in ("avg", "weighted"):
        return None
    (x,) = pool.inputs
    if coverage.shape != (1, 1, *pool.type.spatial):
        return None
    for candidate in _candidates(op, x):
        candidate_coverage = _coverage(candidate, x)
        if (
            candidate_coverage is not None
            and candidate_coverage.shape == coverage.shape[1:]
            and np.allclose(candidate_coverage, coverage[0], rtol=1e-5, atol=1e-6)
        ):
            return ctx.add_op(candidate, (x,))
    return None


def _as_pool(op: Op) -> Pool | None:
    """The pool itself, or the mean that a filter of equal numbers equals; None for other ops."""
    if isinstance(op, Filter):
        numbers = np.asarray(op.kernel())
        if np.allclose(numbers, 1 / numbers.size, rtol=1e-6, atol=0):
            return Pool("avg", op.size, op.s, op.p, (1,) * len(op.size), False, False, None, None)
    return op if isinstance(op, Pool) else None


def _candidates(op: Pool, x: Layer) -> list[Pool]:
    """Pools to try: one that leaves padding out of the mean, then some that count padding but not what `ceil` adds."""
    candidates = [op.replace(count_pad=False)]
    pads = op.p
    rules = op.rules(x.type)
    if isinstance(pads, str):
        pads = tuple((r.begin, r.end) for r in rules)
    reductions = itertools.product(*(range(min(e, s - 1) + 1) for (_, e), s in zip(pads, op.stride, strict=True)))
    for reduction in itertools.islice(reductions, MAX_CANDIDATES):
        reduced = tuple((b, e - n) for (b, e), n in zip(pads, reduction, strict=True))
        candidates.append(op.replace(p=reduced, ceil=True, count_pad=True))
    # p=1 rather than p=[1, 1, 2, 1]
    shortest_first = sorted(candidates[1:], key=lambda candidate: len(window.pads_text(candidate.p)))
    return [*candidates[:1], *shortest_first]


def _coverage(op: Pool, x: Layer) -> Array | None:
    """The part of the kernel's weight that falls inside the image, (1, *spatial); None where it is too large.

    It is the pool of an image of ones, padded with ones where padding counts in the mean and with zeros elsewhere.
    """
    rules = op.rules(x.type)
    if any(r.out < 1 for r in rules) or prod(r.m + r.begin + r.end + r.s * r.e for r in rules) > MAX_POSITIONS:
        return None
    k = op.k
    if op.kind == "avg":
        kernel = np.full(k, 1 / prod(k))
    else:
        kernel = _gaussian_kernel(op)
    ones = np.ones(x.type.spatial)
    if op.count_pad:
        ones = np.pad(ones, [(r.begin, r.end) for r in rules], constant_values=1)
        ones = np.pad(ones, [(0, r.s * r.e) for r in rules])
    else:
        ones = np.pad(ones, [(r.begin, r.end + r.s * r.e) for r in rules])
    covered = np.zeros([r.out for r in rules])
    for tap in itertools.product(*(range(n) for n in k)):
        taps = tuple(slice(t * r.d, t * r.d + (r.out - 1) * r.s + 1, r.s) for t, r in zip(tap, rules, strict=True))
        covered += kernel[tap] * ones[taps]
    return covered[None]
