"""What to say of a text that is not well formed.

In: the token at which the grammar ends, and what it would have taken. Out: a diagnostic, with help where it can be told
what was meant: signs, words and orders that other languages have. It looks at the line as it was written; it changes
nothing.
"""

from __future__ import annotations

import re

from cnnc.diagnostics import Diagnostic, Span
from cnnc.language.brackets import Token


def malformed(token: Token, expected: set[str]) -> Diagnostic:
    """E002 to E005 of a token that the grammar does not take here; `expected` are the terminals that it would take."""
    kind, span = token.type, token.span
    if kind in ("BAD_NUMBER", "BAD_STRING", "STRANGE"):
        return _wrong_word(kind, token.text, span)
    if kind in ("_END", "RBRACE", "$END"):
        where = {"_END": "line", "RBRACE": "body", "$END": "text"}[kind]
        missing = _missing(expected)
        help = "put `{` at the end of this line" if missing == "`{`" else ""
        end = span.start + 1 if kind == "_END" else span.end
        here = Span(span.source, span.start, end)
        return Diagnostic("E002", f"the {where} ends within a statement", here, f"{missing} is missing here", help=help)
    if kind == "LBRACE":
        help = "put `{` at the end of the line that it belongs to"
        return Diagnostic("E002", "a body must follow its call", span, help=help)
    if kind == "EQUAL":
        help = _assigned(span) or "write `key=value`"
        return Diagnostic("E002", "`=` follows a key, without which it says nothing", span, help=help)
    if kind == "COMMA":
        line = span.source.line(span.line)[: span.column - 1]
        listed = re.search(r"(?<!\w)\(([\d\s,]+)\)$", line + _end_of_list(span))
        if listed is not None:
            help = f"write `{re.sub(r'[ ,]+', 'x', listed[1].strip(' ,'))}`"
            return Diagnostic("E002", "a comma between sizes, which are parted by `x`", span, help=help)
        if line.count("(") > line.count(")"):
            help = "without parentheses, values parted by spaces: `conv 4 k=3`; a list stands in `[ ]`"
            return Diagnostic("E002", "a comma in parentheses, which hold one value", span, help=help)
        help = "values are parted by spaces; a list stands in `[ ]`"
        return Diagnostic("E002", "a comma outside brackets", span, help=help)
    wanted = _missing(expected)
    label = f"{wanted} belongs here" if wanted in ("a name", "`=`") else ""
    return Diagnostic(
        "E002", f"did not expect `{_shorten(token.text)}` here", span, label, help="" if label else _habit(token)
    )


def _before(span: Span) -> str:
    """What stands before a place in its statement."""
    return re.split(r"[;{}]", span.source.line(span.line)[: span.column - 1])[-1].strip()


def _end_of_list(span: Span) -> str:
    """What follows from a comma on, up to the end of the list of numbers in which it stands."""
    rest = re.match(r"[\d\s,]*\)", span.source.line(span.line)[span.column - 1 :])
    return rest[0] if rest else ""


def _assigned(span: Span) -> str:
    """What to write for `name = ...` as a statement."""
    name, value = _before(span), re.split(r"[;#}]", span.source.line(span.line)[span.column :])[0].strip()
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or not value or len(value) > 60:
        return ""
    if re.match(r"[\d(\[]", value):
        return f"write `let {name} = {value}` for a value, `{name} {value}` for a statement"
    return f"write `{name}: {value}`, which names a layer" if re.match(r"[A-Za-z_]\w*\b(?![.(])", value) else ""


def _habit(token: Token) -> str:
    """What to write for a sign that other languages have at this place."""
    before = _before(token.span)
    if not before and token.text in ("/", "//", "-"):
        return "a comment begins with `#`"
    if token.text == ")" and before.endswith("("):
        return f"without parentheses: `{before[:-1].strip()}`"
    if token.text == ":":
        words = before.split()
        after = re.match(r":\s*([\w.]+)", token.span.source.line(token.span.line)[token.span.column - 1 :])
        if after is not None and after[1][0].isdigit():
            return f"a key takes `=`: `{words[-1]}={after[1]}`"
        if len(words) > 1:
            return f"a label is one word: `{'_'.join(words)}:`"
    return ""


def _missing(expected: set[str]) -> str:
    if "NUMBER" in expected:
        return "a value"
    signs = {"NAME": "a name", "EQUAL": "`=`", "LBRACE": "`{`"}
    return next((said for kind, said in signs.items() if expected - {"LPAR"} == {kind}), "more")


def _wrong_word(kind: str, text: str, span: Span) -> Diagnostic:
    """What no token takes."""
    if kind == "BAD_STRING":
        whole = Span(span.source, span.start, span.start + len(text.rstrip()))
        return Diagnostic("E003", "a string that does not end", whole, help='close it with `"` on the same line')
    if kind == "STRANGE":
        return Diagnostic("E005", f"unexpected character {text!r}", span, help=_instead(text))
    help = _number_meant(text) if _before(span) else "a name begins with a letter"
    return Diagnostic("E004", f"`{_shorten(text)}` is no number", span, help=help)


_ALIKE = {
    "x": "×✕✖х",
    '"': "“”„‟«»'‘’‚`´",
    "-": "−–—‐‑",
    "*": "·∗",
    "a space": "\u00a0\u2002\u2003\u2009\u202f\u3000\ufeff\u200b",
    ":": "：",
    "=": "＝",
}
_SEPARATES = "end the line here: each layer stands on its own, or parted by `;`"


def _instead(character: str) -> str:
    """What to type for a character that has no meaning, where that can be told."""
    if character == "\r":
        return "save the file with line ends LF or CRLF"
    if character in (">", "|", "→"):
        return _SEPARATES
    meant = next((sign for sign, alike in _ALIKE.items() if character in alike), "")
    return f"type {meant if ' ' in meant else f'`{meant}`'} instead" if meant else ""


_UNIT = re.compile(r"(\d[\d.]*)([kmg])(i?)b?", re.IGNORECASE)


def _number_meant(text: str) -> str:
    """What to write for a number that is none."""
    if len(text) > 80:
        return "a number ends before letters; put a space between them"
    if text.count(".") > 1:
        return "a number has one point"
    unit = _UNIT.fullmatch(text)
    if unit is not None:
        number, letter, binary = unit[1], unit[2].upper(), unit[3] or text[-1] in "bB"
        return f"write `{number}{f'{letter}iB' if binary else letter.replace('K', 'k')}`"
    if re.fullmatch(r"\d+(X\d+)+", text):
        return f"write `{text.lower()}`, with a small x"
    axes = text.split("x")
    if len(axes) > 1 and all(axes):
        arithmetic = ", ".join(re.sub(r"(?<=[0-9])(?=[A-Za-z_])", "*", axis) for axis in axes)
        small = all(re.fullmatch(r"\d+|[dhwt]", axis) for axis in axes)
        symbols = f", for sizes that stay open `{'x'.join(axis.upper() for axis in axes)}`" if small else ""
        return f"an extent takes numbers and names in capitals; for arithmetic write `[{arithmetic}]`{symbols}"
    return "a number ends before letters; put a space between them"


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
