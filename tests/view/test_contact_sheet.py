"""Contact sheets and template maps: what the pixels of an image mean, and what lies where."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.view.contact_sheet import SheetImage, SheetScale, contact_sheet, sheet_scale
from cnnc.view.drawing import Box, Drawing, Edge, Label, Raster
from cnnc.view.shades import image_pixels, reduced, score_pixels, signed_pixels
from cnnc.view.template_map import template_map
from cnnc.view.text_width import text_width

SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


def random_values(*shape: int) -> Array:
    values: Array = np.random.default_rng(0).random(shape)
    return values


def texts(drawing: Drawing) -> list[str]:
    return [shape.text for shape in drawing.shapes if isinstance(shape, Label)]


def rasters(drawing: Drawing) -> list[Raster]:
    return [shape for shape in drawing.shapes if isinstance(shape, Raster)]


def test_signed_values_are_grey_at_0() -> None:
    values = np.array([[[-2.0], [0.0], [1.0], [2.0]]])
    assert signed_pixels(values, 2).tolist() == [[0, 128, 191, 255]]
    assert signed_pixels(np.zeros((1, 2, 3)), 0).tolist() == [[[128] * 3] * 2]
    assert image_pixels(np.array([[[-0.5], [0.0], [0.2], [1.5]]])).tolist() == [[0, 0, 51, 255]]
    assert image_pixels(np.zeros((2, 3, 3))).shape == (2, 3, 3)


def test_a_larger_score_is_brighter_and_its_sign_shows_in_grey_and_in_colour() -> None:
    pixels = score_pixels(np.linspace(-1, 1, 201)[None])[0].astype(int)
    greys = (pixels @ [0.299, 0.587, 0.114]).round(6)
    assert (np.diff(greys) >= 0).all()
    assert [greys[i] // 32 for i in (0, 50, 100, 150, 200)] == [1, 2, 4, 5, 6]
    assert pixels[100].tolist() == [140] * 3
    assert pixels[0, 2] > pixels[0, 0] + 50, "blue"
    assert pixels[200, 0] > pixels[200, 2] + 50, "orange"
    assert score_pixels(np.array([[-1.0, 1.0]]) * 1.001).tolist() == [[pixels[0].tolist(), pixels[200].tolist()]]


def test_reduction_takes_means_also_at_the_edge() -> None:
    values = np.arange(15.0).reshape(3, 5, 1)
    assert reduced(values, 2)[..., 0].tolist() == [[3, 5, 6.5], [10.5, 12.5, 14]]
    assert reduced(values, 1) is values


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((28, 28), SheetScale(17, 1)),
        ((8, 8), SheetScale(60, 1)),
        ((1, 1), SheetScale(480, 1)),
        ((480, 20), SheetScale(1, 1)),
        ((500, 20), SheetScale(1, 2)),
        ((1000, 1500), SheetScale(1, 4)),
    ],
)
def test_a_tile_has_at_most_480_pixels(shape: tuple[int, int], scale: SheetScale) -> None:
    assert sheet_scale([SheetImage("a", np.zeros((*shape, 1)))], 480) == scale


def test_a_sheet_shows_each_image_with_its_name_and_kernel() -> None:
    image = random_values(20, 30, 3)
    edges = image - 0.5
    tiles = [
        SheetImage("original", image),
        SheetImage("sobel_x", edges, SOBEL, signed=True),
        SheetImage("gaussian", image, ((1, 2, 1), (2, 4, 2), (1, 2, 1)), 16),
        SheetImage("gabor angle=45", edges, tuple(map(tuple, random_values(15, 15).tolist())), signed=True),
    ]
    sheet = contact_sheet("cat.png", tiles, SheetScale(8, 1), ("A note.",))
    shown = texts(sheet)
    assert [text for text in shown if text in ("original", "sobel_x", "gaussian", "gabor angle=45")] == [
        tile.name for tile in tiles
    ]
    assert "1/16 ·" in shown
    assert "kernel 15x15" in shown
    assert shown[-1] == "A note."
    start = shown.index("sobel_x")
    largest = np.abs(edges).max()
    assert shown[start + 1 : start + 11] == [
        f"black {-largest:.3g}, white {largest:.3g}",
        *("-1", "0", "1", "-2", "0", "2", "-1", "0", "1"),
    ]
    images = rasters(sheet)
    assert len(images) == 5, "four images and a kernel"
    assert (images[0].pixels == np.rint(255 * image)).all()
    assert (images[1].pixels == np.rint(255 * (edges / largest + 1) / 2)).all()
    assert {(raster.width, raster.height) for raster in images[:4]} == {(120, 80)}
    assert sheet.description == "4 images: original, sobel_x, gaussian, gabor angle=45"


@pytest.mark.parametrize("value", [0.0, 3e-17])
def test_a_result_of_0_is_called_so_and_is_grey(value: float) -> None:
    sheet = contact_sheet(
        "flat.png", [SheetImage("sobel_x", np.full((2, 3, 1), value), SOBEL, signed=True)], SheetScale(8, 1)
    )
    assert "0 everywhere" in texts(sheet)
    assert (rasters(sheet)[0].pixels == 128).all()


def test_a_small_result_of_a_small_kernel_is_shown() -> None:
    tile = SheetImage("kernel 1x2", np.array([[[3e-17], [-1e-17]]]), ((-2e-17, 3e-17),), signed=True)
    assert "black -3e-17, white 3e-17" in texts(contact_sheet("flat.png", [tile], SheetScale(8, 1)))


@pytest.mark.parametrize(("count", "side"), [(1, 8), (2, 28), (15, 32), (7, 480), (3, 3)])
def test_nothing_overlaps_or_leaves_the_sheet(count: int, side: int) -> None:
    long = "gaussian sigma=1.25 k=31 s=2 p=valid flip=true"
    kernel = ((0.0001, -123456.0, 1.0),) * 5
    tiles = [SheetImage(long if i % 2 else "box", random_values(side, side, 1), kernel, 9, True) for i in range(count)]
    sheet = contact_sheet("a title " * 20, tiles, sheet_scale(tiles, 480), ("a note " * 60,))
    boxes = [(s.x, s.y, s.x + s.width, s.y + s.height) for s in sheet.shapes if isinstance(s, Raster)]
    for shape in sheet.shapes:
        if isinstance(shape, Label):
            width = text_width(shape.text, shape.size, bold=shape.role == "title")
            left = shape.x - (width if shape.anchor == "end" else 0)
            boxes.append((left, shape.y - 0.75 * shape.size, left + width, shape.y))
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        assert min(x0, y0, sheet.width - x1, sheet.height - y1) >= 0, boxes[i]
        for a0, b0, a1, b1 in boxes[:i]:
            assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0


def test_a_reduced_sheet_shows_means() -> None:
    values = random_values(4, 6, 1)
    sheet = contact_sheet("x", [SheetImage("original", values)], SheetScale(1, 2))
    (raster,) = rasters(sheet)
    means = values.reshape(2, 2, 3, 2).mean((1, 3))
    assert (raster.pixels == np.rint(255 * means)).all()
    assert (raster.width, raster.height) == (1.5, 1)


def test_a_template_map_marks_the_best_match() -> None:
    image, patch, scores = random_values(20, 30, 3), random_values(4, 6, 3), random_values(17, 25) / 2
    scores[11, 22] = 0.987
    drawing = template_map("eye.png in cat.png", image, patch, scores, (11, 22), SheetScale(8, 1))
    assert texts(drawing)[:2] == ["eye.png in cat.png", "best match at row 11, column 22: 0.987"]
    whole, cut, heat, bar = rasters(drawing)
    assert (whole.width, cut.width, heat.width) == (120, 24, 100)
    assert (heat.pixels[11, 22] == score_pixels(np.array([[0.987]]))[0, 0]).all()
    outlines = [shape.points for shape in drawing.shapes if isinstance(shape, Edge)]
    corner = whole.x + 22 * 4, whole.y + 11 * 4
    assert (corner, (corner[0] + 24, corner[1]), (corner[0] + 24, corner[1] + 16)) in [p[:3] for p in outlines]
    assert bar.x > heat.x + heat.width
    assert not any(isinstance(shape, Box) for shape in drawing.shapes), "a box would hide the image"


def test_a_reduced_template_map_keeps_the_peak() -> None:
    scores = np.zeros((100, 100))
    scores[37, 51] = 1
    drawing = template_map(
        "t", random_values(120, 120, 1), random_values(21, 21, 1), scores, (37, 51), SheetScale(1, 4)
    )
    heat = rasters(drawing)[2]
    assert heat.pixels.shape[:2] == (25, 25)
    assert (heat.pixels[9, 12] == score_pixels(np.array([[1.0]]))[0, 0]).all()
