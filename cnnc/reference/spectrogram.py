"""The spectrogram of a waveform: two matrix products with fixed cosines and sines for each frame.

`transform_matrices` holds the numbers of the layer, in float64; ONNX emission, import and PyTorch read them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.spectrogram import Spectrogram
from cnnc.reference.kernels.windows import geometry_of, interior, pad, tap_slices, windows_of
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of


class TransformMatrices(NamedTuple):
    """Cosines and sines (bins, k), each times the Hann window, and the weights of mel bands (mels, bins), or None."""

    cosines: Array
    sines: Array
    mel: Array | None


def hann_window(k: int) -> Array:
    """The periodic Hann window of k samples, in float64."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(k) / k))


@cache
def transform_matrices(op: Spectrogram) -> TransformMatrices:
    """The fixed numbers of a spectrogram, in float64. They are read-only, as every layer with these arguments has them."""
    (k,), bins = op.k, np.arange(op.bins.start, op.bins.stop)
    n, hann = np.arange(k), hann_window(k)
    # b·n modulo the length keeps the angle small, and so its cosine exact
    angle = 2 * np.pi / op.transform * (np.outer(bins, n) % op.transform)
    mel = None
    if op.mels is not None:
        mel = np.zeros((op.mels, len(bins)))
        for row, band in zip(mel, op.mel_weights(), strict=True):
            row[np.array(list(band), int) - op.bins.start] = list(band.values())
    matrices = TransformMatrices(np.cos(angle) * hann, np.sin(angle) * hann, mel)
    for matrix in matrices:
        if matrix is not None:
            matrix.flags.writeable = False
    return matrices


def frames_of(op: Spectrogram, x: Array) -> Array:
    """The windows (N, M, C, k) of a waveform (N, T, C)."""
    g = geometry_of(op, x.shape[1:-1])
    return windows_of(pad(x, g.pads), g).swapaxes(2, 3)  # (N, M, k, C) to (N, M, C, k)


class _Saved(NamedTuple):
    """Of the forward pass: the shape of the input, the transform (N, M, C, 2·bins), and what the logarithm read."""

    shape: tuple[int, ...]
    transform: Array
    power: Array


@forward_of(Spectrogram, fresh_output=True)
def spectrogram(op: Spectrogram, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """P[b, m] = |Σ_n w[n]·x[m·s + n - begin]·exp(-2πi·b·n/fft)|², summed to mel bands; ln(P + eps)."""
    (x,) = inputs
    cosines, sines, mel = (None if m is None else m.astype(x.dtype) for m in transform_matrices(op))
    assert cosines is not None
    assert sines is not None
    transform = frames_of(op, x) @ np.concatenate([cosines, sines]).T
    bins = len(cosines)
    power = np.square(transform[..., :bins]) + np.square(transform[..., bins:])
    if mel is not None:
        power = power @ mel.T
    y = np.log(power + x.dtype.type(op.eps)) if op.log else power
    saved = _Saved(x.shape, transform, power) if mode.training else None
    return Outcome(np.ascontiguousarray(y.transpose(0, 3, 1, 2)), saved)  # (N, M, C, F) to (N, F, M, C)


@backward_of(Spectrogram)
def spectrogram_backward(
    op: Spectrogram, weights: Mapping[str, Array], saved: _Saved, gradient: Array, needs_dx: bool
) -> Gradients:
    if not needs_dx:
        return Gradients((None,))
    cosines, sines, mel = transform_matrices(op)
    g = geometry_of(op, saved.shape[1:-1])
    d_power = gradient.transpose(0, 2, 3, 1)
    if op.log:
        d_power = d_power / (saved.power + gradient.dtype.type(op.eps))
    if mel is not None:
        d_power = d_power @ mel.astype(gradient.dtype)
    d_transform = 2 * saved.transform * np.concatenate([d_power, d_power], -1)
    d_frames = d_transform @ np.concatenate([cosines, sines]).astype(gradient.dtype)  # (N, M, C, k)
    padded = np.zeros((saved.shape[0], *g.padded_sizes(saved.shape[1:-1]), saved.shape[-1]), gradient.dtype)
    for n in range(op.k[0]):
        padded[tap_slices((n,), g)] += d_frames[..., n]
    return Gradients((padded[interior(saved.shape[1:-1], g.pads)],))
