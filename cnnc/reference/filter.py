"""Fixed filters: one small kernel applied to every channel, one tap at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.filter import Filter
from cnnc.reference.kernels.windows import geometry_of, interior, pad, tap_slices
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of


def _nonzero_taps(op: Filter) -> list[tuple[Axes, float]]:
    """The numbers of the kernel that are not 0, each with its index."""
    kernel = np.asarray(op.kernel(), np.float64)
    return [(index, float(kernel[index])) for index in np.ndindex(*kernel.shape) if kernel[index]]


@forward_of(Filter)
def filtered(op: Filter, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """y[i, c] = Σ_a w[a]·x[i·s + a - begin, c], a cross-correlation (ONNX Conv with one group per channel)."""
    (x,) = inputs
    g = geometry_of(op, x.shape[1:-1])
    padded = pad(x, g.pads)
    y = np.zeros((x.shape[0], *g.out, x.shape[-1]), x.dtype)
    for index, value in _nonzero_taps(op):
        y += padded[tap_slices(index, g)] * value
    return Outcome(y, x.shape)


@backward_of(Filter)
def filtered_backward(
    op: Filter, weights: Mapping[str, Array], shape: tuple[int, ...], gradient: Array, needs_dx: bool
) -> Gradients:
    g = geometry_of(op, shape[1:-1])
    padded = np.zeros((shape[0], *g.padded_sizes(shape[1:-1]), shape[-1]), gradient.dtype)
    for index, value in _nonzero_taps(op):
        padded[tap_slices(index, g)] += gradient * value
    return Gradients((padded[interior(shape[1:-1], g.pads)],))
