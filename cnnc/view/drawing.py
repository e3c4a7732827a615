"""A drawing: shapes in absolute coordinates, which SVG and PNG show alike.

In: whoever lays out a page or a graph. Out: a `Drawing`. Units are CSS pixels; x grows to the right and y downwards. Colours
are roles: a face chooses colours that work on a light and on a dark background and stay apart in grey.

    Drawing(120, 40, "A box", "One box with a label", (Box(10, 10, 100, 20, "plain"), Label(60, 24, "conv1", "middle")))
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.view.page import CellRole

Role = CellRole | Literal["title", "text", "note", "axis", "series1", "series2", "series3", "series4"]
Anchor = Literal["start", "middle", "end"]


class Box(NamedTuple):
    """A rectangle. `shade` from -1 to 1 fills it as a heat map does; `hint` is shown on hovering; `key` is unique, for scripts."""

    x: float
    y: float
    width: float
    height: float
    role: Role = "plain"
    shade: float | None = None
    hint: str = ""
    key: str = ""


class Label(NamedTuple):
    """One line of text; (x, y) is the `anchor` of its baseline, `size` the font size. `mono` is a fixed-width font."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    role: Role = "text"
    size: float = 13
    mono: bool = False
    key: str = ""


class Edge(NamedTuple):
    """A line through points, with an arrowhead at its end if `arrow`."""

    points: tuple[tuple[float, float], ...]
    role: Role = "plain"
    arrow: bool = False
    hint: str = ""


class Raster(NamedTuple):
    """An image (uint8, grey (H, W) or RGB (H, W, 3)) stretched over a rectangle, each pixel a sharp square."""

    x: float
    y: float
    width: float
    height: float
    pixels: NDArray[np.uint8]
    hint: str = ""


Shape = Box | Label | Edge | Raster


class Drawing(NamedTuple):
    """Shapes, drawn in this order. `title` and `description` are for readers who do not see the picture."""

    width: float
    height: float
    title: str
    description: str
    shapes: tuple[Shape, ...]
