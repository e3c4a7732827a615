"""Matrices as people type them: rows of numbers and letters.

In: a text. Out: an array (C, *spatial) of exact values, or CnncError E010. Rows are separated by `;`, a line break or ` / `,
entries by spaces or commas, and channels by `|`; nested lists, `[[1, 2], [3, 4]]`, mean the same.

    matrix("1 3 -1; 2 1 0; 0 2 -1", "the input")      # (1, 3, 3)
    matrix("1 2 | 3 4", "the input")                  # (2, 1, 2)
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.view.unfold.exact import parse_entry

MAX_ENTRIES = 4096
"""The most entries of one matrix."""

_ROWS = re.compile(r"[;\n]|\s/\s")
_ENTRIES = re.compile(r"[\s,]+")


def matrix(text: str, what: str) -> Array:
    """The matrix that a text says, (C, rows, columns); `what` names it in errors. Raises CnncError E010."""
    parts = _plain(text, what).split("|") if re.match(r"(\s*\[){3}", text) else text.split("|")
    channels = [_rows(_plain(part, what), what) for part in parts]
    shapes = [(len(rows), len(rows[0])) for rows in channels]
    for number, shape in enumerate(shapes[1:], 2):
        if shape != shapes[0]:
            found, expected = ("x".join(map(str, s)) for s in (shape, shapes[0]))
            raise _bad(
                f"{what}: channel {number} is {found}, channel 1 is {expected}", "all channels have the same size"
            )
    size = len(channels) * shapes[0][0] * shapes[0][1]
    if size > MAX_ENTRIES:
        raise _bad(f"{what} has {size:,} entries; at most {MAX_ENTRIES:,} are shown", "take a part of it")
    values = np.empty((len(channels), *shapes[0]), object)
    for c, rows in enumerate(channels):
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                values[c, i, j] = value
    return values


def _rows(text: str, what: str) -> list[list[Any]]:
    rows = [_entries(row, what) for row in _ROWS.split(text) if row.strip(" \t,")]
    if not rows:
        raise _bad(f"{what} is empty", 'write rows of numbers or letters, such as "1 2; 3 4"')
    for number, row in enumerate(rows, 1):
        lengths_of_others = {len(other) for other in rows if other is not row}
        expected = min(lengths_of_others, default=len(row))
        if len(lengths_of_others) == 1 and len(row) != expected and (number > 1 or len(rows) > 2):
            others = "the others" if len(rows) > 2 else f"row {3 - number}"
            raise _bad(
                f"{what}: row {number} has {_count(len(row))}, {others} {expected}",
                "all rows have the same number of entries",
            )
    if len({len(row) for row in rows}) > 1:
        lengths = ", ".join(str(len(row)) for row in rows[:8])
        raise _bad(
            f"{what}: the rows have {lengths} entries{' ...' if len(rows) > 8 else ''}",
            "all rows have the same number of entries",
        )
    return rows


def _count(n: int) -> str:
    return f"{n} entr{'y' if n == 1 else 'ies'}"


def _entries(row: str, what: str) -> list[Any]:
    values = []
    for entry in filter(None, _ENTRIES.split(row)):
        value = parse_entry(entry)
        if value is None:
            raise _bad(
                f"{what}: `{entry[:40]}` is neither a number nor a letter", "entries are such as 3, -0.5, 1/9, a, -2·x"
            )
        values.append(value)
    return values


def _plain(text: str, what: str) -> str:
    """The text with nested lists rewritten as rows: `[[1, 2], [3, 4]]` as `1, 2; 3, 4`; of three levels, `|` between channels."""
    if "[" not in text and "]" not in text:
        return text
    compact = re.sub(r"\s*([\[\]])\s*", r"\1", text.strip())
    depth = len(compact) - len(compact.lstrip("["))
    if compact.count("[") != compact.count("]") or not compact.endswith("]" * depth) or depth > 3:
        raise _bad(f"{what}: the brackets do not match", "write rows as `1 2; 3 4` or `[[1, 2], [3, 4]]`")
    for level, separator in ((3, "|"), (2, ";")):
        compact = re.sub(rf"\]{{{level - 1}}}[,;]?\[{{{level - 1}}}", separator, compact)
    rewritten = compact.removeprefix("[" * depth).removesuffix("]" * depth)
    if "[" in rewritten or "]" in rewritten:
        raise _bad(f"{what}: the brackets do not match", "write rows as `1 2; 3 4` or `[[1, 2], [3, 4]]`")
    return rewritten


def _bad(message: str, help: str) -> CnncError:
    return CnncError.of("E010", message, help=help)
