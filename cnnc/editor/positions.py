"""Offsets in a text and the lines and characters by which editors count.

In: a text and an encoding of the protocol, which says what a character is: a UTF-16 unit (default), a byte of UTF-8, or a code
point. Out: (line, character), both from 0, and back. A position behind the end of a line means its end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

Position = tuple[int, int]

_LINE_END = re.compile(r"\r\n|\n|\r")


class Positions:
    """The line table of a text."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text = text
        self.encoding = encoding

    @cached_property
    def starts(self) -> list[int]:
        """The offset of each line."""
        return [0, *(match.end() for match in _LINE_END.finditer(self.text))]

    def line(self, number: int) -> str:
        """The text of a line, counted from 0, without its line end."""
        starts = self.starts
        end = starts[number + 1] if number + 1 < len(starts) else len(self.text)
        return self.text[starts[number] : end].rstrip("\r\n")

    def position(self, offset: int) -> Position:
        """The position of an offset."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self.starts, offset) - 1
        return line, self._units(self.text[self.starts[line] : offset])

    def offset(self, line: int, character: int) -> int:
        """The offset of a position."""
        if line < 0:
            return 0
        if line >= len(self.starts):
            return len(self.text)
        text = self.line(line)
        if text.isascii() or self.encoding == "utf-32":
            return self.starts[line] + min(max(character, 0), len(text))
        units = 0
        for index, sign in enumerate(text):
            if units >= character:
                return self.starts[line] + index
            units += self._units(sign)
        return self.starts[line] + len(text)

    def _units(self, text: str) -> int:
        if text.isascii() or self.encoding == "utf-32":
            return len(text)
        if self.encoding == "utf-8":
            return len(text.encode(errors="surrogatepass"))
        return len(text.encode("utf-16-le", errors="surrogatepass")) // 2
