"""The names of columns in a `data` statement that have to be in quotes: those with spaces, or characters beside a to z, 0 to 9 and _.

In: the position of an error. Out: the edit that puts the column's name around it in quotes.

Example: `data series "a.csv" label=Größe index=[sample no., date]` has the edits `"Größe"` and `"sample no."`.
"""

from __future__ import annotations

import re

from cnnc.diagnostics import Edit, Span

_MOST = 500
"""Longer lines get no edit: the time of the search may grow with the square of their length."""

_STATEMENT = re.compile(r"\bdata\s+(series|images)\b")
_NAMES = re.compile(r'\b(?:label|index)=(?:\[([^\]"#;]*)\]|([^\["#;}]*?)(?=\s+[a-z]+=|\s*(?:$|[#;}])))')
_NAME = re.compile(r"[^\s,](?:[^,]*[^\s,])?")


def quoted_column(span: Span) -> tuple[Edit, ...]:
    """The edit of a column name around this position of a `data` statement; () elsewhere, and for a number."""
    line = span.source.line(span.line)
    position = span.column - 1
    if len(line) > _MOST or not _STATEMENT.search(line[:position]):
        return ()
    for names in _NAMES.finditer(line):
        group = 1 if names[1] is not None else 2
        for name in _NAME.finditer(line, *names.span(group)):
            if name.start() <= position < name.end() and not re.fullmatch(r"-?[\d.]+", name[0]):
                start = span.start - position + name.start()
                column = span.source.span(start, start + len(name[0]))
                return (Edit(column, f'"{name[0]}"', "write the name of a column in quotes: `{}`"),)
    return ()
