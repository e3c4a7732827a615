"""What differs between two drawings of the same panels, as little as a script needs to turn one into the other.

In: a panel in the picture and in a step. Out: a `StepChange`, which becomes JSON. Elements have numbers: those of
the shapes of all panels, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnc.view.drawing import Box, Edge, Label, Raster, Shape
from cnnc.view.page import Grid, Panel
from cnnc.view.panels import PanelPlace, cell_shapes, frame_shapes, panel_shapes, row_length
from cnnc.view.svg import attributes, look_of, shape_text, tag_of
from cnnc.view.text_width import shown_text


class StepChange:
    """The changes of one step."""

    def __init__(self) -> None:
        self.looks: dict[str, list[int]] = {}  # class: the elements that get it
        self.texts: list[tuple[int, str]] = []
        self.hints: list[tuple[int, str]] = []
        self.attributes: list[tuple[int, dict[str, str]]] = []
        self.panels: list[tuple[int, str]] = []  # number of a panel: all its elements
        self.used: set[str] = set()  # every class that occurs

    def add(self, number: int, first: int, before: Panel, after: Panel, place: PanelPlace) -> None:
        """What turns panel `number`, whose first element is `first`, into `after`."""
        pairs = _same_grid(before, after, place)
        if pairs is None:
            pairs = [(0, panel_shapes(before, place), panel_shapes(after, place))]
        if all(list(map(_kind, old)) == list(map(_kind, new)) for _, old, new in pairs):
            for start, old, new in pairs:
                for element, (was, now) in enumerate(zip(old, new, strict=True), first + start):
                    if not _same(was, now):
                        self._add_shape(element, was, now)
        else:
            shapes = panel_shapes(after, place)
            self.panels.append((number, elements(shapes)))
            self.used.update(map(look_of, shapes))

    def _add_shape(self, number: int, old: Shape, new: Shape) -> None:
        look = look_of(new)
        if look != look_of(old):
            self.looks.setdefault(look, []).append(number)
            self.used.add(look)
        if isinstance(old, Label) and isinstance(new, Label) and old.text != new.text:
            self.texts.append((number, shown_text(new.text)))
        if isinstance(old, Box) and isinstance(new, Box) and old.hint != new.hint:
            self.hints.append((number, shown_text(new.hint)))
        if not _at_the_same_place(old, new):
            was = attributes(old)
            changed = {key: value for key, value in attributes(new).items() if key != "class" and was.get(key) != value}
            self.attributes += [(number, changed)] if changed else []

    def as_json(self, look_numbers: dict[str, int]) -> dict[str, Any]:
        """For JSON, without what is empty; classes by their numbers, which are added to `look_numbers`."""
        looks = [[look_numbers.setdefault(look, len(look_numbers)), *elements] for look, elements in self.looks.items()]
        parts = {
            "looks": looks,
            "texts": self.texts,
            "hints": self.hints,
            "attributes": self.attributes,
            "panels": self.panels,
        }
        return {key: value for key, value in parts.items() if value}


def _same_grid(before: Panel, after: Panel, place: PanelPlace) -> list[tuple[int, list[Shape], list[Shape]]] | None:
    """Of grids that differ in their cells only: the number of the first shape of each cell that differs, and its shapes."""
    if not isinstance(before, Grid) or not isinstance(after, Grid):
        return None
    if before._replace(cells=()) != after._replace(cells=()) or len(before.cells) != len(after.cells):
        return None
    start, pairs = len(frame_shapes(before, place)), []
    for i, (old_row, new_row) in enumerate(zip(before.cells, after.cells, strict=True)):
        if len(old_row) != len(new_row):
            return None
        for j, (old, new) in enumerate(zip(old_row, new_row, strict=True)) if old_row is not new_row else ():
            if old != new:
                first = start + row_length(old_row[:j], place)
                pairs.append((first, cell_shapes(old, place, i, j), cell_shapes(new, place, i, j)))
        start += row_length(old_row, place)
    return pairs


def elements(shapes: Sequence[Shape]) -> str:
    """The elements of shapes, one per line."""
    return "".join(f"{shape_text(shape)}\n" for shape in shapes)


def _kind(shape: Shape) -> tuple[Any, ...]:
    """What a script does not change: two shapes of the same kind have the same elements and attributes."""
    if isinstance(shape, Label):
        return ("text",)
    if isinstance(shape, Edge):
        return "edge", shape.halo, shape if shape.arrow else None, shape.hint
    if isinstance(shape, Raster):
        return "image", shape.width >= shape.pixels.shape[1], shape.hint
    if isinstance(shape, Box):
        return "rect", bool(shape.hint), shape.corner
    return tag_of(shape), shape.hint


def _at_the_same_place(old: Shape, new: Shape) -> bool:
    """Whether a box or label only looks different: the usual case, which needs no attributes."""
    if isinstance(old, Box) and isinstance(new, Box):
        return old[:4] == new[:4]
    return isinstance(old, Label) and isinstance(new, Label) and old[:2] == new[:2]


def _same(old: Shape, new: Shape) -> bool:
    if isinstance(old, Raster) and isinstance(new, Raster):
        return old[:4] == new[:4] and (old.pixels is new.pixels or np.array_equal(old.pixels, new.pixels))
    return old == new
