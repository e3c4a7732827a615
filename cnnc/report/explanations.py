"""The pages of `cnnc explain`: for each code what it means, a broken example, and the fixed one.

In: explanations.toml, in this folder. Out: `Explanation`s. Tests check that every broken example gives its code, and that the
fixed one has no error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cnnc.report.layout import reflowed


class Explanation(NamedTuple):
    """`broken` and `fixed` are the sources of networks, "" for codes that no source alone can show."""

    code: str
    title: str
    text: str
    broken: str = ""
    fixed: str = ""


@cache
def pages() -> dict[str, Explanation]:
    """All pages by code, in the order of the codes."""
    import tomllib

    content = tomllib.loads((Path(__file__).parent / "explanations.toml").read_text(encoding="utf-8"))
    return {
        code: Explanation(code, entry["title"], entry["text"].strip(), entry.get("broken", ""), entry.get("fixed", ""))
        for code, entry in content.items()
    }


def page_text(page: Explanation, width: int | None = None, escaped: Callable[[str], str] = str) -> str:
    """A page as `cnnc explain` prints it; with a width, each paragraph is one line, to be broken there.

    `escaped` gives the form of the examples that can be printed.
    """
    text = page.text if width is None else reflowed(page.text)
    lines = [f"{page.code}: {page.title}", "", text]
    for head, example in (("Broken:", page.broken), ("Fixed:", page.fixed)):
        if example:
            lines += ["", head, *(f"    {line}".rstrip() for line in escaped(example).strip("\n").splitlines())]
    return "\n".join(lines)
