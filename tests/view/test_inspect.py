"""Sections on what a network learned: pixels equal the weights and activations, and no text overlaps anything."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from cnnc.network import check
from cnnc.reference.engine import forward
from cnnc.reference.feeds import fit_sizes
from cnnc.reference.initializers import initialize
from cnnc.view.document import Item, Table
from cnnc.view.drawing import Box, Drawing, Label, Raster
from cnnc.view.geometry import without_head
from cnnc.view.inspect.feature_maps import map_items
from cnnc.view.inspect.histograms import histogram_of, histogram_section, idle_channels, layer_activations
from cnnc.view.inspect.kernels import kernel_section
from cnnc.view.inspect.signed_maps import overlay
from cnnc.view.inspect.tiles import GreyScale, SheetTile, scale_of, tile_sheet
from cnnc.view.inspect.words import nearest_words, top_ngrams
from cnnc.view.labels import label_width
from cnnc.view.shades import score_pixels
from tests.view.pages import HOSTILE

NETS = {
    "rgb": "input 3x16x16\nconv 8 k=5\nrelu\nconv 4 k=1\nconv 40 k=3\nglobal_pool avg\nfc 3\nsoftmax",
    "template": "input 1x12x12\nfc 10\nsigmoid\nfc 2",
    "colour_template": "input 3x6x6\nflatten\nfc 3",
    "series": "input 1x64\nconv 12 k=9\nrelu\nconv 70 k=5\ntanh\nglobal_pool max\nfc 2",
    "volume": "input 1x6x8x8\nconv 4 k=3\nrelu\nconv 2 k=3\nflatten\nfc 2",
    "local": "input 2x6x6\nlocal 3 k=3\nrelu\nconv_transpose 5 k=3 s=2\nconv 5 k=3 groups=5",
    "one": "input 1x3x3\nconv 1 k=1",
    "given": "input 1x9x9\nfilter sobel_x\nconv 1 k=3 frozen=true\nfc 1",
    "series_local": "input 1x9\nlocal 2 k=3",
}


def items_of(text: str) -> dict[str, list[Item]]:
    graph = check(text).require_graph()
    weights = initialize(graph, 0)
    shape = graph.inputs[0].type.shape
    feeds = {graph.inputs[0].name: np.random.default_rng(0).random((4, *shape), np.float32)}
    graph = fit_sizes(graph, list(graph.inputs), feeds)
    values = forward(graph, weights, feeds, keep_all=True).values
    activations = {name: layer_activations(graph.by_name[name], array) for name, array in values.items()}
    return {
        "kernels": list(kernel_section(graph, weights, ()).items),
        "maps": map_items(graph, values),
        "histograms": list(histogram_section(graph, weights, activations, "4 examples").items),
    }


def overlaps(drawing: Drawing) -> list[str]:
    """Labels that reach over another label, an image, a filled box, or the edge of the drawing."""
    areas = [
        (s.text, s.x - {"start": 0, "middle": 0.5, "end": 1}[s.anchor] * label_width(s), s.y - s.size * 0.75, s)
        for s in drawing.shapes
        if isinstance(s, Label)
    ]
    rects = [(text, x, y, x + label_width(s), s.y + s.size * 0.2) for text, x, y, s in areas]
    found = [t for t, x0, y0, x1, y1 in rects if x0 < 0 or y0 < 0 or x1 > drawing.width or y1 > drawing.height]
    found += [f"{a[0]} | {b[0]}" for a, b in combinations(rects, 2) if meet(a[1:], b[1:])]
    blocks = [s for s in drawing.shapes if isinstance(s, Raster | Box)]
    found += [
        f"{t} over {s.hint}" for t, *r in rects for s in blocks if meet(r, (s.x, s.y, s.x + s.width, s.y + s.height))
    ]
    return found


def meet(a: tuple[float, ...] | list[float], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("name", NETS)
def test_no_text_overlaps_anything(name: str) -> None:
    drawings = 0
    for items in items_of(NETS[name]).values():
        for item in items:
            if isinstance(item, Drawing):
                assert overlaps(item) == [], item.title
                assert overlaps(without_head(item)) == [], item.title
                above = [s for s in item.shapes if isinstance(s, Label) and s.y <= item.head]
                shown = " ".join(s.text for s in above).split()
                assert shown == f"{item.title} {item.description}".split()  # nothing else is left out
                assert len(without_head(item).shapes) == len(item.shapes) - len(above)
                drawings += 1
    assert drawings >= 3


def test_hostile_labels_do_not_overlap() -> None:
    tiles = [SheetTile(HOSTILE, np.zeros((3, 3))), SheetTile("W" * 90, np.ones((3, 3))), SheetTile("", np.ones((3, 3)))]
    assert overlaps(tile_sheet(HOSTILE, HOSTILE, tiles, GreyScale(-1, 1), notes=[HOSTILE])) == []


def rasters(item: Item) -> list[Raster]:
    assert isinstance(item, Drawing)
    return [shape for shape in item.shapes if isinstance(shape, Raster) and not shape.hint.startswith("black")]


def test_kernels_are_the_weights_on_the_stated_scale() -> None:
    graph = check(NETS["rgb"]).require_graph()
    weights = initialize(graph, 0)
    first, _, third, *_ = kernel_section(graph, weights, ()).items
    weight = weights["conv1.weight"].astype(float)
    largest = np.abs(weight).max()
    expected = np.rint(255 * np.clip(weight / (2 * largest) + 0.5, 0, 1))
    shown = rasters(first)
    assert len(shown) == 8
    for o, raster in enumerate(shown):
        assert np.array_equal(raster.pixels, np.moveaxis(expected[o], 0, -1))
        assert raster.width / raster.pixels.shape[1] == 14  # 70 / 5: whole pixels
    assert isinstance(third, Drawing)
    texts = [s.text for s in third.shapes if isinstance(s, Label)]
    assert "The first 24 of 40 output channels are shown." in texts
    assert len(rasters(third)) == 24 * 4


def test_a_fully_connected_layer_on_an_image_is_a_template_of_each_class() -> None:
    graph = check(NETS["template"]).require_graph()
    weights = initialize(graph, 0)
    first, second = kernel_section(graph, weights, ()).items
    row = weights["fc1.weight"][3].reshape(12, 12).astype(float)
    shown = rasters(first)[3].pixels.astype(float)
    assert np.abs(shown / 255 - (row / (2 * np.abs(weights["fc1.weight"]).max()) + 0.5)).max() <= 0.5 / 255 + 1e-9
    assert rasters(second)[0].pixels.shape == (2, 10)


def test_feature_maps_are_the_activations() -> None:
    graph = check(NETS["rgb"]).require_graph()
    weights = initialize(graph, 0)
    feeds = {"input1": np.random.default_rng(1).random((1, 3, 16, 16), np.float32)}
    values = forward(graph, weights, feeds, keep_all=True).values
    by_title = {item.title.split(":")[0]: item for item in map_items(graph, values)}
    relu = values["relu1"][0].astype(float)
    shown = rasters(by_title["relu1"])
    assert len(shown) == 8
    for c, raster in enumerate(shown):
        assert np.array_equal(raster.pixels, np.rint(255 * relu[..., c] / relu.max()))
    assert len(rasters(by_title["conv3"])) == 16


def test_scales() -> None:
    assert scale_of(np.array([0.5, 2.0])) == GreyScale(0, 2)
    assert scale_of(np.array([-3.0, 2.0, np.nan, np.inf])) == GreyScale(-3, 3)
    assert scale_of(np.full(2, np.nan)) == GreyScale(0, 0)
    assert GreyScale(-3, 3).pixels(np.array([[-3.0, 0.0, 3.0, np.nan]])).tolist() == [[0, 128, 255, 128]]


def test_histograms_count_everything() -> None:
    values = np.array([1.0, 2.0, np.nan, np.inf, 2.0], np.float32)
    histogram = histogram_of(values)
    assert sum(histogram.counts) + histogram.not_finite == 5
    assert histogram.edges[0] == 1
    assert histogram.edges[-1] == 2
    assert all(low < high for low, high in pairwise(histogram.edges))
    assert histogram_of(np.full(3, np.nan)).not_finite == 3


def test_what_is_not_finite_does_not_count_as_zero() -> None:
    """It is counted on its own; a channel of a relu that is NaN everywhere is not dead."""
    relu = check("input 3\nrelu").require_graph().by_name["relu1"]
    values = np.array([[np.nan, 2.0, np.nan], [4.0, 2.0, np.nan], [6.0, 0.0, np.inf]], np.float32)
    found = layer_activations(relu, values)
    assert found.mean == pytest.approx((2 + 4 + 2 + 6 + 0) / 5)
    assert (found.least[:2].tolist(), found.largest[:2].tolist()) == ([4, 0], [6, 2])
    assert idle_channels(relu, found) == []
    assert found.histogram.not_finite == 4


def test_a_layer_without_a_finite_activation_has_an_empty_histogram() -> None:
    graph = check("input 3\nrelu").require_graph()
    nothing = {node.name: layer_activations(node, np.full((2, 3), np.nan)) for node in graph.nodes}
    section = histogram_section(graph, {}, nothing, "2 examples")
    table, drawing = section.items
    assert isinstance(table, Table)
    assert table.rows[0][:4] == ("relu1", "–", "–", "–")
    assert isinstance(drawing, Drawing)
    assert "no finite number" in [shape.text for shape in drawing.shapes if isinstance(shape, Label)]
    assert overlaps(drawing) == []


def test_one_number_per_channel_is_no_constant() -> None:
    """A single input of a fully connected layer says nothing about its channels; two equal ones do."""
    fc = check("input 3\nfc 2").require_graph().by_name["fc1"]
    assert idle_channels(fc, layer_activations(fc, np.array([[1.0, 2.0]]))) == []
    assert idle_channels(fc, layer_activations(fc, np.array([[1.0, 2.0], [1.0, 3.0]]))) == [0]


def test_the_words_of_the_table_are_explained() -> None:
    graph = check("input 3\nfc 2\nrelu").require_graph()
    values = {node.name: layer_activations(node, np.ones((2, node.type.size))) for node in graph.nodes}
    text = " ".join(histogram_section(graph, {}, values, "2 examples").lines)
    for word in ("idle", "dead", "constant", "Saturated"):
        assert word in text


def test_saturated_units_are_counted() -> None:
    graph = check("input 3\nsigmoid").require_graph()
    values = np.array([[0.001, 0.5, 0.999], [0.5, 0.5, 0.5]], np.float32)
    assert layer_activations(graph.by_name["sigmoid1"], values).saturated == pytest.approx(2 / 6)
    assert layer_activations(graph.by_name["input1"], values).saturated is None


def test_nearest_words_and_ngrams() -> None:
    vectors = np.array([[0, 0], [0, 0], [1, 0], [2, 0.1], [0, 1], [0.1, 3]], float)
    table = nearest_words("embed1", vectors, ("good", "fine", "poor", "weak"))
    assert isinstance(table, Table)
    assert table.rows[0][1].startswith("fine 1.00")
    assert table.rows[2][1].startswith("weak 1.00")
    sentences = np.array([[2, 4, 0, 0], [3, 2, 1, 0]])
    activations = np.zeros((2, 5, 1))
    activations[1, 0], activations[0, 4], activations[1, 2] = 3, 9, 2  # that of padding only does not count
    grams = top_ngrams(sentences, activations, (0, 1), (-1, 0, 1, 2, 3), ("good", "fine", "poor"), 2)
    assert grams == [[("<pad> fine", 3.0), ("good <unknown>", 2.0)]]


def test_an_overlay_shows_the_input_where_the_map_is_0() -> None:
    drawn = overlay("map", np.array([[0.0, 0.0, 1.0]]), np.array([[[0.0, 1.0, 1.0]]])).pixels
    assert drawn[0, 0].tolist() == [90, 90, 90]
    assert drawn[0, 1].tolist() == [190, 190, 190]
    assert drawn[0, 2].tolist() == score_pixels(np.ones((1, 1)))[0, 0].tolist()
