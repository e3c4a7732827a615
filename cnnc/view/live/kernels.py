"""The kernels of each layer as one image, cheap enough to be made while a network trains.

In: a graph and its weights. Out: `KernelImage`s, which hold no reference to the weights.

    kernel_images(graph, weights)     # (KernelImage("conv1: 6 kernels of 1x5x5", ...), ...)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, Node
from cnnc.ops.filter import Filter
from cnnc.ops.sequence import Embed
from cnnc.view.inspect.kernels import kernel_sheets
from cnnc.view.inspect.tiles import TileSheet
from cnnc.view.live.moment import KernelImage
from cnnc.view.shades import Pixels

LAYERS, WEIGHTS = 16, 4_000_000
"""The most layers whose kernels are shown, and the most weights of one of them."""
_WIDTH, _HEIGHT, _TILE, _ZOOM = 560, 320, 40, 12
"""The size of an image and the longer side of one of its tiles in CSS pixels, and the zoom: exceeded only where it would be 0."""


def kernel_images(graph: Graph, weights: Mapping[str, Array]) -> tuple[KernelImage, ...]:
    """The kernels of the first layers that have some; shared ones are shown once, given ones (`filter`) not at all."""
    images: list[KernelImage] = []
    for node, weight in _kernels(graph, weights):
        if weight.size <= WEIGHTS and len(images) < LAYERS:
            images += map(_image, kernel_sheets(graph, node, weight))
    return tuple(images)


def kernels_note(graph: Graph, weights: Mapping[str, Array], count: int) -> str:
    """What is left out of `count` images; "" where nothing is."""
    notes = [f"The kernels of the first {LAYERS} layers are shown."] if count == LAYERS else []
    if any(weight.size > WEIGHTS for _, weight in _kernels(graph, weights)):
        notes.append(f"Layers with more than {WEIGHTS:,} weights are left out.")
    return " ".join(notes)


def _kernels(graph: Graph, weights: Mapping[str, Array]) -> Iterator[tuple[Node, Array]]:
    """The layers with kernels that training changes; those that layers share are there once."""
    shown: set[str] = set()
    for node in graph.nodes:
        name = graph.parameter_names[node.name].get("weight", "")
        if name in weights and name not in shown and not isinstance(node.op, Embed | Filter):
            shown.add(name)
            yield node, weights[name]


def _image(sheet: TileSheet) -> KernelImage:
    pixels, zoom = _pixels(sheet)
    return KernelImage(sheet.title, tuple(sheet.notes), str(sheet.scale), pixels, zoom)


def _pixels(sheet: TileSheet) -> tuple[Pixels, int]:
    """All tiles in rows with a transparent line between them, and how many times as large to show it.

    Curves become the rows of one tile.
    """
    tiles = np.stack([tile.values for tile in sheet.tiles])
    tiles = tiles[None] if tiles.ndim == 2 else tiles
    count, height, width, *depth = tiles.shape
    longest = max(height, width)
    side = _WIDTH if count == 1 else min(int(sheet.side), max(_TILE, 3 * longest))
    zoom = max(1, min(side // longest, _ZOOM))
    columns = min(count, sheet.columns or max(1, _WIDTH // ((width + 1) * zoom)))
    rows = ceil(count / columns)
    cells = np.zeros((rows * columns, height + 1, width + 1, *depth), np.uint8)
    cells[:count, :height, :width] = np.maximum(
        sheet.scale.pixels(tiles.reshape(count * height, width, *depth)), 1
    ).reshape(tiles.shape)
    image = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    image = image.reshape(rows * (height + 1), columns * (width + 1), *depth)[:-1, :-1]
    return image, max(1, min(zoom, _WIDTH // image.shape[1], _HEIGHT // image.shape[0]))
