"""Decides what newlines, minuses and brackets mean, before the parser sees them.

In: the tokens of a source, as the grammar's terminals split it. Out: the tokens as the grammar's rules take them, and an
error for each bracket that does not match (braces: see braces.py). One walk without recursion, in time proportional to the
number of tokens; it builds no tree and treats all words alike.

Example: in `clip 0 -1` the minus becomes NEG and begins an argument; in `conv n-1` it stays ADD and subtracts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cnnc.diagnostics import CnncError, Diagnostic, Edit, Note, Source, Span
from cnnc.language.edits import without

MAX_NESTING = 40  # of brackets and braces
MAX_OPERATORS = 200  # on the path from a statement to its deepest operand
UNPARSED = ("COMMENT", "BREAK")
MALFORMED = "MALFORMED"  # stands for a statement that is left out

_CLOSING = {"LPAR": "RPAR", "FUNCTION": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_BRACKETS = {*_CLOSING, *_CLOSING.values()}
_ENDS_VALUE = {"NUMBER", "NAME", "EXTENT", "STRING", "RPAR", "RSQB", "RBRACE"}
# What follows the first name of a statement, but no name within brackets.
_AFTER_OP = {"NAME", "NUMBER", "EXTENT", "STRING", "COLON", "LBRACE", "LPAR", "LSQB", "FUNCTION"}


class Token(NamedTuple):
    """A token; `type` is the name of its terminal in the grammar, the only field that lark reads."""

    type: str
    text: str
    span: Span


class LaidOut(NamedTuple):
    """The tokens as the grammar takes them, the errors, and whether all braces match."""

    tokens: list[Token]
    diagnostics: list[Diagnostic]
    braces_match: bool


def lay_out(source: Source, tokens: list[Token]) -> LaidOut:
    """The tokens as the grammar takes them, with a MALFORMED for each statement whose brackets do not match, and E006 for these.

    A newline that does not end a statement becomes a BREAK; the parser sees neither BREAKs nor comments. A body that begins
    on the line after its statement is joined to it, with E002. Raises CnncError E007 if brackets are nested too deeply or an
    expression is too long.
    """
    walk = _Layout(source, tokens)
    walk.run()
    return LaidOut(walk.out, walk.diagnostics, walk.braces_match)


def braces_match(tokens: list[Token]) -> bool:
    """Whether every brace is closed by one below it, whatever is between them."""
    depth = 0
    for token in tokens:
        depth += (token.type == "LBRACE") - (token.type == "RBRACE")
        if depth < 0:
            return False
    return depth == 0


def end_of_statement(tokens: list[Token], index: int) -> int:
    """The index at which the statement of a token ends: of a separator, a closing brace, or the end of the file."""
    depth = 0
    while index < len(tokens):
        kind = tokens[index].type
        if depth == 0 and kind in ("_END", "RBRACE", "$END"):
            break
        depth += (kind == "LBRACE") - (kind == "RBRACE")
        index += 1
    return index


class _Layout:
    """One walk over the tokens, and the brackets that are open."""

    def __init__(self, source: Source, tokens: list[Token]) -> None:
        self.source = source
        self.tokens = tokens
        self.index = 0
        self.out: list[Token] = []
        self.open: list[tuple[int, int]] = []  # the index of each open bracket in `tokens` and in `out`
        self.operators = [0]  # the number of operators in the current expression of each open bracket
        self.depth = 0  # the sum of `operators`
        self.diagnostics: list[Diagnostic] = []
        self.braces_match = True

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
        elif token.text == ";" and self.closed_at(self.index + 1):
            help = "separate values in brackets by commas"
            self.report(Diagnostic("E002", "a `;` in brackets", token.span, edits=(Edit(token.span, ",", help),)))
            self.leave_out(self.closed_at(self.index + 1))
        elif token.text == ";" or self.statement_begins(self.index + 1):
            self.unclosed()
        else:
            self.out.append(token._replace(type="BREAK"))

    def closed_at(self, index: int) -> int:
        """The index of the `)` or `]` that is the next bracket on this line; 0 if there is none."""
        for i in range(index, len(self.tokens)):
            token = self.tokens[i]
            if token.type in _BRACKETS or (token.type == "_END" and token.text != ";"):
                return i if token.type in ("RPAR", "RSQB") else 0
        return 0

    def statement_begins(self, index: int) -> bool:
        """Whether the token begins a statement rather than a value: then the bracket around it was never closed."""
        kinds = [token.type for token in self.tokens[index : index + 2]]
        if not kinds or kinds[0] != "NAME":
            return bool(kinds) and kinds[0] in ("LET", "BLOCK")
        if len(kinds) == 1 or kinds[1] in ("_END", "COMMENT"):
            return self.previous(1) in _ENDS_VALUE
        return kinds[1] in _AFTER_OP

    def new_value(self, token: Token) -> None:
        self.restart()
        self.out.append(token)

    def restart(self) -> None:
        """A new expression begins."""
        self.depth -= self.operators[-1]
        self.operators[-1] = 0

    def sign(self, token: Token) -> None:
        """A minus begins an expression if no operand precedes it; outside brackets also if only its left side has a space."""
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
            self.restart()  # `a+1 b+2`: two expressions
        self.operators[-1] += 1
        self.depth += 1
        if self.depth > MAX_OPERATORS:
            self.too_deep(token, f"more than {MAX_OPERATORS} operators in one expression")
        self.out.append(token)

    def previous(self, count: int) -> str:
        """The type of the `count`-th last token that the parser sees; "" if there is none."""
        for token in reversed(self.out):
            if token.type not in UNPARSED:
                count -= 1
                if count == 0:
                    return token.type
        return ""

    # --- brackets

    @property
    def in_values(self) -> bool:
        """Whether the innermost open bracket is `(` or `[`, not a brace."""
        return bool(self.open) and self.tokens[self.open[-1][0]].type != "LBRACE"

    def opening(self, token: Token) -> None:
        if token.type == "LBRACE":
            if self.in_values:
                self.unclosed()
                return
            self.join_bodies(token)
        if not self.in_values and self.previous(1) in _ENDS_VALUE:
            self.restart()
        self.open.append((self.index, len(self.out)))
        self.operators.append(0)
        if len(self.open) > MAX_NESTING:
            self.too_deep(token, f"brackets nested more than {MAX_NESTING} deep")
        self.out.append(token)

    def join_bodies(self, brace: Token) -> None:
        """Makes BREAKs of the newlines between a `}` and this `{`, which do not end the statement.

        After another token they do; the body is joined to the statement above it all the same, as it belongs there.
        """
        out = self.out
        first = len(out)
        while first and (
            out[first - 1].type == "COMMENT" or (out[first - 1].type == "_END" and out[first - 1].text != ";")
        ):
            first -= 1
        before = out[first - 1] if first else brace
        if before.type in _ENDS_VALUE and any(t.type == "_END" for t in out[first:]):
            out[first:] = [t._replace(type="BREAK") if t.type == "_END" else t for t in out[first:]]
            if before.type != "RBRACE":
                message = "a body must begin on the line that it belongs to"
                help = f"put `{{` at the end of line {before.span.line}"
                gap = self.source.span(before.span.end, brace.span.end)
                edits = (Edit(gap, " {", help),) if "#" not in gap.text else ()
                self.report(Diagnostic("E002", message, brace.span, help=help, edits=edits))

    def closing(self, token: Token) -> None:
        opening = self.tokens[self.open[-1][0]] if self.open else None
        if opening is not None and _CLOSING[opening.type] == token.type:
            self.close()
            self.out.append(token)
        elif token.type == "RBRACE" and opening is not None:
            self.unclosed()
        elif token.type == "RBRACE":
            self.braces_match = False
        else:
            self.mismatch(token, opening)

    def close(self) -> None:
        self.open.pop()
        self.depth -= self.operators.pop()

    # --- errors: the statement is left out, and the walk continues at its end

    def mismatch(self, token: Token, opening: Token | None) -> None:
        if opening is None or opening.type == "LBRACE":
            self.report(Diagnostic("E006", f"unmatched `{token.text}`", token.span, edits=(without(token.span),)))
        else:
            note = Note(opening.span, "opened here")
            message = f"`{token.text}` does not close `{opening.text}`"
            right = {"(": ")", "[": "]"}.get(opening.text[-1], "")
            edits = (Edit(token.span, right),) if right else ()
            self.report(Diagnostic("E006", message, token.span, notes=(note,), edits=edits))
        self.leave_out(self.index)

    def unclosed(self) -> None:
        """Reports the outermost open `(` or `[` of this statement, which is never closed."""
        while len(self.open) > 1 and self.tokens[self.open[-2][0]].type != "LBRACE":
            self.close()
        self.report_unclosed()
        self.leave_out(self.open[-1][0])

    def unfinished(self) -> None:
        """Handles brackets that are open at the end of the file."""
        if self.in_values:
            self.unclosed()
            self.index += 1
            return
        self.braces_match = False
        self.open.clear()

    def report_unclosed(self) -> None:
        opening = self.tokens[self.open[-1][0]]
        sign = opening.text[-1]
        span = self.source.span(opening.span.end - 1, opening.span.end)
        close = {"(": ")", "[": "]"}[sign]
        end = self.end_of_values(self.open[-1][0])
        edits = (Edit(self.source.span(end, end), close, "close it with `{}`"),)
        self.report(Diagnostic("E006", f"`{sign}` is never closed", span, edits=edits))

    def end_of_values(self, index: int) -> int:
        """Where the line of a bracket ends, or a body begins or ends on it: where it was probably meant to be closed."""
        end = self.tokens[index].span.end
        for i in range(index + 1, len(self.tokens)):  # a slice would copy all tokens for each error
            token = self.tokens[i]
            if token.type in ("_END", "LBRACE", "RBRACE", "COMMENT"):
                break
            end = token.span.end
        return end

    def report(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)

    def leave_out(self, index: int) -> None:
        """Puts a MALFORMED in place of the statement that contains `tokens[index]`."""
        first = len(self.out)
        while self.in_values:
            first = self.open[-1][1]
            self.close()
        depth = 0
        while first and (depth or self.out[first - 1].type not in ("_END", "LBRACE")):
            first -= 1
            depth += (self.out[first].type == "RBRACE") - (self.out[first].type == "LBRACE")
        self.restart()
        start = next((t.span for t in self.out[first:] if t.type not in UNPARSED), self.tokens[index].span)
        end = end_of_statement(self.tokens, index)
        self.out[first:] = [t for t in self.out[first:] if t.type == "COMMENT"]
        span = start.to(self.tokens[end - 1].span)
        self.out.append(Token(MALFORMED, span.text, span))
        self.index = end - 1

    def too_deep(self, token: Token, message: str) -> None:
        raise CnncError(*self.diagnostics, Diagnostic("E007", message, token.span))
