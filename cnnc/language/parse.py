"""Text to syntax tree.

In: a `Source`. Out: a `File`, and a diagnostic for every statement that is not well formed; the other
statements are in the tree all the same. It knows no layer and no meaning. The only module that imports
lark; the grammar is `grammar/cnn.lark`.

The stages: `tokenize` cuts the text by the grammar's terminals; `layout` matches brackets and says what each
newline and each minus means (layout.py); lark's LALR parser takes the tokens one by one, and `Builder` makes the
tree as it goes (tree.py). No stage recurses, and each takes time in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

from lark import Lark
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer

from cnnc.diagnostics import CnncError, Diagnostic, Source, Span
from cnnc.language import syntax
from cnnc.language.layout import UNPARSED, Token, end_of_statement, lay_out
from cnnc.language.tree import Builder

MAX_TEXT = 1 << 20  # characters of a file; a net of 10,000 layers takes a fifth of it
MAX_TOKENS = 1 << 18
MAX_SYNTAX_ERRORS = 10


def parse(source: Source) -> tuple[syntax.File, list[Diagnostic]]:
    """Parses a file. A statement that cannot be read is reported and left out of the tree.

    Where braces do not match, the tree is empty: which statement stands in which body is not known.
    """
    try:
        tokens, diagnostics = layout(source)
    except CnncError as error:
        return syntax.File(source, ()), list(error.diagnostics)
    braces_match = not any(d.span is not None and d.span.text in "{}" for d in diagnostics)
    statements, more = _statements(tokens, MAX_SYNTAX_ERRORS - len(diagnostics))
    comments = tuple(syntax.Name(t.text, t.span) for t in tokens if t.type == "COMMENT")
    diagnostics = sorted([*diagnostics, *more], key=lambda d: d.span.start if d.span else 0)
    return syntax.File(source, statements if braces_match else (), comments), diagnostics


def parse_values(source: Source) -> tuple[syntax.Expression, ...]:
    """Parses the values of a setting (`--set name=VALUE`). Raises CnncError."""
    tokens, diagnostics = layout(source)
    if diagnostics:
        raise CnncError(*diagnostics)
    parser = _parser().parse_interactive("", start="values")
    feed = cast(Any, parser.feed_token)
    try:
        made = [feed(token) for token in tokens if token.type not in UNPARSED]
    except UnexpectedToken as error:
        raise CnncError(_syntax_error(error)) from error
    return cast("tuple[syntax.Expression, ...]", made[-1])


# --- the parser ----------------------------------------------------------------------------------------


def grammar_text() -> str:
    """The grammar, from the installed package or from the project's folder."""
    here = Path(__file__).parent
    packaged = here / "cnn.lark"
    path = packaged if packaged.exists() else here.parent.parent / "grammar" / "cnn.lark"
    return path.read_text(encoding="utf-8")


class _Lexer(Lexer):
    """Cuts a text by all terminals at once. Lark's own lexer counts lines, and takes three times as long."""

    def __init__(self, conf: Any) -> None:
        terminals = sorted(conf.terminals, key=lambda t: -t.priority)
        self.pattern = re.compile("|".join(f"(?P<{t.name}>{t.pattern.to_regexp()})" for t in terminals))
        self.ignored = conf.ignore

    def lex(self, source: Any, parser_state: Any = None) -> Iterator[Any]:
        ignored, make = self.ignored, tuple.__new__  # a named tuple's own __new__ takes twice as long
        for match in self.pattern.finditer(source.text, source.text.startswith("\ufeff")):
            kind = match.lastgroup
            if kind not in ignored:
                yield make(Token, (kind, match.group(), make(Span, (source, *match.span()))))


class _Postlex:
    """Asks lark to keep the terminals that the grammar's rules do not name; `layout` does the work."""

    always_accept = ("COMMENT", "STRANGE", "BAD_NUMBER", "BAD_STRING")

    def process(self, stream: Iterator[Any]) -> Iterator[Any]:
        return stream


@cache
def _parser() -> Lark:
    return Lark(
        grammar_text(),
        start=["file", "values"],
        parser="lalr",
        lexer=_Lexer,
        transformer=cast(Any, Builder()),
        maybe_placeholders=True,
        postlex=cast(Any, _Postlex()),
        cache=_cache_file(),
    )


def _cache_file() -> str | bool:
    """Where lark keeps its tables between runs (half of start-up): the user's own cache, never a shared folder."""
    from platformdirs import user_cache_path

    try:
        folder = user_cache_path("cnnc")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return str(folder / "grammar.pickle")


def _statements(tokens: list[Token], most_errors: int) -> tuple[tuple[syntax.Statement, ...], list[Diagnostic]]:
    """The statements of a file, from its tokens.

    After an error the parser goes back to where the statement began, which is to say that its stacks become as
    short as they were then (see the grammar), and goes on where the statement ends.
    """
    state = cast(Any, _parser().parse_interactive("", start="file")).parser_state
    states, values, feed = state.state_stack, state.value_stack, state.feed_token
    diagnostics: list[Diagnostic] = []
    began = [len(states)]  # a number for each open body: the length of `states` where its statement began
    before = "_END"
    index = 0
    while len(diagnostics) < most_errors:
        token = tokens[index]
        kind = token.type
        if kind in UNPARSED or kind == before == "_END":
            index += 1
            continue
        try:
            made = feed(token, kind == "$END")
        except (UnexpectedToken, CnncError) as error:
            diagnostics += [_syntax_error(error)] if isinstance(error, UnexpectedToken) else error.diagnostics
            del states[began[-1] :], values[began[-1] - 1 :]
            before, index = "_END", _end_of_bad_statement(tokens, index)
            continue
        if kind == "$END":
            return made, diagnostics
        if kind == "_END":
            began[-1] = len(states)
        elif kind == "LBRACE":
            began.append(len(states))
        elif kind == "RBRACE":
            began.pop()
        before = kind
        index += 1
    return (), diagnostics


def _end_of_bad_statement(tokens: list[Token], index: int) -> int:
    """Where to go on after an error at a token. A body on the next line belongs to the line that ended too soon."""
    after = index
    while tokens[after].type in ("_END", *UNPARSED):
        after += 1
    return end_of_statement(tokens, after if tokens[after].type == "LBRACE" else index)


# --- between lexer and parser ----------------------------------------------------------------------------


def tokenize(source: Source) -> list[Token]:
    """The tokens of a text, comments among them. Raises CnncError E001 and E008."""
    if len(source.text) > MAX_TEXT:
        raise CnncError.of("E001", f"the text is too long: {len(source.text):,} characters; at most {MAX_TEXT:,}")
    try:
        source.text.encode()
    except UnicodeEncodeError as error:
        raise CnncError.of("E008", "half a surrogate pair", span=source.span(error.start, error.end)) from error
    lexer = cast(Any, _parser().parse_interactive(cast(Any, source), start="file")).lexer_thread
    tokens: list[Token] = list(islice(lexer.lex(None), MAX_TOKENS + 1))
    if len(tokens) > MAX_TOKENS:
        raise CnncError.of("E001", f"the text is too long: more than {MAX_TOKENS:,} words and signs")
    return tokens


def layout(source: Source) -> tuple[list[Token], list[Diagnostic]]:
    """The tokens of a text as the grammar takes them, and the brackets that do not match; see layout.py.

    Raises CnncError for a text that is too long or too deep.
    """
    return lay_out(source, tokenize(source), MAX_SYNTAX_ERRORS)


# --- errors ------------------------------------------------------------------------------------------------


def _syntax_error(error: UnexpectedToken) -> Diagnostic:
    token = cast(Token, cast(Any, error).token)
    kind, span, expected = token.type, token.span, error.expected
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
