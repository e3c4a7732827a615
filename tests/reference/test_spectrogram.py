"""Spectrograms against the formulas and programs that they name: plain sums, SciPy, the mel scales."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.ops.spectrogram import SCALES, Spectrogram
from cnnc.reference.registry import Mode
from cnnc.reference.spectrogram import spectrogram, transform_matrices

RANDOM = np.random.default_rng(3)


def layer(**values: Any) -> Spectrogram:
    return Spectrogram.make(1, **values)


def output(op: Spectrogram, samples: Array) -> Array:
    """(F, M) of one waveform (T,)."""
    y = spectrogram(op, {}, (samples[None, :, None],), Mode()).output
    return np.asarray(y[0, ..., 0])


def test_it_is_the_sum_in_its_documentation() -> None:
    x, (k, s, fft) = RANDOM.normal(size=30), (8, 5, 11)
    found = output(layer(k=k, s=s, fft=fft, log=False), x)
    for b in range(fft // 2 + 1):
        for m in range((30 - k) // s + 1):
            terms = [
                (0.5 - 0.5 * math.cos(2 * math.pi * n / k))
                * x[m * s + n]
                * complex(math.cos(2 * math.pi * b * n / fft), -math.sin(2 * math.pi * b * n / fft))
                for n in range(k)
            ]
            assert found[b, m] == pytest.approx(abs(sum(terms)) ** 2, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("window", "hop", "fft"), [(400, 160, None), (400, 160, 512), (25, 7, 32)])
def test_it_is_what_scipy_computes(window: int, hop: int, fft: int | None) -> None:
    signal = pytest.importorskip("scipy.signal", reason="needs SciPy")
    x = RANDOM.normal(size=2000)
    _, _, transform = signal.stft(
        x,
        window="hann",
        nperseg=window,
        noverlap=window - hop,
        nfft=fft,
        boundary=None,
        padded=False,
        scaling="spectrum",
    )
    power = np.abs(transform * signal.get_window("hann", window).sum()) ** 2
    op = layer(k=window, s=hop, fft=fft) if fft else layer(k=window, s=hop)
    np.testing.assert_allclose(output(op.replace(log=False), x), power, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(output(op, x), np.log(power + 1e-6), rtol=1e-7, atol=1e-7)


def test_a_tone_of_full_scale_has_the_power_that_the_documentation_says() -> None:
    tone = np.sin(2 * np.pi * 1000 / 16000 * np.arange(400))
    assert output(layer(k=400, s=400, log=False), tone)[25, 0] == pytest.approx(10_000)
    assert output(layer(k=400, s=400), np.zeros(400)) == pytest.approx(math.log(1e-6))


@pytest.mark.parametrize(
    ("scale", "hertz", "mel"),
    [
        ("htk", 1000, 999.9855),
        ("htk", 8000, 2840.0230),
        ("slaney", 1000, 15.0),
        ("slaney", 200, 3.0),
        ("slaney", 8000, 45.245640),
    ],
)
def test_the_mel_scales(scale: str, hertz: float, mel: float) -> None:
    """The numbers that librosa.hz_to_mel and torchaudio's _hz_to_mel print."""
    assert SCALES[scale].mel(hertz) == pytest.approx(mel, rel=1e-6)
    assert SCALES[scale].hz(mel) == pytest.approx(hertz, rel=1e-6)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_the_bands_are_those_of_torchaudio_and_librosa(scale: str) -> None:
    """The formula of torchaudio.functional.melscale_fbanks and librosa.filters.mel, written down again."""
    op = layer(k=512, s=160, mels=26, rate=16000, low=20, high=7600, scale=WordValue(scale))
    low, high = (SCALES[scale].mel(f) for f in (20, 7600))
    edges = np.array([SCALES[scale].hz(m) for m in np.linspace(low, high, 28)])
    slopes = edges[:, None] - np.linspace(0, 8000, 257)
    bands = np.maximum(0, np.minimum(-slopes[:-2] / np.diff(edges)[:-1, None], slopes[2:] / np.diff(edges)[1:, None]))
    if scale == "slaney":
        bands *= (2 / (edges[2:] - edges[:-2]))[:, None]
    mel = transform_matrices(op).mel
    assert mel is not None
    np.testing.assert_allclose(mel, bands[:, op.bins.start : op.bins.stop], rtol=1e-9, atol=1e-12)
    assert not bands[:, : op.bins.start].any()
    assert not bands[:, op.bins.stop :].any()


def test_bands_without_gaps_sum_to_one_between_the_outer_centres() -> None:
    bands = layer(k=800, s=160, mels=10).mel_weights()
    totals: dict[int, float] = {}
    for band in bands:
        for b, weight in band.items():
            totals[b] = totals.get(b, 0.0) + weight
    first, last = (max(band, key=lambda b: band[b]) for band in (bands[0], bands[-1]))
    assert all(abs(totals[b] - 1) < 1e-9 for b in range(first + 1, last - 1))
    assert all(a <= b for a, b in pairwise(sorted(totals)))


def test_single_precision_beside_a_loud_tone_errs_as_documented() -> None:
    """eps is chosen so: a smaller one would show the rounding of float32."""
    tone = np.sin(2 * np.pi * 1234.5 / 16000 * np.arange(16000))
    op = layer(k=400, s=160)
    difference = output(op, tone.astype(np.float32)) - output(op, tone.astype(np.float32).astype(np.float64))
    assert np.abs(difference).max() < 1e-5 / math.sqrt(op.eps)
