"""Fixed filters: one kernel applied to every channel, one tap at a time; a large named one by Fourier transforms.

The transform of a correlation is the product of the transform of the image and the conjugate one of the kernel. It takes
the same time for a kernel of any size, and is computed in float64, so that it is as exact as the sum of the taps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.filter import Filter
from cnnc.ops.window import Geometry
from cnnc.reference.kernels.windows import geometry_of, interior, pad, tap_slices
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of

_LARGE = 400  # numbers in a kernel; a sum of that many taps takes longer than the transforms


def _by_transform(op: Filter) -> bool:
    return isinstance(op.numbers, str) and math.prod(op.size) > _LARGE


def _nonzero_taps(op: Filter) -> list[tuple[Axes, float]]:
    """The numbers of the kernel that are not 0, each with its index."""
    kernel = np.asarray(op.kernel(), np.float64)
    return [(index, float(kernel[index])) for index in np.ndindex(*kernel.shape) if kernel[index]]


def _spectra(op: Filter, image: Array) -> tuple[Array, Array]:
    """The transforms of an image (N, H, W, C) and of the kernel padded to its size (H, W, 1)."""
    axes = tuple(range(1, image.ndim - 1))
    kernel = np.asarray(op.kernel(), np.float64)[..., None]
    of_kernel = np.fft.rfftn(kernel, image.shape[1:-1], axes=tuple(a - 1 for a in axes))
    return np.fft.rfftn(image.astype(np.float64), axes=axes), of_kernel


def _from_spectrum(spectrum: Array, like: Array) -> Array:
    """The array of a transform, in the shape and element type of `like`."""
    image: Array = np.fft.irfftn(spectrum, like.shape[1:-1], axes=tuple(range(1, like.ndim - 1)))
    return image.astype(like.dtype)


def _window_starts(g: Geometry) -> tuple[slice, ...]:
    """The index, in a padded array, of the first element of each window."""
    return tap_slices((0,) * len(g.k), g)


@forward_of(Filter)
def filtered(op: Filter, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """y[i, c] = Σ_a w[a]·x[i·s + a - begin, c], a cross-correlation (ONNX Conv with one group per channel)."""
    (x,) = inputs
    g = geometry_of(op, x.shape[1:-1])
    padded = pad(x, g.pads)
    if _by_transform(op):
        image, kernel = _spectra(op, padded)
        correlation = _from_spectrum(image * kernel.conj(), padded)
        return Outcome(np.ascontiguousarray(correlation[_window_starts(g)]), x.shape)
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
    if _by_transform(op):
        padded[_window_starts(g)] = gradient
        image, kernel = _spectra(op, padded)
        padded = _from_spectrum(image * kernel, padded)
    else:
        for index, value in _nonzero_taps(op):
            padded[tap_slices(index, g)] += gradient * value
    return Gradients((padded[interior(shape[1:-1], g.pads)],))
