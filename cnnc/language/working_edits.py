"""Keeps of each diagnostic the edits that work.

In: diagnostics with the edits that the rules propose, and a function that checks the sources again with changes. Out: the
diagnostics, with help and edits such that each edit, by itself, removes its diagnostic and causes no new error where it
changes the source or in the block that it calls. A warning's edit causes no new error at all.

An edit that uncovers another error in its place is completed by the first edit of that error. Where it still does not
work, the edits in `Edit.otherwise` are tried, and without any the diagnostic keeps its help in words.

Example: for `MaxPool 2` the rule proposes `pool max 2`; that is E204 with the edit `k=2`, so the help is `pool max k=2`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cnnc.diagnostics import Diagnostic, Edit, Source, Span

Check = Callable[[Mapping[Source, str]], Sequence[Diagnostic]]
"""Checks the sources again; those in the mapping have other text."""

MAX_COMPLETIONS = 4
MAX_TRIED = (
    200  # diagnostics whose edits are tried, as the time grows with the square; the others keep their help in words
)


class _Place(NamedTuple):
    """A range of an edited source. Sources are known by name, as checking again makes new ones."""

    name: str
    start: int
    end: int

    def statement(self, text: str) -> _Place:
        """The rest of the statement around the range, up to its body; `text` is the edited source."""
        start = max(text.rfind(sign, 0, self.start) for sign in "\n;{}") + 1
        end = self.end
        if start < end and text[end - 1 : end] == "\n":
            end -= 1  # a diagnostic at the end of a line spans it; the next line is another statement
        found = re.compile(r"[^\n;{}]*").match(text, end)
        end = found.end() if found is not None else end
        return _Place(self.name, start, end)

    def touches(self, span: Span | None) -> bool:
        """Whether a range of the edited source overlaps or touches this one."""
        return span is not None and span.source.name == self.name and span.start <= self.end and span.end >= self.start


def with_working_edits(diagnostics: Sequence[Diagnostic], check: Check, most_checks: int) -> list[Diagnostic]:
    """The diagnostics with those of their edits that work.

    First edits that do not overlap are tried together, which takes one check for all of them if they work. The others
    are tried alone, until `most_checks` checks are used up.
    """
    trial = _Trial(diagnostics, check, most_checks)
    working: dict[int, list[Edit]] = {index: [] for index in range(len(diagnostics))}
    for rank in range(max((len(d.edits) for d in diagnostics), default=0)):
        proposed = {i: d.edits[rank] for i, d in enumerate(diagnostics[:MAX_TRIED]) if len(d.edits) > rank}
        together = trial.working_together(proposed)
        for index, edit in proposed.items():
            kept = _trimmed(edit) if index in together else trial.completed(diagnostics[index], edit)
            if kept is not None:
                working[index].append(kept)
    return [d.with_edits(tuple(working[i])) if d.edits else d for i, d in enumerate(diagnostics)]


class _Trial:
    def __init__(self, diagnostics: Sequence[Diagnostic], check: Check, most_checks: int) -> None:
        self.diagnostics = diagnostics
        self.known = {(d.code, d.message) for d in diagnostics}
        self.check = check
        self.checks_left = most_checks

    def working_together(self, proposed: Mapping[int, Edit]) -> set[int]:
        """The indices of the edits that work when all that do not overlap are applied at once."""
        chosen: dict[int, Edit] = {}
        last: dict[Source, int] = {}
        for index, edit in sorted(proposed.items(), key=lambda pair: (id(pair[1].span.source), pair[1].span.start)):
            if edit.span.start > last.get(edit.span.source, -1):
                chosen[index] = edit
                last[edit.span.source] = edit.span.end
        if len(chosen) < 2 or not self.checks_left:
            return set()
        after = self.checked(chosen.values())
        return {i for i, e in chosen.items() if not self.obstacles(self.diagnostics[i], e, chosen.values(), after)}

    def completed(self, diagnostic: Diagnostic, proposal: Edit) -> Edit | None:
        """The edit, completed where it uncovers another error, or the first one in `otherwise` that works; else None."""
        for candidate in (proposal, *proposal.otherwise):
            edit = candidate
            for _ in range(MAX_COMPLETIONS):
                if not self.checks_left:
                    return None
                after = self.checked([edit])
                obstacles = self.obstacles(diagnostic, edit, [edit], after)
                if not obstacles:
                    return _trimmed(edit) if edit.text == candidate.text else _with_text(_trimmed(edit))
                places = _places(diagnostic, edit, [edit])
                text = obstacles[0].span.source.text if obstacles[0].span is not None else ""
                changed = places[:1] if edit.span.start == edit.span.end else [p.statement(text) for p in places]
                more = next(
                    (e for o in obstacles for e in o.edits[:1] if any(p.touches(e.span) for p in changed)), None
                )
                if more is None:
                    break
                edit = _joined(edit, more)
                if not edit.text.strip() and not candidate.help.startswith("remove"):
                    break  # what completes it is its removal
        return None

    def checked(self, edits: Iterable[Edit]) -> Sequence[Diagnostic]:
        self.checks_left -= 1
        return self.check(edited(edits))

    def obstacles(
        self, diagnostic: Diagnostic, edit: Edit, applied: Iterable[Edit], after: Iterable[Diagnostic]
    ) -> list[Diagnostic]:
        """What speaks against an edit once it is applied with others: the diagnostic itself, and new errors in its place."""
        places = _places(diagnostic, edit, applied)
        return [d for d in after if self.is_obstacle(d, diagnostic, places)]

    def is_obstacle(self, after: Diagnostic, diagnostic: Diagnostic, places: Sequence[_Place]) -> bool:
        if after.span is not None and after.code < "E3":  # an error of shapes in the rest of the statement was hidden
            places = [place.statement(after.span.source.text) for place in places]
        if after.severity == "warning" and after.code != diagnostic.code:
            return False
        is_new = (after.code, after.message) not in self.known
        if diagnostic.severity == "warning" and after.severity == "error" and is_new:
            return True
        spans = (after.span, *(call.span for call in after.calls))
        if after.span is None and is_new:
            return after.severity == "error"
        if not any(place.touches(span) for place in places for span in spans):
            return False
        return is_new or after.code == diagnostic.code


def edited(edits: Iterable[Edit]) -> dict[Source, str]:
    """The text of each source after the edits, which do not overlap."""
    texts: dict[Source, str] = {}
    for edit in sorted(edits, key=lambda e: -e.span.start):
        source = edit.span.source
        text = texts.get(source, source.text)
        texts[source] = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return texts


def _places(diagnostic: Diagnostic, edit: Edit, applied: Iterable[Edit]) -> list[_Place]:
    """Where the edit and its diagnostic are once the edits are applied."""
    others = [e for e in applied if e.span.source is edit.span.source]
    shift = sum(_growth(e) for e in others if e.span.start < edit.span.start)
    start = edit.span.start + shift
    places = [_Place(edit.span.source.name, start, start + len(edit.text))]
    span = diagnostic.span
    if span is not None:
        others = [e for e in applied if e.span.source is span.source]
        begin = span.start + sum(_growth(e) for e in others if e.span.end <= span.start)
        end = span.end + sum(_growth(e) for e in others if e.span.start < span.end)
        places.append(_Place(span.source.name, begin, max(begin, end)))
    return places


def _growth(edit: Edit) -> int:
    return len(edit.text) - (edit.span.end - edit.span.start)


def _joined(first: Edit, second: Edit) -> Edit:
    """One edit that does what the first does, and then the second, whose range is one of the edited source."""
    span, changed = first.span, second.span.source.text
    start = min(span.start, second.span.start)
    end = max(span.start + len(first.text), second.span.end)
    text = changed[start : second.span.start] + second.text + changed[second.span.end : end]
    return first._replace(span=Span(span.source, start, end - _growth(first)), text=text)


def _with_text(edit: Edit) -> Edit:
    """A completed edit, whose help shows all that changes."""
    return edit if "{}" in edit.help or not edit.text.strip() else edit._replace(help=f"{edit.help}; write `{{}}`")


def _trimmed(edit: Edit) -> Edit:
    """The edit without the words at its end that stay as they are, where it suggests another word."""
    if not edit.help.startswith("did you mean"):
        return edit
    span, text = edit.span, edit.text
    last = re.search(r"\s+\S+$", text)
    while last is not None and span.text.endswith(last[0]):
        span, text = span._replace(end=span.end - len(last[0])), text[: last.start()]
        last = re.search(r"\s+\S+$", text)
    return edit._replace(span=span, text=text)
