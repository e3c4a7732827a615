"""Sections of `inspect` with few and many classes, long and hostile names: nothing overlaps, all texts are on the page."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from cnnc.graph.analysis import ReceptiveField
from cnnc.view.arrange import WIDTH as PAGE
from cnnc.view.arrange import arranged
from cnnc.view.document import Table
from cnnc.view.drawing import Drawing, Label
from cnnc.view.inspect.confusions import confusion_items
from cnnc.view.inspect.shifts import LayerShift, ShiftAxis, accuracy_chart, aligned_table, layer_chart
from cnnc.view.inspect.signed_maps import (
    Image,
    Patch,
    curve_rows,
    input_sheet,
    map_image,
    picture_rows,
    projection_items,
    word_rows,
)
from cnnc.view.page import Page
from tests.view.overlaps import area, collisions, within
from tests.view.pages import HOSTILE
from tests.view.test_inspect import overlaps

NAMES: dict[str, Callable[[int], str]] = {
    "short": lambda i: str(i),
    "words": lambda i: f"{i} golden retriever",
    "long": lambda i: f"{i} " + "W" * 200,
    "hostile": lambda i: f"{i}{HOSTILE}",
}
names_of_all_kinds = pytest.mark.parametrize("kind", NAMES)


def outside(drawing: Drawing) -> list[str]:
    """Texts that reach over the edge of the drawing."""
    page = (0, 0, drawing.width, drawing.height)
    return [s.text for s in drawing.shapes if isinstance(s, Label) and s.text and not within(area(s), page)]


@names_of_all_kinds
@pytest.mark.parametrize("count", [2, 10, 30, 40, 100])
def test_a_confusion_matrix_fits_the_page(kind: str, count: int) -> None:
    names = tuple(NAMES[kind](i) for i in range(count))
    matrix = np.random.default_rng(0).integers(0, 2000, (count, count)).tolist()
    first, classes = confusion_items(matrix, names)
    assert isinstance(classes, Table)
    assert len(classes.rows) == count
    if count > 30:
        assert isinstance(first, Table)
        assert len(first.rows) == 30
        return
    assert isinstance(first, Page)
    drawing = arranged(first)
    assert collisions(drawing) == []
    assert outside(drawing) == []
    assert drawing.width <= (PAGE if count <= 10 else 1300)  # 30 columns of four digits
    texts = [s.text for s in drawing.shapes if isinstance(s, Label)]
    assert sum(text == str(matrix[1][0]) for text in texts) >= 1
    assert any("1" in text for text in texts)


@names_of_all_kinds
@pytest.mark.parametrize("count", [1, 2, 10, 40, 100])
def test_rows_of_images(kind: str, count: int) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    images = [Image(NAMES[kind](i), pixels if i % 3 else np.zeros((40, 60, 3), np.uint8)) for i in range(count)]
    drawing = picture_rows(NAMES[kind](0), NAMES[kind](1), [(NAMES[kind](2), images), ("", images[:1])])
    assert overlaps(drawing) == []
    assert outside(drawing) == []
    assert drawing.width == 900


@names_of_all_kinds
def test_maps_words_and_curves(kind: str) -> None:
    name, random = NAMES[kind], np.random.default_rng(0)
    image, series = random.standard_normal((2, 9, 9)), np.clip(random.standard_normal((3, 50)), -2, 2)
    drawings = [
        picture_rows(name(0), name(1), [("", [map_image(name(i), image[0]) for i in range(4)])], 170),
        word_rows(name(0), name(1), [name(i) for i in range(60)], [(name(2), random.standard_normal(60))]),
        word_rows(name(0), name(1), ["a"], [("m", np.zeros(1))]),
        curve_rows(name(0), name(1), [(name(2), series), ("occlusion", series[:1])]),
        input_sheet(name(0), [(name(i), image) for i in range(10)], 0, 1),
        input_sheet(name(0), [(name(i), series) for i in range(10)], -2, 2),
        input_sheet(name(0), [(name(i), series[:1]) for i in range(10)], -2, 2),
        *projection_items(name(0), [name(1)] * 9, [Patch(image, image)] * 9),
        *projection_items(name(0), [name(1)] * 9, [Patch(series, series)] * 9),
        *projection_items(name(0), [name(1)] * 2, [Patch(random.random((1, 3, 4, 4)), np.zeros((1, 3, 4, 4)))] * 2),
    ]
    for drawing in drawings:
        assert isinstance(drawing, Drawing)
        assert collisions(drawing) == [], drawing.description[:60]
        assert outside(drawing) == []
        assert drawing.width <= PAGE


@names_of_all_kinds
@pytest.mark.parametrize("shifts", [(0,), (0, 1, 2, 3, 4, 5, 6), tuple(range(64))])
def test_charts_of_shifts(kind: str, shifts: tuple[int, ...]) -> None:
    layers = {NAMES[kind](i): [LayerShift(i / 10, None if i % 2 else 0.0)] * len(shifts) for i in range(8)}
    for chart in (accuracy_chart(shifts, [0.5] * len(shifts), [0.1] * len(shifts)), layer_chart(shifts, layers)):
        labels = [s for s in chart.shapes if isinstance(s, Label) and s.text]
        areas = [area(label) for label in labels]
        assert [
            (a.text, b.text)
            for i, a in enumerate(labels)
            for j, b in enumerate(labels[:i])
            if areas[i][0] < areas[j][2] and areas[j][0] < areas[i][2]
            if areas[i][1] < areas[j][3] and areas[j][1] < areas[i][3]
        ] == []
        assert outside(chart) == []
    axes = {name: ShiftAxis(ReceptiveField(3, Fraction(1, 2)), 2) for name in layers}
    assert len(aligned_table(axes, shifts, layers).rows) == 8
