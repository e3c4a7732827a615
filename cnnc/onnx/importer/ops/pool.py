"""Pooling, and the ways back to a larger image."""

from __future__ import annotations

from math import prod

import numpy as np

from cnnc.core.arguments import Word
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.dense import bilinear
from cnnc.onnx.importer.ops.parts import Padded, near, padded_input, padding, real, window_arguments
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter, Made, import_of
from cnnc.onnx.importer.recognize.values import Layer, Move, Refusal, Value
from cnnc.ops.activation import Scale
from cnnc.ops.base import ShapeError
from cnnc.ops.pool import GlobalPool, Pool, Unpool, Upsample

MAX_FACTOR = 4096  # of an upsample


@import_of("MaxPool", "AveragePool", "LpPool")
def _pool(c: Interpreter, step: Step) -> Layer:
    border = -np.inf if step.op == "MaxPool" else 0.0
    around = padded_input(c, border)
    if around is not None:
        try:
            return _windows(c, step, around)
        except (Refusal, ShapeError):
            pass
    return _windows(c, step, None)


def _windows(c: Interpreter, step: Step, around: Padded | None) -> Layer:
    x = around.layer if around is not None else c.layer()
    kernel = step.get("kernel_shape", ())
    w = window_arguments(c, x, step, kernel)
    p = w.p
    kind = {"MaxPool": "max", "AveragePool": "avg", "LpPool": "l2"}[step.op]
    norm: int | None = None
    counted = step.op == "AveragePool" and bool(step.get("count_include_pad", 0)) and p != 0
    if around is not None:
        if w.pads is None or any(sum(pair) for pair in w.pads):
            raise Refusal("it is padded twice")
        p = padding(around.pads, x.type.spatial, w.k, w.s, w.d)
        counted = kind == "avg"
    if kind == "l2" and step.get("p", 2) != 2:
        kind, norm = "lp", step.get("p", 2)
    if kind == "max" and step.get("storage_order", 0) and len(step.outputs) > 1:
        raise Refusal("its indices count columns first")
    s = None if w.s == w.k else w.s
    ceil = bool(step.get("ceil_mode", 0))
    return c.add(Pool, x, kind=Word(kind), k=w.k, s=s, p=p, d=w.d, ceil=ceil, count_pad=counted, norm=norm)


def lp_in_pieces(c: Interpreter, step: Step, root: float | None) -> Layer | None:
    """(Σ |x|^p)^(1/p) over a window, the sum a convolution with ones (see export)."""
    total = c.maker(step.input(0))
    if not root or total is None or total.op != "Conv" or len(total.inputs) != 2:
        return None
    order, ones, power = round(1 / root), c.values[total.input(1)], c.maker(total.input(0))
    if not near(1 / root, order) or not isinstance(ones, np.ndarray) or not (ones == 1).all() or power is None:
        return None
    size = c.maker(power.input(0))
    if power.op != "Pow" or c.scalar(power.input(1)) != order or size is None or size.op != "Abs":
        return None
    inner = c.layer_named(size.input(0))
    if ones.shape[:2] != (inner.type.channels, 1) or total.get("group", 1) != inner.type.channels:
        return None
    w = window_arguments(c, inner, total, ones.shape[2:])
    kind, norm = ("l2", None) if order == 2 else ("lp", order)
    return c.add(Pool, inner, kind=Word(kind), k=w.k, s=w.s, d=w.d, p=w.p, norm=norm)


@import_of("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(c: Interpreter, step: Step) -> Layer:
    if step.op == "GlobalLpPool" and step.get("p", 2) != 2:
        raise Refusal("its exponent is not 2")
    kind = {"GlobalAveragePool": "avg", "GlobalMaxPool": "max", "GlobalLpPool": "l2"}[step.op]
    return c.add(GlobalPool, c.layer(), kind=Word(kind))


@import_of("ReduceMean", "ReduceMax", "ReduceL2", "ReduceSum")
def _reduce(c: Interpreter, step: Step) -> Made:
    axes = c.integers(1, "axes")
    keep = bool(step.get("keepdims", 1))
    if step.op == "ReduceSum":
        found = bilinear(c, step, axes or (), keep)
        if found is not None:
            return found
    value = c.tensor()
    count = len(value.shape)
    if axes is None and step.get("noop_with_empty_axes", 0):
        return value
    wanted = tuple(sorted(a % count for a in axes)) if axes else tuple(range(count))
    if wanted != tuple(range(2, count)) or count < 3:
        raise Refusal(f"it works along axes {', '.join(map(str, wanted))}; global_pool is over all places of a channel")
    x = c.plain(value)
    kind = {"ReduceMean": "avg", "ReduceMax": "max", "ReduceL2": "l2", "ReduceSum": "avg"}[step.op]
    made = c.add(GlobalPool, x, kind=Word(kind))
    if step.op == "ReduceSum":
        made = c.add(Scale, made, factor=real(prod(x.type.spatial)))
    if keep:
        return made
    shape = (c.batch, x.type.channels)
    return c.moved(c.value(made), Move("reshape", shape), shape)


# --- larger images -----------------------------------------------------------------------------------------


@import_of("MaxUnpool")
def _max_unpool(c: Interpreter, step: Step) -> Layer:
    return unpool(c, c.layer(), step.input(1), step.input(2))


def unpool(c: Interpreter, values: Layer, indices: str, shape: str = "", adds: bool = False) -> Layer:
    """The unpool of the max pool that made these indices; `adds` says that values which meet at one place add up."""
    maker = c.maker(indices)
    if maker is None or maker.op != "MaxPool" or list(maker.outputs).index(indices) != 1:
        raise Refusal("its indices are not those of a max pool")
    pool = c.layer_named(maker.outputs[0])
    assert isinstance(pool.op, Pool)
    if pool.op.overlaps and not adds:
        raise Refusal("windows overlap, and of values that meet at one place it keeps one; unpool adds them")
    if shape:
        wanted = c.values[shape]
        if not isinstance(wanted, np.ndarray) or tuple(wanted.ravel()[1:]) != pool.inputs[0].shape:
            raise Refusal("its size is not that of what the max pool read")
    return c.add_op(Unpool("", pool.op), (values, pool.inputs[0]), names={"of": pool})


def unpool_in_pieces(c: Interpreter, step: Step) -> tuple[Layer, bool] | None:
    """Values scattered into zeros at a max pool's indices, and brought back to an image (see export).

    Also whether the pool read a padded image, so that the middle of the result is still to be cut out.
    """
    scatter = c.maker(step.input(0))
    if scatter is None or scatter.op != "ScatterElements" or scatter.get("reduction", "none") not in ("none", "add"):
        return None
    zeros, places, updates = (c.maker(n) for n in scatter.inputs)
    if zeros is None or places is None or updates is None or (places.op, updates.op) != ("Reshape", "Reshape"):
        return None
    fill = zeros.get("value")
    pool, size = c.maker(places.input(0)), c.maker(step.input(1))
    if zeros.op != "ConstantOfShape" or (fill is not None and np.any(fill)) or pool is None or size is None:
        return None
    if pool.op != "MaxPool" or size.op != "Shape" or size.input(0) != pool.input(0):
        return None
    adds = scatter.get("reduction", "none") == "add"
    layer = unpool(c, c.layer_named(updates.input(0)), places.input(0), adds=adds)
    return layer, layer.inputs[1] is not _origin(c, pool)


def _origin(c: Interpreter, pool: Step) -> Layer | None:
    value = c.values[pool.input(0)]
    return value.layer if isinstance(value, Value) else None


@import_of("Resize", "Upsample")
def _resize(c: Interpreter, step: Step) -> Layer | Value:
    value = c.tensor()
    x = c.plain(value)
    factors = _factors(c, step, x)
    if all(n == 1 for n in factors):
        return value
    mode = step.get("mode", "nearest")
    old = step.op == "Upsample" or c.model.opset < 11
    place = "asymmetric" if old else step.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else step.get("nearest_mode", "round_prefer_floor")
    if mode == "nearest":
        for m, n in zip(x.type.spatial, factors, strict=True):
            if not _repeats(m, n, place, rounding):
                raise Refusal(f"it takes the nearest element by {place} and {rounding}; upsample repeats each one")
        return c.add(Upsample, x, n=factors)
    if mode != "linear":
        raise Refusal(f"its mode is {mode}; upsample has nearest and linear")
    if place not in ("half_pixel", "pytorch_half_pixel") or (place == "pytorch_half_pixel" and 1 in x.type.spatial):
        raise Refusal(f"it interpolates by {place}; upsample by half_pixel")
    return c.add(Upsample, x, n=factors, mode=Word("bilinear"))


def _factors(c: Interpreter, step: Step, x: Layer) -> tuple[int, ...]:
    """The factor of each spatial axis. Raises Refusal where one is not whole."""
    full = (c.batch, *x.shape)
    scales: Array | None = None
    if "scales" in step.attributes:
        scales = np.asarray(step.get("scales"))
    else:
        place = 1 if step.op == "Upsample" or c.model.opset < 11 else 2
        scales = c.optional(place, "scales")
    which = [a % len(full) for a in step.get("axes", range(len(full)))]
    found = np.ones(len(full))
    if scales is not None and scales.size:
        if scales.size != len(which):
            raise Refusal("its scales are not one an axis")
        found[which] = scales.ravel()
    else:
        sizes = c.constant(3, "size")
        if sizes.size != len(which) or step.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise Refusal("its sizes are not one an axis")
        found[which] = [n / full[a] for n, a in zip(sizes.ravel(), which, strict=True)]
    whole = [round(float(n)) if np.isfinite(n) else 0 for n in found]
    if any(abs(n - f) > 1e-6 or not 1 <= n <= MAX_FACTOR for n, f in zip(whole, found, strict=True)) or whole[:2] != [
        1,
        1,
    ]:
        raise Refusal("it scales by what is no whole number, or other axes than the spatial ones")
    return tuple(whole[2:])


def _repeats(m: int, n: int, place: str, rounding: str) -> bool:
    """Whether nearest interpolation by these rules repeats each of m elements n times (ONNX Resize)."""
    m = min(m, 4096 // n + 2)  # beyond it all goes on as before
    i = np.arange(m * n)
    if place == "asymmetric":
        x = i / n
    elif place in ("half_pixel", "half_pixel_symmetric") or (place == "pytorch_half_pixel" and m * n > 1):
        x = (i + 0.5) / n - 0.5
    elif place == "align_corners" and m * n > 1:
        x = i * (m - 1) / (m * n - 1)
    else:
        return m * n == 1
    shifts = {"floor": 0.0, "ceil": 0.0, "round_prefer_floor": -0.5, "round_prefer_ceil": 0.5}
    if rounding not in shifts:
        return False
    shifted = x + shifts[rounding]
    nearest = np.floor(shifted) if rounding in ("floor", "round_prefer_ceil") else np.ceil(shifted)
    return bool((np.clip(nearest, 0, m - 1) == i // n).all())
