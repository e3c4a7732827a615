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

LayerRole = Literal[
    "end", "conv", "dense", "pool", "norm", "activation", "merge", "dropout", "reshape", "block", "frame"
]
"""What a box of a network is: an input or output, a kind of layer, a folded block call, or the frame of an unfolded one."""
Role = CellRole | LayerRole | Literal["title", "text", "note", "axis", "series1", "series2", "series3", "series4"]
Anchor = Literal["start", "middle", "end"]
MarkerForm = Literal["circle", "square", "triangle", "diamond"]


class Box(NamedTuple):
    """A rectangle. `shade` from -1 to 1 fills it as a heat map does; `hint` is shown on hovering; `corner` rounds it."""

    x: float
    y: float
    width: float
    height: float
    role: Role = "plain"
    shade: float | None = None
    hint: str = ""
    corner: float = 0


class Polygon(NamedTuple):
    """A closed area with these corners, such as the side of a block. `shade` and `hint` are as those of a box."""

    points: tuple[tuple[float, float], ...]
    role: Role = "plain"
    shade: float | None = None
    hint: str = ""


class Label(NamedTuple):
    """One line of text; (x, y) is the `anchor` of its baseline, `size` the font size. `mono` is a fixed-width font.

    `shade` is that of the box it stands on, so that a face can choose a colour that is readable there.
    """

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    role: Role = "text"
    size: float = 13
    mono: bool = False
    shade: float | None = None


class Edge(NamedTuple):
    """A line through points, with an arrowhead at its end if `arrow`; `corner` is the radius of its bends.

    A `halo` in the colour of the background sets it off from what it crosses. A `thin` line is one pixel wide.
    """

    points: tuple[tuple[float, float], ...]
    role: Role = "plain"
    arrow: bool = False
    hint: str = ""
    corner: float = 0
    halo: bool = False
    thin: bool = False


class Marker(NamedTuple):
    """A point of a curve, `size` high and wide; (x, y) is its centre. A `hollow` one is an outline."""

    x: float
    y: float
    form: MarkerForm = "circle"
    role: Role = "series1"
    size: float = 7
    hint: str = ""
    hollow: bool = False


class Raster(NamedTuple):
    """An image (uint8, grey (H, W) or RGB (H, W, 3)) stretched over a rectangle; enlarged pixels are sharp squares."""

    x: float
    y: float
    width: float
    height: float
    pixels: NDArray[np.uint8]
    hint: str = ""


Shape = Box | Polygon | Label | Edge | Marker | Raster


class Drawing(NamedTuple):
    """Shapes, drawn in this order. `title` and `description` are for readers who do not see the picture.

    The first `head` of its height shows just these two; a document shows them as text of its own instead.
    """

    width: float
    height: float
    title: str
    description: str
    shapes: tuple[Shape, ...]
    head: float = 0
