"""The feature maps of each layer for one input: an image for each channel.

In: the outputs of all layers for a batch of one, channels last, as `reference.engine.forward` gives them. Out: items of a
section, in the order of the layers. Layers that keep their input are left out.

    map_items(graph, trace.values)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, Node
from cnnc.view.document import Item
from cnnc.view.drawing import Drawing
from cnnc.view.inspect.signed_maps import curve_rows
from cnnc.view.inspect.tiles import GreyScale, SheetTile, Values, scale_of, tile_sheet
from cnnc.view.shades import reduced

CHANNELS, FEWER, MANY_LAYERS = 16, 8, 40
"""The most channels of a layer, those of a network with more than MANY_LAYERS layers."""
_LONGEST, _ELEMENTS = 64, 256
_KEPT = frozenset(("dropout", "drop_path", "identity", "flatten", "reshape"))


def map_items(graph: Graph, values: Mapping[str, Array]) -> list[Item]:
    """The feature maps of each layer, the input first."""
    most = CHANNELS if len(graph.nodes) <= MANY_LAYERS else FEWER
    return [
        _layer_maps(node, np.asarray(values[node.name][0], np.float64), most)
        for node in graph.nodes
        if node.op.keyword not in _KEPT and node.type.dtype != "int64" and node.name in values
    ]


def map_numbers(graph: Graph, values: Mapping[str, Array]) -> dict[str, Any]:
    """The least, the largest and the mean activation of each layer."""
    numbers = {}
    for node in graph.nodes:
        finite = values[node.name][np.isfinite(values[node.name])] if node.name in values else np.zeros(0)
        if finite.size:
            least, largest, mean = float(finite.min()), float(finite.max()), float(finite.mean(dtype=np.float64))
            numbers[node.name] = {"least": least, "largest": largest, "mean": mean}
    return numbers


def _layer_maps(node: Node, values: Values, most: int) -> Drawing:
    shape = node.type.shape
    name = f"{node.name}: {'x'.join(map(str, shape))}"
    scale = scale_of(values)
    if values.size == values.shape[-1]:  # a vector, or a single position
        return _vector(name, values.reshape(-1), scale)
    if values.ndim == 2 and node.op.keyword == "input" and len(shape) == 2 and shape[0] <= FEWER:
        return curve_rows(name, "The series.", [(node.name, values.T)])
    if values.ndim == 2:  # positions, channels
        cut = values[:_ELEMENTS, :_ELEMENTS].T
        notes = [] if values.size == cut.size else [f"The first {cut.shape[0]} channels and {cut.shape[1]} positions."]
        text = "A row for each channel, a column for each position."
        return tile_sheet(name, text, [SheetTile("", cut, name)], scale, side=_side(cut), notes=notes)
    notes = []
    if values.ndim == 4:
        middle = values.shape[0] // 2
        values = values[middle]
        notes.append(f"Slice {middle} of {shape[1]} is shown.")
    channels = values.shape[-1]
    if node.op.keyword == "input" and channels == 3:
        return tile_sheet(name, "The image.", [SheetTile("", values, name)], scale, side=140, notes=notes)
    if channels > most:
        notes.append(f"The first {most} of {channels:,} channels are shown.")
    factor = -(-max(values.shape[:2]) // _LONGEST)
    if factor > 1:
        notes.append(f"Each pixel is the mean of {factor}x{factor} activations.")
    tiles = [
        SheetTile(str(c) if channels > 1 else "", reduced(values[..., c], factor), f"{node.name}[{c}]")
        for c in range(min(channels, most))
    ]
    text = "One image for each channel." if channels > 1 else ""
    return tile_sheet(name, text, tiles, scale, side=90, notes=notes)


def _side(values: Values) -> float:
    return float(min(800, 8 * max(values.shape)))


def _vector(name: str, values: Values, scale: GreyScale) -> Drawing:
    """A vector as one row, or several of 64 numbers."""
    per_row = 64
    cut = values[: 16 * per_row]
    notes = [f"The first {len(cut):,} of {len(values):,} numbers are shown."] if len(cut) < len(values) else []
    rows = [cut[i : i + per_row][None] for i in range(0, len(cut), per_row)]
    tiles = [SheetTile("", row, f"{name}, from {i * per_row} on") for i, row in enumerate(rows)]
    count = f"The {len(values):,} numbers" if len(values) > 1 else "One number"
    text = (
        count
        + (", from left to right" if len(values) > 1 else "")
        + (f", {per_row} in a row." if len(rows) > 1 else ".")
    )
    return tile_sheet(name, text, tiles, scale, side=12 * min(len(cut), per_row), columns=1, gap=2, notes=notes)
