"""Layers that PyTorch lacks, as modules: `cnnc export --target torch` copies those that a network needs, as text.

Tensors are channels first, (N, C, *spatial). Nothing of cnnc imports this module; with `cnnc/torch/functions.py` it is what
written networks are made of where torch.nn does not suffice.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnc.torch.functions import Padding, local, spectrogram, weighted_pool


class LocallyConnected(nn.Module):  # type: ignore[misc]
    """An unshared convolution: the weight (*out, O, C, *kernel) has a kernel for each position, the bias is (O, *out)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        positions: Sequence[int],
        kernel_size: Sequence[int],
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        rank = len(positions)
        self.stride = (stride,) * rank if isinstance(stride, int) else stride
        self.dilation = (dilation,) * rank if isinstance(dilation, int) else dilation
        self.weight = nn.Parameter(
            torch.empty(*positions, out_channels, in_channels, *kernel_size)
        )
        self.bias = (
            nn.Parameter(torch.zeros(out_channels, *positions)) if bias else None
        )
        fan_in = self.weight[(0,) * (rank + 1)].numel()
        nn.init.uniform_(self.weight, -(fan_in**-0.5), fan_in**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        no_padding = [(0, 0)] * len(self.stride)
        return local(x, self.weight, self.bias, self.stride, no_padding, self.dilation)


class FixedFilter(nn.Module):  # type: ignore[misc]
    """Moves one fixed window over each channel separately."""

    kernel: Tensor

    def __init__(
        self,
        kernel: Sequence[object],
        channels: int,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
    ) -> None:
        super().__init__()
        self.channels, self.stride, self.padding = channels, stride, padding
        window = torch.tensor(kernel, dtype=torch.get_default_dtype())
        self.register_buffer(
            "kernel", window.expand(channels, 1, *window.shape), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        convolve = (F.conv1d, F.conv2d, F.conv3d)[x.dim() - 3]
        return convolve(
            x, self.kernel, None, self.stride, self.padding, groups=self.channels
        )


def mel_bands(
    mels: int, fft: int, rate: float, low: float, high: float, scale: str
) -> Tensor:
    """The weights (mels, fft // 2 + 1) of triangular bands on the mel scale: htk with the height 1, slaney with the area 1."""
    ends = torch.tensor([low, high], dtype=torch.float64)
    if scale == "htk":
        first, last = (2595 * torch.log10(1 + ends / 700)).tolist()
        edges = 700 * (
            10 ** (torch.linspace(first, last, mels + 2, dtype=torch.float64) / 2595)
            - 1
        )
    else:
        step = 0.06875177742094912  # ln(6.4) / 27
        knee = torch.log(ends.clamp(min=1000) / 1000) / step
        first, last = torch.where(ends < 1000, ends * 3 / 200, 15 + knee).tolist()
        mel = torch.linspace(first, last, mels + 2, dtype=torch.float64)
        edges = torch.where(
            mel < 15, mel * 200 / 3, 1000 * torch.exp(step * (mel - 15))
        )
    hertz = torch.arange(fft // 2 + 1, dtype=torch.float64) * rate / fft
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bands = torch.minimum(
        (hertz - left) / (centre - left), (right - hertz) / (right - centre)
    ).clamp(min=0)
    return bands if scale == "htk" else bands * 2 / (right - left)


class FixedSpectrogram(nn.Module):  # type: ignore[misc]
    """ln(power + eps) at each frequency and time of a waveform (N, C, T), or the power without eps; with mels, in mel bands."""

    transform: Tensor
    mel: Tensor | None

    def __init__(
        self,
        window: int,
        hop: int,
        padding: tuple[int, int] = (0, 0),
        fft: int | None = None,
        mels: int | None = None,
        rate: float = 16000.0,
        low: float = 0.0,
        high: float | None = None,
        scale: str = "htk",
        eps: float | None = 1e-6,
    ) -> None:
        super().__init__()
        self.hop, self.padding, self.eps = hop, padding, eps
        length = fft or window
        n = torch.arange(window, dtype=torch.float64)
        hann = 0.5 - 0.5 * torch.cos(2 * torch.pi * n / window)
        angle = (
            2
            * torch.pi
            / length
            * (torch.arange(length // 2 + 1, dtype=torch.float64)[:, None] * n % length)
        )
        transform = torch.cat([torch.cos(angle) * hann, torch.sin(angle) * hann])
        self.register_buffer(
            "transform", transform.to(torch.get_default_dtype()), persistent=False
        )
        bands = (
            mel_bands(
                mels, length, rate, low, rate / 2 if high is None else high, scale
            )
            if mels
            else None
        )
        mel = None if bands is None else bands.to(torch.get_default_dtype())
        self.register_buffer("mel", mel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return spectrogram(
            x, self.transform, self.mel, self.hop, (self.padding,), self.eps
        )


class ScaleShift(nn.Module):  # type: ignore[misc]
    """scale * x + shift, with a learned scale and shift per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *(1,) * (x.dim() - 2))
        return self.scale.reshape(shape) * x + self.shift.reshape(shape)


class Standardize(nn.Module):  # type: ignore[misc]
    """(x - mean) / std with fixed numbers, one per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *(1,) * (x.dim() - 2))
        return (x - self.mean.reshape(shape)) / self.std.reshape(shape)


class StochasticDepth(nn.Module):  # type: ignore[misc]
    """In training, zeroes whole samples with probability p and scales the others by 1 / (1 - p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        kept = F.dropout(
            x.new_ones(x.shape[0], *(1,) * (x.dim() - 1)), self.p, self.training
        )
        return x * kept


class CenterCrop(nn.Module):  # type: ignore[misc]
    """Cuts out the centre: elements from (m - size) // 2 on of an axis of m."""

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        sizes = [self.size] * (x.dim() - 2) if isinstance(self.size, int) else self.size
        for axis, size in enumerate(sizes, 2):
            x = x.narrow(axis, (x.shape[axis] - size) // 2, size)
        return x


class SamePadding(nn.Module):  # type: ignore[misc]
    """Pads so that windows with this stride give ceil(m / stride) positions on an axis of m elements."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int],
        dilation: int | Sequence[int] = 1,
        at_end: bool = True,
        value: float = 0.0,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.at_end, self.value = at_end, value

    def forward(self, x: Tensor) -> Tensor:
        amounts: list[int] = []
        for axis, size in enumerate(x.shape[2:]):
            numbers = (self.kernel_size, self.stride, self.dilation)
            k, s, d = (n if isinstance(n, int) else n[axis] for n in numbers)
            total = max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size)
            begin = total // 2 if self.at_end else total - total // 2
            amounts = [begin, total - begin, *amounts]  # the last axis comes first
        return F.pad(x, amounts, value=self.value)


def mean_pool(
    x: Tensor,
    logarithms: Sequence[Sequence[float]],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Padding,
    counted: Padding,
) -> Tensor:
    """The weighted mean of each window, from the logarithms of the weights of each axis, which are multiplied.

    Only elements of the input count, and as many zeros around it as `counted` says.
    """
    shares = []
    for axis, taps in enumerate(logarithms):
        (begin, end), (before, after) = padding[axis], counted[axis]
        size, reach = x.shape[2 + axis], dilation[axis] * (len(taps) - 1)
        starts = torch.arange(
            0, size + begin + end - reach, stride[axis], device=x.device
        )
        positions = (
            starts[:, None]
            + dilation[axis] * torch.arange(len(taps), device=x.device)
            - begin
        )
        outside = (positions < -before) | (positions >= size + after)
        shares.append(
            x.new_tensor(taps)
            .expand(positions.shape)
            .masked_fill(outside, -torch.inf)
            .softmax(1)
        )
    return weighted_pool(x, stride, dilation, padding, shares)
