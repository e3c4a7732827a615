"""Every code has a page; its broken example gives the code, its fixed example does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnc.network import check
from cnnc.report.explanations import Explanation, page_text, pages
from tests.paths import PACKAGE

PAGES = pages()
SHOWN = [page for page in PAGES.values() if page.broken]

# Codes that the source of a network alone cannot give: the command line, data, checkpoints, models, files.
NOT_SHOWN = re.compile(r"E001|E008|E010|E115|E509|[EW][6-9]\d\d")


def codes_in_sources() -> set[str]:
    return {code for path in PACKAGE.rglob("*.py") for code in re.findall(r'"([EW]\d{3})"', path.read_text())}


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert set(PAGES) == codes_in_sources()


def test_pages_are_in_the_order_of_their_codes() -> None:
    assert list(PAGES) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES.values(), ids=str)
def test_a_page_is_readable(page: Explanation) -> None:
    assert page.title
    assert page.title[0].isupper() or page.title[0] == "`"
    assert not page.title.endswith(".")
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", page.text) if s]
    assert 1 <= len(sentences) <= 6
    assert all(len(line) <= 100 for line in page.text.splitlines())
    assert page.text.endswith(".")
    assert bool(page.broken) == bool(page.fixed)
    assert bool(page.broken) != bool(NOT_SHOWN.fullmatch(page.code)), "add an example, or the code to NOT_SHOWN"
    shown = page_text(page)
    assert shown.startswith(f"{page.code}: {page.title}\n")
    assert ("Broken:" in shown) == ("Fixed:" in shown) == bool(page.broken)


@pytest.mark.parametrize("page", SHOWN, ids=[page.code for page in SHOWN])
def test_the_broken_example_gives_the_code_and_no_other(page: Explanation, tmp_path: Path) -> None:
    assert {d.code for d in check(page.broken, str(tmp_path / "net.cnn"), root=tmp_path).diagnostics} == {page.code}


@pytest.mark.parametrize("page", SHOWN, ids=[page.code for page in SHOWN])
def test_the_fixed_example_does_not(page: Explanation, tmp_path: Path) -> None:
    found = check(page.fixed, str(tmp_path / "net.cnn"), root=tmp_path).diagnostics
    assert not [d for d in found if d.severity == "error" or d.code == page.code]
