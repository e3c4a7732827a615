"""Drawings as PNG images: each kind of shape, text in any characters, with and without FreeType."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image, ImageFont

from cnnc.core.arrays import Array
from cnnc.view import png as png_module
from cnnc.view.drawing import Box, Drawing, Edge, Label, Marker, Raster, Shape
from cnnc.view.palette import LIGHT
from cnnc.view.png import RATIO, png, ratio_of


def drawn(*shapes: Shape, width: float = 60, height: float = 30) -> Array:
    image = Image.open(io.BytesIO(png(Drawing(width, height, "A title", "A description", shapes))))
    assert image.size == (width * RATIO, height * RATIO)
    pixels: Array = np.asarray(image.convert("RGB"))
    return pixels


def rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def ink(pixels: Array) -> tuple[int, int, int, int]:
    """The first and last row and column that are not background."""
    rows, columns = np.nonzero((pixels != rgb(LIGHT.background)).any(2))
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_a_raster_keeps_its_pixels_sharp() -> None:
    source = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
    pixels = drawn(Raster(5, 4, 30, 20, source))
    enlarged = np.repeat(np.repeat(source, 20, 0), 20, 1)
    assert (pixels[8:48, 10:70] == enlarged[..., None]).all()
    assert ink(pixels) == (8, 47, 10, 69)


def test_a_raster_in_colour_that_is_shrunk_shows_means() -> None:
    source = np.zeros((40, 40, 3), np.uint8)
    source[::2, :, 0] = 200
    pixels = drawn(Raster(0, 0, 10, 10, source))
    assert (pixels[:20, :20] == [100, 0, 0]).all()


def test_boxes_edges_and_markers_lie_where_they_are_placed() -> None:
    box = drawn(Box(10, 5, 20, 10, "read"))
    assert box[20, 40].tolist() == rgb(LIGHT.look("read").fill)
    assert box[10, 40].tolist() == rgb(LIGHT.look("read").line)
    top, bottom, left, right = ink(box)
    assert top in range(8, 11)
    assert bottom in range(30, 33)
    assert left in range(18, 21)
    assert right in range(60, 63)
    assert drawn(Box(10, 5, 20, 10, "plain", -1.0))[20, 40].tolist() == rgb(LIGHT.heat(-1.0)[0])
    line = drawn(Edge(((5, 10), (50, 10)), "result"))
    assert line[20, 60].tolist() == rgb(LIGHT.look("result").line)
    arrow = drawn(Edge(((5, 10), (50, 10)), "result", arrow=True))
    assert ink(arrow)[1] - ink(arrow)[0] > ink(line)[1] - ink(line)[0]
    at_the_tip = (arrow[:, 98] != 255).any(1).sum()
    assert at_the_tip <= 3, "the tip is not blunted by the width of the line"
    dashes = drawn(Edge(((5, 10), (50, 10)), "weight"))[20, 12:98]
    drawn_part = (dashes == rgb(LIGHT.look("weight").line)).all(1).mean()
    assert 0.5 < drawn_part < 0.9
    for form in ("circle", "square", "triangle", "diamond"):
        marker = drawn(Marker(30, 15, form, "series1", 8))
        assert marker[32, 60].tolist() == rgb(LIGHT.look("series1").line)
        assert ink(marker)[2] >= 60 - 11
        assert ink(marker)[3] <= 60 + 11


@pytest.mark.parametrize(("anchor", "left", "right"), [("start", 60, None), ("middle", None, None), ("end", None, 60)])
def test_text_begins_and_ends_at_its_anchor(anchor: Any, left: int | None, right: int | None) -> None:
    top, bottom, first, last = ink(drawn(Label(30, 20, "Hill", anchor)))
    assert top >= 40 - 26
    assert bottom in range(37, 42), "it stands on the baseline"
    assert left is None or first in range(left, left + 5)
    assert right is None or last in range(right - 5, right + 1)
    if anchor == "middle":
        assert abs((first + last) / 2 - 60) < 3


def test_fixed_width_text_has_columns() -> None:
    _, _, _, dots = ink(drawn(Label(0, 20, "...1", mono=True)))
    _, _, _, wide = ink(drawn(Label(0, 20, "WWW1", mono=True)))
    assert dots == wide


def test_words_of_a_table_are_not_spaced_out() -> None:
    """A word begins in its column, and its letters stand as close as in other text."""
    table, plain = drawn(Label(2, 20, "9  illi", mono=True)), drawn(Label(2, 20, "illi"))
    columns = np.flatnonzero((table != 255).any((0, 2)))
    word = columns[columns >= (2 + 3 * 13 * 0.6) * 2]
    assert word[-1] - word[0] <= np.ptp(np.flatnonzero((plain != 255).any((0, 2)))) + 1
    numbers = [drawn(Label(2, 20, text, mono=True)) for text in ("  1.5  x", "-11.5  x")]
    assert (numbers[0][:, 52:] == numbers[1][:, 52:]).all(), "columns of numbers are aligned"


def test_characters_that_the_font_lacks_are_written_in_others() -> None:
    for text, same in (("2×3 − 1", "2x3 - 1"), ("Käfer", "Kafer"), ("10⁴", "10^4"), ("猫", "?"), ("a\nb", "a b")):
        assert (drawn(Label(2, 20, text)) == drawn(Label(2, 20, same))).all(), text
    assert not (drawn(Label(2, 20, "1·2")) == drawn(Label(2, 20, "1*2"))).all(), "the font has this one"


def test_without_freetype_text_is_drawn_in_the_small_font(monkeypatch: pytest.MonkeyPatch) -> None:
    small = ImageFont.load_default_imagefont()
    monkeypatch.setattr(png_module, "_font", lambda size: small)
    shapes = [Label(30, 20, "3 × ä = …", anchor) for anchor in ("start", "middle", "end")]
    for shape in (*shapes, Label(5, 20, "", "start")):
        pixels = drawn(shape)
        assert (pixels != 255).any() == bool(shape.text)
        assert not shape.text or ink(pixels)[1] < 46


def test_the_file_names_its_program_title_and_description() -> None:
    image = Image.open(io.BytesIO(png(Drawing(10, 10, "Käfer \x07", "One\nline", ()))))
    assert image.text == {"Software": "cnnc", "Title": "Käfer ␇", "Description": "One line"}  # type: ignore[attr-defined]


def test_a_very_large_drawing_has_one_pixel_per_unit() -> None:
    large = Drawing(4000, 3000, "Large", "", (Box(10, 10, 100, 20, "plain"), Label(60, 24, "conv1", "middle")))
    assert Image.open(io.BytesIO(png(large))).size == (4000, 3000)
    assert ratio_of(large._replace(height=2000)) == RATIO
