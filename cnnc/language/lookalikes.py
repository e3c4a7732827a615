"""Characters that look like those of the language: Cyrillic and Greek letters, typographic quotes and dashes, invisible ones.

In: a source with characters that the language does not use, and a function that splits a source into tokens. Out: the
tokens of the corrected source, with their positions in the original one, and E005 for each character or word that was
corrected. The statements around them are therefore parsed and checked as they were meant.

Example: `сonv 8`, with a Cyrillic с, gives the tokens of `conv 8`, and "Cyrillic small letter es, U+0441".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from cnnc.diagnostics import Diagnostic, Edit, Source, Span
from cnnc.language.brackets import Token

_LATIN = dict(
    zip(
        "аеорсухіјѕԁһԛԝкмтвнпгАВЕКМНОРСТУХІЈЅαεικνορτυχηωΑΒΕΖΗΙΚΜΝΟΡΤΥΧı",
        "aeopcyxijsdhqwkmtbhnrABEKMHOPCTYXIJSaeikvoptuxnwABEZHIKMNOPTYXi",
        strict=True,
    )
)
_GREEK_WORDS = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "eps", "σ": "sigma"}  # of one letter
_SIGNS = {
    sign: meant
    for meant, signs in {
        '"': "“”„‟«»″'‘’‚‛`´′",
        "-": "−–—―‐‑‒",
        "x": "×✕✖⨯╳",
        "*": "·∗∙⋅",
        "/": "÷∕⁄",
        ",": "、",
        ";": "\u037e",
        "[": "【",
        "]": "】",
        "\n": "\u2028\u2029\x85",
        "": "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    }.items()
    for sign in signs
}


def meant_by(character: str, alone: bool = False) -> str | None:
    """What a character was meant to be ("" for one to remove), None if unknown; `alone` is one that is a word by itself."""
    if alone and character in _GREEK_WORDS:
        return _GREEK_WORDS[character]
    if character in _SIGNS:
        return _SIGNS[character]
    if character in _LATIN:
        return _LATIN[character]
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    plain = unicodedata.normalize("NFKC", character)  # full-width forms, mathematical letters, ligatures, wide spaces
    return plain if plain != character and plain.isascii() and (len(plain) == 1 or plain.isalpha()) else None


def described(character: str) -> str:
    """`'с' (Cyrillic small letter es, U+0441)`."""
    name = unicodedata.name(character, "").capitalize().replace("latin", "Latin").replace("Cjk", "CJK")
    code = f"U+{ord(character):04X}"
    return f"{character!r} ({name}, {code})" if name else f"{character!r} ({code})"


class Corrected(NamedTuple):
    """The tokens of the corrected source, and the errors."""

    tokens: list[Token]
    diagnostics: list[Diagnostic]


def correct(source: Source, tokens: list[Token], split: Callable[[Source], list[Token]]) -> Corrected:
    """The tokens with every look-alike replaced by what was meant. `split` gives the tokens of a source."""
    quotes = _paired_quotes([t for t in tokens if t.type == "STRANGE" and meant_by(t.text) == '"'])
    if quotes:  # what they enclose is a string, whose characters stay
        tokens = _split_corrected(source, quotes, split)
    meant = dict(quotes)
    for token in tokens:
        if token.type == "STRANGE" and meant_by(token.text) != '"':
            character = source.text[token.span.start]
            replacement = meant_by(character, _is_alone(source.text, token.span.start))
            if replacement is not None:
                meant[token.span.start] = replacement
    if not meant:
        return Corrected(tokens, [])
    diagnostics = [_diagnostic(source, start, end, meant) for start, end in _groups(source.text, meant)]
    return Corrected(_split_corrected(source, meant, split), diagnostics)


def _paired_quotes(tokens: list[Token]) -> dict[int, str]:
    """`"` at the positions of those quotes that have a second one on their line."""
    lines: dict[int, list[int]] = {}
    for token in tokens:
        lines.setdefault(token.span.line, []).append(token.span.start)
    return {start: '"' for starts in lines.values() for start in starts[: len(starts) // 2 * 2]}


def _is_alone(text: str, position: int) -> bool:
    around = text[max(0, position - 1) : position] + text[position + 1 : position + 2]
    return not re.search(r"\w", around)


def _split_corrected(source: Source, meant: dict[int, str], split: Callable[[Source], list[Token]]) -> list[Token]:
    """The tokens of the source with these replacements, and their positions without them."""
    parts: list[str] = []
    offsets: list[int] = []
    for position, character in enumerate(source.text):
        part = meant.get(position, character)
        parts.append(part)
        offsets += [position] * len(part)
    offsets.append(len(source.text))
    tokens = split(Source(source.name, "".join(parts)))
    return [_moved(token, source, offsets) for token in tokens]


def _moved(token: Token, source: Source, offsets: list[int]) -> Token:
    start, end = offsets[token.span.start], offsets[max(token.span.start, token.span.end - 1)] + 1
    return token._replace(span=Span(source, start, min(end, len(source.text))))


# --- errors --------------------------------------------------------------------------------------------------


def _groups(text: str, meant: dict[int, str]) -> list[tuple[int, int]]:
    """Ranges of the source with one error each: a character, a word, a run of spaces, or a string between quotes."""
    groups: list[tuple[int, int]] = []
    open_quote = -1
    for position in sorted(meant):
        if meant[position] == '"':
            if open_quote >= 0 and "\n" not in text[open_quote:position]:
                groups[-1] = (open_quote, position + 1)
                open_quote = -1
                continue
            open_quote = position
        elif groups and _same_word(text, groups[-1][1], position, meant):
            groups[-1] = (groups[-1][0], position + 1)
            continue
        groups.append((position, position + 1))
    return groups


def _same_word(text: str, end: int, position: int, meant: dict[int, str]) -> bool:
    """Whether a character belongs to the word, or run of spaces, that ends before it."""
    between = text[end:position] if position - end < 100 else " "
    if meant[end - 1] in ("", " ") or meant[position] in ("", " "):
        return not between and meant[end - 1] == meant[position]
    return not between or between.isalnum()


def _diagnostic(source: Source, start: int, end: int, meant: dict[int, str]) -> Diagnostic:
    """E005 at a range, with what to write instead."""
    text = source.text
    character, replacement = text[start], meant[start]
    message = f"unexpected character {described(character)}"
    corrected = "".join(meant.get(i, text[i]) for i in range(start, end))
    if replacement == '"':
        help = 'type `"` instead' + (f": `{corrected}`" if end > start + 1 else "")
    elif not corrected.strip():
        help = {"": "remove it, as it is invisible", "\n": "begin a new line there"}.get(
            replacement, "type a space instead"
        )
    elif end > start + 1:
        strange = [text[i] for i in range(start, end) if i in meant]
        if len(set(strange)) > 1:
            message = f"unexpected characters {', '.join(map(described, dict.fromkeys(strange[:5])))}"
        help = f"type `{corrected}` in Latin letters" if corrected.isalpha() else f"type `{corrected}` instead"
    else:
        help = f"type {'Latin ' if replacement.isalpha() and character.isalpha() else ''}`{replacement}` instead"
    span = source.span(start, end)
    return Diagnostic("E005", message, span, edits=(Edit(span, corrected, help),))
