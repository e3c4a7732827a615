"""How wide a text is drawn, and where it is broken into lines, before a face draws it.

In: a text, its font size and kind. Out: pixels, at least as many as Arial, Helvetica, Liberation Sans and DejaVu Sans need
(for the fixed-width font: Menlo, Consolas, Liberation Mono and DejaVu Sans Mono), so that what is laid out by these widths
does not overlap whichever of them a reader has.

    text_width("conv1", 13)      # 36.8
    wrapped("1·2 + 3·4", 60, 13, mono=True)   # ["1·2", "  + 3·4"]
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SANS = "Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif"
MONO = "Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"

# Advance widths of U+0020 to U+007E in thousandths of the font size: the larger of DejaVu Sans and Liberation Sans.
_ASCII = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 337, 337, 838, 838, 838, 556, 1015, 684, 686, 722, 770, 667, 611, 778, 752, 295, 500, 667, 557, 863, 748, 787,
    667, 787, 722, 667, 611, 732, 684, 989, 685, 667, 685, 390, 337, 390, 838, 556, 500, 613, 635, 550, 635, 615, 352, 635,
    634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
)  # fmt: skip
_OTHER, _WIDE, _EMOJI, _MONO, _MONO_OTHER = 1.1, 1.05, 1.4, 0.605, 1.0
_BOLD = 1.2
_WORDS = re.compile(r"\s*(?:\(-?\d+(?:, -?\d+)+\)\S*|\S+)")  # a position, such as (0, 12), is one word
_TERMS = re.compile(r"\s*(?:[-+−=]\s+)*\S+")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@lru_cache(maxsize=4096)
def shown_text(text: str) -> str:
    """The text as faces show it: one line, without characters that XML forbids or that turn the direction of writing."""
    return _UNSAFE.sub(lambda found: _substitute(found[0]), text)


def _substitute(character: str) -> str:
    if character in "\t\n\r\x0b\x0c\u2028\u2029":
        return " "
    return chr(0x2400 + ord(character)) if character < " " else "\ufffd"


@lru_cache(maxsize=16384)
def text_width(text: str, size: float, *, mono: bool = False, bold: bool = False) -> float:
    """An upper limit of the width of a text in pixels."""
    ems = sum(_mono_advance(c) if mono else _advance(c) for c in shown_text(text))
    return ems * size * (_BOLD if bold and not mono else 1.0)


def _advance(character: str) -> float:
    code = ord(character)
    if 32 <= code < 127:
        return _ASCII[code - 32] / 1000
    return _foreign_advance(character) or _OTHER


def _mono_advance(character: str) -> float:
    code = ord(character)
    if 32 <= code < 0x590 or 0x2000 <= code < 0x2C00:
        return _MONO
    return _foreign_advance(character) or _MONO_OTHER


def _foreign_advance(character: str) -> float:
    """The advance of a character that most fonts take from another font; 0 if it is not one of those."""
    if ord(character) >= 0x1F000:
        return _EMOJI
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else 0.0


def shortened(text: str, width: float, size: float) -> str:
    """The text if it is at most this wide, else as much as fits before `…`."""
    text = shown_text(text)
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(text[:middle] + "…", size) <= width else (low, middle - 1)
    return text[:low] + "…"


def wrapped(text: str, width: float, size: float, *, mono: bool = False, bold: bool = False) -> list[str]:
    """The lines of a text that is at most `width` wide: broken at spaces, within a word only if the word is too wide.

    A text in the fixed-width font is a formula: it is broken before an operator, its continuations are indented, and the
    spaces that align its columns are kept.
    """

    def fits(line: str) -> bool:
        return text_width(line, size, mono=mono, bold=bold) <= width

    lines: list[str] = []
    line, indent = "", ""
    for word in (_TERMS if mono else _WORDS).findall(shown_text(text)):
        if fits(line + word):
            line += word
            continue
        if line.strip():
            lines.append(line)
            indent = "  " if mono else ""
            word = word.lstrip()
        line = indent
        for character in word:
            if line.strip() and not fits(line + character):
                lines.append(line)
                line = indent
            line += character
    return [*lines, line]
