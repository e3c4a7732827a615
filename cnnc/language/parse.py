"""Text to syntax tree.

In: a `Source`. Out: a `File`, and a diagnostic for every statement that is not well formed; the other
statements are in the tree all the same. It knows no layer and no meaning. The only module that imports
lark; the grammar is `grammar/cnn.lark`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedToken

from cnnc.diagnostics import CnncError, Diagnostic, Note, Source, Span
from cnnc.language import syntax

MAX_TEXT = 1 << 20  # characters of a file; a net of 10,000 layers takes a fifth of it
MAX_NESTING = 40  # brackets and braces within each other
MAX_OPERATORS = 200  # in the way from a statement to its deepest value
MAX_DIGITS = 40
MAX_SYNTAX_ERRORS = 10

_UNITS = {"k": 10**3, "M": 10**6, "G": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_CLOSING = {"LPAR": "RPAR", "FUNCTION": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_ENDS_VALUE = {"NUMBER", "NAME", "EXTENT", "STRING", "RPAR", "RSQB", "RBRACE"}
_OPERATORS = {"PLUS", "MINUS", "NEG", "STAR", "SLASH", "FLOOR", "PERCENT", "POWER"}


def parse(source: Source) -> tuple[syntax.File, list[Diagnostic]]:
    """Parses a file. A statement that cannot be read is reported and left out of the tree."""
    if len(source.text) > MAX_TEXT:
        size = f"{len(source.text):,} characters"
        return syntax.File(source, ()), [Diagnostic("E001", f"the text is too long: {size}; at most {MAX_TEXT:,}")]
    try:
        tokens, comments = layout(source)
    except CnncError as error:
        return syntax.File(source, ()), list(error.diagnostics)
    diagnostics: list[Diagnostic] = []
    while len(diagnostics) < MAX_SYNTAX_ERRORS:
        try:
            file = _Builder(source).file(_tree(tokens, "file"), comments)
            return file, diagnostics
        except UnexpectedToken as error:
            diagnostics.append(_syntax_error(source, error, tokens))
            tokens = _without_statement(tokens, error.token)
        except CnncError as error:  # a value that no number or string can hold
            diagnostics += error.diagnostics
            position = error.diagnostics[0].span
            assert position is not None
            tokens = _without_statement(tokens, next(t for t in tokens if t.start_pos == position.start))
    return syntax.File(source, ()), diagnostics


def parse_values(source: Source) -> tuple[syntax.Expression, ...]:
    """Parses the values of a setting (`--set name=VALUE`). Raises CnncError."""
    tokens, _ = layout(source)
    try:
        return _Builder(source).expressions(_tree(tokens, "values").children)
    except UnexpectedToken as error:
        raise CnncError(_syntax_error(source, error, tokens)) from error


# --- the parser ----------------------------------------------------------------------------------------


def grammar_text() -> str:
    """The grammar, from the installed package or from the project's folder."""
    here = Path(__file__).parent
    packaged = here / "cnn.lark"
    path = packaged if packaged.exists() else here.parent.parent / "grammar" / "cnn.lark"
    return path.read_text(encoding="utf-8")


class _Postlex:
    """Asks lark to keep the terminals that the grammar's rules do not name; `layout` does the work."""

    always_accept = ("COMMENT", "STRANGE")

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return stream


@cache
def _parser() -> Lark:
    return Lark(
        grammar_text(),
        start=["file", "values"],
        parser="lalr",
        lexer="basic",
        propagate_positions=True,
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


class _Feed(Protocol):
    def __call__(self, token: Token) -> Any: ...


def _tree(tokens: Iterable[Token], start: str) -> Tree[Token]:
    parser = _parser().parse_interactive("", start=start)
    feed: _Feed = parser.feed_token
    last = None
    for token in tokens:
        feed(token)
        last = token
    return cast("Tree[Token]", cast(Any, parser).feed_eof(last))


# --- between lexer and parser ----------------------------------------------------------------------------


def layout(source: Source) -> tuple[list[Token], list[syntax.Name]]:
    """The tokens that the grammar sees, and the comments. Raises CnncError for brackets that do not match."""
    lexer = _parser().parse_interactive(source.text, start="file").lexer_thread
    raw: list[Token] = list(cast(Any, lexer).lex(None))
    comments = [syntax.Name(str(t).rstrip("\r"), source.span(_start(t), _end(t))) for t in raw if t.type == "COMMENT"]
    tokens = [t for t in raw if t.type != "COMMENT"]
    out: list[Token] = []
    open_brackets: list[Token] = []
    operators = [0]  # on the way down, one count for each open bracket
    for index, token in enumerate(tokens):
        kind = token.type
        if kind == "_END":
            in_brackets = bool(open_brackets) and open_brackets[-1].type != "LBRACE"
            if token == ";" and in_brackets:
                raise _mismatch(source, open_brackets[-1], token)
            if in_brackets or _joins_bodies(tokens, index, out):
                continue
            operators[-1] = 0
        elif kind in _CLOSING:
            open_brackets.append(token)
            operators.append(0)
            if len(open_brackets) > MAX_NESTING:
                raise _too_deep(source, token, f"brackets nested more than {MAX_NESTING} deep")
        elif kind in ("RPAR", "RSQB", "RBRACE"):
            if not open_brackets or _CLOSING[open_brackets[-1].type] != kind:
                raise _mismatch(source, open_brackets[-1] if open_brackets else None, token)
            open_brackets.pop()
            operators.pop()
        elif kind == "MINUS" and _begins_value(source.text, out, token, bool(open_brackets), open_brackets):
            token = Token.new_borrow_pos("NEG", str(token), token)
        elif kind in ("COMMA", "EQUAL"):
            operators[-1] = 0
        if token.type in _OPERATORS:
            operators[-1] += 1
            if sum(operators) > MAX_OPERATORS:
                raise _too_deep(source, token, f"more than {MAX_OPERATORS} operators in one value")
        out.append(token)
    if open_brackets:
        raise _unclosed(source, open_brackets[-1])
    return out, comments


def _begins_value(text: str, before: list[Token], minus: Token, nested: bool, brackets: list[Token]) -> bool:
    """Whether a minus begins a new value: after no value, or, outside brackets, with a space on its left alone."""
    if not before or before[-1].type not in _ENDS_VALUE:
        return True
    if nested and brackets[-1].type != "LBRACE":
        return False
    start, end = _start(minus), _end(minus)
    return text[start - 1 : start] in (" ", "\t") and text[end : end + 1] not in (" ", "\t", "\n", "")


def _joins_bodies(tokens: list[Token], index: int, before: list[Token]) -> bool:
    """Whether a newline stands between a `}` and a following `{`, where it does not end the statement."""
    if not before or before[-1].type != "RBRACE" or tokens[index] == ";":
        return False
    while index < len(tokens) and tokens[index].type == "_END" and tokens[index] != ";":
        index += 1
    return index < len(tokens) and tokens[index].type == "LBRACE"


def _start(token: Token) -> int:
    return cast(int, token.start_pos)


def _end(token: Token) -> int:
    return cast(int, token.end_pos)


def _without_statement(tokens: list[Token], culprit: Token) -> list[Token]:
    """The tokens without the statement in which the culprit stands."""
    index = next((i for i, t in enumerate(tokens) if t is culprit), len(tokens) - 1)
    first = index
    depth = 0
    while first > 0:
        before = tokens[first - 1].type
        if depth == 0 and before in ("_END", "LBRACE"):
            break
        depth += (before in ("RBRACE",)) - (before == "LBRACE")
        first -= 1
    last = index
    depth = 0
    while last < len(tokens):
        kind = tokens[last].type
        if depth == 0 and kind in ("_END", "RBRACE"):
            break
        depth += (kind == "LBRACE") - (kind == "RBRACE")
        last += 1
    if first == last:  # a separator itself is the culprit: take it out
        last += 1
    return tokens[:first] + tokens[last:]


# --- errors ------------------------------------------------------------------------------------------------


def _syntax_error(source: Source, error: UnexpectedToken, tokens: list[Token]) -> Diagnostic:
    token = error.token
    if token.type == "$END":
        span = source.span(_end(tokens[-1]), _end(tokens[-1])) if tokens else source.span(0, 0)
        return Diagnostic("E002", "the text ends within a statement", span, label="something is missing here")
    span = source.span(_start(token), _end(token))
    if token.type == "STRANGE":
        return _strange(source, span)
    expected = error.accepts or error.expected
    if token.type == "_END":
        span = source.span(span.start, span.start + 1)
        wanted = "a value" if "NUMBER" in expected else "more"
        return Diagnostic("E002", "the line ends within a statement", span, label=f"{wanted} is missing here")
    if token.type == "LBRACE":
        return Diagnostic(
            "E002", "a body must follow its call", span, help="put `{` at the end of the line that it belongs to"
        )
    if token.type == "EQUAL":
        return Diagnostic("E002", "`=` follows a key, without which it says nothing", span, help="write `key=value`")
    if token.type == "COMMA":
        return Diagnostic(
            "E002", "a comma outside brackets", span, help="values are parted by spaces; a list stands in `[ ]`"
        )
    return Diagnostic("E002", f"did not expect `{_shorten(str(token))}` here", span)


def _strange(source: Source, span: Span) -> Diagnostic:
    text = source.text
    character = text[span.start]
    if character == '"':
        line = source.line(span.line)
        whole = source.span(span.start, span.start + len(line) - span.column + 1)
        return Diagnostic("E003", "a string that does not end", whole, help='close it with `"` on the same line')
    if character in "0123456789.":
        end = span.start
        while end < len(text) and (text[end].isalnum() or text[end] in "._"):
            end += 1
        word = text[span.start : end]
        help = "a number ends before letters; put a space between them"
        parts = word.split("x")
        if len(parts) > 1 and all(parts):
            help = f"an extent takes numbers and names in capitals; for arithmetic write `[{', '.join(parts)}]`"
        return Diagnostic("E004", f"`{_shorten(word)}` is no number", source.span(span.start, end), help=help)
    return Diagnostic("E005", f"unexpected character {character!r}", span)


def _mismatch(source: Source, opening: Token | None, closing: Token) -> CnncError:
    span = source.span(_start(closing), _end(closing))
    if opening is None:
        return CnncError(Diagnostic("E006", f"`{closing}` closes nothing", span))
    if closing.type == "_END" or closing.type == "RBRACE":
        return _unclosed(source, opening)
    note = Note(source.span(_start(opening), _end(opening)), "opened here")
    return CnncError(Diagnostic("E006", f"`{closing}` does not close `{opening}`", span, notes=(note,)))


def _unclosed(source: Source, opening: Token) -> CnncError:
    span = source.span(_end(opening) - 1, _end(opening))
    close = {"RPAR": ")", "RSQB": "]", "RBRACE": "}"}[_CLOSING[opening.type]]
    return CnncError(Diagnostic("E006", f"`{str(opening)[-1]}` is never closed", span, help=f"close it with `{close}`"))


def _too_deep(source: Source, token: Token, message: str) -> CnncError:
    return CnncError(Diagnostic("E007", message, source.span(_start(token), _end(token))))


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


# --- lark's tree to ours -----------------------------------------------------------------------------------

_Child = Any  # lark's trees are untyped: Tree, Token or None


class _Builder:
    """Turns lark's tree into ours. Its depth is bounded by `layout`, so recursion is safe."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def file(self, tree: Tree[Token], comments: list[syntax.Name]) -> syntax.File:
        return syntax.File(self.source, tuple(map(self.statement, tree.children)), tuple(comments))

    def statement(self, tree: _Child) -> syntax.Statement:
        rule: Callable[[_Child], syntax.Statement] = getattr(self, str(tree.data))
        return rule(tree)

    def let(self, tree: _Child) -> syntax.Let:
        _, name, value = tree.children
        return syntax.Let(self.name(name), self.expression(value), self.span(tree))

    def block(self, tree: _Child) -> syntax.Block:
        keyword, name, *parameters, body = tree.children
        span = self.source.span(keyword.start_pos, name.end_pos)
        made = tuple(self.parameter(p) for p in parameters if p is not None)
        return syntax.Block(self.name(name), made, self.body(body), span)

    def parameter(self, tree: _Child) -> syntax.BlockParameter:
        name, default = tree.children
        value = None if default is None else self.expression(default)
        return syntax.BlockParameter(self.name(name), value, self.span(tree))

    def call(self, tree: _Child) -> syntax.Call:
        label, op, *rest = tree.children
        arguments = tuple(self.argument(c) for c in rest if c.data == "argument")
        bodies = tuple(self.body(c) for c in rest if c.data == "body")
        span = (self.name(label) if label is not None else self.name(op)).span
        span = span.to(arguments[-1].span if arguments else self.name(op).span)
        return syntax.Call(None if label is None else self.name(label), self.name(op), arguments, bodies, span)

    def body(self, tree: _Child) -> syntax.Body:
        opening, *statements, closing = tree.children
        span = self.source.span(opening.start_pos, closing.end_pos)
        return syntax.Body(tuple(map(self.statement, statements)), span)

    def argument(self, tree: _Child) -> syntax.Argument:
        key, value = tree.children
        made = self.expression(value)
        if key is None:
            return syntax.Argument(None, made, made.span)
        name = self.name(key)
        return syntax.Argument(name, made, name.span.to(made.span))

    def name(self, token: Token) -> syntax.Name:
        return syntax.Name(str(token), self.source.span(_start(token), _end(token)))

    def span(self, tree: _Child) -> Span:
        return self.source.span(tree.meta.start_pos, tree.meta.end_pos)

    def expressions(self, trees: Iterable[_Child]) -> tuple[syntax.Expression, ...]:
        return tuple(self.expression(t) for t in trees)

    def expression(self, tree: _Child) -> syntax.Expression:
        span, children = self.span(tree), tree.children
        match str(tree.data):
            case "number":
                return syntax.Number(self.number(str(children[0]), span), span)
            case "text":
                return syntax.Text(self.string(str(children[0]), span), span)
            case "extent":
                return syntax.Extent(self.extent(str(children[0]), span), span)
            case "word":
                return syntax.Word(str(children[0]), span)
            case "list":
                opening, *items, closing = children
                span = self.source.span(opening.start_pos, closing.end_pos)
                return syntax.List(self.expressions(i for i in items if i is not None), span)
            case "group":
                return self.expression(children[1])
            case "apply":
                function, *arguments, closing = children
                span = self.source.span(function.start_pos, closing.end_pos)
                return syntax.Apply(str(function)[:-1], self.expressions(arguments), span)
            case "negative":
                operand = self.expression(children[1])
                return syntax.Negative(operand, self.source.span(_start(children[0]), operand.span.end))
            case _:
                left, operator, right = children
                made = self.expression(left), self.expression(right)
                return syntax.Binary(str(operator), *made, made[0].span.to(made[1].span))

    def number(self, text: str, span: Span) -> int | float:
        unit = next((u for u in ("KiB", "MiB", "GiB", "k", "M", "G") if text.endswith(u)), "")
        digits = text[: len(text) - len(unit)] if unit else text
        if len(digits) > MAX_DIGITS:
            raise CnncError.of("E004", f"a number of {len(digits):,} characters; at most {MAX_DIGITS}", span=span)
        value: int | float
        if digits.isdigit():
            value = int(digits)
        else:
            value = float(digits)
            if not math.isfinite(value):
                raise CnncError.of("E004", f"`{text}` is too large", span=span)
        value *= _UNITS.get(unit, 1)
        return int(value) if value == int(value) and "." not in digits else value

    def string(self, text: str, span: Span) -> str:
        try:
            return cast(str, json.loads(text))
        except json.JSONDecodeError as error:
            raise CnncError.of("E003", f"bad escape in a string: {error.msg.lower()}", span=span) from error

    def extent(self, text: str, span: Span) -> tuple[int | str, ...]:
        parts = text.split("x")
        if any(len(p) > MAX_DIGITS for p in parts):
            raise CnncError.of("E004", f"a number of more than {MAX_DIGITS} digits", span=span)
        return tuple(int(p) if p.isdigit() else p for p in parts)
