"""Shows that HTML pages are self-contained, small, safe, and step as the drawings of the steps look."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cnnc.view.arrange import arranged
from cnnc.view.document import Document, Section
from cnnc.view.document_html import document_html
from cnnc.view.drawing import Label
from cnnc.view.html import drawing_html, drawings_html, html_text
from cnnc.view.page import Band, Outline, Page, Picture, Step
from cnnc.view.svg import svg_text
from cnnc.view.text_width import text_width
from tests.view.browser import document_after_scripts, needs_browser
from tests.view.pages import contact_sheet, heat_map, hostile, letters, random_page
from tests.view.test_svg import assert_self_contained


class Elements(HTMLParser):
    """The tags of a document, and the texts of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.scripts:
            self.scripts[-1] += data


@pytest.mark.parametrize("page", [letters(), contact_sheet(), hostile(), *map(random_page, range(5))])
def test_self_contained(page: Page) -> None:
    text = html_text(page)
    elements = Elements(text)
    assert_self_contained(re.sub(r"<script.*?</script>", "", text, flags=re.S))
    assert len(elements.scripts) == (2 if len(page.steps) > 1 else 0)
    assert "default-src 'none'" in str(elements.tags)
    assert [tag for tag, _ in elements.tags].count("main") == 1


@pytest.mark.parametrize(
    "text",
    [
        html_text(letters()),
        html_text(contact_sheet()),
        drawing_html(arranged(letters())),
        drawings_html({"first": arranged(letters()), "last": arranged(letters(), 3)}),
        document_html(Document("A", "B", (), (Section("c", "C", (), (letters(), arranged(letters(), 3))),))),
    ],
    ids=["steps", "page", "drawing", "drawings", "document"],
)
def test_a_screen_reader_finds_its_way(text: str) -> None:
    tags = Elements(text).tags
    assert dict(tags)["html"] == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels)), levels
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [attributes["aria-labelledby"] for _, attributes in tags if "aria-labelledby" in attributes]
    assert {id for names in named for id in str(names).split()} <= set(ids)
    pictures = [attributes for tag, attributes in tags if tag == "svg" or attributes.get("class") == "picture"]
    assert len(pictures) >= 2
    assert all("aria-labelledby" in attributes for attributes in pictures)


def test_no_steps_no_controls() -> None:
    assert "<button" not in html_text(contact_sheet())
    assert "<button" in html_text(letters())
    single = html_text(letters()._replace(steps=letters().steps[:1], current=0))
    assert "<button" not in single
    assert "<script" not in single
    assert '<pre id="lines">S(0,0) = ' in single


def test_without_a_script_the_current_step_shows() -> None:
    text = html_text(letters())
    assert '<pre id="lines">S(1,1) = r·a + s·b + t·c + u·e + v·f + w·g + x·i + y·j + z·k</pre>' in text
    assert 'aria-live="polite"' in text


def test_hostile_texts_stay_texts() -> None:
    elements = Elements(html_text(hostile()))
    data = json.loads(elements.scripts[0])
    assert data["steps"][0]["title"].startswith("</script><script>alert(1)</script> ]]> --> \"'& ␀␇␛")
    assert "\u202e" not in elements.scripts[0]


@pytest.mark.long
def test_many_steps_stay_small() -> None:
    """400 steps of a 5x5 window on a 28x28 input."""
    page = heat_map()
    assert len(page.steps) == 400
    assert len(html_text(page).encode()) < 1_000_000


def after_keys(page: Page, folder: Path, *keys: str) -> str:
    """The page's document after these keys, as chromium has it."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html_text(page))
    press = "".join(
        f'document.body.dispatchEvent(new KeyboardEvent("keydown",{{key:"{key}",bubbles:true}}));' for key in keys
    )
    return document_after_scripts(text.replace("</body>", f"<script>{press}</script></body>"), folder)


def picture(document: str) -> list[tuple[str, ...]]:
    """The attributes and texts of all panels' elements."""
    part = document[document.index('<g class="panel">') : document.rindex("</g>")]
    part = re.sub(r' xml:space="preserve"| style="cursor: pointer;"', "", part)
    return re.findall(r"<(rect|text|path|image|title)([^>]*?)/?>([^<\n]*)", part)


@needs_browser
@pytest.mark.long
@pytest.mark.parametrize(
    ("keys", "step"),
    [
        ((), 5),
        (("ArrowRight",), 6),
        (("ArrowLeft",), 4),
        (("ArrowDown",), 9),
        (("ArrowUp", "ArrowUp"), 1),
        (("Home", "ArrowLeft"), 0),
        (("End",), 11),
        (("End", "Home", "ArrowDown", "ArrowRight"), 5),
    ],
)
def test_keys_step(keys: tuple[str, ...], step: int, tmp_path: Path) -> None:
    """After the keys the document is the one that begins at this step."""
    page = letters()
    document = after_keys(page, tmp_path, *keys)
    assert picture(document) == picture(html_text(page._replace(current=step)))
    assert f'<h2 id="title">{page.steps[step].title}</h2>' in document
    assert f"{step + 1} of 12" in document


@needs_browser
@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 3, 5])
def test_steps_with_other_panels(seed: int, tmp_path: Path) -> None:
    """Panels of other kinds and sizes are replaced, and come back."""
    page = next(p for s in range(seed * 100, 10_000) if len((p := random_page(s)).steps) == 3)
    last = page._replace(current=2)
    assert picture(after_keys(page, tmp_path, "End")) == picture(html_text(last))
    assert picture(after_keys(page, tmp_path, "End", "Home")) == picture(html_text(page))


@needs_browser
@pytest.mark.long
def test_a_click_on_a_result_shows_its_sum(tmp_path: Path) -> None:
    page = letters()
    click = """[...document.querySelectorAll("text")].find(t => t.textContent === "S01")
        .dispatchEvent(new MouseEvent("click", {bubbles: true}))"""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html_text(page))
    document = document_after_scripts(text.replace("</body>", f"<script>{click}</script></body>"), tmp_path)
    assert '<h2 id="title">S(0,1)</h2>' in document


def moving_outline(images: int) -> Page:
    """A window that moves over an image: the image of the steps is one, or another in each step."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 40), np.uint8)
    panels = [Picture("x", "image", pixels[i % images], (Outline(i, 2 * i, 9, 9),)) for i in range(4)]
    steps = tuple(Step(str(i), panels=(panel,)) for i, panel in enumerate(panels))
    return Page("Window", "A window moves", (Band((panels[0],)),), steps)


def test_an_image_is_in_the_page_once() -> None:
    text = html_text(moving_outline(1))
    assert text.count("data:image/png") == 1
    assert len(json.loads(Elements(text).scripts[0])["steps"][3]["attributes"]) == 1


@needs_browser
@pytest.mark.long
@pytest.mark.parametrize("images", [1, 4])
def test_an_outline_moves(images: int, tmp_path: Path) -> None:
    page = moving_outline(images)
    moved = picture(after_keys(page, tmp_path, "ArrowRight", "ArrowRight"))
    assert moved == picture(html_text(page._replace(current=2)))
    assert moved != picture(html_text(page))


@needs_browser
@pytest.mark.long
def test_the_security_policy_lets_the_script_run(tmp_path: Path) -> None:
    document = document_after_scripts(html_text(hostile()), tmp_path)
    assert '<nav id="controls" aria-label="steps">' in document


@needs_browser
@pytest.mark.long
def test_texts_are_as_narrow_as_they_were_laid_out(tmp_path: Path) -> None:
    """The browser's own fonts need no more room than the layout gave each text."""
    drawings = [arranged(page) for page in (letters(), hostile(), *map(random_page, range(8)))]
    script = "[...document.querySelectorAll('text')].map(t => t.getComputedTextLength())"
    pictures = "".join(map(svg_text, drawings))
    page = f"<body>{pictures}<script>document.body.textContent = JSON.stringify({script})</script>"
    document = document_after_scripts(f'<!doctype html><meta charset="utf-8">{page}', tmp_path)
    widths = json.loads(document[document.index("<body>") + 6 : document.index("</body>")])
    labels = [shape for drawing in drawings for shape in drawing.shapes if isinstance(shape, Label)]
    assert len(labels) > 500
    wider = [
        (label.text, width)
        for label, width in zip(labels, widths, strict=True)
        if width > text_width(label.text, label.size, mono=label.mono, bold=label.role in ("title", "result"))
    ]
    assert wider == []
