"""The kernels of each layer as one image, cheap enough to be made while a network trains.

In: a graph and its weights. Out: `KernelImage`s, which hold no reference to the weights.

    kernel_images(graph, weights)     # (KernelImage("conv1: 6 kernels of 1x5x5", ...), ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph
from cnnc.ops.filter import Filter
from cnnc.view.inspect.kernels import kernel_sheets
from cnnc.view.inspect.tiles import TileSheet
from cnnc.view.live.moment import KernelImage
from cnnc.view.shades import Pixels

LAYERS, WEIGHTS = 16, 4_000_000
"""The most layers whose kernels are shown, and the most weights of one of them."""
_WIDTH = 640


def kernel_images(graph: Graph, weights: Mapping[str, Array]) -> tuple[KernelImage, ...]:
    """The kernels of the first layers that have some; shared ones are shown once, given ones (`filter`) not at all."""
    images: list[KernelImage] = []
    shown: set[str] = set()
    for node in graph.nodes:
        name = graph.parameter_names[node.name].get("weight", "")
        if name in shown or name not in weights or weights[name].size > WEIGHTS or isinstance(node.op, Filter):
            continue
        shown.add(name)
        images += map(_image, kernel_sheets(graph, node, weights[name]))
        if len(images) >= LAYERS:
            break
    return tuple(images[:LAYERS])


def kernels_note(graph: Graph, weights: Mapping[str, Array], count: int) -> str:
    """What is left out of `count` images; "" where nothing is."""
    sizes = [
        weights[name].size for name in {p.get("weight", "") for p in graph.parameter_names.values()} if name in weights
    ]
    notes = [f"The first {LAYERS} layers with kernels are shown."] if count == LAYERS else []
    if any(size > WEIGHTS for size in sizes):
        notes.append(f"Layers with more than {WEIGHTS:,} weights are left out.")
    return " ".join(notes)


def _image(sheet: TileSheet) -> KernelImage:
    height, width = _extent(sheet)
    zoom = max(1, int(sheet.side // max(height, width)))
    return KernelImage(sheet.title, tuple(sheet.notes), str(sheet.scale), _pixels(sheet, height, width, zoom), zoom)


def _extent(sheet: TileSheet) -> tuple[int, int]:
    """The height and width of the largest tile; a curve is one row."""
    shapes = [tile.values.shape if tile.values.ndim > 1 else (1, *tile.values.shape) for tile in sheet.tiles]
    return max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)


def _pixels(sheet: TileSheet, height: int, width: int, zoom: int) -> Pixels:
    """All tiles in rows with a transparent line between them."""
    count = len(sheet.tiles)
    columns = min(count, sheet.columns or max(1, _WIDTH // ((width + 1) * zoom)))
    rows = ceil(count / columns)
    depth = sheet.tiles[0].values.shape[2:]
    values = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, *depth), np.float32)
    drawn = np.zeros(values.shape[:2], bool)
    for number, tile in enumerate(sheet.tiles):
        part = tile.values if tile.values.ndim > 1 else tile.values[None]
        y, x = number // columns * (height + 1), number % columns * (width + 1)
        area = np.s_[y : y + part.shape[0], x : x + part.shape[1]]
        values[area], drawn[area] = part, True
    pixels = np.maximum(sheet.scale.pixels(values), 1)
    pixels[~drawn] = 0
    return pixels
