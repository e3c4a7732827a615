"""A page for every code: what it means, a broken example, the mended one.

In: explanations.toml, beside this file. Out: `Page`s. Tests check every broken example for its code, and every
mended one for having no error.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple


class Page(NamedTuple):
    """`broken` and `mended` are texts of networks, empty for codes that no text can show."""

    code: str
    title: str
    text: str
    broken: str = ""
    mended: str = ""


@cache
def pages() -> dict[str, Page]:
    """All pages by code."""
    import tomllib

    content = tomllib.loads((Path(__file__).parent / "explanations.toml").read_text(encoding="utf-8"))
    return {
        code: Page(code, entry["title"], entry["text"].strip(), entry.get("broken", ""), entry.get("mended", ""))
        for code, entry in content.items()
    }


def page_text(page: Page) -> str:
    """A page as the terminal shows it."""
    lines = [f"{page.code}: {page.title}", "", page.text]
    for head, example in (("Broken:", page.broken), ("Mended:", page.mended)):
        if example:
            lines += ["", head, *(f"    {line}".rstrip() for line in example.strip("\n").splitlines())]
    return "\n".join(lines)
