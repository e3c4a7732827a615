"""What an editor underlines, and the changes that it offers there.

In: an analysis, and the same diagnostics with the edits that work once these are known. Out: `Problem`s of this file, and
`Change`es: the edits of the help lines, a comment that allows a warning, and all first edits at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cnnc.diagnostics import Diagnostic, Edit, Note, Source, Span
from cnnc.editor.analysis import Analysis


class Problem(NamedTuple):
    """A diagnostic where the editor shows it: `span` is in this file, and `related` are other places with a text each."""

    diagnostic: Diagnostic
    span: Span
    message: str
    related: tuple[Note, ...]


class Change(NamedTuple):
    """A change that the editor offers: edits of one file, and the diagnostic that they remove (None for several)."""

    title: str
    edits: tuple[Edit, ...]
    diagnostic: Diagnostic | None
    preferred: bool = False


def problems(analysis: Analysis, diagnostics: Sequence[Diagnostic], with_help: bool) -> list[Problem]:
    """The problems of the file. Errors in a file that it includes are shown at the `include`, with their place."""
    found = []
    for d in diagnostics:
        help = f"\nhelp: {d.help}" if d.help and with_help else ""
        label = f"\n{d.label}" if d.label else ""
        related = (*d.notes, *d.calls)
        message = f"{d.message}{label}{help}"
        if d.span is None:
            found.append(Problem(d, analysis.source.span(0, 0), message, related))
        elif d.span.source is analysis.source:
            found.append(Problem(d, d.span, message, related))
        elif analysis.file is analysis.trace.file:
            at = _include_of(analysis, d.span.source)
            if at is not None:
                found.append(Problem(d, at, f"{d.span}: {message}", (Note(d.span, d.message), *related)))
    return found


def _include_of(analysis: Analysis, source: Source) -> Span | None:
    """The `include` of this file that leads to a source: itself, or the first one if it is included further down."""
    own = {span: file for span, file in analysis.trace.included.items() if span.source is analysis.source}
    direct = next((span for span, file in own.items() if file.source.name == source.name), None)
    return direct or next(iter(own), None)


def fixes(analysis: Analysis, diagnostics: Iterable[Diagnostic], start: int, end: int) -> list[Change]:
    """The changes for the diagnostics that touch the range between two offsets; `diagnostics` have the edits that work."""
    found: list[Change] = []
    for problem in problems(analysis, list(diagnostics), with_help=False):
        if problem.span.start > end or problem.span.end < start:
            continue
        d = problem.diagnostic
        for number, edit in enumerate(d.edits):
            found.append(Change(_title(edit), (edit,), d, preferred=number == 0))
        if d.severity == "warning" and d.span is not None and d.span.source is analysis.source:
            found.append(Change(f"allow {d.code} on this line", (_allowing(analysis, d),), d))
    return found


def fix_all(diagnostics: Iterable[Diagnostic]) -> tuple[Edit, ...]:
    """The first edit of each diagnostic, those that overlap an earlier one left out."""
    chosen: list[Edit] = []
    for d in diagnostics:
        for edit in d.edits[:1]:
            if not any(_overlap(edit.span, other.span) for other in chosen):
                chosen.append(edit)
    return tuple(chosen)


def _overlap(a: Span, b: Span) -> bool:
    return a.source is b.source and a.start <= b.end and b.start <= a.end


def _title(edit: Edit) -> str:
    """The words of the help as the title of a change: `write `k=3``."""
    words = edit.words
    if edit.help.startswith("did you mean"):
        words = f"change to `{edit.shown}`"
    return words[:1].upper() + words[1:]


def _allowing(analysis: Analysis, diagnostic: Diagnostic) -> Edit:
    """The comment that allows a warning, added to the end of its line."""
    assert diagnostic.span is not None
    line = diagnostic.span.line
    comment = next((c for c in analysis.file.comments if c.span.line == line), None)
    if comment is not None:
        end = comment.span.start + len(comment.text.rstrip())
        return Edit(Span(analysis.source, end, end), f" allow {diagnostic.code}")
    start = diagnostic.span.start - diagnostic.span.column + 1
    end = start + len(analysis.source.line(line).rstrip())
    return Edit(Span(analysis.source, end, end), f"  # allow {diagnostic.code}")
