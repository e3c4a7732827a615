"""Warnings silenced by a comment that names their code: `pool max k=2  # allow W301`.

In: a file with its comments, and its diagnostics in order. Out: those that are not silenced, and a
warning for each comment that silences nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cnnc.diagnostics import Diagnostic
from cnnc.language import syntax

_ALLOW = re.compile(r"#.*?\ballow\s+((?:W\d{3}\b[\s,]*)+)")


def silence(file: syntax.File, diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The diagnostics without those warnings that a comment on their line allows."""
    allowed: dict[int, dict[str, syntax.Name]] = {}
    for comment in file.comments:
        found = _ALLOW.match(comment.text)
        if found:
            codes = re.findall(r"W\d{3}", found[1])
            allowed.setdefault(comment.span.line, {}).update(dict.fromkeys(codes, comment))
    if not allowed:
        return list(diagnostics)
    kept, used = [], set()
    for diagnostic in diagnostics:
        span = diagnostic.span
        here = span is not None and span.source is file.source and diagnostic.severity == "warning"
        if here and span is not None and diagnostic.code in allowed.get(span.line, {}):
            used.add((span.line, diagnostic.code))
        else:
            kept.append(diagnostic)
    if any(d.severity == "error" for d in kept):
        return kept  # half a check: what is silenced is not all known
    for line, comments in allowed.items():
        for code, comment in comments.items():
            if (line, code) not in used:
                message = f"`allow {code}` silences nothing on this line"
                kept.append(Diagnostic("W109", message, comment.span, help="take the comment out"))
    return kept
