"""Normalization layers in training: with batch statistics, and their gradients.

With n = (x - mean)/sqrt(var + eps), both over the same elements, and y = n·scale + shift, the gradient of x is
(h - mean(h) - n·mean(h·n))/sqrt(var + eps), where h = gradient·scale.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from cnnc.graph.graph import Node
from cnnc.onnx.emit.ops.per_channel import per_channel
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of, training_emission_of
from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, Normalize


class BatchStatistics(NamedTuple):
    """What the backward of batch norm needs: x - mean, and 1/sqrt(var + eps) per channel; names of tensors."""

    centred: str
    inverse: str


def _inverse_deviation(e: StepEmitter, var: str, eps: float) -> str:
    return e.new("Reciprocal", e.new("Sqrt", e.new("Add", var, e.number(eps))))


# --- over the batch ----------------------------------------------------------------------------------------------


@training_emission_of(BatchNorm)
def _batch_norm(e: StepEmitter, op: BatchNorm, node: Node, inputs: list[str]) -> BatchStatistics:
    """Standardizes by ONNX's BatchNormalization of the centred input, one pass over memory."""
    axes, channels = [0, *range(2, 2 + node.type.rank)], node.type.channels
    mean = e.reduce("Mean", inputs[0], axes, keepdims=True)
    centred = e.new("Sub", inputs[0], mean)
    var = e.reduce("Mean", e.new("Mul", centred, centred), axes)
    for name, tensor in (("mean", e.reshape(mean, channels)), ("var", var)):
        old = e.new("Mul", e.weight(name), e.number(op.momentum))
        new = e.new("Mul", tensor, e.number(1 - op.momentum))
        e.updated[f"{node.parameter_owner}.{name}"] = e.new("Add", old, new)
    zeros, ones = _constants(e, channels)
    scale, shift = (e.weight("scale"), e.weight("shift")) if op.affine else (ones, zeros)
    e.op("BatchNormalization", [centred, scale, shift, zeros, var], epsilon=op.eps)
    return BatchStatistics(centred, _inverse_deviation(e, var, op.eps))


def _constants(e: StepEmitter, channels: int) -> tuple[str, str]:
    """A zero and a one for each channel."""
    zeros, ones = np.zeros(channels), np.ones(channels)
    return e.constant(f"train.zeros.{channels}", zeros), e.constant(f"train.ones.{channels}", ones)


@backward_of(BatchNorm)
def _batch_norm_backward(e: StepEmitter, op: BatchNorm, node: Node, at: Passed) -> TensorGradients:
    """dx = f·(g - mean(g)) - centred·f·inverse²·mean(g·centred) with f = inverse·scale, linear in g and centred."""
    axes, rank, channels = [0, *range(2, 2 + node.type.rank)], node.type.rank, node.type.channels
    centred, inverse = at.saved
    shift = e.reduce("Sum", at.gradient, axes)
    scale = e.new("Mul", e.reduce("Sum", e.new("Mul", at.gradient, centred), axes), inverse)  # Σ g·n
    gradients = {"scale": scale, "shift": shift} if op.affine else {}
    if not at.needed[0]:
        return TensorGradients((None,), gradients)
    factor = e.new("Mul", inverse, e.weight("scale")) if op.affine else inverse
    count = e.new("Div", e.new("Cast", e.new("Size", centred), to=TensorProto.FLOAT), e.number(channels))
    share = e.new("Div", factor, count)
    offset = e.new("Neg", e.new("Mul", share, shift))
    along = e.new("Mul", e.new("Mul", share, inverse), scale)
    zeros, ones = _constants(e, channels)
    scaled = e.new("BatchNormalization", at.gradient, factor, offset, zeros, ones, epsilon=0.0)
    component = e.new("Mul", centred, e.reshape(along, channels, *[1] * rank))
    return TensorGradients((e.new("Sub", scaled, component),), gradients)


@backward_of(Normalize)
def _normalize(e: StepEmitter, op: Normalize, node: Node, at: Passed) -> TensorGradients:
    std = e.constant(e.inner_name("std"), np.reshape(op.std, (-1, *(1,) * node.type.rank)))
    return TensorGradients((e.new("Div", at.gradient, std),))


@backward_of(Affine)
def _affine(e: StepEmitter, op: Affine, node: Node, at: Passed) -> TensorGradients:
    rank = node.type.rank
    gradients = _affine_gradients(e, at.gradient, at.inputs[0], rank)
    return TensorGradients((e.new("Mul", at.gradient, per_channel(e, "scale", rank)),), gradients)


def _affine_gradients(e: StepEmitter, gradient: str, normal: str, rank: int) -> dict[str, str]:
    """The gradients of scale and shift in normal·scale + shift."""
    axes = [0, *range(2, 2 + rank)]
    return {
        "scale": e.reduce("Sum", e.new("Mul", gradient, normal), axes),
        "shift": e.reduce("Sum", gradient, axes),
    }


# --- statistics of one sample ------------------------------------------------------------------------------------


def _groups(op: GroupNorm | InstanceNorm | LayerNorm, channels: int) -> int:
    """The number of groups of channels: layer norm is group norm with one group, instance norm with one per channel."""
    if isinstance(op, GroupNorm):
        return op.groups
    return channels if isinstance(op, InstanceNorm) else 1


class SampleStatistics(NamedTuple):
    """What the backward of group norm needs: n (N, G, C/G·H·W), and 1/sqrt(var + eps) (N, G, 1); names of tensors."""

    normal: str
    inverse: str


@training_emission_of(GroupNorm, InstanceNorm, LayerNorm)
def _group_norm(
    e: StepEmitter, op: GroupNorm | InstanceNorm | LayerNorm, node: Node, inputs: list[str]
) -> SampleStatistics:
    groups, rank = _groups(op, node.type.channels), node.type.rank
    rows = e.reshape(inputs[0], -1, groups, node.type.size // groups)
    centred = e.new("Sub", rows, e.reduce("Mean", rows, [2], keepdims=True))
    inverse = _inverse_deviation(e, e.reduce("Mean", e.new("Mul", centred, centred), [2], keepdims=True), op.eps)
    normal = e.new("Mul", centred, inverse)
    scaled = e.new("Mul", e.reshape(normal, -1, *node.type.shape), per_channel(e, "scale", rank))
    e.op("Add", [scaled, per_channel(e, "shift", rank)])
    return SampleStatistics(normal, inverse)


@backward_of(GroupNorm, InstanceNorm, LayerNorm)
def _group_norm_backward(
    e: StepEmitter, op: GroupNorm | InstanceNorm | LayerNorm, node: Node, at: Passed
) -> TensorGradients:
    normal, inverse = at.saved
    gradients = _affine_gradients(e, at.gradient, e.reshape(normal, -1, *node.type.shape), node.type.rank)
    if not at.needed[0]:
        return TensorGradients((None,), gradients)
    groups = _groups(op, node.type.channels)
    scaled = e.new("Mul", at.gradient, per_channel(e, "scale", node.type.rank))
    h = e.reshape(scaled, -1, groups, node.type.size // groups)
    along = e.reduce("Mean", e.new("Mul", h, normal), [2], keepdims=True)
    rest = e.new("Sub", e.new("Sub", h, e.reduce("Mean", h, [2], keepdims=True)), e.new("Mul", normal, along))
    return TensorGradients((e.reshape(e.new("Mul", rest, inverse), -1, *node.type.shape),), gradients)


# --- neighbouring channels ---------------------------------------------------------------------------------------


@backward_of(LocalResponseNorm)
def _lrn(e: StepEmitter, op: LocalResponseNorm, node: Node, at: Passed) -> TensorGradients:
    """With b the base: dx_c = g_c·b_c^-beta - 2·alpha·beta·x_c·mean(g_i·x_i·b_i^(-beta-1)), over all i that read c."""
    (x,) = at.inputs
    before, after = (op.size - 1) // 2, op.size // 2
    mean = _neighbour_channel_mean(e, e.new("Mul", x, x), node, before, after)
    base = e.new("Add", e.new("Mul", mean, e.number(op.alpha)), e.number(op.bias))
    direct = e.new("Mul", at.gradient, e.new("Pow", base, e.number(-op.beta)))
    others = _neighbour_channel_mean(e, e.new("Div", e.new("Mul", direct, x), base), node, after, before)
    term = e.new("Mul", e.new("Mul", x, others), e.number(2 * op.alpha * op.beta))
    return TensorGradients((e.new("Sub", direct, term),))


def _neighbour_channel_mean(e: StepEmitter, x: str, node: Node, before: int, after: int) -> str:
    """For each channel c, the sum over the channels c - before to c + after that exist, divided by their full number."""
    channels, rest = node.type.channels, node.type.size // node.type.channels
    rows = e.reshape(x, -1, 1, channels, rest)
    size = before + after + 1
    mean = e.new("AveragePool", rows, kernel_shape=[size, 1], pads=[before, 0, after, 0], count_include_pad=1)
    return e.reshape(mean, -1, *node.type.shape)
