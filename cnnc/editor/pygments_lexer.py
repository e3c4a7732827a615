"""A lexer for Pygments, so that Sphinx, MkDocs, Jupyter and rich colour networks: `cnn` in their code blocks.

In: source text. Out: Pygments tokens. The kinds of words come from the compiler's tables, their patterns from its grammar.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pygments.lexer import RegexLexer, bygroups, include
from pygments.token import (
    Comment,
    Error,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
    Whitespace,
)

from cnnc.editor.highlighting import CONSTANTS, FUNCTIONS, LAYERS, STATEMENTS, TRAIN, terminals, words

_PATTERNS = terminals()
_NAME = _PATTERNS["NAME"]


def _one_of(options: tuple[str, ...]) -> str:
    return rf"(?:{'|'.join(sorted(options, key=len, reverse=True))})(?![\w.])"


class CnnLexer(RegexLexer):  # type: ignore[misc]  # Pygments has no types
    """Networks for cnnc."""

    name = "cnnc network"
    aliases: ClassVar[list[str]] = ["cnn"]
    filenames: ClassVar[list[str]] = ["*.cnn"]
    mimetypes: ClassVar[list[str]] = ["text/x-cnn"]
    version_added = ""

    tokens: ClassVar[dict[str, Any]] = {
        "root": [
            (r"[ \t]+", Whitespace),
            (r"(\r?\n|;)", Whitespace),
            (_PATTERNS["COMMENT"], Comment.Single),
            (r"[{}]", Punctuation),
            (rf"(let)([ \t]+)({_NAME})", bygroups(Keyword, Whitespace, Name.Constant), "values"),
            (rf"(block)([ \t]+)({_NAME})", bygroups(Keyword, Whitespace, Name.Function), "values"),
            (r"([A-Za-z_]\w*)([ \t]*)(:)", bygroups(Name.Label, Whitespace, Punctuation)),
            (_one_of(STATEMENTS), Keyword, "values"),
            (_one_of(LAYERS), Name.Builtin, "values"),
            (_one_of(TRAIN), Keyword.Reserved, "values"),
            (_NAME, Name.Function, "values"),
            (r".", Error),
        ],
        "values": [
            (r"(?=[\n;{}]|\r\n)", Text, "#pop"),
            include("value"),
        ],
        "brackets": [
            (r"[\])]", Punctuation, "#pop"),
            (r"\s+", Whitespace),
            include("value"),
        ],
        "value": [
            (r"[ \t]+", Whitespace),
            (_PATTERNS["COMMENT"], Comment.Single),
            (_PATTERNS["STRING"], String.Double),
            (_PATTERNS["BAD_STRING"], Error),
            (rf"({'|'.join(FUNCTIONS)})(\()", bygroups(Name.Builtin.Pseudo, Punctuation), "brackets"),
            (r"[\[(]", Punctuation, "brackets"),
            (rf"({_NAME})([ \t]*)(=)", bygroups(Name.Attribute, Whitespace, Operator)),
            (_PATTERNS["EXTENT"], Number),
            (_PATTERNS["NUMBER"], Number),
            (_one_of(CONSTANTS), Keyword.Constant),
            (_one_of(words()), Name.Constant),
            (_NAME, Name.Variable),
            (r"\*\*|//|[*/%+=-]", Operator),
            (r"[,:]", Punctuation),
            (r".", Error),
        ],
    }
