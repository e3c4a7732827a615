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
_WIDTH, _TILE = 560, 40
"""The width of an image with many tiles, and the longer side of a tile, both in CSS pixels and not exceeded where possible."""


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
    pixels, zoom = _pixels(sheet)
    return KernelImage(sheet.title, tuple(sheet.notes), str(sheet.scale), pixels, zoom)


def _pixels(sheet: TileSheet) -> tuple[Pixels, int]:
    """All tiles in rows with a transparent line between them, and how many times as large to show it; a curve is one row."""
    tiles = np.stack([np.atleast_2d(tile.values) for tile in sheet.tiles])
    count, height, width, *depth = tiles.shape
    longest = max(height, width)
    side = _WIDTH if count == 1 else min(int(sheet.side), max(_TILE, 3 * longest))
    zoom = max(1, side // longest)
    columns = min(count, sheet.columns or max(1, _WIDTH // ((width + 1) * zoom)))
    zoom = max(1, min(zoom, _WIDTH // (columns * (width + 1))))
    rows = ceil(count / columns)
    cells = np.zeros((rows * columns, height + 1, width + 1, *depth), np.uint8)
    cells[:count, :height, :width] = np.maximum(
        sheet.scale.pixels(tiles.reshape(count * height, width, *depth)), 1
    ).reshape(tiles.shape)
    image = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    return image.reshape(rows * (height + 1), columns * (width + 1), *depth)[:-1, :-1], zoom
