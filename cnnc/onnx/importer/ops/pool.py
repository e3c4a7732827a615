"""Pooling, unpooling and upsampling."""

from __future__ import annotations

from math import prod

import numpy as np

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.constants import is_close, shortest_float
from cnnc.onnx.importer.ops.dense import bilinear
from cnnc.onnx.importer.ops.norm import LAYER_NORM_OF_CHANNELS, USE_GROUP_NORM, normalizes_channels
from cnnc.onnx.importer.ops.padding import PaddedLayer, padded_input, padding_argument, window_arguments
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import MAX_AXES, MAX_AXIS_SIZE, HandlerResult, Interpreter, handles
from cnnc.onnx.importer.recognize.values import Layer, LayerOutput, Rearrangement, Unsupported
from cnnc.ops.activation import Scale
from cnnc.ops.base import ShapeError
from cnnc.ops.pool import GlobalPool, Pool, Unpool, Upsample
from cnnc.ops.reshape import Crop, Select

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
    keep = node.get("keepdims", 1) == 1
    if node.op == "ReduceSum":
        layer = bilinear(ctx, node, axes or (), keep)
        if layer is not None:
            return layer
    if axes is None and node.get("noop_with_empty_axes", 0):
        return ctx.tensor()
    value, reduced, kept = _reduced_axes(ctx, node)
    count = len(value.shape)
    if reduced == [1] and normalizes_channels(ctx, node):
        raise Unsupported(LAYER_NORM_OF_CHANNELS, USE_GROUP_NORM)
    if not reduced or reduced[0] < 2 or count < 3:
        axes_text = ", ".join(map(str, reduced))
        raise Unsupported(
            f"it reduces the axes {axes_text}; layers reduce spatial axes, which are those from axis 2 on"
        )
    x = ctx.as_layer(value)
    pooled = _pooled(ctx, x, node.op, [axis - 2 for axis in reduced])
    shape = tuple(n for axis, n in enumerate((ctx.batch, *pooled.shape)) if axis not in reduced or axis in kept)
    return ctx.rearranged(ctx.output_of(pooled), Rearrangement("reshape", shape), shape)


def _reduced_axes(ctx: Interpreter, node: OnnxNode) -> tuple[LayerOutput, list[int], set[int]]:
    """What a reduction reads, the axes that it reduces, and those of them that stay with a size of 1.

    A mean of a mean is one mean over the axes of both, and so for the other reductions, if nothing else reads the first.
    """
    chain = [node]
    while True:
        before = ctx.node_of(chain[0].input_name(0))
        if before is None or before.op != node.op or before.domain or not ctx.used_once(before.outputs[0]):
            break
        if len(chain) == MAX_AXES:
            break
        chain.insert(0, before)
    value = ctx.value_of(chain[0].input_name(0))
    if not isinstance(value, LayerOutput):
        raise Unsupported("its input is a constant; a layer reads the output of another layer")
    left, reduced, kept = list(range(len(value.shape))), set(), set()
    for step in chain:
        axes = _axes(ctx, step)
        positions = sorted(a % len(left) for a in axes) if axes else list(range(len(left)))
        here = [left[position] for position in positions]
        reduced.update(here)
        if step.get("keepdims", 1) == 1:
            kept.update(here)
        else:
            left = [axis for axis in left if axis not in here]
            kept.difference_update(here)
    return value, sorted(reduced), kept


def _axes(ctx: Interpreter, node: OnnxNode) -> tuple[int, ...]:
    """The axes of a reduction, () where they are left out. Raises Unsupported where they are computed."""
    axes = node.get("axes")
    if axes is not None or not node.input_name(1):
        return tuple(axes or ())
    array = ctx.values[node.input_name(1)]
    if not isinstance(array, np.ndarray):
        raise Unsupported("its axes is not a constant")
    return tuple(int(n) for n in array.ravel())


def _pooled(ctx: Interpreter, x: Layer, op: str, axes: list[int]) -> Layer:
    """A pool over whole spatial axes: global_pool over all of them, else windows as large as the axes."""
    kind = WordValue({"ReduceMean": "avg", "ReduceMax": "max", "ReduceL2": "l2", "ReduceSum": "avg"}[op])
    if len(axes) == x.rank:
        pooled = ctx.add(GlobalPool, x, kind=kind)
    else:
        windows = tuple(m if axis in axes else 1 for axis, m in enumerate(x.type.spatial))
        pooled = ctx.add(Pool, x, kind=kind, k=windows, s=None)
    if op == "ReduceSum":
        pooled = ctx.add(Scale, pooled, factor=shortest_float(prod(x.type.spatial[axis] for axis in axes)))
    return pooled


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
    mode = node.get("mode", "nearest")
    old = node.op == "Upsample" or ctx.model.opset < 11
    coordinates = "asymmetric" if old else node.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else node.get("nearest_mode", "round_prefer_floor")
    if mode == "nearest":
        return _nearest(ctx, value, x, factors, coordinates, rounding)
    if all(n == 1 for n in factors):
        return value
    if mode != "linear":
        raise Unsupported(f"its mode is {mode}; upsample is nearest or bilinear")
    if any(n % 1 for n in factors):
        raise _uneven(ctx, x, factors, "upsample mode=bilinear takes whole factors")
    if coordinates not in ("half_pixel", "pytorch_half_pixel") or (
        coordinates == "pytorch_half_pixel" and 1 in x.type.spatial
    ):
        raise Unsupported(f"it interpolates by {coordinates}; upsample uses half_pixel")
    return ctx.add(Upsample, x, n=tuple(int(n) for n in factors), mode=WordValue("bilinear"))


def _nearest(
    ctx: Interpreter, value: LayerOutput, x: Layer, factors: tuple[float, ...], coordinates: str, rounding: str
) -> Layer | LayerOutput:
    """Nearest interpolation: upsample, with a crop behind it for a factor that is not whole, or a select on each axis."""
    sources = [_sources(m, n, coordinates, rounding) for m, n in zip(x.type.spatial, factors, strict=True)]
    if any(source is None or not source.size for source in sources):
        raise Unsupported(f"it interpolates by {coordinates} and {rounding}, which no layer does")
    sizes = tuple(len(source) for source in sources if source is not None)
    repeats = tuple(-(-size // m) for size, m in zip(sizes, x.type.spatial, strict=True))
    offsets = [_offset(source, n) for source, n in zip(sources, repeats, strict=True) if source is not None]
    cropped = tuple(m * n for m, n in zip(x.type.spatial, repeats, strict=True)) != sizes
    if any(n % 1 for n in factors) and ctx.sizes:
        raise _uneven(ctx, x, factors, "upsample takes whole factors while a size is open")
    if None not in offsets:
        layer = x if max(repeats) == 1 else ctx.add(Upsample, x, n=repeats)
        if cropped:
            return ctx.add(Crop, layer, size=sizes, offset=tuple(offsets) if any(offsets) else (0,) * x.rank)
        return value if layer is x else layer
    if ctx.sizes:
        raise Unsupported(
            f"nearest with {coordinates} and {rounding} is not a repetition of each element, as upsample does"
        )
    layer = x
    for axis, source in enumerate(sources, 1):
        if source is not None and not np.array_equal(source, np.arange(x.shape[axis])):
            layer = ctx.add(Select, layer, indices=tuple(source.tolist()), axis=axis)
    return layer


def _uneven(ctx: Interpreter, x: Layer, factors: tuple[float, ...], reason: str) -> Unsupported:
    """The reason for a factor that is not whole, which with open sizes may be whole at other sizes."""
    sizes = "x".join(f"{round(m * n)}" for m, n in zip(x.type.spatial, factors, strict=True))
    names = ",".join(f"{name}={size}" for name, size in ctx.sizes.items())
    return Unsupported(
        f"it resizes {'x'.join(map(str, x.type.spatial))} to {sizes}, and {reason}",
        f"fix the sizes of the model, for example --at {names}" if names else "",
        at_this_size=bool(names),
    )


def _factors(ctx: Interpreter, node: OnnxNode, x: Layer) -> tuple[float, ...]:
    """The factor of each spatial axis, exactly a whole number where it is one up to rounding. Raises Unsupported."""
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
        if factors[0] != 1:
            help = (
                f"export the model with a fixed batch size of {int(sizes.ravel()[0])}, or compute the size from a Shape"
            )
            raise Unsupported("its size fixes the batch size, which the model leaves open", help)
    exact = [round(n) if np.isfinite(n) and abs(n - round(n)) <= 1e-6 else n for n in factors.tolist()]
    if not all(0 < n <= MAX_FACTOR for n in exact) or exact[:2] != [1, 1]:
        raise Unsupported(f"its scales are not between 0 and {MAX_FACTOR:,}, or not on the spatial axes alone")
    return tuple(exact[2:])


def _offset(source: Array, n: int) -> int | None:
    """The offset at which the source elements are those of a repetition, n times each; None where they are not."""
    ahead = int(source[0]) * n + n - int(np.count_nonzero(source == source[0]))
    return ahead if np.array_equal(source, (np.arange(len(source)) + ahead) // n) else None


def _sources(m: int, factor: float, coordinates: str, rounding: str) -> Array | None:
    """For each output element of nearest interpolation, the input element that it repeats; None for other formulas.

    Formulas: operator Resize of the ONNX specification, in float32 as onnxruntime computes them.
    """
    size = int(m * factor + 1e-6)
    if size > MAX_AXIS_SIZE:
        raise Unsupported("its output is larger than the largest tensor of cnnc")
    i, n = np.arange(size, dtype=np.float32), np.float32(factor)
    if coordinates == "asymmetric":
        x = i / n
    elif coordinates in ("half_pixel", "half_pixel_symmetric") or (coordinates == "pytorch_half_pixel" and size > 1):
        x = (i + np.float32(0.5)) / n - np.float32(0.5)
    elif coordinates == "align_corners" and size > 1:
        x = i * np.float32(m - 1) / np.float32(size - 1)
    elif size == 1:
        x = i
    else:
        return None
    if coordinates == "half_pixel_symmetric" and factor % 1:
        return None
    shifts = {"floor": 0.0, "ceil": 0.0, "round_prefer_floor": -0.5, "round_prefer_ceil": 0.5}
    if rounding not in shifts:
        return None
    shifted = x + np.float32(shifts[rounding])
    nearest = np.floor(shifted) if rounding in ("floor", "round_prefer_ceil") else np.ceil(shifted)
    source: Array = np.clip(nearest, 0, m - 1).astype(np.int64)
    return source
