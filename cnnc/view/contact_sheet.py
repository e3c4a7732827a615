"""A contact sheet: an image and what filters make of it, each with its name and its kernel beneath.

In: `SheetImage`s, whose values are floats (H, W, C). Out: a `Drawing`. All images have the same scale. A large image is shown
smaller, as the means of squares of pixels; `reduction` says by how much.

    contact_sheet("cat.png", [SheetImage("original", image), SheetImage("sobel_x", edges, ((-1, 0, 1), ...), signed=True)])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arguments import Nested
from cnnc.ops.kernels import matrix_texts
from cnnc.view.drawing import Box, Drawing, Label, Raster, Role, Shape
from cnnc.view.geometry import moved
from cnnc.view.shades import image_pixels, reduced, signed_pixels
from cnnc.view.text_width import text_width, wrapped

PIXEL = 0.5
"""The width of a pixel of a PNG in units of a drawing."""

_WIDTH = 1060
_GAP = 20
_LEAST = 140  # a cell's width, for the text below a small image
_NUMBERS = 5  # rows and columns of a kernel that is shown in numbers
_KERNEL = 64  # units of a kernel that is shown as an image
_SIZE, _SMALL, _LINE = 13, 11, 15
_ROUNDING = 1e-12  # of the sum of a kernel's magnitudes: smaller results of an image from 0 to 1 are rounding errors


class SheetImage(NamedTuple):
    """One image of a sheet, and the kernel that it was filtered with, () for none: its rows, each divided by `divisor`.

    A `signed` image is grey where it is 0; another is shown as an image, its values divided by `white`.
    """

    name: str
    values: NDArray[np.floating[Any]]
    kernel: Nested = ()
    divisor: int = 1
    signed: bool = False
    white: float = 1.0


class SheetScale(NamedTuple):
    """The pixels of a sheet for each pixel of an image, and the side of the squares of pixels that are averaged."""

    enlargement: int
    reduction: int


def sheet_scale(tiles: Sequence[SheetImage], side: int) -> SheetScale:
    """The scale at which the largest image of a sheet has at most `side` pixels on its longer side."""
    longest = max(max(tile.values.shape[:2]) for tile in tiles)
    return SheetScale(max(1, side // longest), -(-longest // side))


def contact_sheet(title: str, tiles: Sequence[SheetImage], scale: SheetScale, notes: Sequence[str] = ()) -> Drawing:
    """The drawing of a sheet: tiles in rows from left to right, then the notes."""
    longest = max(-(-tile.values.shape[1] // scale.reduction) for tile in tiles)
    width = max(longest * scale.enlargement * PIXEL, _LEAST)
    cells = [_cell(tile, scale, width) for tile in tiles]
    columns = max(1, min(len(cells), int((_WIDTH - _GAP) // (width + _GAP))))
    columns = math.ceil(len(cells) / math.ceil(len(cells) / columns))
    total = max(_GAP + columns * (width + _GAP), 360)
    shapes: list[Shape] = []
    y: float = _GAP
    for line in wrapped(title, total - 2 * _GAP, 16, bold=True):
        y += 16
        shapes.append(Label(_GAP, y, line, role="title", size=16))
    y += _GAP
    for first in range(0, len(cells), columns):
        row = cells[first : first + columns]
        for index, cell in enumerate(row):
            shapes += moved(cell.shapes, _GAP + index * (width + _GAP), y)
        y += max(cell.height for cell in row) + _GAP
    for note in notes:
        for line in wrapped(note, total - 2 * _GAP, _SMALL):
            shapes.append(Label(_GAP, y, line, role="note", size=_SMALL))
            y += _LINE
    names = ", ".join(tile.name for tile in tiles)
    return Drawing(total, y + _GAP / 2, title, f"{len(tiles)} images: {names}", tuple(shapes))


class _Cell(NamedTuple):
    """The shapes of one tile, placed from (0, 0) on."""

    width: float
    height: float
    shapes: tuple[Shape, ...]


def _cell(tile: SheetImage, scale: SheetScale, cell_width: float) -> _Cell:
    values = reduced(tile.values, scale.reduction)
    height, width = (n * scale.enlargement * PIXEL for n in values.shape[:2])
    largest = _largest(tile, values)
    pixels = signed_pixels(values, largest) if tile.signed else image_pixels(values / tile.white)
    shapes: list[Shape] = [Raster(0, 0, width, height, pixels, tile.name), Box(0, 0, width, height, "axis")]
    y = height
    lines: list[tuple[str, Role, int]] = [(line, "text", _SIZE) for line in wrapped(tile.name, cell_width, _SIZE)]
    if tile.signed:
        span = f"black {-largest:.3g}, white {largest:.3g}" if math.isfinite(largest) else "0 everywhere"
        lines.append((span, "note", _SMALL))
    elif tile.white != 1:
        lines.append((f"black 0, white {tile.white:.3g}", "note", _SMALL))
    for text, role, size in lines:
        y += _LINE
        shapes.append(Label(0, y, text, role=role, size=size))
    if tile.kernel:
        kernel = _kernel(tile.kernel, tile.divisor, cell_width)
        shapes += moved(kernel.shapes, 0, y + 6)
        y += 6 + kernel.height
    return _Cell(cell_width, y, tuple(shapes))


def _largest(tile: SheetImage, values: NDArray[np.floating[Any]]) -> float:
    """The largest magnitude of a result; infinity if all of it is 0 or the rounding error of a sum that is 0."""
    largest = float(np.abs(values).max())
    weights = float(np.abs(np.array(tile.kernel, float)).sum()) / tile.divisor
    return largest if largest > _ROUNDING * weights else math.inf


def _kernel(rows: Nested, divisor: int, width: float) -> _Cell:
    """A kernel as rows of numbers; one that is too large for them as an image, with its size."""
    texts = matrix_texts(rows)
    factor = f"1/{divisor} ·" if divisor != 1 else ""
    left = text_width(factor + " ", _SMALL) if factor else 0.0
    step = max(text_width(text, _SMALL) for row in texts for text in row) + 6
    if max(len(texts), len(texts[0])) > _NUMBERS or left + step * len(texts[0]) > width:
        return _kernel_image(rows)
    shapes: list[Shape] = (
        [Label(0, _LINE * (len(texts) + 1) / 2 - 2, factor, role="note", size=_SMALL)] if factor else []
    )
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            shapes.append(Label(left + step * (j + 1) - 6, _LINE * (i + 1) - 2, text, "end", "note", _SMALL))
    return _Cell(left + step * len(texts[0]), _LINE * len(texts), tuple(shapes))


def _kernel_image(rows: Nested) -> _Cell:
    numbers = np.array(rows, float)
    side = max(1, int(_KERNEL / PIXEL) // max(numbers.shape)) * PIXEL
    height, width = (n * side for n in numbers.shape)
    pixels = signed_pixels(numbers, float(np.abs(numbers).max()))
    size = "x".join(map(str, numbers.shape))
    shapes = (
        Raster(0, 0, width, height, pixels, f"kernel {size}"),
        Box(0, 0, width, height, "axis"),
        Label(width + 6, 11, f"kernel {size}", role="note", size=_SMALL),
    )
    return _Cell(width + 60, height, shapes)
