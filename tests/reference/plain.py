"""Convolution and pooling as plain loops over one number at a time, straight from the formulas; no code of cnnc is used.

    y[n, o, i] = b[o] + Σ_c Σ_a w[o, c, a] · x[n, C/g·⌊o·g/O⌋ + c, i·s + a·d - begin]     x is 0 outside

i and a stand for one index per axis. Arrays are channels first, as in the language.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pads = Sequence[tuple[int, int]]


def places(
    at: Sequence[int], k: Sequence[int], s: Sequence[int], d: Sequence[int], pads: Pads
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The taps of the window at an output position, and the input position that each reads (perhaps outside)."""
    return [
        (tap, tuple(i * si + a * di - b for i, a, si, di, (b, _) in zip(at, tap, s, d, pads, strict=True)))
        for tap in product(*map(range, k))
    ]


def inside(place: Sequence[int], sizes: Sequence[int], pads: Pads | None = None) -> bool:
    """Whether a position lies in the input, or with `pads` in the padded input."""
    borders = pads or [(0, 0)] * len(sizes)
    return all(-b <= i < m + e for i, m, (b, e) in zip(place, sizes, borders, strict=True))


def conv_sizes(
    sizes: Sequence[int], k: Sequence[int], s: Sequence[int], d: Sequence[int], pads: Pads
) -> tuple[int, ...]:
    """How often the window fits on each axis, by trying one position after the other; 0 where it does not."""
    found = []
    for m, ki, si, di, (b, e) in zip(sizes, k, s, d, pads, strict=True):
        count = 0
        while count * si + (ki - 1) * di < m + b + e:
            count += 1
        found.append(count)
    return tuple(found)


def ceil_sizes(
    sizes: Sequence[int], k: Sequence[int], s: Sequence[int], d: Sequence[int], pads: Pads
) -> tuple[int, ...]:
    """`conv_sizes`, with one more window where data or padding is left over, if it begins before the end padding."""
    found = []
    fitting = conv_sizes(sizes, k, s, d, pads)
    for count, m, ki, si, di, (b, e) in zip(fitting, sizes, k, s, d, pads, strict=True):
        reached = (count - 1) * si + (ki - 1) * di + 1
        more = count > 0 and reached < m + b + e and count * si < m + b
        found.append(count + more)
    return tuple(found)


def conv(
    x: Array,
    w: Array,
    bias: Array | None,
    s: Sequence[int],
    d: Sequence[int],
    pads: Pads,
    groups: int,
) -> Array:
    sizes, k = x.shape[2:], w.shape[2:]
    share = x.shape[1] // groups
    out = conv_sizes(sizes, k, s, d, pads)
    y = np.zeros((x.shape[0], w.shape[0], *out))
    for n, o, at in product(range(x.shape[0]), range(w.shape[0]), product(*map(range, out))):
        total = 0.0 if bias is None else float(bias[o])
        first = share * (o * groups // w.shape[0])
        for tap, place in places(at, k, s, d, pads):
            if inside(place, sizes):
                for c in range(share):
                    total += float(w[(o, c, *tap)]) * float(x[(n, first + c, *place)])
        y[(n, o, *at)] = total
    return y


def local(x: Array, w: Array, bias: Array | None, s: Sequence[int], d: Sequence[int], pads: Pads) -> Array:
    """`conv`, with the weight w[at] and the bias bias[:, at] of each output position."""
    sizes = x.shape[2:]
    rank = len(sizes)
    out, outputs, channels, k = w.shape[:rank], w.shape[rank], w.shape[rank + 1], w.shape[rank + 2 :]
    y = np.zeros((x.shape[0], outputs, *out))
    for n, o, at in product(range(x.shape[0]), range(outputs), product(*map(range, out))):
        total = 0.0 if bias is None else float(bias[(o, *at)])
        for tap, place in places(at, k, s, d, pads):
            if inside(place, sizes):
                for c in range(channels):
                    total += float(w[(*at, o, c, *tap)]) * float(x[(n, c, *place)])
        y[(n, o, *at)] = total
    return y


def pool(
    x: Array,
    kind: str,
    k: Sequence[int],
    s: Sequence[int],
    d: Sequence[int],
    pads: Pads,
    ceil: bool,
    count_pad: bool,
) -> Array:
    sizes = x.shape[2:]
    out = ceil_sizes(sizes, k, s, d, pads) if ceil else conv_sizes(sizes, k, s, d, pads)
    y = np.zeros((*x.shape[:2], *out))
    for n, c, at in product(range(x.shape[0]), range(x.shape[1]), product(*map(range, out))):
        looked = [place for _, place in places(at, k, s, d, pads)]
        seen = [float(x[(n, c, *place)]) for place in looked if inside(place, sizes)]
        if kind == "max":
            y[(n, c, *at)] = max(seen)
        else:
            count = sum(inside(place, sizes, pads) for place in looked) if count_pad else len(seen)
            y[(n, c, *at)] = math.fsum(seen) / count
    return y
