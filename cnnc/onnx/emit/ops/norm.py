"""Emission of normalization layers and affine."""

from __future__ import annotations

import numpy as np

from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.onnx.emit.ops.per_channel import per_channel
from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, Normalize


@emission_of(BatchNorm)
def _batch_norm(e: Emitter, op: BatchNorm, node: Node, inputs: list[str]) -> None:
    channels = node.type.channels
    scale = e.weight("scale") if op.affine else e.constant(e.inner_name("scale"), np.ones(channels))
    shift = e.weight("shift") if op.affine else e.constant(e.inner_name("shift"), np.zeros(channels))
    e.op("BatchNormalization", [*inputs, scale, shift, e.weight("mean"), e.weight("var")], epsilon=op.eps)


@emission_of(InstanceNorm)
def _instance_norm(e: Emitter, op: InstanceNorm, node: Node, inputs: list[str]) -> None:
    e.op("InstanceNormalization", [*inputs, e.weight("scale"), e.weight("shift")], epsilon=op.eps)


@emission_of(GroupNorm)
def _group_norm(e: Emitter, op: GroupNorm, node: Node, inputs: list[str]) -> None:
    _over_groups(e, inputs, op.groups, op.eps)


@emission_of(LayerNorm)
def _layer_norm(e: Emitter, op: LayerNorm, node: Node, inputs: list[str]) -> None:
    if node.type.rank == 0 and e.opset >= 17:
        e.op("LayerNormalization", [*inputs, e.weight("scale"), e.weight("shift")], epsilon=op.eps)
        return
    # ONNX's LayerNormalization of an image has a scale per element, which would fix the image size
    _over_groups(e, inputs, 1, op.eps)


def _over_groups(e: Emitter, inputs: list[str], groups: int, eps: float) -> None:
    """Group normalization: InstanceNormalization with the groups as channels, then a scale and shift per channel.

    The channels of a group join the first spatial axis. ONNX's own GroupNormalization needs opset 21 (that of opset 18 has
    a scale per group), and onnxruntime expands it into simple operators as well.
    """
    assert e.node is not None
    rank, channels = e.node.type.rank, e.node.type.channels
    rest = [-1] + [0] * (rank - 1)  # 0 copies the size of the same axis
    rows = e.op(
        "Reshape", [*inputs, e.integers("groups", [0, groups, *rest])], e.inner_name("rows")
    )  # (N, g, C/g·H, W)
    ones, zeros = e.constant(e.inner_name("ones"), np.ones(groups)), e.constant(e.inner_name("zeros"), np.zeros(groups))
    normal = e.op("InstanceNormalization", [rows, ones, zeros], e.inner_name("normal"), epsilon=eps)
    shape = e.integers("channels", [0, channels, *rest] if rank else [0, channels])
    _scale_and_shift(e, e.op("Reshape", [normal, shape], e.inner_name("image")), rank)


@emission_of(Affine)
def _affine(e: Emitter, op: Affine, node: Node, inputs: list[str]) -> None:
    _scale_and_shift(e, inputs[0], node.type.rank)


def _scale_and_shift(e: Emitter, x: str, rank: int) -> None:
    scaled = e.op("Mul", [x, per_channel(e, "scale", rank)], e.inner_name("scaled"))
    e.op("Add", [scaled, per_channel(e, "shift", rank)])


@emission_of(LocalResponseNorm)
def _lrn(e: Emitter, op: LocalResponseNorm, node: Node, inputs: list[str]) -> None:
    if node.type.rank == 2 and op.size % 2:  # the only case that onnxruntime's LRN supports
        e.op("LRN", inputs, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.bias)
        return
    # bias + alpha/size·Σ x² is a pointwise convolution with the band matrix alpha/size
    channels = node.type.channels
    distance = np.arange(channels) - np.arange(channels)[:, None]  # from each output channel to each input channel
    in_window = (distance >= -((op.size - 1) // 2)) & (distance <= op.size // 2)
    band = e.constant(
        e.inner_name("band"), (in_window * (op.alpha / op.size)).reshape(channels, channels, *(1,) * node.type.rank)
    )
    bias = e.constant(e.inner_name("bias"), np.full(channels, op.bias))
    squares = e.op("Mul", [*inputs, *inputs], e.inner_name("squares"))
    if node.type.rank == 0:
        base = e.op("Gemm", [squares, band, bias], e.inner_name("base"), transB=1)
    else:
        base = e.op("Conv", [squares, band, bias], e.inner_name("base"), kernel_shape=(1,) * node.type.rank)
    e.op("Div", [*inputs, e.op("Pow", [base, e.constant(e.inner_name("beta"), op.beta)], e.inner_name("power"))])


@emission_of(Normalize)
def _normalize(e: Emitter, op: Normalize, node: Node, inputs: list[str]) -> None:
    ones = (1,) * node.type.rank
    mean = e.constant(e.inner_name("mean"), np.reshape(op.mean, (-1, *ones)))
    std = e.constant(e.inner_name("std"), np.reshape(op.std, (-1, *ones)))
    e.op("Div", [e.op("Sub", [*inputs, mean], e.inner_name("centred")), std])
