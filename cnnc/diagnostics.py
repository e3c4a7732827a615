"""What cnnc says when something is wrong: places, messages, and how they are drawn.

In: nothing of the project; this is its ground floor. Out: `Source` and `Span` (where), `Diagnostic`
(what, why, how to mend it), `CnncError` (diagnostics on their way to whoever asked), `render`.
It prints nothing and colours nothing: the caller passes a `paint` function if it wants colour.

The code of a diagnostic says its kind by its letter (E error, W warning) and its family by its hundreds,
and the family decides the exit status, so no error can leave with a status of its own making.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import cached_property
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


class Exit(IntEnum):
    """The exit statuses of every cnnc command."""

    OK = 0
    TEXT = 1  # the network's text has errors
    USAGE = 2
    DATA = 3  # bad data, model or checkpoint
    DIVERGED = 4
    UNPROVEN = 5  # an export that failed its proof
    RESOURCES = 6  # input/output, memory, network
    DEFECT = 70  # a defect of cnnc
    INTERRUPTED = 130
    TERMINATED = 143


# The hundreds of a code: E0 syntax, E1 names and values, E2 arguments, E3 shapes, E4 contracts,
# E5 the train section, E6 data and files read, E7 training, E8 export, E9 the machine.
_FAMILY_STATUS = {
    "0": Exit.TEXT,
    "1": Exit.TEXT,
    "2": Exit.TEXT,
    "3": Exit.TEXT,
    "4": Exit.TEXT,
    "5": Exit.TEXT,
    "6": Exit.DATA,
    "7": Exit.DIVERGED,
    "8": Exit.UNPROVEN,
    "9": Exit.RESOURCES,
}
_USAGE = ("E010", "E115")  # wrong on the command line, not in the text; as is what a `--set` source holds


class Source:
    """A text and the name under which errors cite it (a path as the user typed it, or `<string>`)."""

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
        """The line and column of an offset, both counted from 1, columns in code points."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line (from 1), without its end."""
        starts = self._starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")

    def span(self, start: int, end: int) -> Span:
        return Span(self, start, end)


class Span(NamedTuple):
    """A stretch of a source, by offsets: `start` included, `end` not."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """From the beginning of this span to the end of the other."""
        return Span(self.source, self.start, max(self.end, other.end))

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}"


class Note(NamedTuple):
    """A second place that is to blame, and a word on its part in the matter."""

    span: Span
    text: str


class Diagnostic(NamedTuple):
    """One error or warning.

    `label` stands beside the carets; `notes` are further places; `calls` are the block calls that led
    here, outermost first; `help` is an edit that works.
    """

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    notes: tuple[Note, ...] = ()
    help: str = ""
    calls: tuple[Note, ...] = ()

    @property
    def severity(self) -> Severity:
        return "error" if self.code.startswith("E") else "warning"

    @property
    def status(self) -> Exit:
        if self.severity == "warning":
            return Exit.OK
        typed = self.span is not None and self.span.source.name.startswith("--")
        return Exit.USAGE if typed or self.code in _USAGE else _FAMILY_STATUS[self.code[1]]

    def as_dict(self) -> dict[str, str | int | None]:
        """The diagnostic as `--json` gives it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "file": self.span.source.name if self.span else None,
            "line": self.span.line if self.span else None,
            "column": self.span.column if self.span else None,
            "message": self.message,
            "help": self.help or None,
        }


class CnncError(Exception):
    """Bad input of any kind, said in diagnostics. Every public function of cnnc raises this and no other."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(d.message for d in diagnostics))
        self.diagnostics = diagnostics

    def __reduce__(self) -> tuple[type[CnncError], tuple[Diagnostic, ...]]:
        return type(self), self.diagnostics  # so that it can be sent from one process to another

    @classmethod
    def of(cls, code: str, message: str, *, span: Span | None = None, help: str = "") -> CnncError:
        """An error of one diagnostic."""
        return cls(Diagnostic(code, message, span=span, help=help))

    @property
    def status(self) -> Exit:
        """The exit status of the first error (warnings alone have none)."""
        return next((d.status for d in self.diagnostics if d.severity == "error"), Exit.OK)

    def __str__(self) -> str:
        return "\n\n".join(render(d) for d in self.diagnostics)


def in_order(diagnostics: Iterable[Diagnostic], included: Iterable[Source] = ()) -> list[Diagnostic]:
    """Diagnostics in the order of the text, without repetitions, those of one file together.

    The `included` files come first, in this order: what is wrong in them is often the cause of what is wrong after.
    What is wrong within a block or a repeat is told once, however many calls and rounds lead there: the same
    words at the same place are one error, the same code at the same place one warning.
    """
    unique: dict[tuple[str, Span | None, str], Diagnostic] = {}
    for d in diagnostics:
        words = d.message if d.severity == "error" or d.span is None else ""
        unique.setdefault((d.code, d.span, words), d)
    files = dict.fromkeys([*included, *(d.span.source for d in unique.values() if d.span)])
    rank = {source: place for place, source in enumerate(files)}
    return sorted(unique.values(), key=lambda d: (rank[d.span.source], d.span.start) if d.span else (-1, -1))


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be."""
    if len(word) > 40:
        return None
    pool = list(candidates)
    lower = {c.lower(): c for c in pool}
    if word.lower() in lower:
        return lower[word.lower()]
    import difflib  # two milliseconds that a good file need not wait for

    found = difflib.get_close_matches(word, pool, n=1, cutoff=0.6)
    return found[0] if found else None


Paint = Callable[[str, str], str]
"""Takes a text and its role (error, warning, place, note, help) and returns it coloured, or as it was."""


def plain(text: str, role: str) -> str:
    return text


def render(diagnostic: Diagnostic, paint: Paint = plain) -> str:
    """A diagnostic as a person reads it: what, where with carets, why, and the help line."""
    head = paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity)
    lines = [f"{head}: {_printable(diagnostic.message)}"]
    if diagnostic.span is not None:
        lines += _excerpt(diagnostic, diagnostic.span, paint)
    elif diagnostic.help:
        lines.append(f"  = {paint('help', 'help')}: {_printable(diagnostic.help)}")
    return "\n".join(lines)


def excerpt(span: Span, calls: Iterable[Note] = (), paint: Paint = plain) -> str:
    """A place as `render` shows it, where nothing is wrong: the line, underlined, and the calls that led there."""
    return "\n".join(_excerpt(Diagnostic("", "", span, calls=tuple(calls)), span, paint))


def _excerpt(diagnostic: Diagnostic, span: Span, paint: Paint) -> list[str]:
    source = span.source
    here = [n for n in diagnostic.notes if n.span.source is source]
    places = [(span, "^", diagnostic.label, diagnostic.severity), *((n.span, "-", n.text, "note") for n in here)]
    places.sort(key=lambda place: place[0].start)
    width = max(len(str(place[0].line)) for place in places)
    bar = paint("|", "place")
    lines = [f"{' ' * (width + 1)}{paint('-->', 'place')} {source.name}:{span.line}:{span.column}"]
    lines.append(f" {' ' * width} {bar}")
    last = 0
    for place, mark, label, role in places:
        number = place.line
        text, lead, length = _window(source.line(number), place.column, place.end - place.start)
        if number != last:
            lines.append(f" {paint(f'{number:>{width}}', 'place')} {bar} {text}".rstrip())
        underline = paint(f"{mark * length} {_printable(label)}".rstrip(), role)
        lines.append(f" {' ' * width} {bar} {' ' * lead}{underline}")
        last = number
    margin = f" {' ' * width} {paint('=', 'place')}"
    lines += [f"{margin} {n.text} ({n.span})" for n in diagnostic.notes if n.span.source is not source]
    lines += [f"{margin} in {call.text}, called at {call.span}" for call in diagnostic.calls]
    if diagnostic.help:
        lines.append(f"{margin} {paint('help', 'help')}: {_printable(diagnostic.help)}")
    return lines


def _window(line: str, column: int, length: int, limit: int = 160) -> tuple[str, int, int]:
    """The part of a line worth showing, how far in the marks begin, and how many there are.

    Columns are counted in cells of the terminal, as wide characters take two; long lines are cut.
    """
    start = column - 1
    length = max(1, min(length, len(line) - start))
    if len(line) > limit:
        begin = max(0, start - limit // 4)
        cut = line[begin : begin + limit]
        line = ("…" if begin else "") + cut + ("…" if begin + limit < len(line) else "")
        start = start - begin + (1 if begin else 0)
        length = max(1, min(length, len(line) - start))
    shown = line.expandtabs(1)
    return _printable(shown), _cells(shown[:start]), max(1, _cells(shown[start : start + length]))


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def _printable(text: str) -> str:
    """Control characters from a stranger's file must not reach the terminal."""
    return "".join("�" if unicodedata.category(c) == "Cc" and c != "\n" else c for c in text)
