"""The result of template matching: the image with the best match marked, the patch, and the scores as a heat map.

In: the pixels of the image and the patch, the scores (`cnnc.reference.template`) and the position of the best one. Out: a
`Drawing`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.view.contact_sheet import PIXEL, SheetScale
from cnnc.view.drawing import Drawing, Edge, Label, Raster, Shape
from cnnc.view.geometry import moved, rectangle
from cnnc.view.shades import Pixels, image_pixels, reduced, score_pixels
from cnnc.view.text_width import text_width, wrapped

_GAP = 20
_HEAD = 32
_BAR = 12
_MARK = 5  # units from the best score to the mark around it
_SIZE, _SMALL, _LINE = 13, 11, 15

Values = NDArray[np.floating[Any]]


class _MapPanel(NamedTuple):
    """An image with its title, and the corner and size of the mark on it, in units of the drawing; None for no mark."""

    title: str
    pixels: Pixels
    mark: tuple[float, float, float, float] | None = None


def template_map(
    title: str, image: Values, patch: Values, scores: Values, best: tuple[int, int], scale: SheetScale
) -> Drawing:
    """The drawing; images are (H, W, C) with values from 0 to 1, scores (H - h + 1, W - w + 1) from -1 to 1.

    `best` is the row and column of the best score, of which all panels are about.
    """
    unit = scale.enlargement * PIXEL / scale.reduction
    left, top = best[1] * unit, best[0] * unit
    panels = (
        _MapPanel(
            "image",
            image_pixels(reduced(image, scale.reduction)),
            (left, top, patch.shape[1] * unit, patch.shape[0] * unit),
        ),
        _MapPanel("patch", image_pixels(reduced(patch, scale.reduction))),
        _MapPanel(
            "score, by the upper left corner of the patch",
            score_pixels(_largest(scores, scale.reduction)),
            (left - _MARK, top - _MARK, unit + 2 * _MARK, unit + 2 * _MARK),
        ),
    )
    x, y = float(_GAP), float(_GAP + 16 + _HEAD + _GAP)
    height = 0.0
    shapes: list[Shape] = []
    for panel in panels:
        drawn = _panel(panel, scale.enlargement * PIXEL)
        shapes += moved(drawn.shapes, x, y)
        x += drawn.width + _GAP
        height = max(height, drawn.height)
    bar = max(80, min(height, 200))
    shapes += _colour_scale(x, y, bar)
    x += _BAR + 40
    score = f"best match at row {best[0]}, column {best[1]}: {scores[best]:.3f}"
    head = (Label(_GAP, _GAP + 16, title, role="title", size=16), Label(_GAP, _GAP + 16 + 18, score, size=_SIZE))
    width = max(x, _GAP * 2 + max(text_width(title, 16, bold=True), text_width(score, _SIZE)))
    return Drawing(width, y + max(height, bar + 8) + _GAP, title, score, (*head, *shapes))


def _panel(panel: _MapPanel, side: float) -> Drawing:
    """A panel whose image begins at (0, 0), each pixel `side` wide; the lines of its title are above."""
    height, width = (n * side for n in panel.pixels.shape[:2])
    lines = wrapped(panel.title, max(width, 80), _SIZE)
    shapes: list[Shape] = [
        Label(0, -_MARK - 8 - number * _LINE, line, size=_SIZE) for number, line in enumerate(reversed(lines))
    ]
    shapes += [Raster(0, 0, width, height, panel.pixels, panel.title), _frame(0, 0, width, height)]
    if panel.mark is not None:
        shapes.append(_frame(*panel.mark)._replace(role="result", halo=True))
    return Drawing(max(width, *(text_width(line, _SIZE) for line in lines)), height, panel.title, "", tuple(shapes))


def _colour_scale(x: float, y: float, height: float) -> list[Shape]:
    pixels = score_pixels(np.linspace(1, -1, 41)[:, None])
    labels = [
        Label(x + _BAR + 5, y + (1 - score) / 2 * height + 4, str(score), role="note", size=_SMALL)
        for score in (1, 0, -1)
    ]
    return [Raster(x, y, _BAR, height, pixels, "scores"), _frame(x, y, _BAR, height), *labels]


def _frame(x: float, y: float, width: float, height: float) -> Edge:
    return Edge(rectangle(x, y, width, height), "axis")


def _largest(scores: Values, factor: int) -> Values:
    """The largest score of each square of positions, so that a peak stays."""
    for axis in (0, 1):
        scores = np.maximum.reduceat(scores, np.arange(0, scores.shape[axis], factor), axis)
    return scores
