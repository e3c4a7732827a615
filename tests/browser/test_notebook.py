"""Drawings and reports within the page of a notebook are as light or dark as the page, whatever the system prefers."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnc
from tests.browser.bidi import missing, open_browser
from tests.browser.conftest import NAMES

NETWORK = "input 1x8x8; conv 4 k=3; relu; fc 10"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>notebook</title>
<style>:root {{ color-scheme: {theme}; }}</style>{outputs}</html>"""
CORNERS = """() => [...document.querySelectorAll("img, iframe")].map((output) => {
  const box = output.getBoundingClientRect(); return [box.left + 4, box.top + 4];
})"""


@pytest.mark.browser
@pytest.mark.long
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_have_the_theme_of_the_notebook(name: str, theme: str, tmp_path: Path) -> None:
    """As marimo sets it: the property color-scheme of its page, here the opposite of what the system prefers."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    if missing(name):
        pytest.skip(missing(name))
    network = cnnc.check(NETWORK)
    outputs = (cnnc.draw(network), cnnc.unfold("1 2; 3 4", kernel="1 1"), cnnc.inspect(cnnc.Model(network)))
    html = "".join(output._repr_html_() for output in outputs)
    (tmp_path / "page.html").write_text(PAGE.format(theme=theme, outputs=html))
    with open_browser(name, tmp_path, dark=theme == "light") as browser:
        browser.set_size(1000, 3000)
        browser.open(tmp_path / "page.html")
        corners = browser.run(CORNERS)
        browser.screenshot(tmp_path / "shot.png")
    assert len(corners) == len(outputs)
    with image.open(tmp_path / "shot.png") as shot:
        grey = [shot.convert("L").getpixel(tuple(map(round, corner))) for corner in corners]
    assert all(value < 40 if theme == "dark" else value > 240 for value in grey), grey
