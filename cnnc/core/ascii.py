"""Characters that an encoding lacks, in others that mean the same: `H ≥ 8` as `H >= 8`.

In: text and the name of an encoding. Out: text that the encoding can show. Characters without a counterpart keep their
code: `é` becomes `\\xe9`, so that two names never become one.
"""

from __future__ import annotations

import codecs

COUNTERPARTS = {
    "·": "*",
    "∗": "*",
    "×": "x",
    "÷": "/",
    "−": "-",
    "±": "+-",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "≈": "~",
    "∞": "inf",
    "→": "->",
    "←": "<-",
    "…": "...",
    "─": "-",
    "–": "-",
    "—": "-",
    "⌊": "floor(",
    "⌋": ")",
    "√": "sqrt",
    "Σ": "sum",
    "Φ": "Phi",
    "ᵀ": "^T",
    "²": "^2",
    "³": "^3",
    "⁴": "^4",
    "°": " degrees",
    "µ": "u",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "\N{NO-BREAK SPACE}": " ",
    "\N{REPLACEMENT CHARACTER}": "?",
}
"""What is written instead of a character that an encoding lacks."""

ERRORS = "cnnc-counterparts"


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    parts = [COUNTERPARTS.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing]
    return "".join(parts), error.end


codecs.register_error(ERRORS, _replace)


def encodable(text: str, encoding: str) -> str:
    """The text in characters that the encoding has."""
    return text.encode(encoding, ERRORS).decode(encoding)
