"""Shows that SVG is well-formed and self-contained whatever the texts are, and the same for the same drawing."""

from __future__ import annotations

import re
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest

from cnnc.view.arrange import arranged
from cnnc.view.drawing import Box, Drawing, Edge, Label, Marker, MarkerForm, Raster
from cnnc.view.page import Band, Mark, Page, Step, grid_of
from cnnc.view.svg import png_bytes, svg_text
from tests.view.golden_files import assert_golden
from tests.view.pages import HOSTILE, contact_sheet, heat_map, hostile, letters, random_page

FORMS: tuple[MarkerForm, ...] = ("circle", "square", "triangle", "diamond")
SVG = "{http://www.w3.org/2000/svg}"
EVERYTHING = Drawing(
    200,
    100,
    "Every shape",
    "One of each",
    (
        Box(10, 10, 30, 20, "read", hint="a box", corner=4),
        Box(50, 10, 30, 20, shade=-1.0),
        Label(12, 24, "conv1", "start", "text", 12.5),
        Edge(((10, 40), (40, 40), (40, 60)), "series2", arrow=True, corner=6, halo=True, hint="an edge"),
        *(Marker(60 + 20 * i, 50, form, "series1", hint="a point") for i, form in enumerate(FORMS)),
        Raster(150, 10, 20, 20, np.arange(4, dtype=np.uint8).reshape(2, 2), "an image"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("page", [letters(), contact_sheet(), hostile(), *map(random_page, range(5))])
def test_well_formed_and_self_contained(page: Page) -> None:
    text = svg_text(arranged(page))
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [SVG + "title", SVG + "desc"]
    assert_self_contained(text)


def assert_self_contained(text: str) -> None:
    """No address outside, but for the name space of SVG and what stands in texts; no script in SVG."""
    document = re.sub(r">[^<]*<", "><", text).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "//" not in re.sub(r"base64,[\w+/=]*", "", document)
    assert not re.search(r"url\((?!#)|@import|<script", text.split("</style>")[0])
    assert not re.search(r"(href|src)=\"(?!data:image/png;base64,)", document)


def test_every_shape() -> None:
    root = ElementTree.fromstring(svg_text(EVERYTHING))
    hints = [element.text for element in root.iter(SVG + "title")]
    assert hints == ["Every shape", "a box", "an edge", *["a point"] * 4, "an image"]
    assert len(root.findall(SVG + "circle")) == 1
    assert [element.get("rx") for element in root.iter(SVG + "rect") if element.get("rx")] == ["4"]
    assert any("Q" in element.get("d", "") for element in root.findall(f"{SVG}g/{SVG}path"))


def test_every_class_has_a_colour() -> None:
    """Of each box, text, edge, arrowhead and marker, in light and in dark mode."""
    for drawing in (EVERYTHING, arranged(letters()), arranged(heat_map(9, 3))):
        text = svg_text(drawing)
        style, dark = text[: text.index("</style>")].split("@media")
        classes = {tuple(found.split()[:2]) for found in re.findall(r'class="([btem] [^"]*)"', text)}
        for kind, role in classes:
            for part in (style, dark):
                assert re.search(rf"\.{kind}\.{role}{{(fill|stroke):", part), (kind, role)


def test_golden(request: pytest.FixtureRequest) -> None:
    """A sum as SVG, compared with its file."""
    marks = (Mark("x", 0, 1, "read"), Mark("k", 0, 0, "weight"), Mark("s", 0, 1, "result"))
    x, k, s = (grid_of(name, name, [row]) for name, row in (("x", (1, 3)), ("k", (2,)), ("s", (2, 6))))
    page = Page("Sum", "One product", (Band((x, k, s), ("∗", "=")),), (Step("s(1)", ("s(1) = 2·3 = 6",), marks),))
    assert_golden("sum", arranged(page), request)


def test_the_same_drawing_gives_the_same_bytes() -> None:
    assert svg_text(arranged(contact_sheet())) == svg_text(arranged(contact_sheet()))


def test_two_documents_on_one_page_share_no_names() -> None:
    first, second = (svg_text(arranged(page)) for page in (letters(), hostile()))
    assert not set(re.findall(r'id="([^"]*)"', first)) & set(re.findall(r'id="([^"]*)"', second))
    assert all(re.match(r"c[0-9a-f]{8}\b", name) for name in re.findall(r"[}{]\.([\w-]+) ", first))


def test_hostile_texts_stay_texts() -> None:
    root = ElementTree.fromstring(svg_text(arranged(hostile())))
    assert str(root.findtext(SVG + "title")).startswith("</script><script>alert(1)</script> ]]> --> \"'& ␀␇␛\ufffd")
    assert not [e.tag for e in root.iter() if e.tag.endswith("script")]
    assert "\u202e" not in "".join(root.itertext())
    assert "שלום 👩‍🔬" in "".join(root.itertext())


def test_a_page_without_title_and_panels() -> None:
    ElementTree.fromstring(svg_text(arranged(Page("", "", ()))))
    ElementTree.fromstring(svg_text(arranged(Page("", "", (Band(()), Band((grid_of("g", "", ()),)))))))


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3), (1, 1)])
def test_png(shape: tuple[int, ...]) -> None:
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(png_bytes(pixels)))), pixels)


def test_long_texts_are_not_cut() -> None:
    text = "".join(ElementTree.fromstring(svg_text(arranged(hostile(), width=300))).itertext())
    assert text.count("x") >= 90 * HOSTILE.count("x" * 90)
