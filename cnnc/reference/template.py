"""Template matching: where in an image a patch occurs, by zero-mean normalized cross-correlation.

In: an image (C, H, W) and a patch (C, h, w), both uint8. Out: a score from -1 to 1 for each position of the patch, which does
not depend on the brightness and contrast of the image there (Lewis 1995, "Fast Normalized Cross-Correlation"):

    score[u, v] = Σ (f - mean f)·(t - mean t) / sqrt(Σ (f - mean f)² · Σ (t - mean t)²)

t is the patch and f the window of the image below it, whose first pixel is (u, v). Of a colour image each channel has means of
its own, and the sums run over all channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array

MAX_PATCH = 10_000_000
"""The most pixels of a patch: the sums below are exact in 64 bits up to there."""


def normalized_correlation(image: NDArray[np.uint8], patch: NDArray[np.uint8]) -> Array:
    """The scores (H - h + 1, W - w + 1); 0 where the window of the image, or the patch, is constant in every channel.

    The patch is not larger than the image, and has as many channels. All sums are whole numbers and exact: with n pixels,
    n²·covariance = n·Σ f·t - Σ f · Σ t.
    """
    f, t = image.astype(np.int64) - 128, patch.astype(np.int64) - 128
    height, width = patch.shape[1:]
    n = height * width
    sums = _window_sums(f, height, width)
    patch_sums = t.sum((1, 2))
    covariance = (n * _correlation(f, t) - sums * patch_sums[:, None, None]).sum(0)
    image_variance = (n * _window_sums(f * f, height, width) - sums * sums).sum(0)
    patch_variance = int(n * (t * t).sum() - (patch_sums * patch_sums).sum())
    scale = np.sqrt(image_variance.astype(np.float64)) * np.sqrt(float(patch_variance))
    scores = np.divide(covariance, scale, out=np.zeros(scale.shape), where=scale > 0)
    clipped: Array = np.clip(scores, -1, 1)  # rounding may lead a little beyond
    return clipped


def _window_sums(x: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """The sum of each window (C, H - h + 1, W - w + 1), from running sums."""
    total = np.pad(x.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    rows = total[:, height:] - total[:, :-height]
    windows: NDArray[np.int64] = rows[:, :, width:] - rows[:, :, :-width]
    return windows


def _correlation(f: NDArray[np.int64], t: NDArray[np.int64]) -> NDArray[np.int64]:
    """Σ f·t for each position, by Fourier transforms; their errors are far below 1/2, so that rounding makes it exact."""
    size = f.shape[1:]
    product = np.fft.rfft2(f) * np.conj(np.fft.rfft2(t, s=size, axes=(1, 2)))
    circular = np.fft.irfft2(product, s=size, axes=(1, 2))
    return np.rint(circular[:, : size[0] - t.shape[1] + 1, : size[1] - t.shape[2] + 1]).astype(np.int64)


def best_match(scores: Array) -> tuple[int, int]:
    """The row and column of the largest score; of several the first."""
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(row), int(column)
