"""The documentation as a site: it builds without a warning, refers to nothing outside, and its search works offline.

The tests that build it are slow: `pytest -m slow tests/docs/test_site.py`. Links and anchors of the pages are tested in every run
by tests/report/test_docs.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.cli.app import COMMANDS
from cnnc.ops import OPS
from cnnc.report.explanations import pages as explanations
from docs.site.links import relinked
from docs.site.reference import reference_pages
from tests.browser.bidi import missing, open_browser
from tests.paths import ROOT

LOADED = re.compile(r"""<(?:script|link|img|iframe|source|video)\b[^>]*?(?:src|href)=["']?(https?:)?//""")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "docs.site", "--quick", "-o", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_pages_load_nothing_from_outside(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    assert [page.name for page in pages if LOADED.search(page.read_text(encoding="utf-8"))] == []


@pytest.mark.long
def test_the_reference_is_complete() -> None:
    pages = reference_pages()
    headings = {
        name: set(re.findall(r"^## (.+)$", pages[f"reference/{name}.md"], re.MULTILINE))
        for name in ("layers", "errors", "commands")
    }
    assert headings["layers"] == set(OPS)
    assert {heading.partition(":")[0] for heading in headings["errors"]} == set(explanations())
    assert headings["commands"] == {f"cnnc {name}" for name in COMMANDS}


@pytest.mark.slow
def test_the_index_of_the_search_has_all_pages(site: Path) -> None:
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"tutorial.html", "reference/errors.html", "howto/text.html", "models/lenet5.html"} <= found


SEARCH = """(word) => {
  document.querySelector("#__search").click();
  const field = document.querySelector("input[data-md-component=search-query]");
  field.dispatchEvent(new Event("focus"));
  field.value = word;
  for (const kind of ["keyup", "input"]) field.dispatchEvent(new Event(kind, {bubbles: true}));
}"""
FOUND = "() => [...document.querySelectorAll('.md-search-result__link')].map((link) => link.href).join(' ')"


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_the_search_works_from_a_disk(site: Path, tmp_path: Path, name: str) -> None:
    if missing(name):
        pytest.skip(missing(name))
    with open_browser(name, tmp_path) as browser:
        browser.open(site / "index.html")
        browser.run(SEARCH, "conv_transpose")
        assert "reference/layers.html" in browser.wait_for(FOUND, seconds=30)


def test_links_to_files_outside_become_text() -> None:
    pages = {"cli.md", "models/lenet5.md", "howto/text.md"}
    moved = {"models/lenet5.cnn": "models/lenet5.md"}
    text = (
        "[a](../cnnc/x.py), [b](cli.md#top), [c](../models/lenet5.cnn), [d](https://example.org)\n```\n[e](../x)\n```"
    )
    assert relinked(text, "page.md", moved, pages) == (
        "a, [b](cli.md#top), [c](models/lenet5.md), [d](https://example.org)\n```\n[e](../x)\n```"
    )
    assert relinked("[f](../cli.md)", "howto/text.md", {}, pages) == "[f](../cli.md)"
