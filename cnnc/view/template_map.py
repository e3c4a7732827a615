"""The result of template matching: the image with the best match marked, the patch, and the scores as a heat map.

In: the pixels of the image and the patch, the scores (`cnnc.reference.template`) and the position of the best one. Out: a
`Drawing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.view.contact_sheet import PIXEL, SheetScale
from cnnc.view.drawing import Drawing, Edge, Label, Raster, Shape
from cnnc.view.shades import image_pixels, reduced, score_pixels
from cnnc.view.text_width import text_width, wrapped

_GAP = 20
_HEAD = 32
_BAR = 12
_MARK = 5  # units from the best score to the mark around it
_SIZE, _SMALL, _LINE = 13, 11, 15

Values = NDArray[np.floating[Any]]


def template_map(
    title: str, image: Values, patch: Values, scores: Values, best: tuple[int, int], scale: SheetScale
) -> Drawing:
    """The drawing; images are (H, W, C) with values from 0 to 1, scores (H - h + 1, W - w + 1)."""
    unit = scale.enlargement * PIXEL / scale.reduction
    row, column = best
    y: float = _GAP + 16 + _HEAD + _GAP
    shapes: list[Shape] = []
    x: float = _GAP
    panels = (
        ("image", image_pixels(reduced(image, scale.reduction))),
        ("patch", image_pixels(reduced(patch, scale.reduction))),
        ("score, by the upper left corner of the patch", score_pixels(_largest(scores, scale.reduction))),
    )
    bottom = y
    for name, pixels in panels:
        height, width = (n * scale.enlargement * PIXEL for n in pixels.shape[:2])
        lines = wrapped(name, max(width, 80), _SIZE)
        for number, line in enumerate(reversed(lines)):
            shapes.append(Label(x, y - _MARK - 8 - number * _LINE, line, size=_SIZE))
        shapes += [Raster(x, y, width, height, pixels, name), _frame(x, y, width, height)]
        if name == "image":
            shapes.append(_outline(x + column * unit, y + row * unit, patch.shape[1] * unit, patch.shape[0] * unit))
        elif name != "patch":
            centre = x + (column + 0.5) * unit, y + (row + 0.5) * unit
            side = unit + 2 * _MARK
            shapes.append(_outline(centre[0] - side / 2, centre[1] - side / 2, side, side))
        x += max(width, *(text_width(line, _SIZE) for line in lines)) + _GAP
        bottom = max(bottom, y + height)
    bar = max(80, min(bottom - y, 200))
    shapes += _colour_scale(x, y, bar)
    x += _BAR + 40
    score = f"best match at row {row}, column {column}: {scores[best]:.3f}"
    head = (Label(_GAP, _GAP + 16, title, role="title", size=16), Label(_GAP, _GAP + 16 + 18, score, size=_SIZE))
    width = max(x, _GAP * 2 + max(text_width(title, 16, bold=True), text_width(score, _SIZE)))
    return Drawing(width, max(bottom, y + bar + 8) + _GAP, title, score, (*head, *shapes))


def _colour_scale(x: float, y: float, height: float) -> list[Shape]:
    pixels = score_pixels(np.linspace(1, -1, 41)[:, None])
    labels = [
        Label(x + _BAR + 5, y + (1 - score) / 2 * height + 4, str(score), role="note", size=_SMALL)
        for score in (1, 0, -1)
    ]
    return [Raster(x, y, _BAR, height, pixels, "scores"), _frame(x, y, _BAR, height), *labels]


def _frame(x: float, y: float, width: float, height: float) -> Edge:
    return Edge(((x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)), "axis")


def _outline(x: float, y: float, width: float, height: float) -> Edge:
    return _frame(x, y, width, height)._replace(role="result", halo=True)


def _largest(scores: Values, factor: int) -> Values:
    """The largest score of each square of positions, so that a peak stays."""
    for axis in (0, 1):
        scores = np.maximum.reduceat(scores, np.arange(0, scores.shape[axis], factor), axis)
    return scores
