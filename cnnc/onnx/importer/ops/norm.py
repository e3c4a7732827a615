"""Layers that bring values to a common scale, as one operator or in pieces."""

from __future__ import annotations

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.parts import real, spread
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter, import_of
from cnnc.onnx.importer.recognize.values import Layer, Refusal, Value
from cnnc.ops.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm


@import_of("BatchNormalization")
def _batch_norm(c: Interpreter, step: Step) -> Layer:
    x = c.layer()
    if step.get("training_mode", 0) or step.get("is_test", 1) == 0:
        raise Refusal("it is in training")
    if not step.get("spatial", 1):
        raise Refusal("it has a scale for each place; bn has one for each channel")
    scale, shift, mean, var = (c.constant(i, n) for i, n in enumerate(("scale", "shift", "mean", "variance"), 1))
    eps = real(step.get("epsilon", 1e-5))
    if not (var + eps > 0).all():
        raise Refusal("its variance is not above 0")
    momentum = real(step.get("momentum", 0.9))
    weights = {"scale": scale, "shift": shift, "mean": mean, "var": var}
    fresh = not mean.any() and bool((var == 1).all())
    if (scale == 1).all() and not shift.any() and not fresh:
        weights = {"mean": mean, "var": var}
    return c.add(
        BatchNorm,
        x,
        weights,
        step.inputs[1:5],
        eps=eps,
        momentum=min(max(momentum, 0.0), 1.0),
        affine="scale" in weights,
    )


@import_of("InstanceNormalization")
def _instance_norm(c: Interpreter, step: Step) -> Layer | Value:
    value = c.tensor()
    scale, shift = c.constant(1, "scale"), c.constant(2, "shift")
    eps = real(step.get("epsilon", 1e-5))
    root = value.root
    groups = value.shape[1] if len(value.shape) > 2 else 0
    grouped = value.moves and all(m.kind == "reshape" for m in value.moves) and value.shape[0] == c.batch
    if grouped and (scale == 1).all() and not shift.any() and groups and root.type.channels % groups == 0:
        layer = _over_groups(c, root, groups, eps)
        return Value(value.shape, layer, value.moves[-1:])
    layer = c.add(InstanceNorm, c.plain(value), {"scale": scale, "shift": shift}, step.inputs[1:3], eps=eps)
    layer.bare = bool((scale == 1).all()) and not shift.any()
    return layer


def _over_groups(c: Interpreter, x: Layer, groups: int, eps: float) -> Layer:
    """A norm over groups of channels whose scale and shift are still to come."""
    ones = {"scale": np.ones(x.type.channels), "shift": np.zeros(x.type.channels)}
    if groups == 1 and (x.rank or c.model.opset < 17):
        layer = c.add(LayerNorm, x, ones, eps=eps)
    else:
        layer = c.add(GroupNorm, x, ones, groups=groups, eps=eps)
    layer.bare = True
    return layer


@import_of("GroupNormalization")
def _group_norm(c: Interpreter, step: Step) -> Layer:
    x = c.layer()
    groups = step.get("num_groups", 1)
    weights = {"scale": c.constant(1, "scale"), "shift": c.constant(2, "shift")}
    if c.model.opset < 21:  # one of each a group
        weights = {n: np.repeat(a, x.type.channels // max(groups, 1)) for n, a in weights.items()}
    return c.add(GroupNorm, x, weights, step.inputs[1:3], groups=groups, eps=real(step.get("epsilon", 1e-5)))


@import_of("LayerNormalization")
def _layer_norm(c: Interpreter, step: Step) -> Layer:
    x = c.layer()
    axis = step.get("axis", -1) % (x.rank + 2)
    if axis != 1:
        raise Refusal("it works along the last axes; layer_norm is over all of a sample")
    scale = spread(c, c.constant(1, "scale"), x)
    shift = spread(c, c.constant(2, "shift"), x) if step.input(2) else np.zeros(1, np.float32)
    weights = {n: np.broadcast_to(a, (x.type.channels,)) for n, a in (("scale", scale), ("shift", shift))}
    keys = [n for n in step.inputs[1:3] if n]
    return c.add(LayerNorm, x, weights, keys, eps=real(step.get("epsilon", 1e-5)))


def layer_norm_in_pieces(c: Interpreter, step: Step) -> Layer | None:
    """(x - mean)/sqrt(mean((x - mean)²) + eps) over all of a sample, as exporters before opset 17 write it."""
    centred, root = (c.maker(n) for n in step.inputs[:2])
    if centred is None or root is None or centred.op != "Sub" or root.op != "Sqrt":
        return None
    sum_ = c.maker(root.input(0))
    if sum_ is None or sum_.op != "Add":
        return None
    eps = next((s for n in sum_.inputs if (s := c.scalar(n)) is not None), None)
    variance = next((m for n in sum_.inputs if (m := c.maker(n)) is not None and m.op == "ReduceMean"), None)
    mean = c.maker(centred.input(1))
    if eps is None or variance is None or mean is None or mean.op != "ReduceMean" or mean.input(0) != centred.input(0):
        return None
    square = c.maker(variance.input(0))
    squared = square is not None and (
        (square.op == "Pow" and c.scalar(square.input(1)) == 2) or (square.op == "Mul" and len(set(square.inputs)) == 1)
    )
    if square is None or not squared or square.input(0) != centred.outputs[0]:
        return None
    x = c.layer_named(centred.input(0))
    every = tuple(range(1, x.rank + 2))
    for reduce in (mean, variance):
        if _axes(c, reduce, x.rank + 2) != every or not reduce.get("keepdims", 1):
            return None
    layer = c.add(LayerNorm, x, {"scale": np.ones(x.type.channels), "shift": np.zeros(x.type.channels)}, eps=real(eps))
    layer.bare = True
    return layer


def _axes(c: Interpreter, step: Step, count: int) -> tuple[int, ...] | None:
    found = step.get("axes")
    if found is None and step.input(1):
        array = c.values[step.input(1)]
        found = tuple(int(n) for n in array.ravel()) if isinstance(array, np.ndarray) else None
    return None if found is None else tuple(sorted(a % count for a in found))


@import_of("LRN")
def _lrn(c: Interpreter, step: Step) -> Layer:
    alpha, beta, bias = (real(step.get(k, v)) for k, v in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    return c.add(LocalResponseNorm, c.layer(), size=step.get("size", 1), alpha=alpha, beta=beta, bias=bias)


def lrn_in_pieces(c: Interpreter, step: Step) -> Layer | None:
    """x/(bias + alpha/size·Σ x²)^beta, the sum a product with a matrix that has a band (see export)."""
    power = c.maker(step.input(1))
    if power is None or power.op != "Pow":
        return None
    beta, base = c.scalar(power.input(1)), c.maker(power.input(0))
    if beta is None or base is None or base.op not in ("Conv", "Gemm") or len(base.inputs) != 3:
        return None
    squares = c.maker(base.input(0))
    if squares is None or squares.op != "Mul" or set(squares.inputs) != {step.input(0)}:
        return None
    band, bias = c.values[base.input(1)], c.values[base.input(2)]
    if not isinstance(band, np.ndarray) or not isinstance(bias, np.ndarray):
        return None
    x = c.layer_named(step.input(0))
    channels = x.type.channels
    if (
        band.size != channels**2
        or len(set(bias.ravel().tolist())) != 1
        or (base.op == "Gemm" and not base.get("transB"))
    ):
        return None
    found = _band(band.reshape(channels, channels), even=x.rank == 2)
    if found is None:
        return None
    size, ratio = found
    return c.add(LocalResponseNorm, x, size=size, alpha=real(ratio * size), beta=real(beta), bias=real(bias.ravel()[0]))


def _band(matrix: Array, even: bool) -> tuple[int, float] | None:
    """The width of a band of equal numbers around the diagonal, and the number; `even` widths are looked at first."""
    channels = len(matrix)
    distance = np.arange(channels) - np.arange(channels)[:, None]
    ratio = float(matrix[0, 0])
    for size in sorted(range(1, 2 * channels + 2), key=lambda n: (even and n % 2, n)):
        seen = (distance >= -((size - 1) // 2)) & (distance <= size // 2)
        if np.array_equal(matrix, np.float32(seen * ratio)):
            return size, ratio
    return None
