"""How a table writes its numbers: decimal point or comma, and the mark between groups of three digits.

In: the first lines of a table, as cells. Out: a `NumberFormat`, which turns a cell such as `1.234,5` into `1234.5`. The format
is that of the whole table. A table in which every comma may be either, such as `1,234`, is an error: no guess is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_DIGITS = re.compile(r"[+-]?\d[\d.,' \u00a0\u202f]*(?:[eE][+-]?\d+)?", re.ASCII)
_SPACES = re.compile("(?<=\\d)[' \u00a0\u202f](?=\\d{3}(?!\\d))")
_MARKS = re.compile("[.,' \u00a0\u202f]")
_GROUPS = {
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", re.ASCII),
    ".": re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?", re.ASCII),
}
"""Numbers whose digits are in groups of three."""

_SAMPLE = 300


class AmbiguousNumbers(Exception):
    """A cell that may be two numbers, such as `1,234`; `help` says how to decide."""

    help = (
        "write `decimal=comma` if the comma stands before decimals, or `decimal=point` if it groups digits, after the path "
        "or as `--set train.data.decimal=comma`"
    )


class NumberFormat(NamedTuple):
    """The decimal mark, and whether digits are grouped by the other one, by spaces or by apostrophes."""

    decimal: str = "."
    is_grouped: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether numbers are as Python writes them."""
        return self == NumberFormat()

    def plain(self, cell: str) -> str:
        """The cell as Python writes the number, where it is one."""
        if cell.isdigit() or not _DIGITS.fullmatch(cell):
            return cell
        cell = _SPACES.sub("", cell)
        other = "," if self.decimal == "." else "."
        if _has_groups(cell, other):
            cell = cell.replace(other, "")
        return cell if other in cell else cell.replace(",", ".")

    def findings(self) -> Iterator[str]:
        """What is unusual, as lines to report."""
        if self.decimal == ",":
            yield "numbers have decimal commas"
        if self.is_grouped:
            yield "numbers have groups of three digits"


def find_number_format(rows: Sequence[Sequence[str]], decimal: str | None = None) -> NumberFormat:
    """The format of a table; `decimal` is `point` or `comma`, where it is given. Raises AmbiguousNumbers."""
    marked = [cell for row in rows[:_SAMPLE] for cell in row if _MARKS.search(cell) and _DIGITS.fullmatch(cell)]
    cells = [_SPACES.sub("", cell) for cell in marked]
    has_spaces = cells != marked
    if decimal is not None:
        mark, other = (".", ",") if decimal == "point" else (",", ".")
        return NumberFormat(mark, has_spaces or any(_has_groups(cell, other) for cell in cells))
    has_point = any(cell.count(".") == 1 and "," not in cell and not _has_groups(cell, ".") for cell in cells)
    has_comma = any(cell.count(",") == 1 and "." not in cell and not _has_groups(cell, ",") for cell in cells)
    by_point, by_comma = (any(_proves_groups(cell, mark) for cell in cells) for mark in ".,")
    if (has_comma or by_point) and not (has_point or by_comma):
        return NumberFormat(",", has_spaces or any(_has_groups(cell, ".") for cell in cells))
    grouped = next((cell for cell in cells if _has_groups(cell, ",")), None)
    if grouped is not None and not (has_point or has_comma or by_comma):
        raise AmbiguousNumbers(grouped)
    return NumberFormat(".", has_spaces or (grouped is not None and not has_comma))


def _has_groups(cell: str, mark: str) -> bool:
    """Whether the mark may stand between groups of digits: in `1,234` and `1,234.5`, but not in `0,234` or `12,5`."""
    return _GROUPS[mark].fullmatch(cell) is not None


def _proves_groups(cell: str, mark: str) -> bool:
    """Whether the mark can only stand between groups: `1,234,567` or `1,234.5`."""
    return _has_groups(cell, mark) and (cell.count(mark) > 1 or ("," in cell and "." in cell))
