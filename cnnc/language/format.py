"""The canonical layout of source (`cnnc format`).

In: a `Source` without syntax errors. Out: the same source with canonical spaces, indents and blank lines; its syntax tree
and comments are unchanged. It keeps the author's choices: which statements share a line (`conv 64 k=3; bn; relu`), which
bodies are on one line, where a list breaks, how a number is written.

The rules: bodies are indented by two spaces; one space between arguments, none around the `=` of a key and around `*`,
`/`, `//`, `%`, `**`; spaces around `+` and `-` inside brackets and in a `let`, none elsewhere, where they could split one
argument into two; at most one blank line; a body on one line is broken up if the line would be longer than 100 columns,
and so are lists of lists, which then get one line per inner list; comments at the ends of successive lines are aligned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

from cnnc.diagnostics import CnncError, Source
from cnnc.language.brackets import Token
from cnnc.language.parse import layout, parse, tokenize

WIDTH = 100
INDENT = 2  # of a body
GAP = 2  # before a comment
FAR = 50  # the column beyond which later lines are not aligned with a bracket
_OPENING = ("LPAR", "LSQB", "FUNCTION")
_CLOSING = ("RPAR", "RSQB")
_NO_TEXT = ("BREAK", "COMMENT")
_FUNCTIONS = ("min", "max", "floor", "ceil", "round")


def format_text(source: Source) -> str:
    """The source in its canonical layout.

    Raises CnncError with all syntax errors, or E001 if indents make the source longer than a file may be.
    """
    _, diagnostics = parse(source)
    if diagnostics:
        raise CnncError(*diagnostics)
    tokens, _ = layout(source)
    rows = _Rows()
    rows.add(_Reader(tokens).body(is_file=True).lines, 0)
    formatted = "".join(f"{row}\n" for row in _with_comments(rows.rows))
    tokenize(Source(source.name, formatted))  # raises E001 if indents made it too long
    return formatted


# --- lines and bodies -----------------------------------------------------------------------------------------


class _Body:
    """The lines between braces, or of the file."""

    def __init__(self) -> None:
        self.comment = ""  # on the line of the opening brace
        self.lines: list[_Line] = []
        self.on_one_line = True


class _Line:
    """Statements separated by `;` and the comment after them, or only a comment."""

    def __init__(self, blank_before: bool) -> None:
        self.blank_before = blank_before
        self.statements: list[list[Token | _Body]] = []
        self.comment = ""


class _Reader:
    """Groups the tokens of a source without syntax errors into lines and bodies."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.index = 0

    def take(self) -> Token:
        self.index += 1
        return self.tokens[self.index - 1]

    @property
    def next(self) -> str:
        return self.tokens[self.index].type

    def body(self, is_file: bool = False) -> _Body:
        """The lines up to the closing brace or the end of the file, which is not consumed."""
        body = _Body()
        line: _Line | None = None
        newlines = 0
        while self.next not in ("RBRACE", "$END"):
            if self.next == "_END":
                if self.take().text != ";":
                    newlines += 1
                    line = None
                    body.on_one_line = False
                continue
            if self.next == "COMMENT" and not (is_file or newlines or body.lines):
                body.comment = _comment(self.take())
                continue
            if line is None:
                line = _Line(blank_before=newlines > 1 and bool(body.lines))
                body.lines.append(line)
            if self.next == "COMMENT":
                line.comment = _comment(self.take())
            else:
                line.statements.append(self.statement())
            newlines = 0
        body.on_one_line &= all(_on_one_line(part) for line in body.lines for s in line.statements for part in s)
        body.on_one_line |= not body.lines and not body.comment
        return body

    def statement(self) -> list[Token | _Body]:
        """The tokens and bodies of a statement, including the BREAKs and comments within it."""
        parts: list[Token | _Body] = []
        depth = 0
        while True:
            kind = self.next
            if kind == "LBRACE":
                self.take()
                parts.append(self.body())
                self.take()
                continue
            if not depth and (kind in ("_END", "RBRACE", "$END") or (kind == "COMMENT" and not self.body_follows())):
                return parts
            depth += (kind in _OPENING) - (kind in _CLOSING)
            parts.append(self.take())

    def body_follows(self) -> bool:
        """Whether another body of this statement follows, after comments and BREAKs."""
        index = self.index
        while self.tokens[index].type in ("COMMENT", "BREAK"):
            index += 1
        return self.tokens[index].type == "LBRACE"


def _comment(token: Token) -> str:
    return token.text.rstrip()


def _on_one_line(part: Token | _Body) -> bool:
    return part.on_one_line if isinstance(part, _Body) else part.type != "BREAK"


# --- rows of the result ------------------------------------------------------------------------------------------


class _Row:
    """One line of the result."""

    def __init__(self, indent: int, text: str = "") -> None:
        self.indent = indent
        self.width = indent
        self.parts: list[str] = []
        self.comment = ""
        self.put(text)

    def put(self, text: str) -> None:
        self.parts.append(text)
        self.width += len(text)

    @property
    def empty(self) -> bool:
        return self.width == self.indent

    def __str__(self) -> str:
        return " " * self.indent + "".join(self.parts)


class _Rows:
    """Writes lines as rows. `outline` leaves out the contents of bodies of several lines, to measure the width."""

    def __init__(self, outline: bool = False) -> None:
        self.rows: list[_Row] = []
        self.outline = outline

    def add(self, lines: Iterable[_Line], indent: int) -> None:
        for line in lines:
            if line.blank_before:
                self.rows.append(_Row(0))
            wide = _may_break(line) and _too_wide(line, indent)
            if wide and not (_has_bodies_to_break(line) and not _too_wide(line, indent, break_up=True)):
                line = _with_one_row_per_list(line)
            self.line(line, indent, break_up=wide)

    def line(self, line: _Line, indent: int, break_up: bool) -> None:
        """Writes a line; `break_up` puts the contents of its one-line bodies on lines of their own."""
        self.rows.append(_Row(indent))
        self.statements(line, indent, break_up)
        self.rows[-1].comment = line.comment

    def statements(self, line: _Line, indent: int, break_up: bool) -> None:
        for number, statement in enumerate(line.statements):
            self.rows[-1].put("; " if number else "")
            self.statement(statement, indent, break_up)

    def statement(self, parts: Sequence[Token | _Body], indent: int, break_up: bool) -> None:
        gaps = iter(_gaps([part for part in parts if isinstance(part, Token) and part.type not in _NO_TEXT]))
        brackets: list[tuple[int, int]] = []  # of each open one: the indent within it, and that of its closing
        new_row = False
        for part, after in zip(parts, [*parts[1:], None], strict=True):
            if isinstance(part, _Body):
                if new_row:
                    self.rows.append(_Row(indent))
                self.body(part, indent, break_up)
                new_row = False
            elif part.type == "BREAK":
                new_row |= bool(brackets) or (isinstance(after, Token) and after.type == "COMMENT")
            elif part.type == "COMMENT":
                if new_row:
                    self.rows.append(_Row(brackets[-1][0] if brackets else indent))
                self.rows[-1].comment = _comment(part)
                new_row = True
            else:
                gap = next(gaps)
                if new_row:
                    self.rows.append(_Row(brackets[-1][part.type in _CLOSING]))
                self.rows[-1].put(part.text if new_row else gap + part.text)
                new_row = False
                self.bracket(part, after, brackets)

    def bracket(self, token: Token, after: Token | _Body | None, brackets: list[tuple[int, int]]) -> None:
        """Records a bracket that opens or closes. Later lines are aligned with the token after an open bracket."""
        if token.type in _OPENING:
            row = self.rows[-1]
            hanging = (isinstance(after, Token) and after.type in _NO_TEXT) or row.width > FAR
            brackets.append((row.indent + INDENT, row.indent) if hanging else (row.width, row.width - 1))
        elif token.type in _CLOSING:
            brackets.pop()

    def body(self, body: _Body, indent: int, break_up: bool) -> None:
        row = self.rows[-1]
        row.put("{" if row.empty else " {")
        if body.on_one_line and not (break_up and body.lines):
            for line in body.lines:
                row.put(" ")
                self.statements(line, indent, break_up)
            row.put(" }")
            return
        row.comment = body.comment
        if not self.outline:
            self.add(body.lines, indent + INDENT)
        self.rows.append(_Row(indent, "}"))


def _may_break(line: _Line) -> bool:
    """Whether a line may be broken up. One with an `allow` comment, which applies to that line, stays as it is."""
    return not re.search(r"\ballow\s+W", line.comment)


def _has_bodies_to_break(line: _Line) -> bool:
    bodies = [part for statement in line.statements for part in statement if isinstance(part, _Body)]
    return any(body.on_one_line and body.lines for body in bodies)


def _with_one_row_per_list(line: _Line) -> _Line:
    """The line with a BREAK between each two inner lists (`], [`), in statements that have none yet."""
    broken = _Line(line.blank_before)
    broken.comment = line.comment
    for statement in line.statements:
        if any(isinstance(part, Token) and part.type == "BREAK" for part in statement):
            broken.statements.append(statement)
            continue
        parts: list[Token | _Body] = []
        for before, part in pairwise([None, *statement]):
            between_lists = _type(before) == "COMMA" and _type(part) == "LSQB" and _type(parts[-2]) == "RSQB"
            if between_lists and isinstance(part, Token):
                parts.append(Token("BREAK", "", part.span))
            assert part is not None
            parts.append(part)
        broken.statements.append(parts)
    return broken


def _type(part: Token | _Body | None) -> str:
    return part.type if isinstance(part, Token) else ""


def _too_wide(line: _Line, indent: int, break_up: bool = False) -> bool:
    """Whether a row of a line would be too wide, the contents of bodies of several lines apart."""
    rows = _Rows(outline=True)
    rows.line(line, indent, break_up)
    return any(row.width > WIDTH for row in rows.rows)


def _with_comments(rows: Sequence[_Row]) -> Iterable[str]:
    """The rows as text, with the comments of successive rows aligned."""
    for has_both, run in groupby(rows, lambda row: not row.empty and bool(row.comment)):
        aligned = list(run)
        if not has_both:
            yield from (f"{row}{row.comment}".rstrip() for row in aligned)
            continue
        column = max(row.width for row in aligned)
        longest = max(len(row.comment) for row in aligned)
        if column + GAP + longest > WIDTH:
            column = 0
        yield from (f"{str(row).ljust(column)}{' ' * GAP}{row.comment}" for row in aligned)


# --- spaces ------------------------------------------------------------------------------------------------


def _gaps(tokens: Sequence[Token]) -> Iterable[str]:
    """The space before each token of a statement without its bodies."""
    first = tokens[0].type
    depth = 0
    yield ""
    for before, token in pairwise(tokens):
        depth += (before.type in _OPENING) - (before.type in _CLOSING)
        if before is tokens[1] and first == "BLOCK":  # `block min (k)`: without the space, `min(` would be a function
            yield " " if before.text in _FUNCTIONS else ""
        else:
            roomy = depth > (first == "BLOCK") or first == "LET"
            yield _gap(before.type, token.type, " " if roomy else "", " " if first == "LET" else "")


def _gap(before: str, after: str, around_plus: str, around_equals: str) -> str:
    """The space between two tokens, by their types."""
    if before in (*_OPENING, "NEG") or after in (*_CLOSING, "COMMA", "COLON"):
        return ""
    if before in ("COMMA", "COLON"):
        return " "
    if "EQUAL" in (before, after):
        return around_equals
    if "ADD" in (before, after):
        return around_plus
    return "" if {before, after} & {"MULTIPLY", "POWER"} else " "
