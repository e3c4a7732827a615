"""Many small images or curves of one layer in rows, on one scale, which is stated above them.

In: `SheetTile`s, and the scale. Out: a `Drawing`. Every tile has room for its label, so that no text overlaps another.

    tile_sheet("conv1", "6 kernels 5x5", [SheetTile("0", kernel)], GreyScale(-0.42, 0.42))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.view.drawing import Box, Drawing, Edge, Label, Raster, Shape
from cnnc.view.labels import BODY, SMALL, text_lines
from cnnc.view.number_text import number_text
from cnnc.view.shades import Pixels, image_pixels, signed_pixels
from cnnc.view.text_width import shortened, text_width

Values = NDArray[np.floating[Any]]
WIDTH, LONGEST_LABEL = 900, 200
"""The width of a drawing, and of the longest label in it; longer ones end in `…`."""
_MARGIN, _LABEL, _BAR = 16, 11, 120


class GreyScale(NamedTuple):
    """How numbers become grey: from `low` (black) to `high` (white). A signed scale has 0 in the middle."""

    low: float
    high: float

    @property
    def is_signed(self) -> bool:
        """Whether 0 is the middle."""
        return self.low < 0

    def pixels(self, values: Values) -> Pixels:
        """Values (H, W), or (H, W, 3), as pixels; what is not finite is mid-grey."""
        finite = np.where(np.isfinite(values), values, 0.0)
        if self.is_signed:
            return signed_pixels(finite, self.high)
        return image_pixels(finite / (self.high or 1))

    def __str__(self) -> str:
        signed = f"black is {number_text(self.low)}, mid-grey is 0, white is {number_text(self.high)}"
        return signed if self.is_signed else f"black is 0, white is {number_text(self.high)}"


def scale_of(values: Values) -> GreyScale:
    """The scale that fits all finite values: signed if any is negative, from 0 otherwise."""
    finite = values[np.isfinite(values)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    return GreyScale(-largest if finite.size and float(finite.min()) < 0 else 0.0, largest)


class SheetTile(NamedTuple):
    """An image of numbers (H, W), or (H, W, 3); or a curve (T,)."""

    label: str
    values: Values
    hint: str = ""


class TileSheet(NamedTuple):
    """What `tile_sheet` draws, before it is laid out; the fields are its arguments."""

    title: str
    description: str
    tiles: Sequence[SheetTile]
    scale: GreyScale
    side: float = 70
    columns: int = 0
    gap: float = 10
    notes: Sequence[str] = ()

    def drawn(self) -> Drawing:
        """The drawing of the tiles."""
        return tile_sheet(
            self.title,
            self.description,
            self.tiles,
            self.scale,
            side=self.side,
            columns=self.columns,
            gap=self.gap,
            notes=self.notes,
        )


def tile_sheet(
    title: str,
    description: str,
    tiles: Sequence[SheetTile],
    scale: GreyScale,
    *,
    side: float = 70,
    columns: int = 0,
    gap: float = 10,
    notes: Sequence[str] = (),
) -> Drawing:
    """The drawing of tiles, the longer side of an image about `side`; `columns` in each row if given.

    Curves have a line at 0. Images are enlarged by a whole number, or shown in their own size if they are larger.
    """
    is_curve = tiles[0].values.ndim == 1
    tiles = [
        tile._replace(label=shortened(tile.label, LONGEST_LABEL, _LABEL), hint=tile.hint or tile.label)
        for tile in tiles
    ]
    longest = max(max(tile.values.shape[:2]) for tile in tiles)
    each = max(1, int(side // longest))

    def size(tile: SheetTile) -> tuple[float, float]:
        return (2.0 * side, side) if is_curve else (tile.values.shape[1] * each, tile.values.shape[0] * each)

    cell = max(max(size(tile)[0], text_width(tile.label, _LABEL)) for tile in tiles)
    per_row = columns or max(1, int((WIDTH - 2 * _MARGIN + gap) // (cell + gap)))
    shapes: list[Shape] = []
    head = text_lines(title, _MARGIN, _MARGIN, WIDTH - 2 * _MARGIN, "title", BODY + 1)
    shapes += head.labels
    y = head.bottom
    for text in (description, *notes):
        lines = text_lines(text, _MARGIN, y, WIDTH - 2 * _MARGIN, "note", SMALL)
        shapes += lines.labels
        y = lines.bottom
    head_height = y
    if not is_curve:
        y = _scale_bar(shapes, scale, y + 4)
    y += 8
    for first in range(0, len(tiles), per_row):
        row = tiles[first : first + per_row]
        for number, tile in enumerate(row):
            x = _MARGIN + number * (cell + gap)
            shapes += _tile(tile, x, y, *size(tile), scale)
            if tile.label:
                below = y + size(tile)[1] + 13
                shapes.append(Label(x, below, tile.label, "start", "note", _LABEL))
        labelled = any(tile.label for tile in row)
        y += max(size(tile)[1] for tile in row) + gap + (16 if labelled else 0)
    width = max(_MARGIN * 2 + min(per_row, len(tiles)) * (cell + gap), 360.0, *(_right(s) for s in shapes))
    about = " ".join(filter(None, [description, *notes]))
    return Drawing(width, y + 6, title, about, tuple(shapes), head_height)


def _right(shape: Shape) -> float:
    if not isinstance(shape, Label):
        return 0.0
    return shape.x + text_width(shape.text, shape.size, bold=shape.role == "title") + _MARGIN


def _tile(tile: SheetTile, x: float, y: float, width: float, height: float, scale: GreyScale) -> list[Shape]:
    if tile.values.ndim == 1:
        return curve_shapes(tile.values, x, y, width, height, scale)
    return [Raster(x, y, width, height, scale.pixels(tile.values), tile.hint), Box(x, y, width, height, "axis")]


def curve_shapes(values: Values, x: float, y: float, width: float, height: float, scale: GreyScale) -> list[Shape]:
    """A curve (T,) in a frame, with a line at 0."""
    span = scale.high - scale.low or 1.0
    rise: Callable[[float], float] = lambda v: y + height * (1 - (v - scale.low) / span)  # noqa: E731
    step = width / max(1, len(values) - 1)
    finite = np.where(np.isfinite(values), values, 0.0)
    points = tuple((x + i * step, rise(float(v))) for i, v in enumerate(finite))
    if len(points) == 1:
        points = ((x, points[0][1]), (x + width, points[0][1]))
    return [
        Box(x, y, width, height, "axis"),
        Edge(((x, rise(0.0)), (x + width, rise(0.0))), "note"),
        Edge(points, "series1"),
    ]


def _scale_bar(shapes: list[Shape], scale: GreyScale, y: float) -> float:
    """A bar from black to white with its numbers to the left and right, and the y below it."""
    left = f"{number_text(scale.low)} "
    x = _MARGIN + text_width(left, SMALL) + 4
    ramp = np.linspace(0, 255, _BAR).astype(np.uint8)[None]
    shapes.append(Label(_MARGIN, y + 11, left.strip(), "start", "note", SMALL))
    shapes.append(Raster(x, y, _BAR, 12, ramp, str(scale)))
    shapes.append(Box(x, y, _BAR, 12, "axis")._replace(hint=str(scale)))
    middle = ", mid-grey is 0" if scale.is_signed else ""
    shapes.append(Label(x + _BAR + 6, y + 11, number_text(scale.high) + middle, "start", "note", SMALL))
    return y + 18
