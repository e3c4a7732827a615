"""Documents as HTML: what stands in them, that names stay text, and that pages step on their own."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

from cnnc.view.document import Document, Section, Table
from cnnc.view.document_html import document_html
from cnnc.view.drawing import Box, Drawing, Label
from tests.view.browser import document_after_scripts, needs_browser
from tests.view.pages import HOSTILE, contact_sheet, letters

DRAWING = Drawing(120, 40, "A box", "One box", (Box(10, 10, 100, 20), Label(60, 24, "conv1", "middle")))


def example(*sections: Section) -> Document:
    return Document("lenet5", "What lenet5 learned", (("parameters", "61,706"),), sections)


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_sections_are_listed_and_reached_by_links() -> None:
    table = Table(("layer", "dead"), (("conv1", "0 of 6"),), (False, True), "Layers")
    text = document_html(
        example(Section("a", "Kernels", ("First.",), (table, DRAWING), ("Last.",)), Section("b", "Maps", (), ()))
    )
    assert '<a href="#a">Kernels</a>' in text
    assert '<section class="part" id="a">\n<h2>Kernels</h2>' in text
    assert "<dt>parameters</dt><dd>61,706</dd>" in text
    assert '<tr><td>conv1</td><td class="right">0 of 6</td></tr>' in text
    assert "<h3>Layers</h3>" in text
    assert text.index("First.") < text.index("<table>") < text.index("<svg") < text.index("Last.")
    assert "<script" not in text
    assert "script-src" not in text


def test_the_head_of_a_drawing_becomes_text_that_wraps() -> None:
    shapes = (Label(16, 30, "Kernels of conv1"), Label(16, 48, "One image for each & all."), Box(10, 60, 100, 20))
    drawing = Drawing(120, 90, "Kernels of conv1", "One image for each & all.", shapes, 55)
    text = document_html(example(Section("a", "A", (), (drawing,))))
    assert '<h3>Kernels of conv1</h3>\n<p class="note">One image for each &amp; all.</p>' in text
    picture = text[text.index("<svg") : text.index("</svg>")]
    assert 'height="35"' in picture
    assert 'y="5"' in picture
    assert "<text" not in picture


def test_ids_are_unique_and_hostile_names_stay_text() -> None:
    table = Table((HOSTILE,), ((HOSTILE,),), (), HOSTILE)
    pages = (letters(), letters(), contact_sheet())
    text = document_html(
        Document(
            HOSTILE,
            HOSTILE,
            ((HOSTILE, HOSTILE),),
            (Section("a", HOSTILE, (HOSTILE,), (table, *pages), (HOSTILE,)), Section("b", "b", (), (letters(),))),
        )
    )
    tags = Parsed(text).tags
    assert [tag for tag, _ in tags].count("script") == 4  # three pages with steps, and the program
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    own = [name for name in ids if not re.match(r"c[0-9a-f]{8}-", str(name))]
    assert len(own) == len(set(own))
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "alert(1)" in unescape(text)
    assert "<script>alert" not in text


@needs_browser
def test_each_page_of_a_document_steps(tmp_path: Path) -> None:
    page = letters()
    later = page._replace(current=2)
    text = document_html(example(Section("a", "A", (), (page, later))))
    shown = document_after_scripts(text, tmp_path)
    assert '<h3 id="a-1-title">S(1,1)</h3>' in shown
    assert '<h3 id="a-2-title">S(0,2)</h3>' in shown
    assert shown.count('aria-label="steps">') == 2  # the controls are no longer hidden
    steps = json.loads(text.split('id="a-2-steps">')[1].split("</script>")[0])
    assert steps["current"] == 2
    assert len(steps["steps"]) == 12
