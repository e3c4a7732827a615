"""How far an element of an exported model may deviate from the network.

Input: a tensor of the network in float64, the same in float32, and the model's. Output: `Deviation`, the element that
deviates most relative to what is allowed. An element with the reference value b may deviate by

    1e-4·|b| + 1e-5·min(1, max |b| of the channel) + 32·noise,  and at most by 1e-5 + 1e-4·max |b| of the tensor

The noise is that of float32 itself: the root mean square difference between the NumPy network in float32 and in float64,
per channel where a channel has at least 32 nonzero elements, else over the tensor ("of the channel" likewise). So a sum
whose terms cancel may deviate by what any order of float32 addition costs, and no more; a wrong small element among large
ones fails.

Worked case: a channel (3 samples, 1, 8, 8) holds elements up to 2.0, and its 192 elements differ between float32 and
float64 by 1e-7 (root mean square). An element of 0.001 may deviate by 1e-4·0.001 + 1e-5·1 + 32·1e-7 = 1.33e-5. Scaled by
1e-3 (elements up to 0.002, noise 1e-10), an element of 1e-6 may deviate by 1e-10 + 1e-5·0.002 + 3.2e-9 = 2.3e-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array

RTOL, ATOL, NOISE = 1e-4, 1e-5, 32
LAYER_PART = 0.02  # of RTOL and ATOL, for a layer on its own
_BLOCK_ELEMENTS = 2**16
_RUN_NOISE = 8  # times the largest deviation of one run from the network: what another run may deviate by
_MIN_CHANNEL_ELEMENTS = 32  # nonzero elements from which the noise is per channel


class Deviation(NamedTuple):
    """The element of a tensor that deviates most from the network, relative to what is allowed there.

    `difference`, `value` (the network's) and `allowed` belong to that element; `scale` is the tensor's largest magnitude.
    `optimized` says that the tensor is an output of the model as users run it, after onnxruntime's optimizations.
    """

    name: str
    difference: float
    value: float
    allowed: float
    scale: float
    optimized: bool = False

    @property
    def passes(self) -> bool:
        """Whether the difference is allowed."""
        return self.difference <= self.allowed

    @property
    def share(self) -> float:
        """The difference relative to what is allowed: above 1 it is too large. Never NaN, which no maximum would find."""
        if 0 < self.allowed < float("inf"):
            return self.difference / self.allowed
        return 0.0 if self.passes else float("inf")

    @property
    def relative(self) -> float:
        """The difference relative to the tensor's largest magnitude."""
        return self.difference / self.scale if self.scale else self.difference


class Reference(NamedTuple):
    """A tensor (N, C, ...) in float64. `noise` (float32 noise) and `largest` (largest magnitude) broadcast to it: they are
    per channel, (1, C, 1, ...), where a channel has enough elements, else the same for the whole tensor."""

    value: Array
    noise: Array
    largest: Array

    @classmethod
    def of(cls, value: Array, single: Array) -> Reference:
        """`single` is the same tensor computed in float32, for the first samples."""
        axes = (0, *range(2, value.ndim))
        count, total, largest = 0, 0.0, 0.0  # then per channel
        for block in _blocks(value.shape):
            exact, rounded = np.ascontiguousarray(value[block]), single[block]
            part = exact[: len(single)]
            # elements that a relu has set to 0 have no noise, and would dilute that of the others
            nonzero = ((part != 0) | (rounded != 0)) & np.isfinite(rounded)
            squares = np.square(np.where(nonzero, rounded - part, 0), dtype=np.float64)
            count, total = count + nonzero.sum(axes, keepdims=True), total + squares.sum(axes, keepdims=True)
            largest = np.maximum(largest, np.abs(exact).max(axes, keepdims=True, initial=0))
        everywhere = np.sum(total) / max(1, np.sum(count))
        many = np.asarray(count) >= _MIN_CHANNEL_ELEMENTS
        noise = np.sqrt(np.where(many, total / np.maximum(1, count), everywhere))
        return cls(value, noise, np.where(many, largest, np.max(largest, initial=0)))

    def network_deviation(self, name: str, output: Array) -> Deviation:
        """The largest deviation of `output`, the model's tensor `name`, over the samples that both have."""
        value = self.value[: len(output)]
        scale = float(max(value.max(initial=0), -value.min(initial=0)))
        if output[: len(value)].shape != value.shape:
            return Deviation(name, float("inf"), 0.0, 0.0, scale)
        worst = Deviation(name, 0.0, 0.0, ATOL, 0.0)
        for block in _blocks(value.shape):
            part = self._replace(value=np.ascontiguousarray(value[block]))
            d = part._deviation(name, output[block], np.minimum(part._allowed(1), ATOL + RTOL * scale))
            worst = max(worst, d, key=lambda d: d.share)
        return worst._replace(scale=scale)

    def layer_deviation(self, name: str, output: Array, operator_error: Array | float) -> Deviation:
        """The same for a layer that was computed from the model's own inputs."""
        return self._deviation(name, output, self._allowed(LAYER_PART) + operator_error)

    def run_deviation(self, name: str, unoptimized: Array, optimized: Array, with_errors: Array) -> Deviation:
        """The largest deviation between two runs of the model, of which the unoptimized one has been judged.

        `with_errors` is the tensor in float64 where every operator errs as much as it may. Each run may be as far from the
        network as that, or as the unoptimized one is. The largest difference counts, not the root mean square: the elements
        that deviate can be few, among thousands that a softmax or tanh has saturated.
        """
        reference = self.value[: len(unoptimized)]
        farthest = max(
            float(np.abs(other[: len(reference)] - reference).max(initial=0)) for other in (unoptimized, with_errors)
        )
        noise = np.maximum(self.noise, farthest * _RUN_NOISE / NOISE)
        judged = self._replace(value=unoptimized.astype(np.float64), noise=noise)
        return judged._deviation(name, optimized, judged._allowed(1))

    def _allowed(self, part: float) -> Array:
        allowed = part * (RTOL * np.abs(self.value) + ATOL * np.minimum(1, self.largest)) + NOISE * self.noise
        return np.asarray(allowed)

    def _deviation(self, name: str, output: Array, allowed: Array) -> Deviation:
        output, reference, allowed = output[: len(self.value)], self.value[: len(output)], allowed[: len(output)]
        scale = float(np.abs(reference).max(initial=0))
        if output.shape != reference.shape:
            return Deviation(name, float("inf"), 0.0, 0.0, scale)
        difference = np.abs(output.astype(np.float64) - reference)
        difference[~np.isfinite(difference)] = np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(difference == 0, 0, difference / allowed)
        if not share.size:
            return Deviation(name, 0.0, 0.0, ATOL, 0.0)
        worst = np.unravel_index(int(share.argmax()), share.shape)
        return Deviation(name, float(difference[worst]), float(reference[worst]), float(allowed[worst]), scale)


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Indices of the parts of a tensor (N, C, ...) that are computed at a time, so that what is computed stays in the cache:
    some of the rows of its first spatial axis."""
    if len(shape) < 3:
        yield (slice(None),)
        return
    rows = max(1, _BLOCK_ELEMENTS // max(1, prod(shape[:2] + shape[3:])))
    for first in range(0, shape[2], rows):
        yield (slice(None), slice(None), slice(first, first + rows))
