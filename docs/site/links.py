"""Links between pages: those that leave the site lead to the page that takes their place, or become text.

In: the Markdown of a page. Out: the same with other links, for MkDocs, which checks them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection

LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
INFO = re.compile(r"^```(\w+) [^\n]+$", re.MULTILINE)
"""The words after the language of a block, which only the tests read."""
FENCES = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def relinked(text: str, page: str, moved: dict[str, str], pages: Collection[str]) -> str:
    """The page with links to pages of the site.

    `page` is its path in the site. `moved` gives the pages of the site by the path of their source in the repository; a link
    to another file of the repository becomes its text.
    """

    def link(match: re.Match[str]) -> str:
        shown, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        source = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), path))
        there = moved.get(source) or source.removeprefix("docs/")
        if there not in pages:
            return shown
        return f"[{shown}]({posixpath.relpath(there, posixpath.dirname(page) or '.')}{hash_}{anchor})"

    parts = FENCES.split(INFO.sub(r"```\1", text))
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)
