"""Spectrograms against torch.stft, and within autocast."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

from cnnc.ops.spectrogram import Spectrogram
from cnnc.reference.registry import Mode
from cnnc.reference.spectrogram import spectrogram, transform_matrices
from cnnc.torch import functions

X = np.random.default_rng(1).normal(size=(2, 1, 1000))


def test_it_is_what_torch_stft_computes() -> None:
    op = Spectrogram.make(1, k=64, s=20, log=False)
    transform = torch.stft(
        torch.from_numpy(X[:, 0]), 64, 20, window=torch.hann_window(64).double(), center=False, return_complex=True
    )
    found = spectrogram(op, {}, (X.transpose(0, 2, 1),), Mode()).output[..., 0]
    np.testing.assert_allclose(found, transform.abs().square().numpy(), rtol=1e-5, atol=1e-5)  # its window is float32


def test_autocast_keeps_the_precision() -> None:
    cosines, sines, _ = transform_matrices(Spectrogram.make(1, k=64, s=20))
    matrix = torch.from_numpy(np.concatenate([cosines, sines])).float()
    samples = torch.from_numpy(X).float()
    plain = functions.spectrogram(samples, matrix, None, 20, ((0, 0),), 1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        inside = functions.spectrogram(samples, matrix, None, 20, ((0, 0),), 1e-6)
    assert inside.dtype == torch.float32
    assert torch.equal(plain, inside)
