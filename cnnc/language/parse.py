"""Text to syntax tree.

In: a `Source`. Out: a `File`, and a diagnostic for every statement that is not well formed; the other
statements are in the tree all the same. It knows no layer and no meaning. The only module that imports
lark; the grammar is `grammar/cnn.lark`.

The stages: `tokenize` cuts the text by the grammar's terminals; `layout` matches brackets and says what each
newline and each minus means; lark's LALR parser takes the tokens one by one, and `_Builder` makes the tree
as it goes. No stage recurses, and each takes time in proportion to the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from lark import Lark
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer

from cnnc.diagnostics import CnncError, Diagnostic, Note, Source, Span
from cnnc.language import syntax

MAX_TEXT = 1 << 20  # characters of a file; a net of 10,000 layers takes a fifth of it
MAX_TOKENS = 1 << 18
MAX_NESTING = 40  # brackets and braces within each other
MAX_OPERATORS = 200  # in the way from a statement to its deepest value
MAX_DIGITS = 40
MAX_SYNTAX_ERRORS = 10

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_CLOSING = {"LPAR": "RPAR", "FUNCTION": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_ENDS_VALUE = {"NUMBER", "NAME", "EXTENT", "STRING", "RPAR", "RSQB", "RBRACE"}
_UNPARSED = ("COMMENT", "BREAK")


class Token(NamedTuple):
    """A word of the text, by the name of its terminal in the grammar. Lark reads no more of it than the type."""

    type: str
    text: str
    span: Span


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
        made = [feed(token) for token in tokens if token.type not in _UNPARSED]
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
        transformer=cast(Any, _Builder()),
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
        if kind in _UNPARSED or kind == before == "_END":
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
    while tokens[after].type in ("_END", *_UNPARSED):
        after += 1
    return _end_of_statement(tokens, after if tokens[after].type == "LBRACE" else index)


def _end_of_statement(tokens: list[Token], index: int) -> int:
    """Where the statement ends that a token stands in: at a separator, a closing brace, or the end of the text."""
    depth = 0
    while index < len(tokens):
        kind = tokens[index].type
        if depth == 0 and kind in ("_END", "RBRACE", "$END"):
            break
        depth += (kind == "LBRACE") - (kind == "RBRACE")
        index += 1
    return index


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
    """The tokens as the grammar takes them, and the brackets that do not match; their statements are left out.

    A newline that ends no statement is a BREAK; BREAKs and comments are not for the parser.
    Raises CnncError for a text that is too long or too deep.
    """
    walk = _Layout(source)
    walk.run()
    return walk.out, walk.diagnostics


class _Layout:
    """One walk over the tokens, with the brackets that are open."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.index = 0
        self.out: list[Token] = []
        self.open: list[tuple[int, int]] = []  # where in `tokens` and in `out` each open bracket stands
        self.operators = [0]  # of the value being read, in each open bracket
        self.depth = 0  # the sum of these
        self.diagnostics: list[Diagnostic] = []

    def run(self) -> None:
        handlers: dict[str, Callable[[Token], None]] = {
            "_END": self.end,
            "COMMA": self.new_value,
            "EQUAL": self.new_value,
            "ADD": self.sign,
            "MULTIPLY": self.operator,
            "POWER": self.operator,
            **dict.fromkeys(_CLOSING, self.opening),
            **dict.fromkeys(_CLOSING.values(), self.closing),
        }
        self.walk(handlers)
        while self.open:
            self.unfinished()
            self.walk(handlers)
        last = self.tokens[-1].span.end if self.tokens else len(self.source.text)
        self.out.append(Token("$END", "", self.source.span(last, last)))

    def walk(self, handlers: dict[str, Callable[[Token], None]]) -> None:
        tokens, out = self.tokens, self.out
        while self.index < len(tokens):
            token = tokens[self.index]
            handler = handlers.get(token.type)
            if handler is None:
                out.append(token)
            else:
                handler(token)
            self.index += 1

    # --- newlines and values

    def end(self, token: Token) -> None:
        if not self.in_values:
            self.new_value(token)
        elif token.text == ";":
            self.unclosed()
        else:
            self.out.append(token._replace(type="BREAK"))

    def new_value(self, token: Token) -> None:
        self.restart()
        self.out.append(token)

    def restart(self) -> None:
        """A value begins, which is not part of the one before it."""
        self.depth -= self.operators[-1]
        self.operators[-1] = 0

    def sign(self, token: Token) -> None:
        """A minus begins a value after no value, and, outside brackets, with a space on its left alone."""
        text, span = self.source.text, token.span
        after_value = self.previous(1) in _ENDS_VALUE
        spaced = text[span.start - 1] in " \t" and text[span.end : span.end + 1] not in (" ", "\t", "\r", "\n", "")
        if token.text == "+" or (after_value and (self.in_values or not spaced)):
            self.operator(token)
        else:
            if after_value:
                self.restart()
            self.operator(token._replace(type="NEG"))

    def operator(self, token: Token) -> None:
        if not self.in_values and self.previous(2) in _ENDS_VALUE and token.type != "NEG":
            self.restart()  # `a+1 b+2`: another value than the last operator's
        self.operators[-1] += 1
        self.depth += 1
        if self.depth > MAX_OPERATORS:
            self.too_deep(token, f"more than {MAX_OPERATORS} operators in one value")
        self.out.append(token)

    def previous(self, count: int) -> str:
        """The type of the last token, or of the one before it, among those that are parsed."""
        for token in reversed(self.out):
            if token.type not in _UNPARSED:
                count -= 1
                if count == 0:
                    return token.type
        return ""

    # --- brackets

    @property
    def in_values(self) -> bool:
        """Whether the innermost open bracket is one of values, not of statements."""
        return bool(self.open) and self.tokens[self.open[-1][0]].type != "LBRACE"

    def opening(self, token: Token) -> None:
        if token.type == "LBRACE":
            if self.in_values:
                self.unclosed()
                return
            self.join_bodies()
        if not self.in_values and self.previous(1) in _ENDS_VALUE:
            self.restart()
        self.open.append((self.index, len(self.out)))
        self.operators.append(0)
        if len(self.open) > MAX_NESTING:
            self.too_deep(token, f"brackets nested more than {MAX_NESTING} deep")
        self.out.append(token)

    def join_bodies(self) -> None:
        """The newlines between a `}` and this `{` end no statement."""
        out = self.out
        first = len(out)
        while first and (
            out[first - 1].type == "COMMENT" or (out[first - 1].type == "_END" and out[first - 1].text != ";")
        ):
            first -= 1
        if first and out[first - 1].type == "RBRACE":
            out[first:] = [t._replace(type="BREAK") if t.type == "_END" else t for t in out[first:]]

    def closing(self, token: Token) -> None:
        opening = self.tokens[self.open[-1][0]] if self.open else None
        if opening is not None and _CLOSING[opening.type] == token.type:
            self.close()
            self.out.append(token)
        elif token.type == "RBRACE" and opening is not None:
            self.unclosed()
        elif token.type == "RBRACE":
            self.report(Diagnostic("E006", "`}` closes nothing", token.span))
        else:
            self.mismatch(token, opening)

    def close(self) -> None:
        self.open.pop()
        self.depth -= self.operators.pop()

    # --- errors: the statement is left out, and the walk goes on at its end

    def mismatch(self, token: Token, opening: Token | None) -> None:
        if opening is None or opening.type == "LBRACE":
            self.report(Diagnostic("E006", f"`{token.text}` closes nothing", token.span))
        else:
            note = Note(opening.span, "opened here")
            message = f"`{token.text}` does not close `{opening.text}`"
            self.report(Diagnostic("E006", message, token.span, notes=(note,)))
        self.leave_out(self.index)

    def unclosed(self) -> None:
        """The outermost open bracket of the values being read is never closed."""
        while len(self.open) > 1 and self.tokens[self.open[-2][0]].type != "LBRACE":
            self.close()
        self.report_unclosed()
        self.leave_out(self.open[-1][0])

    def unfinished(self) -> None:
        """The text ends, and brackets are open. Braces are closed so that what they hold can be parsed."""
        if self.in_values:
            self.unclosed()
            self.index += 1
            return
        while self.open:
            self.report_unclosed()
            self.close()
            self.out.append(Token("RBRACE", "}", self.source.span(len(self.source.text), len(self.source.text))))

    def report_unclosed(self) -> None:
        opening = self.tokens[self.open[-1][0]]
        sign = opening.text[-1]
        span = self.source.span(opening.span.end - 1, opening.span.end)
        close = {"(": ")", "[": "]", "{": "}"}[sign]
        self.report(Diagnostic("E006", f"`{sign}` is never closed", span, help=f"close it with `{close}`"))

    def report(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)
        if len(self.diagnostics) >= MAX_SYNTAX_ERRORS:
            raise CnncError(*self.diagnostics)

    def leave_out(self, index: int) -> None:
        """Leaves out the statement in which `tokens[index]` stands."""
        first = len(self.out)
        while self.in_values:
            first = self.open[-1][1]
            self.close()
        depth = 0
        while first and (depth or self.out[first - 1].type not in ("_END", "LBRACE")):
            first -= 1
            depth += (self.out[first].type == "RBRACE") - (self.out[first].type == "LBRACE")
        self.restart()
        self.out[first:] = [t for t in self.out[first:] if t.type == "COMMENT"]
        self.index = _end_of_statement(self.tokens, index) - 1

    def too_deep(self, token: Token, message: str) -> None:
        raise CnncError(*self.diagnostics, Diagnostic("E007", message, token.span))


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
        return Diagnostic("E002", "`=` follows a key, without which it says nothing", span, help="write `key=value`")
    if kind == "COMMA":
        line = span.source.line(span.line)[: span.column - 1]
        if line.count("(") > line.count(")"):
            help = "without parentheses, values parted by spaces: `conv 4 k=3`; a list stands in `[ ]`"
            return Diagnostic("E002", "a comma in parentheses, which hold one value", span, help=help)
        help = "values are parted by spaces; a list stands in `[ ]`"
        return Diagnostic("E002", "a comma outside brackets", span, help=help)
    wanted = _missing(expected)
    label = f"{wanted} belongs here" if wanted in ("a name", "`=`") else ""
    return Diagnostic("E002", f"did not expect `{_shorten(token.text)}` here", span, label)


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
        return Diagnostic("E005", f"unexpected character {text!r}", span)
    help = "a number has one point" if text.count(".") > 1 else "a number ends before letters; put a space between them"
    axes = text.split("x") if len(text) < 80 else []
    if len(axes) > 1 and all(axes):
        arithmetic = ", ".join(re.sub(r"(?<=[0-9])(?=[A-Za-z_])", "*", axis) for axis in axes)
        help = f"an extent takes numbers and names in capitals; for arithmetic write `[{arithmetic}]`"
    return Diagnostic("E004", f"`{_shorten(text)}` is no number", span, help=help)


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


# --- the tree ----------------------------------------------------------------------------------------------


class _Builder:
    """Makes a node of the tree of each rule of the grammar, or of each alternative that has a name.

    Lark calls it with what the rule's parts became: tokens, nodes, and None for an optional part left out.
    """

    def file(self, parts: list[Any]) -> tuple[syntax.Statement, ...]:
        return tuple(parts)

    values = file

    def let(self, parts: list[Any]) -> syntax.Let:
        keyword, name, value = parts
        return syntax.Let(_name(name), value, keyword.span.to(value.span))

    def block(self, parts: list[Any]) -> syntax.Block:
        keyword, name, *parameters, body = parts
        given = tuple(p for p in parameters if p is not None)
        return syntax.Block(_name(name), given, body, keyword.span.to(name.span))

    def parameter(self, parts: list[Any]) -> syntax.BlockParameter:
        name, default = parts
        span = name.span if default is None else name.span.to(default.span)
        return syntax.BlockParameter(_name(name), default, span)

    def call(self, parts: list[Any]) -> syntax.Call:
        label, op, *rest = parts
        count = len(rest)
        while count and type(rest[count - 1]) is syntax.Body:
            count -= 1
        first, last = (label or op).span, (rest[count - 1] if count else op).span
        span = Span(first.source, first.start, last.end)
        return syntax.Call(_name(label) if label else None, _name(op), tuple(rest[:count]), tuple(rest[count:]), span)

    def body(self, parts: list[Any]) -> syntax.Body:
        return syntax.Body(tuple(parts[1:-1]), parts[0].span.to(parts[-1].span))

    def argument(self, parts: list[Any]) -> syntax.Argument:
        key, value = parts
        if key is None:
            return syntax.Argument(None, value, value.span)
        span = key.span
        return syntax.Argument(_name(key), value, Span(span.source, span.start, value.span.end))

    def number(self, parts: list[Any]) -> syntax.Number:
        token = parts[0]
        text = token.text
        value = int(text) if len(text) <= MAX_DIGITS and text.isdecimal() else _number(text, token.span)
        return syntax.Number(value, token.span)

    def text(self, parts: list[Any]) -> syntax.Text:
        token = parts[0]
        return syntax.Text(_string(token.text, token.span), token.span)

    def extent(self, parts: list[Any]) -> syntax.Extent:
        token = parts[0]
        axes = token.text.split("x")
        if any(len(axis) > MAX_DIGITS for axis in axes):
            raise CnncError.of("E004", f"a size of more than {MAX_DIGITS} characters", span=token.span)
        return syntax.Extent(tuple(int(axis) if axis.isdecimal() else axis for axis in axes), token.span)

    def word(self, parts: list[Any]) -> syntax.Word:
        token = parts[0]
        return syntax.Word(token.text, token.span)

    def items(self, parts: list[Any]) -> syntax.List:
        opening, *items, closing = parts
        return syntax.List(tuple(i for i in items if i is not None), opening.span.to(closing.span))

    def group(self, parts: list[Any]) -> syntax.Expression:
        return cast(syntax.Expression, parts[1])

    def apply(self, parts: list[Any]) -> syntax.Apply:
        function, *arguments, closing = parts
        return syntax.Apply(function.text[:-1], tuple(arguments), function.span.to(closing.span))

    def negative(self, parts: list[Any]) -> syntax.Negative:
        sign, operand = parts
        return syntax.Negative(operand, sign.span.to(operand.span))

    def sum(self, parts: list[Any]) -> syntax.Binary:
        left, operator, right = parts
        return syntax.Binary(operator.text, left, right, left.span.to(right.span))

    product = power = sum


def _name(token: Token) -> syntax.Name:
    return syntax.Name(token.text, token.span)


def _number(text: str, span: Span) -> int | float:
    """The value of a number as the grammar has it: `1e2` and `64k` are whole, `1.5k` is not."""
    digits = text.rstrip("kKMGiB")
    if len(digits) > MAX_DIGITS:
        raise CnncError.of("E004", f"a number of {len(digits):,} characters; at most {MAX_DIGITS}", span=span)
    unit = _UNITS[text[len(digits) :]]
    if digits.isdecimal():
        return int(digits) * unit
    value = float(digits) * unit
    if not math.isfinite(value):
        raise CnncError.of("E004", f"`{text}` is too large", span=span)
    return int(value) if "." not in digits and value.is_integer() else value


def _string(text: str, span: Span) -> str:
    try:
        value = cast(str, json.loads(text))
        value.encode()
    except json.JSONDecodeError as error:
        raise CnncError.of("E003", f"bad escape in a string: {error.msg.lower()}", span=span) from error
    except UnicodeEncodeError as error:
        raise CnncError.of("E003", "bad escape in a string: half a surrogate pair", span=span) from error
    if "\0" in value:
        raise CnncError.of("E003", "bad escape in a string: no file and no model takes a zero character", span=span)
    return value
