"""Batch norm over the examples of all processes, so that results do not depend on their number.

In: the share (N, C, *spatial) of one process. Out: `SynchronizedNormalizer`, which replaces `functions.batch_norm` in the
module of a process; a process without a share calls it with any examples, which do not count. torch.nn.SyncBatchNorm computes the same, on GPUs only.

Forward gathers mean, variance and count of each share, from which every process computes those of the whole batch; backward
sums the gradients of the mean and of the variance. The gradients of scale and shift are those of the share, like those of
all other parameters: whoever sums gradients over the processes sums them too.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from cnnc.torch.functions import channelwise


class SynchronizedNormalizer:
    """Normalizes over the examples of all processes; those of this one count if `counts_share` is set."""

    def __init__(self) -> None:
        self.counts_share = True

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(
        self, x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The input normalized, and the mean and variance of each channel over the examples of all processes."""
        y, mean, var = _SynchronizedBatchNorm.apply(x, scale, shift, eps, self.counts_share)
        return y, mean, var


class _SynchronizedBatchNorm(Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None, eps: float, counts_share: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        count, mean, var = _whole_batch(x, counts_share)
        inverse = torch.rsqrt(var + eps)
        factor = inverse if scale is None else inverse * scale
        offset = -mean * factor if shift is None else shift - mean * factor
        y = torch.addcmul(channelwise(offset, x), x, channelwise(factor, x)).to(x.dtype)
        ctx.save_for_backward(x, scale, mean, inverse, count)
        ctx.has_shift, ctx.counts_share = shift is not None, counts_share
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, inverse, count = ctx.saved_tensors
        axes = [0, *range(2, x.dim())]
        g = gradient.to(mean.dtype)
        normalized = (x - channelwise(mean, x)) * channelwise(inverse, x)
        of_shift, of_scale = g.sum(axes), (g * normalized).sum(axes)
        means = torch.stack([of_shift, of_scale])
        dist.all_reduce(means)
        of_mean, of_normalized = means / count
        factor = inverse if scale is None else inverse * scale
        if ctx.counts_share:  # else mean and variance do not depend on x
            g = g - channelwise(of_mean, x) - normalized * channelwise(of_normalized, x)
        dx = channelwise(factor, x) * g
        return dx.to(x.dtype), of_scale if scale is not None else None, of_shift if ctx.has_shift else None, None, None


def _whole_batch(x: Tensor, counts_share: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The number of elements per channel, their mean and their variance, over the shares of all processes."""
    channels, axes = x.shape[1], [0, *range(2, x.dim())]
    dtype = torch.promote_types(x.dtype, torch.float32)
    share = x.new_zeros(2 * channels + 1, dtype=dtype)
    if counts_share:
        var, mean = torch.var_mean(x.to(dtype), axes, correction=0)
        share = torch.cat([mean, var, share.new_tensor([x.numel() // channels])])
    shares = share.new_empty(dist.get_world_size(), len(share))
    dist.all_gather(list(shares.unbind()), share)
    means, variances, counts = shares[:, :channels], shares[:, channels:-1], shares[:, -1:]
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    var = (counts * (variances + (means - mean).square())).sum(0) / count
    return count, mean, var
