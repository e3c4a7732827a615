"""The pages that run a model or train a network in the browser, as files: nothing in it reaches the outside or escapes its place."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from cnnc.view.demo.page import SCRIPTS, WORKER, DemoPage, demo_html
from cnnc.view.demo.training_page import SCRIPTS as TRAINING_SCRIPTS
from cnnc.view.demo.training_page import WORKER as TRAINING_WORKER
from cnnc.view.demo.training_page import TrainingPage, training_html
from cnnc.view.palette import contrast
from cnnc.view.web.runtime import WebRuntime

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 & \"'"
BLOBS = {"model": b"weights", "tail": b""}
RUNTIME = WebRuntime("1.30.0", "wasm", b"const ort = '</script>';", b"export default 1;", b"\0asm")


SCOPES = {"demo": SCRIPTS, "worker": WORKER, "training": TRAINING_SCRIPTS, "training worker": TRAINING_WORKER}
"""The scripts that share a scope."""


Page = Callable[..., str]


def demo_page(text: str = HOSTILE) -> str:
    return demo_html(DemoPage(text, text, ((text, text),), data_of(text), BLOBS, RUNTIME))


def training_page(text: str = HOSTILE) -> str:
    return training_html(TrainingPage(text, text, ((text, text),), data_of(text), BLOBS, RUNTIME))


def data_of(text: str) -> dict[str, Any]:
    return {"inputs": [{"name": text}], "outputs": [{"classes": [text]}], "layers": []}


@pytest.fixture(params=[demo_page, training_page])
def page_of(request: pytest.FixtureRequest) -> Page:
    """Gives the page of a network whose names are a text."""
    page: Page = request.param
    return page


class Elements(HTMLParser):
    """The scripts of a page by id or number, and its other elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.running: list[str] = []
        self.others: list[tuple[str, dict[str, str | None]]] = []
        self._script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self._script = dict(attrs).get("id") or f"script{len(self.scripts)}"
            self.scripts[self._script] = ""
            if "type" not in dict(attrs):
                self.running.append(self._script)
        else:
            self.others.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] += data


def static() -> dict[str, str]:
    folder = files("cnnc.view.demo").joinpath("static")
    return {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir()}


def test_names_of_a_model_stay_text(page_of: Page) -> None:
    page = Elements(page_of())
    data = json.loads(page.scripts["data"])
    assert data["title"] == data["inputs"][0]["name"] == HOSTILE
    assert len(page.scripts) == len(Elements(page_of("plain")).scripts)
    assert [tag for tag, _ in page.others] == [tag for tag, _ in Elements(page_of("plain")).others]
    assert "\u2028" not in page.scripts["data"]


def test_a_page_loads_nothing(page_of: Page) -> None:
    html = page_of("plain")
    assert not re.search(r"""\b(src|href|action|data)\s*=\s*["']?(https?:)?//""", html)
    assert "@import" not in html
    assert "url(" not in html
    for tag, attributes in Elements(html).others:
        assert tag not in ("link", "iframe", "img", "object", "embed", "form", "base")
        assert not {"src", "href"} & attributes.keys()
    for name, script in static().items():
        assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|https?://|importScripts", script), name


def test_the_policy_allows_the_scripts_of_the_page_alone(page_of: Page) -> None:
    html = page_of()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert "connect-src" not in rules
    elements = Elements(html)
    running = {name: elements.scripts[name] for name in elements.running}
    assert len(running) == 3
    digests = {f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in running.values()}
    assert set(rules["script-src"].split()) == {*digests, "'wasm-unsafe-eval'", "blob:"}


def test_blobs_and_the_licence_are_in_the_page(page_of: Page) -> None:
    html = page_of()
    packed = Elements(html).scripts["blob-model"]
    assert gzip.decompress(base64.b64decode(packed)) == b"weights"
    assert "Permission is hereby granted, free of charge" in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def test_every_script_is_in_a_page_once() -> None:
    names = {name.removesuffix(".js") for name in static() if name.endswith(".js")}
    assert names == {name for scripts in SCOPES.values() for name in scripts}
    for scripts in SCOPES.values():
        assert len(scripts) == len(set(scripts))


@pytest.mark.parametrize("scope", SCOPES)
def test_names_in_the_scripts_are_unique(scope: str) -> None:
    """They share one scope, in which a second function would replace the first."""
    defined: dict[str, str] = {}
    for file in SCOPES[scope]:
        script = static()[f"{file}.js"]
        for name in re.findall(r"^(?:async )?(?:function\*?|class|const|let) (\w+)", script, re.MULTILINE):
            assert defined.setdefault(name, file) == file, (name, file, defined[name])
        found = re.findall(r"^(?:async )?(?:function\*?|class) (\w+)", script, re.MULTILINE)
        assert len(found) == len(set(found)), file


def test_scripts_make_no_html_of_texts() -> None:
    for name, script in static().items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script), (
            name
        )


@pytest.mark.parametrize("dark", [False, True])
def test_colours_can_be_told_apart(dark: bool) -> None:
    """Texts have a contrast of 4.5, bars and frames of 3, on the backgrounds they stand on (WCAG 2.2 AA)."""
    style = (
        files("cnnc.view").joinpath("page.css").read_text(encoding="utf-8")
        + static()["demo.css"]
        + static()["learn.css"]
    )
    blocks = re.findall(r":root \{([^}]*)\}", style)
    colours: dict[str, str] = {}
    for block in (*blocks[::2], *(blocks[1::2] if dark else ())):
        colours |= dict(re.findall(r"--(\w+): (#\w{6})", block))
    for text, back in (("text", "back"), ("soft", "back"), ("bad", "back"), ("text", "best"), ("text", "button")):
        assert contrast(colours[text], colours[back]) >= 4.5, (text, back)
    lines = (("bar", "back"), ("negative", "back"), ("focus", "best"), ("focus", "back"), ("soft", "back"))
    for line, back in (*lines, ("good", "button"), ("bad", "button")):
        assert contrast(colours[line], colours[back]) >= 3, (line, back)


def test_pages_are_the_same_every_time(page_of: Page) -> None:
    assert page_of() == page_of()
