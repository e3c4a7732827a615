"""Recognizes a network inside something else: the marks of a merge conflict of Git, a code block of Markdown.

In: a source that could not be parsed. Out: E009 with the edit that leaves the network; None for any other source.
"""

from __future__ import annotations

import re

from cnnc.diagnostics import Diagnostic, Edit, Source

_MARK = re.compile(r"^(<{7}|\|{7}|={7}|>{7})(?= |\r?$)")
_CODE = re.compile(r"^[ \t]*(?P<at>```+|~~~+)[ \t]*\w*[ \t\r]*\n(?P<code>.*?)^[ \t]*(?P=at)", re.MULTILINE | re.DOTALL)


def enclosed(source: Source) -> Diagnostic | None:
    """E009 at the first mark."""
    text = source.text
    whole = source.span(0, len(text))
    versions = _versions(text)
    if versions is not None:
        help = "keep one of the two versions of each conflict, and remove the marks around it"
        edits = (
            Edit(whole, versions[0], "keep the first version"),
            Edit(whole, versions[1], "the second, and remove the marks around it"),
        )
        at = next(m.start() for m in re.finditer(r"^<{7}", text, re.MULTILINE))
        message = "this file has an unresolved merge conflict of Git"
        return Diagnostic("E009", message, source.span(at, at + 7), help=help, edits=edits)
    code = _CODE.search(text)
    if code is None:
        return None
    help = "keep only the lines of the code block"
    message = "this is Markdown, not a network of cnnc"
    edit = Edit(whole, code["code"], help)
    return Diagnostic("E009", message, source.span(*code.span("at")), help=help, edits=(edit,))


def _versions(text: str) -> tuple[str, str] | None:
    """The text with the first and with the second version of every conflict; None without a complete conflict."""
    parts: tuple[list[str], list[str]] = ([], [])
    sides: tuple[int, ...] = (0, 1)
    following = {"<": ("|", "="), "|": ("=",), "=": (">",), ">": ("<",)}
    expected: tuple[str, ...] = ("<",)
    for line in text.splitlines(keepends=True):
        mark = _MARK.match(line)
        if mark is None:
            for side in sides:
                parts[side].append(line)
            continue
        if line[0] not in expected:
            return None
        sides, expected = {"<": (0,), "|": (), "=": (1,), ">": (0, 1)}[line[0]], following[line[0]]
    found = expected == ("<",) and sum(map(len, parts[0])) < len(text)
    return ("".join(parts[0]), "".join(parts[1])) if found else None
