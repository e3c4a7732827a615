"""SECURITY.md and docs/reliability.md: every promise has a test, every test that they name exists, every limit is that of the code."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from tests.paths import ROOT

PAGES = {"SECURITY.md": 20, "docs/reliability.md": 25}
"""The pages, and the fewest promises of each."""


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_of_each_promise_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) >= PAGES[page]
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert not name or re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_has_a_test(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    tables = re.findall(r"^\| promise \| test \|\n\|---\|---\|\n((?:\|.*\n?)+)", text, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) >= PAGES[page]
    assert [row for row in rows if "`tests/" not in row] == []


def test_limits_are_those_of_the_code() -> None:
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \| ([\d,]+)[^|]* \| `([\w.]+)\.(\w+)` \|$", text, re.MULTILINE)
    assert len(rows) >= 10
    for value, module, constant in rows:
        assert getattr(import_module(module), constant) == int(value.replace(",", "")), constant
