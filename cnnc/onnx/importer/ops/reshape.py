"""Operators that rearrange values."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cnnc.onnx.importer.ops.parts import pad_sides, real
from cnnc.onnx.importer.ops.pool import unpool_in_pieces
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.interpreter import Interpreter, Made, import_of
from cnnc.onnx.importer.recognize.rearrange import crd_order, dcr_order, shuffle_or_select
from cnnc.onnx.importer.recognize.values import Layer, Move, Refusal, Value
from cnnc.ops.pool import Pool
from cnnc.ops.reshape import Crop, DepthToSpace, Pad, Select, Slice, SpaceToDepth
from cnnc.ops.sequence import Embed

MAX_SELECTED = 65_536


def _reshaped(c: Interpreter, value: Value, shape: tuple[int, ...]) -> Value:
    return c.moved(value, Move("reshape", shape), shape)


@import_of("Flatten")
def _flatten(c: Interpreter, step: Step) -> Made:
    value = c.tensor()
    axis = step.get("axis", 1)
    axis += len(value.shape) * (axis < 0)
    return _reshaped(c, value, (prod(value.shape[:axis]), prod(value.shape[axis:])))


@import_of("Reshape")
def _reshape(c: Interpreter, step: Step) -> Made:
    found = unpool_in_pieces(c, step)
    if found is not None and not found[1]:
        return found[0]
    value = c.tensor()
    wanted = list(c.integers(1, "shape") or ())
    if not step.get("allowzero", 0):
        wanted = [value.shape[i] if n == 0 and i < len(value.shape) else n for i, n in enumerate(wanted)]
    total = prod(value.shape)
    if wanted.count(-1) == 1:
        rest = prod(n for n in wanted if n != -1)
        wanted = [total // max(rest, 1) if n == -1 else n for n in wanted]
    if min(wanted, default=0) < 1 or prod(wanted) != total:
        raise Refusal("its shape does not fit the number of elements")
    # a shape that leaves a size to be found out, or names the batch, stands for a flatten
    written = c.integers(1, "shape") or (0,)
    flatten = -1 in written or written[0] != 0 or step.input(1) in c.model.makers
    shape = tuple(wanted)
    return c.moved(value, Move("reshape", shape), shape, flatten)


@import_of("Squeeze")
def _squeeze(c: Interpreter, step: Step) -> Made:
    value = c.tensor()
    axes = c.integers(1, "axes")
    count = len(value.shape)
    gone = [a % count for a in axes] if axes else [a for a, n in enumerate(value.shape) if n == 1]
    if any(value.shape[a] != 1 for a in gone):
        raise Refusal("it takes an axis away that has more than one element")
    return _reshaped(c, value, tuple(n for a, n in enumerate(value.shape) if a not in gone))


@import_of("Unsqueeze")
def _unsqueeze(c: Interpreter, step: Step) -> Made:
    value = c.tensor()
    axes = c.integers(1, "axes") or ()
    count = len(value.shape) + len(axes)
    new = sorted(a % count for a in axes)
    shape = list(value.shape)
    for axis in new:
        shape.insert(axis, 1)
    return _reshaped(c, value, tuple(shape))


@import_of("Transpose")
def _transpose(c: Interpreter, step: Step) -> Made:
    value = c.tensor()
    count = len(value.shape)
    axes = tuple(step.get("perm", tuple(range(count))[::-1]))
    if sorted(axes) != list(range(count)):
        raise Refusal("its axes are not those of the tensor")
    if axes == tuple(range(count)):
        return value
    moves = (*value.moves, Move("transpose", axes))
    shape = tuple(value.shape[a] for a in axes)
    if all(m.kind == "transpose" for m in moves):  # as two that undo each other
        order = list(range(count))
        for move in moves:
            order = [order[a] for a in move.axes]
        if order == list(range(count)):
            return c.value(value.root)
    return Value(shape, value.root, moves)


# --- parts -------------------------------------------------------------------------------------------------


@import_of("Slice")
def _slice(c: Interpreter, step: Step) -> Made:
    whole = c.maker(step.input(0))
    found = unpool_in_pieces(c, whole) if whole is not None and whole.op == "Reshape" else None
    if found is not None and found[1]:
        return _uncovered(c, found[0])
    value = c.tensor()
    starts, ends = c.integers(1, "starts") or (), c.integers(2, "ends") or ()
    axes = c.integers(3, "axes") or tuple(range(len(starts)))
    steps = (c.integers(4, "steps") if step.op == "Slice" else None) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise Refusal("its starts, ends, axes and steps do not go together")
    count = len(value.shape)
    cuts = {a % count: (s, e, by) for s, e, a, by in zip(starts, ends, axes, steps, strict=True)}
    kept = {a: range(*slice(*cut).indices(value.shape[a])) for a, cut in cuts.items()}
    kept = {a: places for a, places in kept.items() if places != range(value.shape[a])}
    if 0 in kept:
        raise Refusal("it takes a part of the batch")
    if any(not places for places in kept.values()):
        raise Refusal("it takes nothing")
    x = c.plain(value)
    stepped = {a: places for a, places in kept.items() if places.step != 1}
    straight = {a: places for a, places in kept.items() if places.step == 1}
    if len(straight) > 1 and 1 not in straight:
        x = _crop(c, x, [straight.get(a, range(m)) for a, m in enumerate(x.type.spatial, 2)])
    else:
        for a, places in sorted(straight.items()):
            begin, end, _ = cuts[a]
            low, high = _bounds(begin, end, places, value.shape[a])
            x = c.add(Slice, x, begin=low, end=high, axis=a - 1)
    for a, places in sorted(stepped.items()):
        x = _select(c, x, places, a - 1)
    return x if kept else value


def _bounds(begin: int, end: int, places: range, size: int) -> tuple[int, int | None]:
    """The ends of a slice as they were written, where the language takes them so, else counted from the beginning."""
    low = begin if -size <= begin < size else places.start
    if end < size and places.stop < size:
        return low, end if -size < end else places.stop
    return low, size if end == size else None


def _crop(c: Interpreter, x: Layer, places: list[range]) -> Layer:
    size = tuple(len(p) for p in places)
    offset = tuple(p.start for p in places)
    middle = tuple((m - n) // 2 for m, n in zip(x.type.spatial, size, strict=True))
    return c.add(Crop, x, size=size) if offset == middle else c.add(Crop, x, size=size, offset=offset)


def _uncovered(c: Interpreter, layer: Layer) -> Layer:
    """An unpool of which a slice cuts out what was not padding. Raises Refusal where it cuts out something else."""
    pool = layer.names["of"].op
    assert isinstance(pool, Pool)
    starts, ends, axes = (c.integers(i, n) or () for i, n in enumerate(("starts", "ends", "axes"), 1))
    for place, rule in enumerate(pool.rules(layer.type)):
        size = rule.m + rule.begin + rule.end
        if axes != tuple(range(2, 2 + layer.rank)) or range(*slice(starts[place], ends[place]).indices(size)) != range(
            rule.begin, rule.begin + rule.m
        ):
            raise Refusal("it takes another part than the max pool read")
    return layer


@import_of("Split")
def _split(c: Interpreter, step: Step) -> list[Layer]:
    value = c.tensor()
    axis = step.get("axis", 0) % len(value.shape)
    if axis == 0:
        raise Refusal("it splits the batch")
    size, parts = value.shape[axis], len(step.outputs)
    sizes: Sequence[int] | None = c.integers(1, "split")
    if sizes is None:
        each = -(-size // parts)
        sizes = [min(each, size - each * i) for i in range(parts)]
    if sum(sizes) != size or min(sizes) < 1:
        raise Refusal("its parts do not add up to the axis")
    x = c.plain(value)
    ends = np.cumsum(sizes)
    bounds = [(int(e) - n, int(e)) for e, n in zip(ends, sizes, strict=True)]
    return [c.add(Slice, x, begin=b, end=None if e == size else e, axis=axis - 1) for b, e in bounds]


@import_of("Gather")
def _gather(c: Interpreter, step: Step) -> Made:
    data, indices = c.get(0), c.get(1)
    axis = step.get("axis", 0)
    if isinstance(data, np.ndarray) and isinstance(indices, Value):
        return _embed(c, data, indices, axis)
    value = c.tensor()
    places = c.constant(1, "indices")
    axis %= len(value.shape)
    if axis == 0:
        raise Refusal("it takes a part of the batch")
    if places.ndim > 1 or not places.size:
        raise Refusal("its indices are no list")
    made = _select(c, c.plain(value), [int(i) for i in places.ravel()], axis - 1)
    if places.ndim:
        return made
    shape = (*value.shape[:axis], *value.shape[axis + 1 :])
    return _reshaped(c, c.value(made), shape)


def _select(c: Interpreter, x: Layer, places: Sequence[int], axis: int) -> Layer:
    if len(places) > MAX_SELECTED:
        raise Refusal(f"it picks more than {MAX_SELECTED:,} places")
    places = list(places)
    if axis == 0 and len(places) == x.type.channels:
        cls, values = shuffle_or_select(places)
        return c.add(cls, x, **values)
    return c.add(Select, x, indices=tuple(places), axis=axis)


def _embed(c: Interpreter, table: np.ndarray, indices: Value, axis: int) -> Value:
    if table.ndim != 2 or axis % 2:
        raise Refusal("its table has not a row for each integer")
    x = c.plain(indices)
    if x.rank or x.type.dtype != "int64":
        raise Refusal("its integers are no vector")
    vocab, dim = table.shape
    layer = c.add(Embed, x, {"weight": table}, [c.step.input(0)], dim=dim, vocab=vocab)  # (N, dim, T)
    return Value((c.batch, x.type.size, dim), layer, (Move("transpose", (0, 2, 1)),))


# --- around, and between channels and places -----------------------------------------------------------------


@import_of("Pad")
def _pad(c: Interpreter, step: Step) -> Made:
    value = c.tensor()
    mode = step.get("mode", "constant")
    if mode != "constant":
        raise Refusal(f"it pads by {mode}; pad lays one value around")
    sides = pad_sides(c, step, len(value.shape))
    if sides is None:
        raise Refusal("its pads are no constants, or not two an axis")
    if all(s == (0, 0) for s in sides):
        return value
    if any(s != (0, 0) for s in sides[:2]):
        raise Refusal("it pads the batch or the channels")
    amount = c.scalar(step.input(2)) if step.input(2) else step.get("value", 0.0)
    if amount is None or not np.isfinite(amount):
        raise Refusal("it pads with what is no finite number")
    x = c.plain(value)
    if min(n for s in sides for n in s) < 0:
        if max(n for s in sides for n in s) > 0:
            raise Refusal("it pads on one side and cuts on another")
        return _crop(c, x, [range(-b, m + e) for m, (b, e) in zip(x.type.spatial, sides[2:], strict=True)])
    pads = (*(b for b, _ in sides[2:]), *(e for _, e in sides[2:]))
    even = all(b == e for b, e in sides)
    return c.add(Pad, x, n=pads[: x.rank] if even else pads, value=real(amount))


@import_of("DepthToSpace")
def _depth_to_space(c: Interpreter, step: Step) -> Layer:
    x, n = c.layer(), step.get("blocksize", 1)
    if step.get("mode", "DCR") != "DCR" and n > 1:
        x = c.add(Select, x, indices=tuple(crd_order(x.type.channels, n)))
    return c.add(DepthToSpace, x, n=n)


@import_of("SpaceToDepth")
def _space_to_depth(c: Interpreter, step: Step) -> Layer:
    x, n = c.layer(), step.get("blocksize", 1)
    made = c.add(SpaceToDepth, x, n=n)
    if step.get("mode", "DCR") == "DCR" or n == 1:
        return made
    return c.add(Select, made, indices=tuple(dcr_order(x.type.channels, n)))
