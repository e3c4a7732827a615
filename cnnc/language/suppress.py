"""Diagnostics that are not shown: warnings allowed by a comment, and consequences of syntax errors.

In: a file with its comments, and diagnostics in order. Out: the diagnostics to show. `pool max k=2  # allow W301` allows a
warning on its line; an `allow` that suppresses nothing is itself a warning (W109).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from cnnc.diagnostics import Diagnostic, Edit, Span
from cnnc.language import syntax
from cnnc.language.edits import without

_ALLOW = re.compile(r"#.*?\ballow\s+((?:W\d{3}\b[\s,]*)+)")


def without_allowed(file: syntax.File, diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The diagnostics without the warnings that a comment on their line allows, and W109 for each unused `allow`."""
    allowed: dict[int, dict[str, syntax.Name]] = {}
    for comment in file.comments:
        match = _ALLOW.match(comment.text)
        if match:
            codes = re.findall(r"W\d{3}", match[1])
            allowed.setdefault(comment.span.line, {}).update(dict.fromkeys(codes, comment))
    if not allowed:
        return list(diagnostics)
    shown, used = [], set()
    for diagnostic in diagnostics:
        span = diagnostic.span
        here = span is not None and span.source is file.source and diagnostic.severity == "warning"
        if here and span is not None and diagnostic.code in allowed.get(span.line, {}):
            used.add((span.line, diagnostic.code))
        else:
            shown.append(diagnostic)
    if any(d.severity == "error" for d in shown):
        return shown  # with errors, not all warnings are known, so an `allow` may only seem unused
    for line, comments in allowed.items():
        for code, comment in comments.items():
            if (line, code) not in used:
                message = f"`allow {code}` suppresses no warning on this line"
                edits = (_without_code(comment.span, code),)
                shown.append(Diagnostic("W109", message, comment.span, edits=edits))
    return shown


def _without_code(span: Span, code: str) -> Edit:
    """The comment is removed, or only one code if it allows several."""
    others = re.sub(rf"\b{code}\b[\s,]*", "", span.text)
    if re.search(r"\ballow\s+W\d{3}", others):
        return Edit(span, others.rstrip(" ,"))
    return without(span, "remove the comment")


# --- consequences of syntax errors ---------------------------------------------------------------------------


def may_follow_from(diagnostic: Diagnostic, syntax_errors: Sequence[Diagnostic]) -> bool:
    """Whether a diagnostic may be due to syntax errors, and is therefore not shown.

    True for warnings, and for a body that a layer takes only because it stands on the next line. Lowering itself reports
    nothing about layers and names that depend on a malformed statement.
    """
    if diagnostic.severity == "warning":
        return True
    starts = [d.span.start for d in syntax_errors if d.span is not None]
    return diagnostic.code == "E108" and diagnostic.span is not None and diagnostic.span.start in starts
