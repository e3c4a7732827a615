"""Normalization layers: over the batch, over groups of channels of one sample, over neighbouring channels.

`input 3x4x5; bn` with a batch of 6: x (6, 4, 5, 3) in training is 120 rows of 3 channels, mean and variance are (3,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.for_training import BatchNormRelu
from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, Normalize
from cnnc.reference.kernels.channelwise import channel_products, channel_sum, sample_sum, scale_and_shift
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of

LARGE_MEAN = 25.0  # mean²/variance above which E[x²] - E[x]² loses too many digits


class BatchNormSaved(NamedTuple):
    """What batch norm's backward needs: the input, its mean and 1/sqrt(var + eps) per channel, and `mode.batch_sum`.

    `relu_output` is the output of the ReLU that is fused into the layer, if one is. `large_mean` says that the mean is
    so large compared to the deviation that sums of products must be taken about the mean.
    """

    x: Array
    relu_output: Array | None
    mean: Array
    inverse: Array
    large_mean: bool
    batch_sum: Callable[..., tuple[Array, ...]]


@forward_of(BatchNorm, fresh_output=True, needs_batch_sums=True)
@forward_of(BatchNormRelu, needs_batch_sums=True)
def batch_norm(op: BatchNorm, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """(x - mean)/sqrt(var + eps)·scale + shift (Ioffe & Szegedy 2015, algorithm 1), over the whole batch in training."""
    x = np.ascontiguousarray(inputs[0])
    eps = x.dtype.type(op.eps)
    if not mode.training:
        return Outcome(_standardized(op, weights, x, weights["mean"], (weights["var"] + eps) ** -0.5))
    mean, var, large_mean = _batch_moments(x, mode)
    inverse = (var + eps) ** -0.5
    y = _standardized(op, weights, x, mean, inverse)
    old, new = x.dtype.type(op.momentum), x.dtype.type(1 - op.momentum)
    running = {"mean": weights["mean"] * old + mean * new, "var": weights["var"] * old + var * new}
    relu_output = y if isinstance(op, BatchNormRelu) else None
    return Outcome(y, BatchNormSaved(x, relu_output, mean, inverse, large_mean, mode.batch_sum), running)


def _batch_moments(x: Array, mode: Mode) -> tuple[Array, Array, bool]:
    """Mean and variance of each channel over the batch, and whether the mean is large (`LARGE_MEAN`).

    If it is, E[x²] - E[x]² would be rounding noise in single precision: a second pass takes the sums about the mean of
    the first (Chan, Golub & LeVeque 1983).
    """
    count, sums, squares = mode.batch_sum(np.array(x.size // x.shape[-1], np.float64), *channel_products(x))
    mean = sums / count
    var = squares / count - mean * mean
    large_mean = bool((mean * mean > LARGE_MEAN * var).any())
    if large_mean:
        centre = mean.astype(x.dtype)
        sums, squares = mode.batch_sum(*channel_products(x, centre))
        mean = centre + sums / count
        var = squares / count - (sums / count) ** 2
    return mean.astype(x.dtype), var.clip(0).astype(x.dtype), large_mean


def _standardized(op: BatchNorm, weights: Mapping[str, Array], x: Array, mean: Array, inverse: Array) -> Array:
    factor, offset = _factor_and_offset(op, weights, mean, inverse)
    return scale_and_shift(x, factor, offset, relu=isinstance(op, BatchNormRelu))


def _factor_and_offset(op: BatchNorm, weights: Mapping[str, Array], mean: Array, inverse: Array) -> tuple[Array, Array]:
    factor = inverse * weights["scale"] if op.affine else inverse
    offset = -mean * factor
    return factor, offset + weights["shift"] if op.affine else offset


def inference_scale_and_shift(op: BatchNorm, weights: Mapping[str, Array]) -> tuple[Array, Array]:
    """The factor and the offset of each channel that batch norm amounts to in inference."""
    var = weights["var"]
    return _factor_and_offset(op, weights, weights["mean"], (var + var.dtype.type(op.eps)) ** -0.5)


@backward_of(BatchNorm, BatchNormRelu)
def batch_norm_backward(
    op: BatchNorm, weights: Mapping[str, Array], saved: BatchNormSaved, gradient: Array, needs_dx: bool
) -> Gradients:
    """Ioffe & Szegedy 2015, section 3: the gradient less its components along the mean and along the output.

    With n = (x - mean)·inverse and f = inverse·scale, dx = f·(g - mean(g) - n·mean(g·n)), which is linear in g and x.
    """
    x, relu_output, mean, inverse, large_mean, batch_sum = saved
    gradient = np.ascontiguousarray(gradient)
    if relu_output is not None and not gradient.flags.writeable:
        gradient = gradient.copy()
    shift, products = channel_products(x, mean if large_mean else None, gradient, positive=relu_output)
    scale = (products if large_mean else products - mean * shift) * inverse  # Σ g·n
    weight_gradients = {"scale": scale.astype(x.dtype), "shift": shift.astype(x.dtype)} if op.affine else {}
    if not needs_dx:
        return Gradients((None,), weight_gradients)
    shift, scale, count = batch_sum(shift, scale, np.array(x.size // x.shape[-1]))
    factor = inverse * weights["scale"] if op.affine else inverse
    along = -factor * inverse * scale / count
    offset, in_place = -factor * shift / count - along * mean, gradient.flags.writeable
    return Gradients((scale_and_shift(gradient, factor, offset, x, along, in_place=in_place),), weight_gradients)


@forward_of(Normalize)
def normalize(op: Normalize, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    return Outcome((x - np.asarray(op.mean, x.dtype)) / np.asarray(op.std, x.dtype))


@backward_of(Normalize)
def normalize_backward(op: Normalize, weights: Any, saved: Any, gradient: Array, needs_dx: bool) -> Gradients:
    return Gradients((gradient / np.asarray(op.std, gradient.dtype),))


@forward_of(Affine)
def affine(op: Affine, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    x = np.ascontiguousarray(inputs[0])
    return Outcome(scale_and_shift(x, weights["scale"], weights["shift"]), x)


@backward_of(Affine)
def affine_backward(op: Affine, weights: Mapping[str, Array], x: Array, gradient: Array, needs_dx: bool) -> Gradients:
    weight_gradients = _affine_gradients(gradient, x)
    return Gradients((gradient * weights["scale"] if needs_dx else None,), weight_gradients)


def _affine_gradients(gradient: Array, normal: Array) -> dict[str, Array]:
    """The gradients of scale and shift in normal·scale + shift."""
    gradient = np.ascontiguousarray(gradient)
    return {
        "scale": channel_sum(gradient * normal.reshape(gradient.shape)).astype(gradient.dtype),
        "shift": channel_sum(gradient).astype(gradient.dtype),
    }


# --- statistics of one sample ----------------------------------------------------------------------------------


def _groups(op: GroupNorm | InstanceNorm | LayerNorm, channels: int) -> int:
    """The number of groups of channels: layer norm is group norm with one group, instance norm with one per channel."""
    if isinstance(op, GroupNorm):
        return op.groups
    return channels if isinstance(op, InstanceNorm) else 1


def _group_mean(rows: Array, groups: int) -> Array:
    """The means (N, 1, C) of rows (N, R, C) over all rows and the channels of a group, repeated for its channels."""
    count, height, channels = rows.shape
    group_size = channels // groups
    sums = sample_sum(rows)
    if group_size == 1:
        return np.asarray(sums / rows.dtype.type(height))
    means = sums.reshape(count, groups, group_size).sum(-1) / rows.dtype.type(height * group_size)  # (N, groups)
    return np.repeat(means, group_size, -1)[:, None]


@forward_of(GroupNorm, InstanceNorm, LayerNorm)
def group_norm(
    op: GroupNorm | InstanceNorm | LayerNorm, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode
) -> Outcome:
    """(x - mean)/sqrt(var + eps)·scale + shift over groups of channels (Wu & He 2018, equations 1 and 2)."""
    (x,) = inputs
    groups = _groups(op, x.shape[-1])
    rows = x.reshape(x.shape[0], -1, x.shape[-1])  # (N, H·W, C); a vector is one row
    centred = rows - _group_mean(rows, groups)
    inverse = (_group_mean(centred * centred, groups) + x.dtype.type(op.eps)) ** -0.5
    normal = centred * inverse
    y = normal * weights["scale"] + weights["shift"]
    return Outcome(y.reshape(x.shape), (normal, inverse) if mode.training else None)


@backward_of(GroupNorm, InstanceNorm, LayerNorm)
def group_norm_backward(
    op: GroupNorm | InstanceNorm | LayerNorm,
    weights: Mapping[str, Array],
    saved: tuple[Array, Array],
    gradient: Array,
    needs_dx: bool,
) -> Gradients:
    """As for batch norm, with the means over a group of channels of one sample."""
    normal, inverse = saved
    weight_gradients = _affine_gradients(gradient, normal)
    if not needs_dx:
        return Gradients((None,), weight_gradients)
    groups = _groups(op, gradient.shape[-1])
    dnormal = gradient.reshape(normal.shape) * weights["scale"]
    dx = dnormal - _group_mean(dnormal, groups) - normal * _group_mean(dnormal * normal, groups)
    return Gradients(((dx * inverse).reshape(gradient.shape),), weight_gradients)


# --- neighbouring channels -------------------------------------------------------------------------------------


def _neighbour_channel_sum(x: Array, before: int, after: int) -> Array:
    """For each channel c, the sum over the channels c - before to c + after that exist."""
    channels = x.shape[-1]
    total = x.copy()
    for step in range(1, min(before, channels - 1) + 1):
        total[..., step:] += x[..., :-step]
    for step in range(1, min(after, channels - 1) + 1):
        total[..., :-step] += x[..., step:]
    return total


def _lrn_base(op: LocalResponseNorm, x: Array) -> Array:
    """bias + alpha/size·Σ x² of ONNX LRN."""
    return op.bias + op.alpha / op.size * _neighbour_channel_sum(x * x, (op.size - 1) // 2, op.size // 2)


@forward_of(LocalResponseNorm)
def lrn(op: LocalResponseNorm, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """Krizhevsky et al. 2012, section 3.3; ONNX LRN."""
    (x,) = inputs
    return Outcome(x * _lrn_base(op, x) ** -op.beta, x)


@backward_of(LocalResponseNorm)
def lrn_backward(
    op: LocalResponseNorm, weights: Mapping[str, Array], x: Array, gradient: Array, needs_dx: bool
) -> Gradients:
    """With b the base: dx_c = g_c·b_c^-beta - 2·alpha·beta/size·x_c·Σ g_i·x_i·b_i^(-beta-1), over all i that read c."""
    base = _lrn_base(op, x)
    direct = gradient * base**-op.beta
    others = _neighbour_channel_sum(direct * x / base, op.size // 2, (op.size - 1) // 2)  # the mirrored window
    return Gradients((direct - 2 * op.alpha * op.beta / op.size * x * others,))
