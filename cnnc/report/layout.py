"""Text for a terminal of some width and encoding: tables that fit, and lines that break between words.

In: cells or lines, and a `Layout`. Out: lines. In a pipe or a file (no width) nothing is shortened, left out or wrapped.

    fitted([ColumnLayout("name"), ColumnLayout("layer", least=10, drop=1)], [("conv1", "conv 64 k=3 p=1 bias=false")], Layout(20))
    # name   layer
    # conv1  conv 64 k=3 …
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from cnnc.diagnostics import cells, one_line

GAP = "  "


class Layout(NamedTuple):
    """Where text is shown: the width in characters, None for no limit, and the form that its encoding can show."""

    width: int | None = None
    shown: Callable[[str], str] = str


class ColumnLayout(NamedTuple):
    """A column of a table.

    `least`: its cells may be shortened to this many characters, or half as many again as long as another column can be left
    out; 0 for never. Of a path (`is_path`) both ends stay. `drop`: where that is not enough, columns are left out, the
    highest number first. One with 0 is never left out, and shortened last.
    """

    head: str
    right: bool = False
    least: int = 0
    is_path: bool = False
    drop: int = 0


def fitted(
    columns: Sequence[ColumnLayout], rows: Sequence[Sequence[str]], layout: Layout, rule: bool = False
) -> list[str]:
    """The lines of a table: its heads if there are any, with `rule` a line below them, and one line per row."""
    shown = [[layout.shown(one_line(cell)) for cell in row] for row in rows]
    heads = [layout.shown(one_line(column.head)) for column in columns]
    table = [heads, *shown] if any(heads) else shown
    natural = [max((cells(row[i]) for row in table), default=0) for i in range(len(columns))]
    widths = _widths(columns, natural, layout.width)
    kept = [i for i, width in enumerate(widths) if width is not None]
    mark = layout.shown("…")

    def line(row: Sequence[str]) -> str:
        return GAP.join(_cell(row[i], columns[i], widths[i] or 0, mark) for i in kept).rstrip()

    lines = [line(row) for row in table]
    if rule:
        lines.insert(1, GAP.join(layout.shown("─") * (widths[i] or 0) for i in kept))
    return lines


def _widths(columns: Sequence[ColumnLayout], natural: Sequence[int], limit: int | None) -> list[int | None]:
    """The width of each column, None for one that is left out."""
    left: list[int | None] = list(natural)
    while limit is not None:
        kept = [i for i, width in enumerate(left) if width is not None]
        excess = sum(natural[i] for i in kept) + len(GAP) * (len(kept) - 1) - limit
        droppable = [i for i in kept if columns[i].drop]
        least = {i: columns[i].least * (3 if len(droppable) > 1 else 2) // 2 for i in droppable or kept}
        spare = {i: max(0, natural[i] - least[i]) for i in least if least[i]}
        if excess <= sum(spare.values()) or not droppable:
            return _shortened(left, natural, spare, excess)
        left[max(droppable, key=lambda i: columns[i].drop)] = None
    return left


def _shortened(
    widths: Sequence[int | None], natural: Sequence[int], spare: dict[int, int], excess: int
) -> list[int | None]:
    """The widths less the excess, which is taken from the widest column that can spare a character, one by one."""
    result = list(widths)
    for _ in range(min(max(0, excess), sum(spare.values()))):
        widest = max((i for i in spare if spare[i]), key=lambda i: result[i] or 0)
        result[widest] = (result[widest] or 0) - 1
        spare[widest] -= 1
    return result


def _cell(text: str, column: ColumnLayout, width: int, mark: str) -> str:
    text = shortened(text, width, mark, column.is_path)
    fill = " " * (width - cells(text))
    return fill + text if column.right else text + fill


def shortened(text: str, width: int, mark: str = "…", is_path: bool = False) -> str:
    """The text in at most `width` characters; `mark` stands for what is left out at its end, of a path in the middle."""
    if cells(text) <= width:
        return text
    begin, end = text, ""
    if is_path:
        middle = max(0, width - len(mark)) // 3
        begin, end = text[:middle], text[middle:]
    while (begin or end) and cells(begin + end) + len(mark) > width:
        begin, end = (begin, end[1:]) if end else (begin[:-1], end)
    return f"{begin}{mark}{end}"


def reflowed(text: str) -> str:
    """The text with each paragraph in one line, to be broken where it is shown; indented lines stay."""
    return re.sub(r"(?<=[^\n])\n(?=[^\s])", " ", text)


_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_WORD = re.compile(r"(?:`[^`]*`|\S)+")  # code between backticks is one word, so that it can be copied
_FIXED = re.compile(r" *\d* \|( |$)|  cnnc |.*\S\s{2,}\S.*\S\s{2,}\S")
"""Lines that stay: of source and the marks below it, commands on a line of their own, and rows of three columns or more."""
_ENTRY = re.compile(r"(\s*\S(?:.*?\S)?\s{2,})(\S.*)")


def wrapped(text: str, width: int | None) -> str:
    """The text with long lines broken between words.

    What follows belongs to the same column: in `  input x  float32; grey images`, below float32.
    """
    if width is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _wrapped_line(line, width))


def _wrapped_line(line: str, width: int) -> Iterator[str]:
    if _length(line) <= width or _FIXED.match(_ESCAPE.sub("", line)):
        yield line
        return
    indent = " " * (len(line) - len(line.lstrip()))
    if len(indent) > width // 4:  # the column beside it was too long for the line before
        yield from _words(line.strip(), GAP * 2, GAP * 2, width)
        return
    entry = _ENTRY.fullmatch(line)
    if entry is None:
        yield from _words(line.strip(), indent, f"{indent}{GAP}", width)
    elif _length(entry[1]) <= width // 2:
        yield from _words(entry[2], entry[1], " " * _length(entry[1]), width)
    else:  # the first column leaves no room for the second
        yield from _words(entry[1].strip(), indent, f"{indent}{GAP}", width)
        yield from _words(entry[2], f"{indent}{GAP * 2}", f"{indent}{GAP * 2}", width)


def _words(text: str, first: str, following: str, width: int) -> Iterator[str]:
    """The words of a text in lines that begin with `first` and then with `following`. A word too long for a line stays whole."""
    line = first
    for match in _WORD.finditer(text):
        gap = "" if line in (first, following) else " "
        if gap and _length(line) + 1 + _length(match[0]) > width:
            yield line
            line, gap = following, ""
        line += gap + match[0]
    yield line


def _length(text: str) -> int:
    """The number of characters on the terminal."""
    return cells(_ESCAPE.sub("", text))
