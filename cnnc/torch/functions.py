"""Layers as functions of PyTorch tensors and numbers, where torch.nn.functional has none that computes the same.

Tensors are channels first, (N, C, *spatial), with any number of spatial axes. `kernel`, `stride` and `dilation` have one
number per spatial axis, `padding` has (begin, end) for each. The functions know nothing of cnnc: `cnnc export --target torch`
copies the source of those that a network needs.

    max_pool(x, (3, 3), (2, 2), (1, 1), ((0, 1), (0, 1)))    # x (N, 16, 8, 8), output (N, 16, 4, 4)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Sequence[tuple[int, int]]


def pad(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """The input with borders of `value`; negative numbers crop."""
    if not any(begin or end for begin, end in padding):
        return x
    return F.pad(
        x, [size for sides in reversed(padding) for size in sides], value=value
    )


# --- spectrograms ----------------------------------------------------------------------------------------------------


def spectrogram(
    x: Tensor,
    transform: Tensor,
    mel: Tensor | None,
    hop: int,
    padding: Padding,
    eps: float | None,
) -> Tensor:
    """The power |X|² (N, C, bins, frames) of a waveform (N, C, T), or of mel bands; with an eps ln(power + eps).

    `transform` holds the cosines, then the sines (2·bins, window), `mel` the weights (bands, bins). Computed in the
    precision of the transform, also within autocast: in 16 bits the loudest tone would drown all that is 50 dB softer.
    """
    with torch.autocast(x.device.type, enabled=False):
        padded = pad(x.to(transform.dtype), padding)
        frames = padded.unfold(-1, transform.shape[1], hop)  # (N, C, M, window)
        cosines, sines = (frames @ transform.T).chunk(2, -1)
        power = cosines.square() + sines.square()
        if mel is not None:
            power = power @ mel.T
        return (power if eps is None else (power + eps).log()).transpose(2, 3)


# --- convolutions ----------------------------------------------------------------------------------------------------


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """A convolution whose padding may differ between the two ends of an axis."""
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(stride) - 1]
    if all(begin == end for begin, end in padding):
        return convolve(
            x, weight, bias, stride, [begin for begin, _ in padding], dilation, groups
        )
    return convolve(pad(x, padding), weight, bias, stride, 0, dilation, groups)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Padding,
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """A transposed convolution; `padding` is removed from the output, and `output_padding` added at the end of it."""
    convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[
        len(stride) - 1
    ]
    if all(begin == end for begin, end in padding):
        removed = [begin for begin, _ in padding]
        return convolve(
            x, weight, bias, stride, removed, output_padding, groups, dilation
        )
    whole = convolve(x, weight, None, stride, 0, 0, groups, dilation)
    y = pad(
        whole,
        [
            (-begin, extra - end)
            for (begin, end), extra in zip(padding, output_padding, strict=True)
        ],
    )
    return y if bias is None else y + channelwise(bias, y)


def channelwise(numbers: Tensor, x: Tensor) -> Tensor:
    """Numbers (C), one per channel, in a shape that broadcasts with (N, C, *spatial)."""
    return numbers.reshape(-1, *(1,) * (x.dim() - 2))


def local(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
) -> Tensor:
    """An unshared convolution: the weight (*out, O, C, *kernel) has a kernel for each position, the bias is (O, *out)."""
    rank = len(stride)
    out, outputs, kernel = (
        weight.shape[:rank],
        weight.shape[rank],
        weight.shape[rank + 2 :],
    )
    windows = pad(x, padding)  # (N, C, *spatial), then (N, C, *out, *kernel)
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        windows = windows.unfold(2 + axis, d * (k - 1) + 1, s)[..., ::d]
    spatial, taps = range(2, 2 + rank), range(2 + rank, 2 + 2 * rank)
    patches = windows.permute(*spatial, 0, 1, *taps)
    patches = patches.reshape(out.numel(), x.shape[0], -1)  # (P, N, C·kernel)
    kernels = weight.reshape(out.numel(), outputs, -1)  # (P, O, C·kernel)
    y = (
        torch.bmm(patches, kernels.transpose(1, 2))
        .permute(1, 2, 0)
        .reshape(x.shape[0], outputs, *out)
    )
    return y if bias is None else y + bias


def bilinear(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """aᵀ·M·b for each matrix M of a weight (O, A, B); a and b are flattened."""
    a, b = a.flatten(1), b.flatten(1)
    right = b @ weight.reshape(-1, b.shape[1]).T
    right = right.reshape(b.shape[0], -1, a.shape[1])  # (N, O, A)
    return torch.bmm(right, a.unsqueeze(2)).squeeze(2)


# --- pooling ---------------------------------------------------------------------------------------------------------


def max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Padding,
) -> Tensor:
    """The maximum of each window; of equal ones the first gets the gradient."""
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel) - 1]
    if all(
        begin == end and 2 * begin <= k
        for (begin, end), k in zip(padding, kernel, strict=True)
    ):
        return pool(x, kernel, stride, [begin for begin, _ in padding], dilation)
    return pool(pad(x, padding, -torch.inf), kernel, stride, 0, dilation)


def weighted_pool(
    x: Tensor,
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Padding,
    weights: Sequence[Tensor],
) -> Tensor:
    """A weighted sum over each window; the weights (out, kernel) of each axis, one row per position, are multiplied."""
    y = pad(x, padding)
    for axis, (s, d, weight) in enumerate(zip(stride, dilation, weights, strict=True)):
        before, after = (slice(None),) * (2 + axis), (1,) * (len(stride) - axis - 1)
        reach = s * (weight.shape[0] - 1) + 1
        taps = [
            y[(*before, slice(d * t, d * t + reach, s))] for t in range(weight.shape[1])
        ]
        y = sum_of(
            [tap * weight[:, t].reshape(-1, *after) for t, tap in enumerate(taps)]
        )
    return y


def window_sums(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """The sum of each window of a padded input."""
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        before = (slice(None),) * (2 + axis)
        reach = x.shape[2 + axis] - d * (k - 1)
        x = sum_of([x[(*before, slice(d * t, d * t + reach, s))] for t in range(k)])
    return x


def sum_of(terms: Sequence[Tensor]) -> Tensor:
    """The sum of tensors."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def lp_pool(
    x: Tensor,
    order: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Padding,
) -> Tensor:
    """(Σ |x|^order)^(1/order) of each window (ONNX LpPool)."""
    x = pad(x, padding)
    if order == 1:
        return window_sums(x.abs(), kernel, stride, dilation)
    if order == 2:
        return safe_sqrt(window_sums(x * x, kernel, stride, dilation))
    size = x.abs()
    # elements are divided by the largest of the window, as high powers exceed the range of a float
    largest = max_pool(size.detach(), kernel, stride, dilation, [(0, 0)] * len(kernel))
    largest = largest.masked_fill((largest == 0) | largest.isinf(), 1)
    total = torch.zeros_like(largest)
    for tap in window_taps(size, kernel, stride, dilation):
        total = total + (tap / largest) ** order
    empty = total == 0
    return (largest * total.masked_fill(empty, 1) ** (1 / order)).masked_fill(empty, 0)


def window_taps(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> list[Tensor]:
    """For each element of the kernel what it reads in a padded input: one element for each window."""
    taps = [x]
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        before = (slice(None),) * (2 + axis)
        reach = x.shape[2 + axis] - d * (k - 1)
        taps = [
            tap[(*before, slice(d * t, d * t + reach, s))]
            for tap in taps
            for t in range(k)
        ]
    return taps


def safe_sqrt(x: Tensor) -> Tensor:
    """The square root, whose gradient is 0 where x is 0."""
    zero = x == 0
    return x.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


def global_avg_pool(x: Tensor) -> Tensor:
    """The mean of each channel, (N, C, 1, ...)."""
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def global_max_pool(x: Tensor) -> Tensor:
    """The maximum of each channel, (N, C, 1, ...); of equal ones the first gets the gradient."""
    return x.flatten(2).max(2).values.reshape(*x.shape[:2], *(1,) * (x.dim() - 2))


def global_l2_pool(x: Tensor) -> Tensor:
    """The square root of the sum of squares of each channel, (N, C, 1, ...)."""
    return safe_sqrt((x * x).sum(tuple(range(2, x.dim())), keepdim=True))


def unpool(
    x: Tensor,
    source: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    padding: Padding,
) -> Tensor:
    """Puts each element where its window of `source` had its maximum, 0 elsewhere; elements at one position are added."""
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel) - 1]
    padded = pad(source.detach(), padding, -torch.inf)
    _, positions = pool(padded, kernel, stride, 0, dilation, return_indices=True)
    y = x.new_zeros(*padded.shape[:2], padded[0, 0].numel())
    y = y.scatter_add(2, positions.flatten(2), x.flatten(2)).reshape(padded.shape)
    return pad(y, [(-begin, -end) for begin, end in padding])


def maxout(x: Tensor, n: int) -> Tensor:
    """The maximum of every n consecutive channels; of equal ones the first gets the gradient."""
    return x.reshape(x.shape[0], -1, n, *x.shape[2:]).max(2).values


def upsample(x: Tensor, factors: Sequence[int], linear: bool) -> Tensor:
    """Enlarges each spatial axis by a whole factor: repeats elements, or interpolates between their centres."""
    size = [m * n for m, n in zip(x.shape[2:], factors, strict=True)]
    if not linear:
        return F.interpolate(x, size, mode="nearest-exact")
    return F.interpolate(
        x,
        size,
        mode=("linear", "bilinear", "trilinear")[len(size) - 1],
        align_corners=False,
    )


# --- dropping, normalization, activation, merging, rearranging ------------------------------------------------------------


def masked(x: Tensor, kept: Tensor, p: float) -> Tensor:
    """What is kept of the input, divided by the share 1 - p that is kept on average."""
    return x * (kept.to(x.dtype) / (1 - p))


def drop_samples(x: Tensor, p: float) -> Tensor:
    """Drops whole samples with the probability p, and divides the others by 1 - p (Huang et al. 2016)."""
    return x * F.dropout(x.new_ones(x.shape[0], *(1,) * (x.dim() - 1)), p)


def batch_norm(
    x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The input normalized over the batch, and the mean and the variance of each channel, divided by the number of elements.

    torch.nn.BatchNorm2d keeps a running variance that is divided by this number less one; ONNX and cnnc do not.
    """
    channels, count = x.shape[1], x.numel() // x.shape[1]
    dtype = torch.promote_types(x.dtype, torch.float32)
    mean, var = (torch.zeros(channels, dtype=dtype, device=x.device) for _ in range(2))
    y = torch.batch_norm(
        x, scale, shift, mean, var, True, 1.0, eps, torch.backends.cudnn.enabled
    )
    return y, mean, var * ((count - 1) / count) if count > 1 else torch.zeros_like(var)


def scale_and_shift(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """x·scale + shift, each per channel."""
    return x * channelwise(scale, x) + channelwise(shift, x)


def normalize(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(x - mean)/std, each per channel."""
    return (x - channelwise(mean, x)) / channelwise(std, x)


def local_response_norm(
    x: Tensor, size: int, alpha: float, beta: float, bias: float
) -> Tensor:
    """x/(bias + alpha/size·Σ x²)^beta over (size - 1)//2 channels before and size//2 after (ONNX LRN)."""
    squares = (x * x).reshape(x.shape[0], 1, x.shape[1], -1)
    padded = F.pad(squares, [0, 0, (size - 1) // 2, size // 2])
    mean = F.avg_pool2d(padded, (size, 1), stride=1).reshape(x.shape)
    return x * (bias + alpha * mean) ** -beta


def selu(x: Tensor) -> Tensor:
    """SELU with the constants of ONNX, which are float32 numbers."""
    return 1.05070102214813232421875 * F.elu(x, 1.67326319217681884765625)


def hard_sigmoid(x: Tensor) -> Tensor:
    """clip(x/6 + 1/2, 0, 1); PyTorch's own rounds 1/6 to float32 in float64, too."""
    return F.relu6(x + 3) / 6 if x.dtype == torch.float64 else F.hardsigmoid(x)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)); PyTorch returns x beyond a threshold of 20, where the derivative still differs from 1."""
    return F.softplus(x, threshold=50)


def product_of(factors: Sequence[Tensor]) -> Tensor:
    """The product of tensors, element by element."""
    product = factors[0]
    for factor in factors[1:]:
        product = product * factor
    return product


def maximum_of(tensors: Sequence[Tensor]) -> Tensor:
    """The largest of several tensors, element by element; of equal ones the first gets the gradient."""
    largest = tensors[0]
    for x in tensors[1:]:
        largest = torch.where((largest >= x) | largest.isnan(), largest, x)
    return largest


def crop(x: Tensor, begins: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """The part of each axis that begins at an element and has a size."""
    parts = (
        slice(begin, begin + size) for begin, size in zip(begins, sizes, strict=True)
    )
    return x[(slice(None), slice(None), *parts)]


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels (groups, C/groups) as (C/groups, groups)."""
    return (
        x.reshape(x.shape[0], groups, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape)
    )


def depth_to_space(x: Tensor, n: int) -> Tensor:
    """Channels (n, n, C) as blocks of n x n elements (ONNX DepthToSpace, mode DCR)."""
    count, channels, height, width = x.shape
    blocks = x.reshape(count, n, n, channels // n**2, height, width).permute(
        0, 3, 4, 1, 5, 2
    )
    return blocks.reshape(count, channels // n**2, height * n, width * n)


def space_to_depth(x: Tensor, n: int) -> Tensor:
    """Blocks of n x n elements as channels (n, n, C) (ONNX SpaceToDepth)."""
    count, channels, height, width = x.shape
    blocks = x.reshape(count, channels, height // n, n, width // n, n).permute(
        0, 3, 5, 1, 2, 4
    )
    return blocks.reshape(count, channels * n**2, height // n, width // n)
