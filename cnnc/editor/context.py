"""What is being written at an offset: the statement up to there, the bodies around it, and the word before the cursor.

In: a text and an offset. Out: `Context`, from the compiler's tokens, so it also holds for text that cannot be parsed yet.

Example: at the end of `a: conv 8 k=`, `op` is conv, `values` are ["8"], `key` is k and `word` is empty.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.diagnostics import CnncError, Source, Span
from cnnc.language.brackets import Token
from cnnc.language.parse import tokenize

_WORDS = ("NAME", "LET", "BLOCK", "BAD_NUMBER", "NUMBER", "EXTENT")


class Context(NamedTuple):
    """`word` is the beginning of a word before the cursor, whose range is `span`; `op` is "" at the beginning of a statement.

    `values` are the arguments without a key, `keys` the keys that are given, `key` that of the value at the cursor ("" for
    none). `bodies` are the words that the statements around it begin with, outermost first. `in_comment` and `string` say that
    the cursor is in a comment, and which text of a string is before it (None outside of one).
    """

    span: Span
    word: str
    op: str
    values: tuple[str, ...]
    keys: tuple[str, ...]
    key: str
    bodies: tuple[str, ...]
    in_comment: bool = False
    string: str | None = None

    @property
    def in_train(self) -> bool:
        """Whether the statement is one of the train section."""
        return bool(self.bodies) and self.bodies[-1] == "train"


def context_at(text: str, offset: int) -> Context:
    """The context of an offset."""
    source = Source("", text[:offset])
    try:
        tokens = tokenize(source)
    except CnncError:
        tokens = []
    last = tokens[-1] if tokens else None
    at_end = last is not None and last.span.end == offset
    if last is not None and at_end and last.type == "COMMENT":
        return Context(source.span(offset, offset), "", "", (), (), "", (), in_comment=True)
    string = last.text[1:] if last is not None and at_end and last.type == "BAD_STRING" else None
    span = source.span(offset, offset)
    if last is not None and at_end and (last.type in _WORDS or string is not None):
        span = last.span if string is None else source.span(last.span.start + 1, offset)
        tokens.pop()
    statement, bodies = _statement(tokens)
    return _context(statement, tuple(_op_of(body) for body in bodies), span, string)


def _statement(tokens: list[Token]) -> tuple[list[Token], list[list[Token]]]:
    """The tokens of the last statement, and those of the statements in whose bodies it is."""
    bodies: list[list[Token]] = []
    statement: list[Token] = []
    depth = 0
    for token in tokens:
        kind = token.type
        if kind == "LBRACE":
            bodies.append(statement)
            statement, depth = [], 0
        elif kind == "RBRACE":
            statement = bodies.pop() if bodies else []
            depth = 0
        elif kind == "_END" and not (depth and token.text != ";"):
            statement, depth = [], 0
        elif kind not in ("COMMENT", "_END"):
            depth += (kind in ("LPAR", "LSQB", "FUNCTION")) - (kind in ("RPAR", "RSQB"))
            statement.append(token)
    return statement, bodies


def _op_of(statement: list[Token]) -> str:
    """The word that a statement begins with, after its label."""
    head = statement[2:] if len(statement) > 1 and statement[1].text == ":" else statement
    return head[0].text if head else ""


def _context(statement: list[Token], bodies: tuple[str, ...], span: Span, string: str | None) -> Context:
    head = statement[2:] if len(statement) > 1 and statement[1].text == ":" else statement
    values: list[str] = []
    keys: list[str] = []
    key = ""
    depth = 0
    rest = head[1:]
    for index, token in enumerate(rest):
        following = rest[index + 1].text if index + 1 < len(rest) else ""
        depth += (token.type in ("LPAR", "LSQB", "FUNCTION")) - (token.type in ("RPAR", "RSQB"))
        if depth or token.type in ("RPAR", "RSQB"):
            continue
        if following == "=":
            keys.append(token.text)
            key = token.text
        elif token.text == "=":
            continue
        elif key:
            key = ""
        else:
            values.append(token.text)
    in_list = depth > 0 and key
    if rest and rest[-1].text != "=" and not in_list:
        key = ""
    return Context(
        span, span.text, head[0].text if head else "", tuple(values), tuple(keys), key, bodies, False, string
    )
