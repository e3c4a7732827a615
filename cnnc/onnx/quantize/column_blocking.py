"""Convolutions of few channels in int8, computed for several columns at one place.

In: a quantized model, and the cells of convolutions in it. Out: the same model, which gives the same numbers.

A convolution in whole numbers first copies what each place of its output reads, all channels of a value together. With
few channels it copies for longer than it computes. But where channels come last, a row of W values of C channels is also
one of W / g cells of g · C channels. So f neighbouring columns of the output become channels of one place, and read whole
cells of the input: a kernel k wide becomes f kernels of a few cells, each the same numbers a step further on, between
zeros. The windows of a max pool that follows become channels too, rows as well, and the pool takes the largest of them.

The file keeps the kernel as it is. Pad, Tile, Slice, Reshape and Transpose of constants make the larger one of it, which a
runtime works out once, when it loads the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import onnx
from onnx import helper

from cnnc.onnx.quantize.qdq_cleanup import drop_unused, order

ALIGNED = 4  # so many values at once are what kernels for whole numbers take: a cell has a multiple of it
BLOCKED = 16  # so many channels at once are what kernels for floats, and pools of bytes, take and are quick with
ENOUGH = 8  # values in a cell, or else outputs that are no multiple of BLOCKED, under a kernel that is long
LONG = 5  # columns of a kernel that gains, if not for channels or outputs that kernels do not take together
WIDEST = 8  # columns at one place
SPREAD = 2.5  # multiply-adds with the zeros, in parts of those without

Shapes = Mapping[str, tuple[int, ...]]


class Cells(NamedTuple):
    """How a convolution computes `columns` columns at one place, from cells of `width` columns of its input."""

    columns: int
    width: int
    kernel: int  # cells that are read
    before: int  # zeros between the begin of the first of them and the kernel
    pads: tuple[int, int]  # cells before and after a row
    weight: tuple[int, ...]  # shapes: of the kernel, and of an example, channels first
    read: tuple[int, ...]
    made: tuple[int, ...]


def arguments(node: onnx.NodeProto) -> dict[str, list[int]]:
    """The whole numbers that a convolution or a pool says of itself."""
    return {a.name: list(a.ints) or [a.i] for a in node.attribute if a.type in (a.INT, a.INTS)}


def dense(node: onnx.NodeProto) -> bool:
    """Whether it is a convolution whose outputs read all channels."""
    return node.op_type == "Conv" and arguments(node).get("group", [1]) == [1]


def cells_of(node: onnx.NodeProto, shapes: Shapes) -> Cells | None:
    """The smallest cells that are worth it; None if there are channels enough, or if rows do not come apart so."""
    if not dense(node):
        return None
    weight, read, made = (shapes[name] for name in (node.input[1], node.input[0], node.output[0]))
    (outputs, channels, *_, size), given, rank = weight, arguments(node), len(weight) - 2
    even = channels % ALIGNED == 0 and outputs >= BLOCKED
    if even and (channels >= BLOCKED or size < LONG):
        return None
    if size < LONG and channels < ENOUGH:
        return None
    if rank > 2 or 0 in (*read[1:], *made[1:]) or {1} != {1, *given.get("dilations", ())}:
        return None
    step, pad = given.get("strides", [1])[-1], given.get("pads", [0] * rank)[rank - 1]
    for columns in range(1, WIDEST + 1):
        width = columns * step
        values = width * channels
        if width == 1 or read[-1] % width or made[-1] % columns or values % ALIGNED:
            continue
        if columns == 1 and size < LONG:
            continue
        if values < ENOUGH and outputs % BLOCKED == 0:
            continue
        first = -pad // width  # the first cell that the first place reads, and the one after the last
        end = -(-((columns - 1) * step + size - pad) // width)
        after = made[-1] // columns - 1 + end - read[-1] // width
        if after >= 0 and (end - first) * width <= SPREAD * size:
            before = -pad - first * width
            return Cells(columns, width, end - first, before, (-first, after), weight, read[1:], made[1:])
    return None


def in_cells(graph: onnx.GraphProto, cells: Mapping[str, Cells]) -> None:
    """Rewrites the convolutions of these names, where nothing but a step to int8 reads what they make."""
    added = _Added(graph)
    for conv in list(graph.node):
        quantize = _to_bytes(graph, conv) if conv.name in cells else None
        if quantize is None:
            continue
        found = cells[conv.name]
        pool = _pool_behind(graph, quantize)
        window = _window(pool, found) if pool is not None else None
        _compute(conv, found, window or (1, 1), added)
        if pool is None or window is None:
            _behind(quantize, _computed(found, (1, 1)), found.made, added)
        else:
            _pool(pool, window, found, added)
    order(graph)
    drop_unused(graph)


class _Added:
    """Nodes and constants that are added; their names are numbers, as no name of a text is."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph, self.count = graph, 0
        self.known: dict[tuple[int, ...], str] = {}

    def name(self) -> str:
        self.count += 1
        return f".{self.count}"

    def node(self, kind: str, *inputs: str, to: str = "", **arguments: Any) -> str:
        made = to or self.name()
        self.graph.node.append(helper.make_node(kind, inputs, [made], **arguments))
        return made

    def numbers(self, *values: int) -> str:
        if values not in self.known:
            name = self.known[values] = self.name()
            self.graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values))
        return self.known[values]

    def rows(self, value: str, before: Sequence[int], after: Sequence[int], to: str = "") -> str:
        """Values (N, C, *spatial) of the shape `before` as those of the shape `after`, whose values follow each other in
        the same order if channels are last."""
        if before[0] > 1:
            value = self.node("Transpose", value, perm=[0, *range(2, len(before) + 1), 1])
        value = self.node("Reshape", value, self.numbers(0, *after[1:], after[0]))
        return self.node("Transpose", value, perm=[0, len(after), *range(1, len(after))], to=to)


def _reader(graph: onnx.GraphProto, node: onnx.NodeProto, *kinds: str) -> onnx.NodeProto | None:
    """What alone reads a node's output, if it is of these kinds."""
    name = node.output[0]
    found = [other for other in graph.node if name in other.input]
    alone = len(found) == 1 and all(info.name != name for info in graph.output)
    return found[0] if alone and found[0].op_type in kinds else None


def _to_bytes(graph: onnx.GraphProto, conv: onnx.NodeProto) -> onnx.NodeProto | None:
    """The step to int8 after a convolution."""
    last = conv
    while (activation := _reader(graph, last, "Relu", "Clip")) is not None:
        last = activation
    return _reader(graph, last, "QuantizeLinear")


def _pool_behind(graph: onnx.GraphProto, quantize: onnx.NodeProto) -> onnx.NodeProto | None:
    floats = _reader(graph, quantize, "DequantizeLinear")
    pool = _reader(graph, floats, "MaxPool") if floats is not None else None
    return pool if pool is not None and len(pool.output) == 1 else None


def _window(pool: onnx.NodeProto, cells: Cells) -> tuple[int, int] | None:
    """Rows and columns of a pool whose windows lie side by side and in whole cells, if it gains by that."""
    given = arguments(pool)
    sizes, spatial = given["kernel_shape"], cells.made[1:]
    whole = all(size % over == 0 for size, over in zip((*spatial[:-1], cells.columns), sizes, strict=True))
    plain = given.get("strides") == sizes and not any(given.get("pads", ())) and {1} == {1, *given.get("dilations", ())}
    return (prod(sizes[:-1]), sizes[-1]) if whole and plain and cells.made[0] % BLOCKED else None


def _compute(conv: onnx.NodeProto, cells: Cells, window: tuple[int, int], added: _Added) -> None:
    """The convolution of cells. Its channels are the rows of a window, its columns, windows, and channels as they were."""
    given, (rows, _) = arguments(conv), window
    (channels, *spatial), kernel = cells.read, cells.weight[2:]
    rank = len(kernel)
    steps, pads = given.get("strides", [1] * rank), given.get("pads", [0] * 2 * rank)
    high = [size + (rows - 1) * step for size, step in zip(kernel[:-1], steps, strict=False)]
    many = added.numbers(rows * cells.columns)
    quantized = next(node for node in added.graph.node if conv.input[1] in node.output)
    weight = _kernel(quantized.input[0], cells, (*high, cells.kernel), steps, window, added)
    scales = [added.node("Tile", name, many) for name in quantized.input[1:]]
    conv.input[:] = [
        added.rows(conv.input[0], cells.read, (channels * cells.width, *spatial[:-1], spatial[-1] // cells.width)),
        added.node("DequantizeLinear", weight, *scales, axis=0),
        *(added.node("Tile", name, many) for name in conv.input[2:]),
    ]
    before, after = cells.pads
    strides = [*(rows * step for step in steps[:-1]), 1]
    margins = [*pads[: rank - 1], before, *pads[rank:-1], after]
    del conv.attribute[:]
    if {*strides} != {1}:
        conv.attribute.append(helper.make_attribute("strides", strides))
    if any(margins):
        conv.attribute.append(helper.make_attribute("pads", margins))


def _kernel(
    weight: str, cells: Cells, size: Sequence[int], steps: Sequence[int], window: tuple[int, int], added: _Added
) -> str:
    """The kernels of all rows and columns of a place, from (M, C, *kernel): each a step further on, between zeros.

    So are copies that follow each other in rows a step longer, when they are cut to rows again.
    """
    (outputs, channels, *kernel), (rows, across) = cells.weight, window
    full = [*size[:-1], cells.kernel * cells.width]
    copies = [rows, cells.columns][-len(full) :]
    front = [0, cells.before][-len(full) :]
    back = [f + s - b - k for f, s, b, k in zip(full, steps, front, kernel, strict=True)]
    made = added.node("Pad", weight, added.numbers(0, 0, *front, 0, 0, *back))
    made = added.node("Tile", made, added.numbers(1, 1, *copies))
    ends = (outputs, channels, *(f * c for f, c in zip(full, copies, strict=True)))
    made = added.node("Slice", made, added.numbers(*[0] * len(ends)), added.numbers(*ends))
    axes = {"m": outputs, "c": channels, "r": rows, "h": prod(size[:-1]), "w": cells.columns // across, "q": across}
    axes |= {"k": cells.kernel, "g": cells.width}
    made = added.node("Reshape", made, added.numbers(*axes.values()))
    made = added.node("Transpose", made, perm=[[*axes].index(axis) for axis in "rqwmgchk"])
    return added.node("Reshape", made, added.numbers(rows * cells.columns * outputs, cells.width * channels, *size))


def _pool(pool: onnx.NodeProto, window: tuple[int, int], cells: Cells, added: _Added) -> None:
    """The pool of windows whose values are rows of channels."""
    rows, across = window
    (outputs, *spatial), together = cells.made, cells.columns // across * cells.made[0]
    size = rows * across
    places = prod(spatial) // (rows * cells.columns)
    pool.input[0] = added.rows(pool.input[0], _computed(cells, window), (together, places, size))
    del pool.attribute[:]
    pool.attribute.extend(helper.make_attribute(name, [1, size]) for name in ("kernel_shape", "strides"))
    pooled = [one // over for one, over in zip(spatial, window[-len(spatial) :], strict=True)]
    _behind(pool, (together, places, 1), (outputs, *pooled), added)


def _computed(cells: Cells, window: tuple[int, int]) -> tuple[int, ...]:
    """The shape of what the convolution of cells makes."""
    rows, _ = window
    outputs, *high, across = cells.made
    return rows * cells.columns * outputs, *(size // rows for size in high), across // cells.columns


def _behind(node: onnx.NodeProto, before: Sequence[int], after: Sequence[int], added: _Added) -> None:
    """Gives what a node makes in the shape `before` the shape `after`, and the name that it had."""
    name = node.output[0]
    node.output[0] = added.name()
    added.rows(node.output[0], before, after, name)
