"""Finds which brace is missing or surplus in a source whose braces do not match.

In: the tokens. Out: the tokens with braces that match, and an error for each that was added or left out, so that the
statements are in the bodies that they belong to. The indentation shows which brace it is: a body ends before the first
line that is indented no more than the line of its `{`. Where a body is not indented, a `{` is closed at the end of the file.

Example: in `add {⏎  relu⏎fc 10` the `{` is closed before `fc`, and `fc` is still checked.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.diagnostics import Diagnostic, Edit, Source
from cnnc.language.brackets import Token
from cnnc.language.edits import without_statement

_LINE_END = ("_END", "COMMENT")


class Repaired(NamedTuple):
    """The tokens, the errors, and whether the indentation shows the body of each statement."""

    tokens: list[Token]
    diagnostics: list[Diagnostic]
    certain: bool


def repair(source: Source, tokens: list[Token]) -> Repaired:
    """Tokens whose braces match."""
    by_indentation = _Repair(source, tokens, use_indentation=True)
    by_count = _Repair(source, tokens, use_indentation=False)
    if len(by_indentation.diagnostics) <= len(by_count.diagnostics):
        return Repaired(by_indentation.tokens, by_indentation.diagnostics, by_indentation.certain)
    return Repaired(by_count.tokens, by_count.diagnostics, by_count.certain)


class _Open(NamedTuple):
    """An open brace: its token, the indentation of its line, and whether its body is indented more than that line."""

    token: Token
    indent: int
    indented: bool


class _Line(NamedTuple):
    """A line that could begin a body: its indentation, and the number of tokens up to its end."""

    indent: int
    end: int


class _Repair:
    """One walk over the tokens."""

    def __init__(self, source: Source, tokens: list[Token], use_indentation: bool) -> None:
        self.source = source
        self.use_indentation = use_indentation
        self.tokens: list[Token] = []
        self.diagnostics: list[Diagnostic] = []
        self.certain = True
        self.open: list[_Open] = []
        self.headers: list[_Line] = []  # lines without a brace at their end whose next line is indented more
        self.line = _Line(0, 0)  # the line before this one
        self.indent = 0
        self.surplus_at = -1  # the end of the last surplus brace
        line_start = 0
        first_in_line = True
        for token in tokens:
            if first_in_line and token.type not in _LINE_END:
                self.begin_line(token, token.span.start - line_start)
                first_in_line = False
            if token.type == "LBRACE":
                self.open.append(_Open(token, self.indent, False))
                self.tokens.append(token)
            elif token.type == "RBRACE":
                self.close(token)
            else:
                self.tokens.append(token)
            if token.type == "_END" and token.text != ";":
                line_start, first_in_line = token.span.end, True
            elif token.type not in _LINE_END:
                self.line = _Line(self.indent, len(self.tokens))
        self.close_rest()

    def begin_line(self, token: Token, indent: int) -> None:
        """Closes the bodies that end before this line."""
        if self.use_indentation:
            deeper = indent > self.line.indent and self.line.end > 0
            ends_with_brace = bool(self.open) and self.tokens[self.line.end - 1] is self.open[-1].token
            if ends_with_brace:
                self.open[-1] = self.open[-1]._replace(indented=deeper)
            elif deeper:
                self.headers.append(self.line)
            if self.open and not ends_with_brace and not self.open[-1].indented and self.begins_on_one_line():
                self.open[-1] = self.open[-1]._replace(indented=True)
            least = indent + (token.type == "RBRACE")
            while self.open and self.open[-1].indented and self.open[-1].indent >= least:
                self.add_closing(self.open.pop())
        self.indent = indent

    def begins_on_one_line(self) -> bool:
        """Whether the last line has both the innermost open brace and statements of its body: `add { relu`."""
        opening = self.open[-1].token
        last = self.tokens[self.line.end - 1]
        return last is not opening and self.source.position(opening.span.start)[0] == last.span.line

    def add_closing(self, opening: _Open) -> None:
        """Adds a closing brace at the end of the line before this one."""
        end = self.tokens[self.line.end - 1].span.end
        self.tokens.insert(self.line.end, Token("RBRACE", "}", self.source.span(end, end)))
        self.line = self.line._replace(end=self.line.end + 1)
        indent = " " * opening.indent
        edit = Edit(
            self.source.span(end, end), f"\n{indent}}}", f"close it with `}}` after line {self.source.position(end)[0]}"
        )
        self.never_closed(opening.token, edit)

    def never_closed(self, opening: Token, edit: Edit) -> None:
        self.diagnostics.append(Diagnostic("E006", "`{` is never closed", opening.span, edits=(edit,)))

    def close(self, token: Token) -> None:
        """A closing brace: of the innermost body, of a line that lacks its `{`, or surplus."""
        while self.headers and self.headers[-1].indent > self.indent:
            self.headers.pop()
        if self.open:
            self.open.pop()
            self.tokens.append(token)
        elif self.headers and self.headers[-1].indent == self.indent:
            end = self.headers[-1].end
            after = self.tokens[end - 1].span.end
            self.tokens.insert(end, Token("LBRACE", "{", self.source.span(after, after)))
            self.tokens.append(token)
            self.headers.clear()
            message, help = "the line ends in the middle of a statement", "put `{` at the end of this line"
            here = self.source.span(after, after + 1)
            edits = (Edit(self.source.span(after, after), " {", help),)
            self.diagnostics.append(Diagnostic("E002", message, here, "expected `{` here", edits=edits))
        elif self.source.text[self.surplus_at : token.span.start].strip() or self.surplus_at < 0:
            edits = (without_statement(token.span),)
            self.diagnostics.append(Diagnostic("E006", "unmatched `}`", token.span, edits=edits))
            self.surplus_at = token.span.end
        else:
            self.surplus_at = token.span.end

    def close_rest(self) -> None:
        """Closes the bodies that are open at the end of the file."""
        end = len(self.source.text)
        if any(not opening.indented for opening in self.open):
            self.certain = False
        for opening in reversed(self.open):
            text = "}\n" if self.source.text.endswith("\n") else "\n}\n"
            self.never_closed(opening.token, Edit(self.source.span(end, end), text, "close it with `{}`"))
            self.tokens.append(Token("RBRACE", "}", self.source.span(end, end)))
