"""Operators that move elements: reshapes, transposes, slices, selections, padding, depth and space."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cnnc.onnx.importer.ops.constants import shortest_float
from cnnc.onnx.importer.ops.padding import pads_per_axis
from cnnc.onnx.importer.ops.pool import decomposed_unpool
from cnnc.onnx.importer.ops.spectrogram import decomposed_spectrogram
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import HandlerResult, Interpreter, handles
from cnnc.onnx.importer.recognize.rearrange import (
    crd_to_dcr_order,
    dcr_to_crd_order,
    shuffle_or_select,
    without_detours,
)
from cnnc.onnx.importer.recognize.values import Layer, LayerOutput, Rearrangement, Unsupported
from cnnc.ops.pool import Pool
from cnnc.ops.reshape import Crop, DepthToSpace, Pad, Select, Slice, SpaceToDepth
from cnnc.ops.sequence import Embed

MAX_SELECTED = 65_536  # indices of a select, which are written into the source


def _reshaped(ctx: Interpreter, value: LayerOutput, shape: tuple[int, ...]) -> LayerOutput:
    return ctx.rearranged(value, Rearrangement("reshape", shape), shape)


@handles("Flatten")
def _flatten(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    value = ctx.tensor()
    axis = node.get("axis", 1)
    axis += len(value.shape) * (axis < 0)
    return _reshaped(ctx, value, (prod(value.shape[:axis]), prod(value.shape[axis:])))


@handles("Reshape")
def _reshape(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    unpooled = decomposed_unpool(ctx, node)
    if unpooled is not None and not unpooled[1]:
        return unpooled[0]
    spectrogram = decomposed_spectrogram(ctx, node)
    if spectrogram is not None:
        return spectrogram
    value = ctx.tensor()
    target = list(ctx.integers(1, "shape") or ())
    if not node.get("allowzero", 0):
        target = [value.shape[i] if n == 0 and i < len(value.shape) else n for i, n in enumerate(target)]
    total = prod(value.shape)
    if target.count(-1) == 1:
        rest = prod(n for n in target if n != -1)
        target = [total // max(rest, 1) if n == -1 else n for n in target]
    if min(target, default=0) < 1 or prod(target) != total:
        raise Unsupported("its target shape does not have as many elements as its input")
    # a target shape with -1, or with a number for the batch, is how exporters write a flatten
    requested = ctx.integers(1, "shape") or (0,)
    flatten = -1 in requested or requested[0] != 0 or node.input_name(1) in ctx.model.node_by_output
    shape = tuple(target)
    return ctx.rearranged(value, Rearrangement("reshape", shape), shape, flatten)


@handles("Squeeze")
def _squeeze(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    value = ctx.tensor()
    axes = ctx.integers(1, "axes")
    count = len(value.shape)
    removed = [a % count for a in axes] if axes else [a for a, n in enumerate(value.shape) if n == 1]
    if any(value.shape[a] != 1 for a in removed):
        raise Unsupported("it removes an axis of more than one element")
    return _reshaped(ctx, value, tuple(n for a, n in enumerate(value.shape) if a not in removed))


@handles("Unsqueeze")
def _unsqueeze(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    value = ctx.tensor()
    axes = ctx.integers(1, "axes") or ()
    count = len(value.shape) + len(axes)
    new = sorted(a % count for a in axes)
    shape = list(value.shape)
    for axis in new:
        shape.insert(axis, 1)
    return _reshaped(ctx, value, tuple(shape))


@handles("Transpose")
def _transpose(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    value = ctx.tensor()
    count = len(value.shape)
    axes = tuple(node.get("perm", tuple(range(count))[::-1]))
    if sorted(axes) != list(range(count)):
        raise Unsupported("its permutation does not fit the axes of its input")
    if axes == tuple(range(count)):
        return value
    steps = (*value.rearrangements, Rearrangement("transpose", axes))
    rearrangements = without_detours((ctx.batch, *value.root.shape), steps)
    shape = tuple(value.shape[a] for a in axes)
    if all(m.kind == "transpose" for m in rearrangements):  # two transposes may cancel
        order = list(range(count))
        for move in rearrangements:
            order = [order[a] for a in move.axes]
        if order == list(range(count)):
            return ctx.output_of(value.root)
    return LayerOutput(shape, value.root, rearrangements)


# --- slices and selections ----------------------------------------------------------------------------------------------


@handles("Slice")
def _slice(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    scattered = ctx.node_of(node.input_name(0))
    unpooled = decomposed_unpool(ctx, scattered) if scattered is not None and scattered.op == "Reshape" else None
    if unpooled is not None and unpooled[1]:
        return _unpool_center(ctx, unpooled[0])
    value = ctx.tensor()
    starts, ends = ctx.integers(1, "starts") or (), ctx.integers(2, "ends") or ()
    axes = ctx.integers(3, "axes") or tuple(range(len(starts)))
    steps = (ctx.integers(4, "steps") if node.op == "Slice" else None) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Unsupported("its starts, ends, axes and steps do not fit together")
    count = len(value.shape)
    cuts = {a % count: (s, e, by) for s, e, a, by in zip(starts, ends, axes, steps, strict=True)}
    kept = {a: range(*slice(*cut).indices(value.shape[a])) for a, cut in cuts.items()}
    kept = {a: positions for a, positions in kept.items() if positions != range(value.shape[a])}
    if 0 in kept:
        raise Unsupported("it selects examples of the batch")
    if any(not positions for positions in kept.values()):
        raise Unsupported("its output is empty")
    x = ctx.as_layer(value)
    stepped = {a: positions for a, positions in kept.items() if positions.step != 1}
    straight = {a: positions for a, positions in kept.items() if positions.step == 1}
    if len(straight) > 1 and 1 not in straight:
        x = _crop(ctx, x, [straight.get(a, range(m)) for a, m in enumerate(x.type.spatial, 2)])
    else:
        for a, positions in sorted(straight.items()):
            begin, end, _ = cuts[a]
            low, high = _bounds(begin, end, positions, value.shape[a])
            x = ctx.add(Slice, x, begin=low, end=high, axis=a - 1)
    for a, positions in sorted(stepped.items()):
        x = _select(ctx, x, positions, a - 1)
    return x if kept else value


def _bounds(begin: int, end: int, positions: range, size: int) -> tuple[int, int | None]:
    """begin and end of a slice as the model writes them where the language allows it, else counted from 0."""
    low = begin if -size <= begin < size else positions.start
    if end < size and positions.stop < size:
        return low, end if -size < end else positions.stop
    return low, size if end == size else None


def _crop(ctx: Interpreter, x: Layer, positions: list[range]) -> Layer:
    size = tuple(len(p) for p in positions)
    offset = tuple(p.start for p in positions)
    middle = tuple((m - n) // 2 for m, n in zip(x.type.spatial, size, strict=True))
    return ctx.add(Crop, x, size=size) if offset == middle else ctx.add(Crop, x, size=size, offset=offset)


def _unpool_center(ctx: Interpreter, layer: Layer) -> Layer:
    """An unpool of a padded image whose padding the current Slice removes. Raises Unsupported for other slices."""
    pool = layer.layer_arguments["of"].op
    assert isinstance(pool, Pool)
    starts, ends, axes = (ctx.integers(i, n) or () for i, n in enumerate(("starts", "ends", "axes"), 1))
    for position, rule in enumerate(pool.rules(layer.type)):
        size = rule.m + rule.begin + rule.end
        if axes != tuple(range(2, 2 + layer.rank)) or range(
            *slice(starts[position], ends[position]).indices(size)
        ) != range(rule.begin, rule.begin + rule.m):
            raise Unsupported("it does not cut out the input of the max pool")
    return layer


@handles("Split")
def _split(ctx: Interpreter, node: OnnxNode) -> list[Layer]:
    value = ctx.tensor()
    axis = node.get("axis", 0) % len(value.shape)
    if axis == 0:
        raise Unsupported("it splits the batch")
    size, parts = value.shape[axis], len(node.outputs)
    sizes: Sequence[int] | None = ctx.integers(1, "split")
    if sizes is None:
        each = -(-size // parts)
        sizes = [min(each, size - each * i) for i in range(parts)]
    if sum(sizes) != size or min(sizes) < 1:
        raise Unsupported("the sizes of its outputs do not add up to the axis")
    x = ctx.as_layer(value)
    ends = np.cumsum(sizes)
    bounds = [(int(e) - n, int(e)) for e, n in zip(ends, sizes, strict=True)]
    return [ctx.add(Slice, x, begin=b, end=None if e == size else e, axis=axis - 1) for b, e in bounds]


@handles("Gather")
def _gather(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    data, indices = ctx.input_value(0), ctx.input_value(1)
    axis = node.get("axis", 0)
    if isinstance(data, np.ndarray) and isinstance(indices, LayerOutput):
        return _embed(ctx, data, indices, axis)
    value = ctx.tensor()
    positions = ctx.constant(1, "indices")
    axis %= len(value.shape)
    if axis == 0:
        raise Unsupported("it selects examples of the batch")
    if positions.ndim > 1 or not positions.size:
        raise Unsupported("its indices are not a list")
    selected = _select(ctx, ctx.as_layer(value), [int(i) for i in positions.ravel()], axis - 1)
    if positions.ndim:
        return selected
    shape = (*value.shape[:axis], *value.shape[axis + 1 :])
    return _reshaped(ctx, ctx.output_of(selected), shape)


def _select(ctx: Interpreter, x: Layer, positions: Sequence[int], axis: int) -> Layer:
    if len(positions) > MAX_SELECTED:
        raise Unsupported(f"it selects more than {MAX_SELECTED:,} indices")
    positions = list(positions)
    if axis == 0 and len(positions) == x.type.channels:
        cls, values = shuffle_or_select(positions)
        return ctx.add(cls, x, **values)
    return ctx.add(Select, x, indices=tuple(positions), axis=axis)


def _embed(ctx: Interpreter, table: np.ndarray, indices: LayerOutput, axis: int) -> LayerOutput:
    if table.ndim != 2 or axis % 2:
        raise Unsupported("its table is not a matrix with one row per integer")
    x = ctx.as_layer(indices)
    if x.rank or x.type.dtype != "int64":
        raise Unsupported("its integers are not a vector")
    vocab, dim = table.shape
    layer = ctx.add(Embed, x, {"weight": table}, [ctx.node.input_name(0)], dim=dim, vocab=vocab)  # (N, dim, T)
    return LayerOutput((ctx.batch, x.type.size, dim), layer, (Rearrangement("transpose", (0, 2, 1)),))


# --- padding, depth and space ---------------------------------------------------------------------------------


@handles("Pad")
def _pad(ctx: Interpreter, node: OnnxNode) -> HandlerResult:
    value = ctx.tensor()
    mode = node.get("mode", "constant")
    if mode != "constant":
        raise Unsupported(f"it pads by {mode}; pad adds a constant value")
    sides = pads_per_axis(ctx, node, len(value.shape))
    if sides is None:
        raise Unsupported("its pads are not constants, or not two per axis")
    if all(s == (0, 0) for s in sides):
        return value
    if any(s != (0, 0) for s in sides[:2]):
        raise Unsupported("it pads the batch or the channels")
    amount = ctx.scalar(node.input_name(2)) if node.input_name(2) else node.get("value", 0.0)
    if amount is None or not np.isfinite(amount):
        raise Unsupported("its padding value is not a finite constant")
    x = ctx.as_layer(value)
    if min(n for s in sides for n in s) < 0:
        if max(n for s in sides for n in s) > 0:
            raise Unsupported("it pads one side and crops another")
        return _crop(ctx, x, [range(-b, m + e) for m, (b, e) in zip(x.type.spatial, sides[2:], strict=True)])
    pads = (*(b for b, _ in sides[2:]), *(e for _, e in sides[2:]))
    even = all(b == e for b, e in sides)
    return ctx.add(Pad, x, n=pads[: x.rank] if even else pads, value=shortest_float(amount))


@handles("DepthToSpace")
def _depth_to_space(ctx: Interpreter, node: OnnxNode) -> Layer:
    x, n = ctx.layer(), node.get("blocksize", 1)
    if node.get("mode", "DCR") != "DCR" and n > 1:
        x = ctx.add(Select, x, indices=tuple(crd_to_dcr_order(x.type.channels, n)))
    return ctx.add(DepthToSpace, x, n=n)


@handles("SpaceToDepth")
def _space_to_depth(ctx: Interpreter, node: OnnxNode) -> Layer:
    x, n = ctx.layer(), node.get("blocksize", 1)
    layer = ctx.add(SpaceToDepth, x, n=n)
    if node.get("mode", "DCR") == "DCR" or n == 1:
        return layer
    return ctx.add(Select, layer, indices=tuple(dcr_to_crd_order(x.type.channels, n)))
