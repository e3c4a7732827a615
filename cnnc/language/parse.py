"""Source to syntax tree.

In: a `Source`. Out: a `File`, and a diagnostic for every malformed statement; the other statements are in the tree all
the same. It knows no layers and assigns no meaning. Only this module and lalr.py import lark; the grammar is `grammar/cnn.lark`.

The stages: `tokenize` splits the source by the grammar's terminals; `layout` matches brackets and decides what each
newline and each minus means (brackets.py); the LALR tables of lark take the tokens one by one (lalr.py), and `TreeBuilder`
builds the tree as they go (build_tree.py); syntax_errors.py explains a token that the parser does not accept. No stage recurses, and each
takes time proportional to the length of the source.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

from lark import Lark
from lark.lexer import Lexer

from cnnc.core.caller import option, written_settings
from cnnc.diagnostics import CnncError, Diagnostic, Source, Span
from cnnc.language import syntax
from cnnc.language.brackets import MALFORMED, UNPARSED, Token, braces_match, end_of_statement, lay_out
from cnnc.language.build_tree import TreeBuilder
from cnnc.language.lalr import Stacks, Unexpected
from cnnc.language.syntax_errors import malformed

MAX_TEXT = 1 << 20  # characters of a file; a network of 10,000 layers takes a fifth of it
MAX_TOKENS = 1 << 18
MAX_SYNTAX_ERRORS = 100  # of a file, that are shown


def parse(source: Source) -> tuple[syntax.File, list[Diagnostic]]:
    """Parses a file. Returns the tree, in which malformed statements are marked, and their errors (E001 to E009).

    If it is unknown which statement is in which body, because braces do not match, nothing but one mark is in the tree.
    """
    file, diagnostics = _parsed(source)
    if diagnostics:
        from cnnc.language.foreign import recognized

        foreign = recognized(source)
        if foreign is not None:
            return _without_statements(source), [foreign]
    return file, diagnostics


def _parsed(source: Source) -> tuple[syntax.File, list[Diagnostic]]:
    """The tree and the errors (E001 to E008)."""
    try:
        tokens, diagnostics, certain = _lay_out(source)
        statements, more = _statements(tokens)
    except CnncError as error:
        return _without_statements(source), list(error.diagnostics)
    comments = tuple(syntax.Name(t.text, t.span) for t in tokens if t.type == "COMMENT")
    file = syntax.File(source, statements, comments) if certain else _without_statements(source, comments)
    return file, _first_errors([*diagnostics, *more.diagnostics], len(diagnostics) + more.count)


def _without_statements(source: Source, comments: tuple[syntax.Name, ...] = ()) -> syntax.File:
    span = source.span(0, 0)
    return syntax.File(source, (syntax.Malformed("", "", span),), comments)


def _first_errors(diagnostics: list[Diagnostic], count: int) -> list[Diagnostic]:
    """The first MAX_SYNTAX_ERRORS in source order; if `count` is larger, the last one says how many more there are."""
    malformed_at = {d.span for d in diagnostics if d.code != "E005"}  # a look-alike there need not be told as well
    diagnostics = [d for d in diagnostics if d.code != "E005" or d.span not in malformed_at]
    ordered = sorted(diagnostics, key=lambda d: d.span.start if d.span else 0)
    if count <= MAX_SYNTAX_ERRORS:
        return ordered
    shown, next_one = ordered[:MAX_SYNTAX_ERRORS], ordered[MAX_SYNTAX_ERRORS]
    message = f"and {count - MAX_SYNTAX_ERRORS:,} more syntax errors from here on"
    return [*shown, Diagnostic(next_one.code, message, next_one.span, help="fix those above, then check again")]


def parse_values(source: Source, begin: int = 0) -> tuple[syntax.Expression, ...]:
    """Parses the values of a setting (`NAME=VALUE`) from an offset on. Raises CnncError E001 to E008."""
    tokens, diagnostics, _ = _lay_out(source, begin)
    if diagnostics:
        raise CnncError(*diagnostics)
    stacks = Stacks(_parser(), "values")
    try:
        for token in tokens:
            if token.type not in UNPARSED:
                stacks.feed(token)
    except Unexpected as error:
        raise CnncError(malformed(error.token, error.expected)) from error
    return cast("tuple[syntax.Expression, ...]", stacks.values[-1])


def parse_settings(settings: Sequence[str]) -> dict[str, syntax.Expression]:
    """The expressions of settings such as `width=2*8` (`--set`), by name. Raises CnncError E010, E001 to E008."""
    expressions: dict[str, syntax.Expression] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip() or not value.strip():
            help = f"e.g. `{written_settings('train.epochs=2')}`"
            raise CnncError.of("E010", f"{option('set')} takes NAME=VALUE, not `{setting}`", help=help)
        words = value.split()
        if len(words) > 1 and all("=" in word for word in words[1:]):
            keys = [f"{name.strip()}={words[0]}", *(f"{name.strip()}.{word}" for word in words[1:])]
            help = f"write `{written_settings(*keys)}`"
            raise CnncError.of("E010", f"{option('set')} takes one value, not `{value}`", help=help)
        values = parse_values(Source(setting_name(setting), setting), len(name) + 1)
        if len(values) != 1:
            raise CnncError.of("E010", f"{option('set')} takes one value, not `{value}`")
        expressions[name.strip()] = values[0]
    return expressions


def setting_name(setting: str) -> str:
    """The name of the source of a setting in errors: `--set width`."""
    return f"--set {setting.partition('=')[0]}"


# --- the parser ----------------------------------------------------------------------------------------


def grammar_text() -> str:
    """The grammar, from the installed package or the repository."""
    here = Path(__file__).parent
    packaged = here / "cnn.lark"
    path = packaged if packaged.exists() else here.parent.parent / "grammar" / "cnn.lark"
    return path.read_text(encoding="utf-8")


class _Lexer(Lexer):
    """Matches all terminals with one regular expression. Lark's own lexer counts lines and takes three times as long."""

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
    """Makes lark keep the terminals that no rule of the grammar names; `layout` handles them."""

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
        transformer=cast(Any, TreeBuilder()),
        maybe_placeholders=True,
        postlex=cast(Any, _Postlex()),
        cache=_cache_file(),
    )


def _cache_file() -> str | bool:
    """Where lark caches its tables, which halves start-up: a folder of the user's cache that nobody else can enter.

    lark unpickles the file, which can run code. False: nowhere, where the folder belongs to somebody else or is open.
    """
    from platformdirs import user_cache_path

    folder = user_cache_path("cnnc") / "grammar"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    if sys.platform != "win32":  # which keeps the cache where only its user writes
        mine = status.st_uid == os.getuid() and not status.st_mode & 0o077
        if not (mine and stat.S_ISDIR(status.st_mode)):
            return False
    return str(folder / "tables.pickle")


class _Errors:
    """The errors of the parser: all are counted, and as many explained as are shown."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.count = 0

    def add(self, error: Unexpected | CnncError) -> None:
        self.count += 1
        if self.count <= MAX_SYNTAX_ERRORS + 1:
            if isinstance(error, Unexpected):
                self.diagnostics.append(malformed(error.token, error.expected))
            else:
                self.diagnostics += error.diagnostics


def _statements(tokens: list[Token]) -> tuple[tuple[syntax.Statement, ...], _Errors]:
    """The statements of a file, from its tokens, and the errors.

    After an error the parser returns to the beginning of the statement, by cutting its stacks back to their length there
    (the grammar allows this), takes a MALFORMED instead, and continues at the end of the statement.
    """
    stacks = Stacks(_parser(), "file")
    states, values, feed = stacks.states, stacks.values, stacks.feed
    errors = _Errors()
    starts = [(len(states), 0)]  # for each open body: the length of `states`, and the token, where its statement begins
    before = "_END"
    index = 0
    while True:
        token = tokens[index]
        kind = token.type
        if kind in UNPARSED or kind == before == "_END":
            index += 1
            continue
        try:
            feed(token)
        except (Unexpected, CnncError) as error:
            errors.add(error)
            length, first = starts[-1]
            del states[length:], values[length - 1 :]
            index = end_of_statement(tokens, index)
            feed(_malformed_statement(tokens, first, index))
            before = MALFORMED
            continue
        if kind == "$END":
            return values[-1], errors
        if kind == "_END":
            starts[-1] = (len(states), index + 1)
        elif kind == "LBRACE":
            starts.append((len(states), index + 1))
        elif kind == "RBRACE":
            starts.pop()
        before = kind
        index += 1


def _malformed_statement(tokens: list[Token], first: int, end: int) -> Token:
    """The MALFORMED that stands for the tokens from `first` up to `end`."""
    while first < end and tokens[first].type in ("_END", *UNPARSED):
        first += 1
    span = tokens[first].span.to(tokens[max(first, end - 1)].span)
    return Token(MALFORMED, span.text, span)


# --- between lexer and parser ----------------------------------------------------------------------------


def tokenize(source: Source) -> list[Token]:
    """The tokens of a source, including comments. Raises CnncError E001 and E008."""
    if len(source.text) > MAX_TEXT:
        raise CnncError.of("E001", f"the source is too long: {len(source.text):,} characters; at most {MAX_TEXT:,}")
    try:
        source.text.encode()
    except UnicodeEncodeError as error:
        raise CnncError.of(
            "E008", "an unpaired surrogate, which UTF-8 cannot encode", span=source.span(error.start, error.end)
        ) from error
    lexer = cast(Any, _parser().parse_interactive(cast(Any, source), start="file")).lexer_thread
    tokens: list[Token] = list(islice(lexer.lex(None), MAX_TOKENS + 1))
    if len(tokens) > MAX_TOKENS:
        raise CnncError.of("E001", f"the source is too long: more than {MAX_TOKENS:,} words and signs")
    return tokens


def layout(source: Source) -> tuple[list[Token], list[Diagnostic]]:
    """The tokens as the grammar takes them, and errors for brackets that do not match; see brackets.py.

    Raises CnncError E001, E007 and E008.
    """
    tokens, diagnostics, _ = _lay_out(source)
    return tokens, diagnostics


def _lay_out(source: Source, begin: int = 0) -> tuple[list[Token], list[Diagnostic], bool]:
    """As `layout`, for the source from an offset on; and whether it is certain which statement is in which body."""
    tokens = tokenize(source)
    if begin:
        tokens = [token for token in tokens if token.span.start >= begin]
    diagnostics: list[Diagnostic] = []
    if any(token.type == "STRANGE" for token in tokens):
        from cnnc.language.lookalikes import correct

        tokens, diagnostics = correct(source, tokens, tokenize)
    try:
        laid_out = lay_out(source, tokens)
    except CnncError as error:
        if braces_match(tokens):
            raise CnncError(*diagnostics, *error.diagnostics) from error
    else:
        if laid_out.braces_match:
            return laid_out.tokens, [*diagnostics, *laid_out.diagnostics], True
    from cnnc.language.braces import repair

    repaired = repair(source, tokens)
    laid_out = lay_out(source, repaired.tokens)
    diagnostics += [*repaired.diagnostics, *laid_out.diagnostics]
    return laid_out.tokens, diagnostics, repaired.certain and laid_out.braces_match
