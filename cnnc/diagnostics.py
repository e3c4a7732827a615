"""Errors and warnings: source positions, diagnostics, the exception that carries them, and their text form.

Defines `Source` and `Span` (where), `Diagnostic` (what and why) with its `Edit`s (how to fix it), `CnncError` (the exception
with one or more diagnostics), and `render`, which draws a diagnostic with its source line. Imports nothing of the project,
prints nothing, and uses no colours unless the caller passes a `paint` function.

The letter of a code is its severity (E error, W warning), its hundreds are its family, and the family determines the exit
status of the command. Example: E301 is an error of the shape family, with exit status 1.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

Severity = Literal["error", "warning"]


class Exit(IntEnum):
    """The exit statuses of every cnnc command."""

    OK = 0
    SOURCE = 1  # errors in the source of a network
    USAGE = 2  # wrong use of the command line
    DATA = 3  # bad data, model or checkpoint
    DIVERGED = 4  # training diverged
    EXPORT = 5  # a model that cannot be exported, or that failed its verification
    RESOURCES = 6  # files, memory, network
    INTERNAL = 70  # internal error (please report it)
    INTERRUPTED = 130
    TERMINATED = 143


# The hundreds of a code: E0 syntax, E1 names and values, E2 arguments, E3 shapes, E4 assertions and budgets,
# E5 the train section, E6 data and models, E7 training, E8 export, E9 files and resources.
_FAMILY_STATUS = {
    "0": Exit.SOURCE,
    "1": Exit.SOURCE,
    "2": Exit.SOURCE,
    "3": Exit.SOURCE,
    "4": Exit.SOURCE,
    "5": Exit.SOURCE,
    "6": Exit.DATA,
    "7": Exit.DIVERGED,
    "8": Exit.EXPORT,
    "9": Exit.RESOURCES,
}
_RESOURCES = ("E704",)  # a worker process died: nothing diverged
_USAGE = ("E010", "E115")  # wrong on the command line, not in the source; so is every error in the value of `--set`


class Source:
    """Source text with the name that errors show for it: a path as the user typed it, or `<string>`."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        position = self.text.find("\n")
        while position >= 0:
            starts.append(position + 1)
            position = self.text.find("\n", position + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """The line and column of an offset, both counted from 1; columns count code points."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its line end; "" if there is no such line."""
        starts = self._starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")

    def span(self, start: int, end: int) -> Span:
        """The span from offset `start` up to but excluding `end`."""
        return Span(self, start, end)


class Span(NamedTuple):
    """A range of a source by offsets, `end` excluded."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """The line of its start, counted from 1."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """The column of its start, counted from 1."""
        return self.source.position(self.start)[1]

    @property
    def end_line(self) -> int:
        """The line of its end, counted from 1."""
        return self.source.position(self.end)[0]

    @property
    def end_column(self) -> int:
        """The column after its last character, counted from 1."""
        return self.source.position(self.end)[1]

    @property
    def text(self) -> str:
        """The source in the range."""
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of the other."""
        return Span(self.source, self.start, max(self.end, other.end))

    def as_dict(self) -> dict[str, str | int]:
        """The range as `--json` prints it."""
        line, column = self.source.position(self.start)
        end_line, end_column = self.source.position(self.end)
        return {
            "file": self.source.name,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
        }

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}"


class Note(NamedTuple):
    """A secondary source range of a diagnostic, with a label that says how it is involved."""

    span: Span
    text: str

    def as_dict(self) -> dict[str, str | int]:
        """The note as `--json` prints it."""
        return {**self.span.as_dict(), "label": self.text}


class Edit(NamedTuple):
    """A change of the source that removes a diagnostic: `text` replaces the range `span`, which is empty for an insertion.

    `help` says it in words, with `{}` for the text: "did you mean `{}`?". `otherwise` are edits to try, in this order,
    if this one does not work (see cnnc/language/working_edits.py).
    """

    span: Span
    text: str
    help: str = "write `{}`"
    otherwise: tuple[Edit, ...] = ()

    @property
    def shown(self) -> str:
        """The text as the help shows it, on one line."""
        lines = [line.strip(" ;") for line in self.text.splitlines()]
        return "; ".join(" ".join(line.split()) for line in lines if line) or self.text.strip()

    @property
    def words(self) -> str:
        """The help with the text filled in."""
        return self.help.replace("{}", self.shown, 1)

    def as_dict(self) -> dict[str, str | int]:
        """The edit as `--json` prints it."""
        return {**self.span.as_dict(), "text": self.text}


class _Fields(NamedTuple):
    code: str
    message: str
    span: Span | None
    label: str
    notes: tuple[Note, ...]
    help: str
    calls: tuple[Note, ...]
    edits: tuple[Edit, ...]
    words: str


class Diagnostic(_Fields):
    """One error or warning.

    `label` is printed next to the carets; `notes` are secondary source ranges; `calls` are the block calls around the
    position, outermost first. `edits` are alternatives, each of which removes the diagnostic. `help` is what to do: the
    words of the edits; `words`, which is given as `help`, if there are none.
    """

    __slots__ = ()

    def __new__(
        cls,
        code: str,
        message: str,
        span: Span | None = None,
        label: str = "",
        notes: tuple[Note, ...] = (),
        help: str = "",
        calls: tuple[Note, ...] = (),
        edits: tuple[Edit, ...] = (),
        words: str = "",
    ) -> Self:
        text = _alternatives(edits) or help
        return super().__new__(cls, code, message, span, label, notes, text, calls, edits, words or help)

    def with_edits(self, edits: tuple[Edit, ...]) -> Self:
        """The diagnostic with other edits, and the help that follows from them."""
        return self._replace(edits=edits, help=_alternatives(edits) or self.words)

    @property
    def severity(self) -> Severity:
        """Error or warning, by the letter of the code."""
        return "error" if self.code.startswith("E") else "warning"

    @property
    def status(self) -> Exit:
        """The exit status of a command that fails with it."""
        if self.severity == "warning":
            return Exit.OK
        on_command_line = self.span is not None and self.span.source.name.startswith("--")
        if on_command_line or self.code in _USAGE:
            return Exit.USAGE
        return Exit.RESOURCES if self.code in _RESOURCES else _FAMILY_STATUS[self.code[1]]

    def as_dict(self) -> dict[str, Any]:
        """The diagnostic as `--json` prints it; docs/json.md describes every key."""
        nowhere = dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
        return {
            "code": self.code,
            "severity": self.severity,
            **(self.span.as_dict() if self.span is not None else nowhere),
            "message": self.message,
            "label": self.label or None,
            "help": self.help or None,
            "edits": [edit.as_dict() for edit in self.edits],
            "related": [note.as_dict() for note in self.notes],
            "calls": [call.as_dict() for call in self.calls],
        }


def _alternatives(edits: tuple[Edit, ...]) -> str:
    """The words of edits; texts with the same help are listed in it: "k=3 or k=5 has a centre"."""
    texts: dict[str, list[str]] = {}
    for edit in edits:
        texts.setdefault(edit.help, []).append(edit.shown if "{}" in edit.help else "")
    ways = []
    for help, shown in texts.items():
        field = "`{}`" if "`{}`" in help else "{}"
        ways.append(help.replace(field, " or ".join(field.replace("{}", text) for text in shown), 1))
    return ", or ".join(ways)


class CnncError(Exception):
    """Bad input of any kind, described by one or more diagnostics. Public functions of cnnc raise no other exception for it."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(d.message for d in diagnostics))
        self.diagnostics = diagnostics

    def __reduce__(self) -> tuple[type[CnncError], tuple[Diagnostic, ...]]:
        return type(self), self.diagnostics  # makes it picklable, for worker processes

    @classmethod
    def of(
        cls, code: str, message: str, *, span: Span | None = None, help: str = "", edits: tuple[Edit, ...] = ()
    ) -> CnncError:
        """An error with one diagnostic."""
        return cls(Diagnostic(code, message, span=span, help=help, edits=edits))

    @property
    def status(self) -> Exit:
        """The exit status of the first error; OK if there are only warnings."""
        return next((d.status for d in self.diagnostics if d.severity == "error"), Exit.OK)

    def __str__(self) -> str:
        return "\n\n".join(render(d) for d in self.diagnostics)


def in_source_order(diagnostics: Iterable[Diagnostic], included: Iterable[Source] = ()) -> list[Diagnostic]:
    """Diagnostics in source order, grouped by file, without duplicates.

    `included` files come first, in this order, because their errors often cause those in the files that include them.
    An error inside a block or repeat occurs once per call or round but is reported once: errors with the same code,
    position and message are duplicates, and so are warnings with the same code and position.
    """
    unique: dict[tuple[str, Span | None, str], Diagnostic] = {}
    for d in diagnostics:
        message = d.message if d.severity == "error" or d.span is None else ""
        unique.setdefault((d.code, d.span, message), d)
    files = dict.fromkeys([*included, *(d.span.source for d in unique.values() if d.span)])
    rank = {source: i for i, source in enumerate(files)}
    return sorted(unique.values(), key=lambda d: (rank[d.span.source], d.span.start) if d.span else (-1, -1))


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most similar to `word`, ignoring case first; None if none is similar."""
    if len(word) > 40:
        return None
    pool = list(candidates)
    lower = {c.lower(): c for c in pool}
    if word.lower() in lower:
        return lower[word.lower()]
    import difflib  # takes 2 ms to import, which a file without errors need not wait for

    matches = difflib.get_close_matches(word, pool, n=1, cutoff=0.6)
    return matches[0] if matches else None


Role = Literal["error", "warning", "position", "note", "help"]
"""What a part of a diagnostic is: its head and carets, the line numbers, a second place, the word help."""

Paint = Callable[[str, Role], str]
"""Takes text and its role; returns it with or without colour."""


def plain(text: str, role: Role) -> str:
    """The paint function without colours."""
    return text


def render(
    diagnostic: Diagnostic, paint: Paint = plain, width: int | None = None, shown: Callable[[str], str] = str
) -> str:
    """A diagnostic as text: the message, the source line with carets and labels, and the help line.

    `width` limits the source lines (default: 160 characters of them), and `shown` gives their form on the terminal.
    """
    head = paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity)
    lines = [f"{head}: {_on_one_line(diagnostic.message)}"]
    if diagnostic.span is not None:
        lines += _excerpt(diagnostic, diagnostic.span, paint, width, shown)
    elif diagnostic.help:
        lines.append(f"  = {paint('help', 'help')}: {_on_one_line(diagnostic.help)}")
    return "\n".join(lines)


def excerpt(
    span: Span,
    calls: Iterable[Note] = (),
    paint: Paint = plain,
    width: int | None = None,
    shown: Callable[[str], str] = str,
) -> str:
    """A source range as `render` shows it, without a message: the underlined line, and the block calls around it."""
    return "\n".join(_excerpt(Diagnostic("", "", span, calls=tuple(calls)), span, paint, width, shown))


def _excerpt(
    diagnostic: Diagnostic, span: Span, paint: Paint, columns: int | None = None, shown: Callable[[str], str] = str
) -> list[str]:
    source = span.source
    same_file = [n for n in diagnostic.notes if n.span.source is source]
    marks: list[tuple[Span, str, str, Role]] = [(span, "^", diagnostic.label, diagnostic.severity)]
    marks += [(n.span, "-", n.text, "note") for n in same_file]
    marks.sort(key=lambda mark: mark[0].start)
    width = max(len(str(mark[0].line)) for mark in marks)
    bar = paint("|", "position")
    lines = [f"{' ' * (width + 1)}{paint('-->', 'position')} {_printable(source.name)}:{span.line}:{span.column}"]
    lines.append(f" {' ' * width} {bar}")
    limit = max(20, columns - width - 4 - 2 * len(shown("…"))) if columns is not None else 160
    previous = 0
    for marked, sign, label, role in marks:
        number = marked.line
        text, lead, length = _window(source.line(number), marked.column, marked.end - marked.start, limit, shown)
        if number != previous:
            lines.append(f" {paint(f'{number:>{width}}', 'position')} {bar} {text}".rstrip())
        parts = _label(shown(_printable(label)), lead + length + 1, limit if columns is not None else None)
        underline = paint(f"{sign * length} {parts[0]}".rstrip(), role)
        lines.append(f" {' ' * width} {bar} {' ' * lead}{underline}")
        lines += [f" {' ' * width} {bar} {paint(part, role)}" for part in parts[1:]]
        previous = number
    margin = f" {' ' * width} {paint('=', 'position')}"
    lines += [f"{margin} {_printable(f'{n.text} ({n.span})')}" for n in diagnostic.notes if n.span.source is not source]
    lines += [f"{margin} in {_printable(f'{call.text}, called at {call.span}')}" for call in diagnostic.calls]
    if diagnostic.help:
        lines.append(f"{margin} {paint('help', 'help')}: {_on_one_line(diagnostic.help)}")
    return lines


def _label(label: str, start: int, limit: int | None) -> list[str]:
    """The label after the marks, which end at `start`; where it is too long, nothing there and its words on further lines."""
    if limit is None or start + cells(label) <= limit:
        return [label]
    import textwrap

    indent = " " * min(start, limit // 4)
    return ["", *textwrap.wrap(label, limit, initial_indent=indent, subsequent_indent=indent, break_long_words=False)]


def _window(line: str, column: int, length: int, limit: int, shown: Callable[[str], str]) -> tuple[str, int, int]:
    """The shown part of a line, the number of terminal cells before the marks, and the number of marks.

    Wide characters take two cells. Lines longer than `limit` characters are cut around the column.
    """
    start = column - 1
    length = max(1, min(length, len(line) - start))
    if len(line) > limit:
        begin = max(0, start - limit // 4)
        cut = line[begin : begin + limit]
        line = ("…" if begin else "") + cut + ("…" if begin + limit < len(line) else "")
        start = start - begin + (1 if begin else 0)
        length = max(1, min(length, len(line) - start))
    before, marked, after = (
        shown(_printable(part.expandtabs(1)))
        for part in (line[:start], line[start : start + length], line[start + length :])
    )
    return before + marked + after, cells(before), max(1, cells(marked))


def cells(text: str) -> int:
    """The number of terminal cells that a text takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0 and C1 controls but newline and tab, marks of writing direction, and the separators of lines and paragraphs: those of an
untrusted file must not reach the terminal."""


def escaped(text: str) -> str:
    """The text with control characters as `\\u001b`, which JSON reads back."""
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: str) -> str:
    """A name of an untrusted file on one line: control characters as `escaped` shows them, `\\n` for a line end, `\\t` for a tab."""
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def _printable(text: str) -> str:
    """Replaces control characters by one character each, so that marks stay below what they mark."""
    return CONTROLS.sub("�", text)


def _on_one_line(text: str) -> str:
    """A message, of which a name must not become another line."""
    return _printable(text).replace("\n", "�")
