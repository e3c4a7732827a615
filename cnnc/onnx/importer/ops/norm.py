"""Normalizations, as one ONNX operator or decomposed into several."""

from __future__ import annotations

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.constants import per_channel, shortest_float
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import Interpreter, handles
from cnnc.onnx.importer.recognize.values import Layer, LayerOutput, Unsupported
from cnnc.ops.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm

LAYER_NORM_OF_CHANNELS = (
    "it normalizes the channels at each position (layer normalization as in ConvNeXt); layer_norm normalizes each example as "
    "a whole"
)
USE_GROUP_NORM = (
    "no layer computes it; a network trained with batch or group normalization in its place can be imported"
)


@handles("BatchNormalization")
def _batch_norm(ctx: Interpreter, node: OnnxNode) -> Layer:
    x = ctx.layer()
    if node.get("training_mode", 0) or node.get("is_test", 1) == 0:
        raise Unsupported("it is in training mode")
    if not node.get("spatial", 1):
        raise Unsupported("it has a scale for each element; bn has one per channel")
    scale, shift, mean, var = (ctx.constant(i, n) for i, n in enumerate(("scale", "shift", "mean", "variance"), 1))
    eps = shortest_float(node.get("epsilon", 1e-5))
    if not (var + eps > 0).all():
        raise Unsupported("its variance is not positive")
    momentum = shortest_float(node.get("momentum", 0.9))
    weights = {"scale": scale, "shift": shift, "mean": mean, "var": var}
    fresh = not mean.any() and bool((var == 1).all())
    if (scale == 1).all() and not shift.any() and not fresh:
        weights = {"mean": mean, "var": var}
    return ctx.add(
        BatchNorm,
        x,
        weights,
        node.inputs[1:5],
        eps=eps,
        momentum=min(max(momentum, 0.0), 1.0),
        affine="scale" in weights,
    )


@handles("InstanceNormalization")
def _instance_norm(ctx: Interpreter, node: OnnxNode) -> Layer | LayerOutput:
    value = ctx.tensor()
    scale, shift = ctx.constant(1, "scale"), ctx.constant(2, "shift")
    eps = shortest_float(node.get("epsilon", 1e-5))
    root = value.root
    groups = value.shape[1] if len(value.shape) > 2 else 0
    grouped = (
        value.rearrangements and all(m.kind == "reshape" for m in value.rearrangements) and value.shape[0] == ctx.batch
    )
    if grouped and (scale == 1).all() and not shift.any() and groups and root.type.channels % groups == 0:
        layer = _group_statistics(ctx, root, groups, eps)
        return LayerOutput(value.shape, layer, value.rearrangements[-1:])
    layer = ctx.add(InstanceNorm, ctx.as_layer(value), {"scale": scale, "shift": shift}, node.inputs[1:3], eps=eps)
    layer.lacks_scale_and_shift = bool((scale == 1).all()) and not shift.any()
    return layer


def _group_statistics(ctx: Interpreter, x: Layer, groups: int, eps: float) -> Layer:
    """A normalization over groups of channels, whose scale and shift may follow as a Mul and an Add."""
    ones = {"scale": np.ones(x.type.channels), "shift": np.zeros(x.type.channels)}
    if groups == 1 and (x.rank or ctx.model.opset < 17):
        layer = ctx.add(LayerNorm, x, ones, eps=eps)
    else:
        layer = ctx.add(GroupNorm, x, ones, groups=groups, eps=eps)
    layer.lacks_scale_and_shift = True
    return layer


@handles("GroupNormalization")
def _group_norm(ctx: Interpreter, node: OnnxNode) -> Layer:
    x = ctx.layer()
    groups = node.get("num_groups", 1)
    weights = {"scale": ctx.constant(1, "scale"), "shift": ctx.constant(2, "shift")}
    if ctx.model.opset < 21:  # one of each per group
        weights = {n: np.repeat(a, x.type.channels // max(groups, 1)) for n, a in weights.items()}
    return ctx.add(
        GroupNorm, x, weights, node.inputs[1:3], groups=groups, eps=shortest_float(node.get("epsilon", 1e-5))
    )


@handles("LayerNormalization")
def _layer_norm(ctx: Interpreter, node: OnnxNode) -> Layer:
    value = ctx.tensor()
    count = len(value.shape)
    axis = node.get("axis", -1) % count
    if axis == count - 1 and count > 2 and value.layer is None:
        raise Unsupported(LAYER_NORM_OF_CHANNELS, USE_GROUP_NORM)
    if axis != 1:
        raise Unsupported("it normalizes the last axes; layer_norm normalizes each example as a whole")
    x = ctx.as_layer(value)
    scale = per_channel(ctx, ctx.constant(1, "scale"), x)
    shift = per_channel(ctx, ctx.constant(2, "shift"), x) if node.input_name(2) else np.zeros(1, np.float32)
    weights = {n: np.broadcast_to(a, (x.type.channels,)) for n, a in (("scale", scale), ("shift", shift))}
    initializers = [n for n in node.inputs[1:3] if n]
    return ctx.add(LayerNorm, x, weights, initializers, eps=shortest_float(node.get("epsilon", 1e-5)))


def decomposed_layer_norm(ctx: Interpreter, node: OnnxNode) -> Layer | None:
    """Layer normalization as exporters write it before opset 17: (x - mean)/sqrt(mean((x - mean)²) + eps); else None.

    The means must be over all elements of an example.
    """
    centred, root = (ctx.node_of(n) for n in node.inputs[:2])
    if centred is None or root is None or centred.op != "Sub" or root.op != "Sqrt":
        return None
    sum_ = ctx.node_of(root.input_name(0))
    if sum_ is None or sum_.op != "Add":
        return None
    eps = next((s for n in sum_.inputs if (s := ctx.scalar(n)) is not None), None)
    variance = next((m for n in sum_.inputs if (m := ctx.node_of(n)) is not None and m.op == "ReduceMean"), None)
    mean = ctx.node_of(centred.input_name(1))
    if (
        eps is None
        or variance is None
        or mean is None
        or mean.op != "ReduceMean"
        or mean.input_name(0) != centred.input_name(0)
    ):
        return None
    square = ctx.node_of(variance.input_name(0))
    squared = square is not None and (
        (square.op == "Pow" and ctx.scalar(square.input_name(1)) == 2)
        or (square.op == "Mul" and len(set(square.inputs)) == 1)
    )
    if square is None or not squared or square.input_name(0) != centred.outputs[0]:
        return None
    x = ctx.layer_of(centred.input_name(0))
    every = tuple(range(1, x.rank + 2))
    for reduce in (mean, variance):
        if _axes(ctx, reduce, x.rank + 2) != every or reduce.get("keepdims", 1) != 1:
            return None
    layer = ctx.add(
        LayerNorm, x, {"scale": np.ones(x.type.channels), "shift": np.zeros(x.type.channels)}, eps=shortest_float(eps)
    )
    layer.lacks_scale_and_shift = True
    return layer


def normalizes_channels(ctx: Interpreter, node: OnnxNode) -> bool:
    """Whether a mean over the channels is subtracted from what it is the mean of, as layer normalization does."""
    mean, x = node.outputs[0], node.input_name(0)
    return any(reader.op == "Sub" and reader.inputs == (x, mean) for reader in ctx.model.readers.get(mean, ()))


def _axes(ctx: Interpreter, node: OnnxNode, count: int) -> tuple[int, ...] | None:
    """The sorted axes of a reduction over `count` axes; None where they are not given or not constant."""
    axes = node.get("axes")
    if axes is None and node.input_name(1):
        array = ctx.values[node.input_name(1)]
        axes = tuple(int(n) for n in array.ravel()) if isinstance(array, np.ndarray) else None
    return None if axes is None else tuple(sorted(a % count for a in axes))


@handles("LRN")
def _lrn(ctx: Interpreter, node: OnnxNode) -> Layer:
    alpha, beta, bias = (shortest_float(node.get(k, v)) for k, v in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    return ctx.add(LocalResponseNorm, ctx.layer(), size=node.get("size", 1), alpha=alpha, beta=beta, bias=bias)


def decomposed_lrn(ctx: Interpreter, node: OnnxNode) -> Layer | None:
    """Local response normalization, x/(bias + alpha/size·Σ x²)^beta, as cnnc exports it; else None.

    The sum over neighbouring channels is a product with a band matrix; see cnnc/onnx/emit/ops/norm.py.
    """
    power = ctx.node_of(node.input_name(1))
    if power is None or power.op != "Pow":
        return None
    beta, base = ctx.scalar(power.input_name(1)), ctx.node_of(power.input_name(0))
    if beta is None or base is None or base.op not in ("Conv", "Gemm") or len(base.inputs) != 3:
        return None
    squares = ctx.node_of(base.input_name(0))
    if squares is None or squares.op != "Mul" or set(squares.inputs) != {node.input_name(0)}:
        return None
    band, bias = ctx.values[base.input_name(1)], ctx.values[base.input_name(2)]
    if not isinstance(band, np.ndarray) or not isinstance(bias, np.ndarray):
        return None
    x = ctx.layer_of(node.input_name(0))
    channels = x.type.channels
    if (
        band.size != channels**2
        or len(set(bias.ravel().tolist())) != 1
        or (base.op == "Gemm" and not base.get("transB"))
    ):
        return None
    recognized = _band(band.reshape(channels, channels), even=x.rank == 2)
    if recognized is None:
        return None
    size, ratio = recognized
    return ctx.add(
        LocalResponseNorm,
        x,
        size=size,
        alpha=shortest_float(ratio * size),
        beta=shortest_float(beta),
        bias=shortest_float(bias.ravel()[0]),
    )


def _band(matrix: Array, even: bool) -> tuple[int, float] | None:
    """The width of a band of equal numbers around the diagonal, and the number; None for other matrices.

    `even` tries even widths first, where an odd one gives the same matrix.
    """
    channels = len(matrix)
    distance = np.arange(channels) - np.arange(channels)[:, None]
    ratio = float(matrix[0, 0])
    for size in sorted(range(1, 2 * channels + 2), key=lambda n: (even and n % 2, n)):
        in_band = (distance >= -((size - 1) // 2)) & (distance <= size // 2)
        if np.array_equal(matrix, np.float32(in_band * ratio)):
            return size, ratio
    return None
