"""Pooling, unpooling and upsampling."""

from __future__ import annotations

from math import prod

import numpy as np

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.constants import is_close, shortest_float
from cnnc.onnx.importer.ops.dense import bilinear
from cnnc.onnx.importer.ops.padding import PaddedLayer, padded_input, padding_argument, window_arguments
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import HandlerResult, Interpreter, handles
from cnnc.onnx.importer.recognize.values import Layer, LayerOutput, Rearrangement, Unsupported
from cnnc.ops.activation import Scale
from cnnc.ops.base import ShapeError
from cnnc.ops.pool import GlobalPool, Pool, Unpool, Upsample

MAX_FACTOR = 4096  # of an upsample, per axis


@handles("MaxPool", "AveragePool", "LpPool")
def _pool(ctx: Interpreter, node: OnnxNode) -> Layer:
    pad_value = -np.inf if node.op == "MaxPool" else 0.0
    padded = padded_input(ctx, pad_value)
    if padded is not None:
        try:
            return _windows(ctx, node, padded)
        except (Unsupported, ShapeError):
            pass
    return _windows(ctx, node, None)


def _windows(ctx: Interpreter, node: OnnxNode, padded: PaddedLayer | None) -> Layer:
    x = padded.layer if padded is not None else ctx.layer()
    kernel = node.get("kernel_shape", ())
    window = window_arguments(x, node, kernel)
    p = window.p
    kind = {"MaxPool": "max", "AveragePool": "avg", "LpPool": "l2"}[node.op]
    norm: int | None = None
    counted = node.op == "AveragePool" and bool(node.get("count_include_pad", 0)) and p != 0
    if padded is not None:
        if window.pads is None or any(sum(pair) for pair in window.pads):
            raise Unsupported("it pads, and so does the Pad before it")
        p = padding_argument(padded.pads, x.type.spatial, window.k, window.s, window.d)
        counted = kind == "avg"
    if kind == "l2" and node.get("p", 2) != 2:
        kind, norm = "lp", node.get("p", 2)
    if kind == "max" and node.get("storage_order", 0) and len(node.outputs) > 1:
        raise Unsupported("its indices count in column-major order")
    s = None if window.s == window.k else window.s
    ceil = bool(node.get("ceil_mode", 0))
    return ctx.add(
        Pool, x, kind=WordValue(kind), k=window.k, s=s, p=p, d=window.d, ceil=ceil, count_pad=counted, norm=norm
    )


def decomposed_lp_pool(ctx: Interpreter, node: OnnxNode, root: float | None) -> Layer | None:
    """A pool by the p-norm, (Σ |x|^p)^(1/p), whose sum is a convolution with ones; else None.

    See cnnc/onnx/emit/ops/pool.py.
    """
    total = ctx.node_of(node.input_name(0))
    if not root or total is None or total.op != "Conv" or len(total.inputs) != 2:
        return None
    order, ones, power = round(1 / root), ctx.values[total.input_name(1)], ctx.node_of(total.input_name(0))
    if not is_close(1 / root, order) or not isinstance(ones, np.ndarray) or not (ones == 1).all() or power is None:
        return None
    size = ctx.node_of(power.input_name(0))
    if power.op != "Pow" or ctx.scalar(power.input_name(1)) != order or size is None or size.op != "Abs":
        return None
    inner = ctx.layer_of(size.input_name(0))
    if ones.shape[:2] != (inner.type.channels, 1) or total.get("group", 1) != inner.type.channels:
        return None
    window = window_arguments(inner, total, ones.shape[2:])
    kind, norm = ("l2", None) if order == 2 else ("lp", order)
    return ctx.add(Pool, inner, kind=WordValue(kind), k=window.k, s=window.s, d=window.d, p=window.p, norm=norm)


@handles("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(ctx: Interpreter, node: OnnxNode) -> Layer:
    if node.op == "GlobalLpPool" and node.get("p", 2) != 2:
        raise Unsupported("its exponent is not 2")
    kind = {"GlobalAveragePool": "avg", "GlobalMaxPool": "max", "GlobalLpPool": "l2"}[node.op]
    return ctx.add(GlobalPool, ctx.layer(), kind=WordValue(kind))


@handles("ReduceMean", "ReduceMax", "ReduceL2", "ReduceSum")
def _reduce(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    axes = ctx.integers(1, "axes")
    keep = bool(node.get("keepdims", 1))
    if node.op == "ReduceSum":
        layer = bilinear(ctx, node, axes or (), keep)
        if layer is not None:
            return layer
    value = ctx.tensor()
    count = len(value.shape)
    if axes is None and node.get("noop_with_empty_axes", 0):
        return value
    reduced = tuple(sorted(a % count for a in axes)) if axes else tuple(range(count))
    if reduced != tuple(range(2, count)) or count < 3:
        raise Unsupported(f"it reduces the axes {', '.join(map(str, reduced))}; global_pool reduces all spatial axes")
    x = ctx.as_layer(value)
    kind = {"ReduceMean": "avg", "ReduceMax": "max", "ReduceL2": "l2", "ReduceSum": "avg"}[node.op]
    pooled = ctx.add(GlobalPool, x, kind=WordValue(kind))
    if node.op == "ReduceSum":
        pooled = ctx.add(Scale, pooled, factor=shortest_float(prod(x.type.spatial)))
    if keep:
        return pooled
    shape = (ctx.batch, x.type.channels)
    return ctx.rearranged(ctx.output_of(pooled), Rearrangement("reshape", shape), shape)


# --- upsampling ---------------------------------------------------------------------------------------------


@handles("MaxUnpool")
def _max_unpool(ctx: Interpreter, node: OnnxNode) -> Layer:
    return unpool(ctx, ctx.layer(), node.input_name(1), node.input_name(2))


def unpool(ctx: Interpreter, values: Layer, indices: str, shape: str = "", adds: bool = False) -> Layer:
    """The unpool of the max pool whose second output is `indices`. Raises Unsupported.

    `shape` names the constant output shape, "" for none; `adds` says that elements scattered to the same position are
    added.
    """
    pool_node = ctx.node_of(indices)
    if pool_node is None or pool_node.op != "MaxPool" or list(pool_node.outputs).index(indices) != 1:
        raise Unsupported("its indices are not those of a max pool")
    pool = ctx.layer_of(pool_node.outputs[0])
    assert isinstance(pool.op, Pool)
    if pool.op.overlaps and not adds:
        raise Unsupported(
            "windows overlap, and it keeps one of several elements at the same position; unpool adds them"
        )
    if shape:
        output_shape = ctx.values[shape]
        if not isinstance(output_shape, np.ndarray) or tuple(output_shape.ravel()[1:]) != pool.inputs[0].shape:
            raise Unsupported("its output shape is not the input shape of the max pool")
    return ctx.add_op(Unpool("", pool.op), (values, pool.inputs[0]), layer_arguments={"of": pool})


def decomposed_unpool(ctx: Interpreter, node: OnnxNode) -> tuple[Layer, bool] | None:
    """An unpool exported as ScatterElements into zeros at a max pool's indices, and a Reshape; else None.

    Also returns whether the pool read a padded image, so that a Slice must follow that cuts out the image. See
    cnnc/onnx/emit/ops/pool.py.
    """
    scatter = ctx.node_of(node.input_name(0))
    if scatter is None or scatter.op != "ScatterElements" or scatter.get("reduction", "none") not in ("none", "add"):
        return None
    zeros, indices, updates = (ctx.node_of(n) for n in scatter.inputs)
    if zeros is None or indices is None or updates is None or (indices.op, updates.op) != ("Reshape", "Reshape"):
        return None
    fill = zeros.get("value")
    pool, size = ctx.node_of(indices.input_name(0)), ctx.node_of(node.input_name(1))
    if zeros.op != "ConstantOfShape" or (fill is not None and np.any(fill)) or pool is None or size is None:
        return None
    if pool.op != "MaxPool" or size.op != "Shape" or size.input_name(0) != pool.input_name(0):
        return None
    adds = scatter.get("reduction", "none") == "add"
    layer = unpool(ctx, ctx.layer_of(updates.input_name(0)), indices.input_name(0), adds=adds)
    return layer, layer.inputs[1] is not _pool_input(ctx, pool)


def _pool_input(ctx: Interpreter, pool: OnnxNode) -> Layer | None:
    value = ctx.values[pool.input_name(0)]
    return value.layer if isinstance(value, LayerOutput) else None


@handles("Resize", "Upsample")
def _resize(ctx: Interpreter, node: OnnxNode) -> Layer | LayerOutput:
    value = ctx.tensor()
    x = ctx.as_layer(value)
    factors = _factors(ctx, node, x)
    if all(n == 1 for n in factors):
        return value
    mode = node.get("mode", "nearest")
    old = node.op == "Upsample" or ctx.model.opset < 11
    coordinates = "asymmetric" if old else node.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else node.get("nearest_mode", "round_prefer_floor")
    if mode == "nearest":
        for m, n in zip(x.type.spatial, factors, strict=True):
            if not _repeats(m, n, coordinates, rounding):
                raise Unsupported(
                    f"nearest with {coordinates} and {rounding} is not a repetition of each element, as upsample does"
                )
        return ctx.add(Upsample, x, n=factors)
    if mode != "linear":
        raise Unsupported(f"its mode is {mode}; upsample is nearest or bilinear")
    if coordinates not in ("half_pixel", "pytorch_half_pixel") or (
        coordinates == "pytorch_half_pixel" and 1 in x.type.spatial
    ):
        raise Unsupported(f"it interpolates by {coordinates}; upsample uses half_pixel")
    return ctx.add(Upsample, x, n=factors, mode=WordValue("bilinear"))


def _factors(ctx: Interpreter, node: OnnxNode, x: Layer) -> tuple[int, ...]:
    """The factor of each spatial axis. Raises Unsupported where one is not a whole number."""
    full = (ctx.batch, *x.shape)
    scales: Array | None = None
    if "scales" in node.attributes:
        scales = np.asarray(node.get("scales"))
    else:
        position = 1 if node.op == "Upsample" or ctx.model.opset < 11 else 2
        scales = ctx.optional_constant(position, "scales")
    scaled_axes = [a % len(full) for a in node.get("axes", range(len(full)))]
    factors = np.ones(len(full))
    if scales is not None and scales.size:
        if scales.size != len(scaled_axes):
            raise Unsupported("it does not have one scale per axis")
        factors[scaled_axes] = scales.ravel()
    else:
        sizes = ctx.constant(3, "size")
        if sizes.size != len(scaled_axes) or node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise Unsupported("it does not have one size per axis")
        factors[scaled_axes] = [n / full[a] for n, a in zip(sizes.ravel(), scaled_axes, strict=True)]
    rounded = [round(float(n)) if np.isfinite(n) else 0 for n in factors]
    whole_numbers = all(abs(n - f) <= 1e-6 for n, f in zip(rounded, factors, strict=True))
    if not whole_numbers or not all(1 <= n <= MAX_FACTOR for n in rounded) or rounded[:2] != [1, 1]:
        raise Unsupported(f"its scales are not whole numbers up to {MAX_FACTOR:,}, or not on the spatial axes alone")
    return tuple(rounded[2:])


def _repeats(m: int, n: int, coordinates: str, rounding: str) -> bool:
    """Whether nearest interpolation repeats each of m elements n times.

    Formulas: operator Resize of the ONNX specification.
    """
    m = min(m, 4096 // n + 2)  # more elements repeat the pattern
    i = np.arange(m * n)
    if coordinates == "asymmetric":
        x = i / n
    elif coordinates in ("half_pixel", "half_pixel_symmetric") or (coordinates == "pytorch_half_pixel" and m * n > 1):
        x = (i + 0.5) / n - 0.5
    elif coordinates == "align_corners" and m * n > 1:
        x = i * (m - 1) / (m * n - 1)
    else:
        return m * n == 1
    shifts = {"floor": 0.0, "ceil": 0.0, "round_prefer_floor": -0.5, "round_prefer_ceil": 0.5}
    if rounding not in shifts:
        return False
    shifted = x + shifts[rounding]
    nearest = np.floor(shifted) if rounding in ("floor", "round_prefer_ceil") else np.ceil(shifted)
    return bool((np.clip(nearest, 0, m - 1) == i // n).all())
