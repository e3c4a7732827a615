"""The learned kernels of each layer as images, or as curves for series.

In: a graph and its weights. Out: the section `kernels`. Kernels that read the image itself are shown large, one per output
channel, in RGB where the image is; those that read feature maps are rows of small images, one per input channel. A fully
connected layer on an image is a template for each output.

    kernel_section(graph, weights, vocabulary)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, Node
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc, Input
from cnnc.ops.filter import Filter
from cnnc.ops.local import Local
from cnnc.ops.sequence import Embed
from cnnc.view.document import Item, Section
from cnnc.view.inspect.tiles import GreyScale, SheetTile, TileSheet, Values, scale_of
from cnnc.view.inspect.words import nearest_words
from cnnc.view.number_text import number_text

LARGE, ROWS, COLUMNS, CELLS = 64, 16, 24, 256
"""The most kernels that read the image, the most inputs and outputs of others, and the most weights along an axis of fc."""
PASSED = frozenset(("dropout", "drop_path", "identity", "normalize", "affine", "flatten", "reshape"))
"""Layers that a kernel is looked through for the image that it reads."""


def kernel_section(graph: Graph, weights: Mapping[str, Array], vocabulary: Sequence[str]) -> Section:
    """The kernels of all layers; those that layers share are shown once."""
    items: list[Item] = []
    numbers: dict[str, Any] = {}
    shown: set[str] = set()
    for node in graph.nodes:
        name = graph.parameter_names[node.name].get("weight", "")
        if not name or name in shown or name not in weights:
            continue
        part: list[Item] = [sheet.drawn() for sheet in kernel_sheets(graph, node, weights[name])]
        if isinstance(node.op, Embed) and vocabulary:
            part = [nearest_words(node.name, np.asarray(weights[name], np.float64), vocabulary)]
        if part:
            shown.add(name)
            items += part
            numbers[name] = {"shape": list(weights[name].shape), **_range(weights[name])}
    lines = (
        ("Each layer has a scale of its own; grey is a weight of 0.",)
        if items
        else ("The network has no layer with kernels.",)
    )
    return Section("kernels", "Kernels", lines, tuple(items), (), numbers)


def _range(array: Array) -> dict[str, Any]:
    finite = array[np.isfinite(array)]
    return {
        "least": float(finite.min()) if finite.size else None,
        "largest": float(finite.max()) if finite.size else None,
    }


def kernel_sheets(graph: Graph, node: Node, weight: Array) -> list[TileSheet]:
    """The kernels of a layer as images or curves; none of a layer on words, whose axes are no positions."""
    values = np.asarray(weight, np.float64)
    state = " (not trained: frozen)" if getattr(node.op, "frozen", False) else ""
    match node.op:
        case ConvTranspose():
            return _convolution(graph, node, np.swapaxes(values, 0, 1), state)
        case Filter():
            return _convolution(graph, node, values, " (given)")
        case Conv():
            if _reads_words(graph, node):
                return []
            return _convolution(graph, node, values, state)
        case Local():
            return _local(node, values, state)
        case Fc():
            return _fully_connected(graph, node, values, state)
    return []


def source_of(graph: Graph, node: Node) -> Node:
    """The layer whose numbers a node reads, looking through those that keep them."""
    source = graph.by_name[node.inputs[0]]
    while source.op.keyword in PASSED and source.inputs:
        source = graph.by_name[source.inputs[0]]
    return source


def _reads_words(graph: Graph, node: Node) -> bool:
    return isinstance(source_of(graph, node).op, Embed)


def _convolution(graph: Graph, node: Node, values: Values, state: str) -> list[TileSheet]:
    """Kernels (out, in, *k)."""
    values = values.reshape(values.shape[0], values.shape[1], *values.shape[2:])
    outputs, inputs, *k = values.shape
    size = "x".join(map(str, k))
    title = f"{node.name}: {outputs:,} kernel{'s' * (outputs != 1)} of {'x'.join(map(str, values.shape[1:]))}{state}"
    scale = _signed(values)
    if len(k) == 1:
        return [_series_kernels(node, title, values, scale)]
    if len(k) == 3:
        values = np.concatenate([np.pad(values[:, :, d], ((0, 0),) * 3 + ((0, 1),)) for d in range(k[0])], -1)[..., :-1]
        title += "; the slices of a kernel stand side by side"
    reads_image = isinstance(source_of(graph, node).op, Input)
    if inputs == 3 and len(k) == 2 and reads_image:
        tiles = [SheetTile(str(o), np.moveaxis(values[o], 0, -1)) for o in range(min(outputs, LARGE))]
        return [
            TileSheet(title, "One RGB image for each output channel.", tiles, scale, notes=_left_out(outputs, LARGE))
        ]
    if inputs == 1:
        tiles = [SheetTile(str(o), values[o, 0]) for o in range(min(outputs, LARGE))]
        text = "One image for each output channel."
        return [TileSheet(title, text, tiles, scale, notes=_left_out(outputs, LARGE))]
    if size == "1x1":
        return [_matrix(title, values.reshape(outputs, inputs), "output channels", "input channels")]
    rows, columns = min(inputs, ROWS), min(outputs, COLUMNS)
    tiles = [
        SheetTile("", values[o, c], f"output {o}, input {c}: {node.name}.weight[{o},{c}]")
        for c in range(rows)
        for o in range(columns)
    ]
    text = "One column for each output channel, one row for each input channel, both from 0 on."
    notes = [*_left_out(outputs, COLUMNS, "output channels"), *_left_out(inputs, ROWS, "input channels")]
    return [TileSheet(title, text, tiles, scale, side=28, columns=columns, gap=4, notes=notes)]


def _signed(values: Values) -> GreyScale:
    largest = scale_of(values).high
    return GreyScale(-largest, largest)


def _left_out(count: int, limit: int, what: str = "output channels") -> list[str]:
    return [f"The first {limit} of {count:,} {what} are shown."] if count > limit else []


def _series_kernels(node: Node, title: str, values: Values, scale: GreyScale) -> TileSheet:
    """Kernels (out, in, k) of a series: curves for one input channel, images of channels by taps otherwise."""
    outputs, inputs, _ = values.shape
    notes = _left_out(outputs, LARGE)
    if inputs == 1:
        tiles = [SheetTile(str(o), values[o, 0]) for o in range(min(outputs, LARGE))]
        text = f"One curve for each output channel, from {number_text(scale.low)} to {number_text(scale.high)}, with a line at 0."
        return TileSheet(title, text, tiles, scale, notes=notes)
    tiles = [SheetTile(str(o), values[o, :CELLS]) for o in range(min(outputs, LARGE))]
    text = "One image for each output channel: a row for each input channel, a column for each position."
    return TileSheet(title, text, tiles, scale, side=120, notes=[*notes, *_left_out(inputs, CELLS, "input channels")])


def _local(node: Node, values: Values, state: str) -> list[TileSheet]:
    """Weights (*positions, out, in, *k): those of output 0 and input 0 at each position."""
    rank = (values.ndim - 2) // 2
    if rank != 2:
        flat = values.reshape(int(np.prod(values.shape[:rank])), -1)
        return [_matrix(f"{node.name}: a row for each position{state}", flat, "positions", "weights")]
    rows, columns = (min(n, ROWS) for n in values.shape[:2])
    tiles = [
        SheetTile("", values[y, x, 0, 0], f"output 0 at row {y}, column {x}, input 0")
        for y in range(rows)
        for x in range(columns)
    ]
    title = f"{node.name}: kernels of {'x'.join(map(str, values.shape[4:]))}, one for each position{state}"
    notes = [*_left_out(values.shape[0], ROWS, "rows"), *_left_out(values.shape[1], ROWS, "columns")]
    text = f"Output channel 0 of {values.shape[2]}, input channel 0 of {values.shape[3]}, at each position."
    return [TileSheet(title, text, tiles, _signed(values), side=28, columns=columns, gap=4, notes=notes)]


def _fully_connected(graph: Graph, node: Node, values: Values, state: str) -> list[TileSheet]:
    """Weights (out, inputs): a template for each output if they read an image, else a matrix."""
    source = source_of(graph, node)
    shape = source.type.shape
    outputs = len(values)
    is_image = isinstance(source.op, Input) and len(shape) == 3 and shape[0] in (1, 3)
    if is_image and values.shape[1] == int(np.prod(shape)):
        images = values.reshape(outputs, *shape)
        shown = [SheetTile(str(o), np.moveaxis(images[o], 0, -1)) for o in range(min(outputs, LARGE))]
        tiles = [tile._replace(values=tile.values[..., 0]) if shape[0] == 1 else tile for tile in shown]
        title = f"{node.name}: {outputs:,} templates of {'x'.join(map(str, shape))}{state}"
        text = "The weights of each output, in the form of the image that it reads."
        return [TileSheet(title, text, tiles, _signed(values), side=90, notes=_left_out(outputs, LARGE))]
    title = f"{node.name}: weights of {outputs:,}x{values.shape[1]:,}{state}"
    return [_matrix(title, values, "outputs", "inputs")]


def _matrix(title: str, values: Values, rows: str, columns: str) -> TileSheet:
    cut = values[:LARGE, :CELLS]
    notes = [*_left_out(len(values), LARGE, rows), *_left_out(values.shape[1], CELLS, columns)]
    text = f"One row for each {rows[:-1]}, one column for each {columns[:-1]}."
    side = min(800, 10 * max(cut.shape))
    return TileSheet(title, text, [SheetTile("", cut, title)], _signed(values), side=side, notes=notes)
