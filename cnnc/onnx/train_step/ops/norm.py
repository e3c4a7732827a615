"""Normalization layers in training: with batch statistics, and their gradients.

With n = (x - mean)/sqrt(var + eps), both over the same elements, and y = n·scale + shift, the gradient of x is
(h - mean(h) - n·mean(h·n))/sqrt(var + eps), where h = gradient·scale.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cnnc.graph.graph import Node
from cnnc.onnx.emit.ops.per_channel import per_channel
from cnnc.onnx.train_step.step_emitter import Passed, StepEmitter, TensorGradients, backward_of, training_emission_of
from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, Normalize


class Standardized(NamedTuple):
    """n = (x - mean)·inverse, and the inverse standard deviation; names of tensors."""

    normal: str
    inverse: str


def _standardized(e: StepEmitter, x: str, axes: list[int], eps: float) -> tuple[Standardized, str, str]:
    """x standardized over axes, with the mean and the variance, which keep these axes with size 1."""
    mean = e.reduce("Mean", x, axes, keepdims=True)
    centred = e.new("Sub", x, mean)
    var = e.reduce("Mean", e.new("Mul", centred, centred), axes, keepdims=True)
    inverse = e.new("Reciprocal", e.new("Sqrt", e.new("Add", var, e.number(eps))))
    return Standardized(e.new("Mul", centred, inverse), inverse), mean, var


def _standardized_gradient(e: StepEmitter, gradient: str, at: Standardized, axes: list[int]) -> str:
    """The gradient of x, given that of n."""
    mean = e.reduce("Mean", gradient, axes, keepdims=True)
    along = e.reduce("Mean", e.new("Mul", gradient, at.normal), axes, keepdims=True)
    rest = e.new("Sub", e.new("Sub", gradient, mean), e.new("Mul", at.normal, along))
    return e.new("Mul", rest, at.inverse)


# --- over the batch ----------------------------------------------------------------------------------------------


@training_emission_of(BatchNorm)
def _batch_norm(e: StepEmitter, op: BatchNorm, node: Node, inputs: list[str]) -> Standardized:
    rank = node.type.rank
    at, mean, var = _standardized(e, inputs[0], [0, *range(2, 2 + rank)], op.eps)
    for name, tensor in (("mean", mean), ("var", var)):
        old = e.new("Mul", e.weight(name), e.number(op.momentum))
        new = e.new("Mul", e.reshape(tensor, node.type.channels), e.number(1 - op.momentum))
        e.updated[f"{node.parameter_owner}.{name}"] = e.new("Add", old, new)
    if op.affine:
        scaled = e.new("Mul", at.normal, per_channel(e, "scale", rank))
        e.op("Add", [scaled, per_channel(e, "shift", rank)])
    else:
        e.op("Identity", [at.normal])
    return at


@backward_of(BatchNorm)
def _batch_norm_backward(e: StepEmitter, op: BatchNorm, node: Node, at: Passed) -> TensorGradients:
    rank = node.type.rank
    gradients = _affine_gradients(e, at.gradient, at.saved.normal, rank) if op.affine and at.trains else {}
    if not at.needed[0]:
        return TensorGradients((None,), gradients)
    dnormal = e.new("Mul", at.gradient, per_channel(e, "scale", rank)) if op.affine else at.gradient
    axes = [0, *range(2, 2 + rank)]
    return TensorGradients((_standardized_gradient(e, dnormal, at.saved, axes),), gradients)


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


@training_emission_of(GroupNorm, InstanceNorm, LayerNorm)
def _group_norm(
    e: StepEmitter, op: GroupNorm | InstanceNorm | LayerNorm, node: Node, inputs: list[str]
) -> tuple[Standardized, str]:
    """Also returns n in the shape of the layer's output."""
    rows = e.reshape(inputs[0], -1, _groups(op, node.type.channels), node.type.size // _groups(op, node.type.channels))
    at, _, _ = _standardized(e, rows, [2], op.eps)
    normal = e.reshape(at.normal, -1, *node.type.shape)
    scaled = e.new("Mul", normal, per_channel(e, "scale", node.type.rank))
    e.op("Add", [scaled, per_channel(e, "shift", node.type.rank)])
    return at, normal


@backward_of(GroupNorm, InstanceNorm, LayerNorm)
def _group_norm_backward(
    e: StepEmitter, op: GroupNorm | InstanceNorm | LayerNorm, node: Node, at: Passed
) -> TensorGradients:
    standardized, normal = at.saved
    gradients = _affine_gradients(e, at.gradient, normal, node.type.rank)
    if not at.needed[0]:
        return TensorGradients((None,), gradients)
    dnormal = e.new("Mul", at.gradient, per_channel(e, "scale", node.type.rank))
    groups = _groups(op, node.type.channels)
    rows = e.reshape(dnormal, -1, groups, node.type.size // groups)
    return TensorGradients(
        (e.reshape(_standardized_gradient(e, rows, standardized, [2]), -1, *node.type.shape),), gradients
    )


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
