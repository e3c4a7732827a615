"""The driver of the browsers does what the tests of pages rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.bidi import Browser, BrowserError, missing, open_browser
from tests.browser.conftest import NAMES

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>page</title>
<style>body { margin: 0 } #pad { touch-action: none; width: 100px; height: 80px; margin: 1500px 0 0 40px; background: #08c } @media (prefers-color-scheme: dark) { body { color: #fff } }</style>
<input id="text"><input id="files" type="file" multiple><button>no</button><div id="pad"></div>
<script>
const events = [];
for (const kind of ["pointerdown", "pointermove", "pointerup"]) {
  pad.addEventListener(kind, (e) => events.push([kind.slice(7), e.offsetX, e.offsetY, e.pointerType]));
}
document.querySelector("button").addEventListener("click", (e) => { e.target.textContent = "yes"; });
</script>
"""


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Browser:
    (tmp_path / "page.html").write_text(PAGE)
    browser.open(tmp_path / "page.html")
    return browser


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_a_line_is_drawn(opened: Browser, kind: str) -> None:
    """Below the edge of the window, too."""
    opened.draw([(10, 10), (50, 40), (90, 70)], "#pad", kind)
    events = opened.run("() => events")
    drawn = events[[event[0] for event in events].index("down") :]
    assert [event[0] for event in drawn] == ["down", *["move"] * (len(drawn) - 2), "up"]
    assert [drawn[0][1:3], drawn[-1][1:3]] == [[10, 10], [90, 70]]
    assert [50, 40] in [event[1:3] for event in drawn]
    assert {event[3] for event in drawn} == {kind}


def test_a_click_and_keys(opened: Browser) -> None:
    opened.click("button")
    assert opened.run("() => document.querySelector('button').textContent") == "yes"
    opened.click("#text")
    opened.press("a", "b", "\ue003", "c")  # \ue003: backspace
    assert opened.run("() => document.querySelector('#text').value") == "ac"


def test_files_are_chosen(opened: Browser, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"text of {name}")
    opened.set_files("#files", tmp_path / "a.txt", tmp_path / "b.txt")
    texts = opened.run("() => Promise.all([...document.querySelector('#files').files].map((file) => file.text()))")
    assert texts == ["text of a.txt", "text of b.txt"]


def test_sizes_and_screenshots(opened: Browser, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for width, height in ((1000, 800), (360, 640)):
        opened.set_size(width, height)
        assert opened.run("() => [innerWidth, innerHeight]") == [width, height]
        opened.screenshot(tmp_path / "shot.png")
        with image.open(tmp_path / "shot.png") as shot:
            assert shot.size == (width, height)
    opened.screenshot(tmp_path / "whole.png", whole=True)
    with image.open(tmp_path / "whole.png") as shot:
        assert shot.size[1] > 1580
        assert shot.convert("RGB").getpixel((90, shot.size[1] - 40)) == (0, 0x88, 0xCC)


def test_values_errors_and_messages(opened: Browser) -> None:
    assert opened.run("(a, b) => [a, b, null]", {"x": [1.5, "é"]}, 1e300) == [{"x": [1.5, "é"]}, 1e300, None]
    assert opened.run("() => undefined") is None
    with pytest.raises(BrowserError, match="no such thing"):
        opened.run("async () => { throw new Error('no such thing'); }")
    with pytest.raises(BrowserError, match=r"still 0 after 0\.2 s"):
        opened.wait_for("() => 0", seconds=0.2)
    opened.run("() => { let n = 0; setInterval(() => { window.ready = n++ > 3; }, 10); }")
    assert opened.wait_for("() => window.ready") is True
    assert opened.messages == []
    opened.run("() => { console.warn('careful'); setTimeout(() => { throw new Error('late'); }); }")
    opened.wait_for("() => new Promise((done) => setTimeout(() => done(true), 50))")
    assert [message.partition(": ")[0] for message in opened.messages] == ["warn", "error"]
    assert "careful" in opened.messages[0]
    assert "late" in opened.messages[1]


@pytest.mark.browser
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_dark_colours(name: str, tmp_path: Path) -> None:
    if missing(name):
        pytest.skip(missing(name))
    (tmp_path / "page.html").write_text(PAGE)
    with open_browser(name, tmp_path, dark=True) as opened:
        opened.open(tmp_path / "page.html")
        assert opened.run("() => getComputedStyle(document.body).color") == "rgb(255, 255, 255)"


def test_light_colours(opened: Browser) -> None:
    assert opened.run("() => getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
