"""Edits of the source that diagnostics propose.

In: a call, argument or range, and what is to stand there. Out: an `Edit` with the range and its new text; statements are
inserted and removed together with their line or separator. Nothing here knows whether an edit helps: working_edits.py
tries it.

Example: `before(call.span, "reshape 16")` inserts `reshape 16` on a line of its own, with the indentation of the call.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from cnnc.core.caller import written_settings
from cnnc.diagnostics import Edit, Span
from cnnc.language import syntax


def did_you_mean(span: Span, near: str | None) -> tuple[Edit, ...]:
    """The edit to a name that is similar to the one in the range, if there is one."""
    return (Edit(span, near, "did you mean `{}`?"),) if near else ()


def setting_meant(value: syntax.Expression, meant: str) -> Edit:
    """The edit of a setting `NAME=VALUE` of the command line, of which `value` is the value, to the name `meant`."""
    setting = value.span.source.span(0, value.span.end)
    return Edit(setting, f"{meant}={value.span.text}", f"did you mean `{meant}`? Write `{written_settings('{}')}`")


def first_that_works(edits: Sequence[Edit], most: int = 4) -> tuple[Edit, ...]:
    """The first of these edits that works, as the edits of a diagnostic."""
    return (edits[0]._replace(otherwise=tuple(edits[1:most])),) if edits else ()


# --- arguments -----------------------------------------------------------------------------------------------


def head(call: syntax.Call) -> Span:
    """The range of a call without its label and bodies."""
    return call.op.span.to(call.span)


def as_written(part: syntax.Argument | syntax.Expression) -> str:
    """The source of an argument on one line."""
    return " ".join(part.span.text.split())


def rewritten(call: syntax.Call, text: str, help: str = "write `{}`") -> Edit:
    """The call, without its label and bodies, becomes `text`."""
    return Edit(head(call), text, help)


def with_argument(
    call: syntax.Call, keys: Sequence[str], given: syntax.Argument | None, value: str, help: str = "write `{}`"
) -> Edit:
    """The argument `given` has another value; if there is none, `keys[0]=value` follows the other arguments.

    `keys` are the names of the argument. An empty `value` removes it.
    """
    if given is None:
        end = call.span.end
        return Edit(Span(call.span.source, end, end), f" {keys[0]}={value}", help)
    if not value:
        return without(given.span, help)
    return Edit(given.span, f"{given.key.text}={value}" if given.key is not None else value, help)


def argument_named(call: syntax.Call, keys: Container[str], position: int | None) -> syntax.Argument | None:
    """The argument with one of these keys, or at this position among those without a key; None if it is not given."""
    values = [a for a in call.arguments if a.key is None]
    named = next((a for a in call.arguments if a.key is not None and a.key.text in keys), None)
    return named or (values[position] if position is not None and position < len(values) else None)


def without(span: Span, help: str = "remove it") -> Edit:
    """The range is removed, with the spaces before it."""
    return Edit(with_spaces_before(span), "", help)


def with_spaces_before(span: Span) -> Span:
    """The range and the spaces before it."""
    text, start = span.source.text, span.start
    while start and text[start - 1] in " \t":
        start -= 1
    return Span(span.source, start, span.end)


# --- statements ----------------------------------------------------------------------------------------------


def whole(statement: syntax.Statement) -> Span:
    """The range of a statement with its bodies."""
    match statement:
        case syntax.Call(_, _, _, bodies, span):
            return span.to(bodies[-1].span) if bodies else span
        case syntax.Block(_, _, body, span):
            return span.to(body.span)
        case _:
            return statement.span


def _line_before(span: Span) -> str:
    """The source between the beginning of the line and the range."""
    text = span.source.text
    return text[text.rfind("\n", 0, span.start) + 1 : span.start]


def before(span: Span, statement: str, help: str = "add `{}` before it") -> Edit:
    """A statement is inserted before that of the range."""
    indent = _line_before(span)
    at = Span(span.source, span.start, span.start)
    return Edit(at, f"{statement}\n{indent}" if not indent.strip() else f"{statement}; ", help)


def after(span: Span, statement: str, help: str = "add `{}` after it") -> Edit:
    """A statement is inserted after that of the range."""
    indent = _line_before(span)
    rest = re.compile(r"[^\n]*").match(span.source.text, span.end)
    alone = not indent.strip() and rest is not None and not rest[0].split("#")[0].strip()
    at = Span(span.source, span.end, span.end)
    return Edit(at, f"\n{indent}{statement}" if alone else f"; {statement}", help)


def first_of_file(span: Span, statement: str, help: str) -> Edit:
    """A statement is inserted before the first one of the file that the range is in."""
    text = span.source.text
    found = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*").match(text)
    at = found.end() if found is not None else 0
    return before(Span(span.source, at, at), statement, help)


def on_a_new_line(span: Span, help: str) -> Edit:
    """The range becomes a statement of its own."""
    line = _line_before(span)
    indent = line[: len(line) - len(line.lstrip())]
    separator = "; " if re.search(r"[;{}]", line) else f"\n{indent}"
    return Edit(with_spaces_before(span), separator + span.text, help)


def defined_above(span: Span, name: str, values: Sequence[str] = ("16", "3", "1")) -> Edit:
    """The `let` of a name that is below moves above; if there is none, one with the first of the values that works."""
    text = span.source.text
    at = text.find(f"\nlet {name}", span.end) + 1
    let_with_value = re.compile(rf"let {re.escape(name)}[ \t]*=[^\n;#{{}}]*[^\n;#{{}}\s]")
    found = let_with_value.match(text, at) if at else None
    if found is not None:
        let = Span(span.source, *found.span())
        return moved_before(let, first_of_file(span, "", "").span, f"move `let {name}` above it")
    edits = [first_of_file(span, f"let {name} = {value}", "define it above: `{}`") for value in values]
    return first_that_works(edits)[0]


def without_statement(span: Span, help: str = "remove it") -> Edit:
    """The statement of the range is removed, with its line if it is alone on it, or with one separator."""
    text, start, end = span.source.text, span.start, span.end
    following = re.compile(r"[ \t]*(;[ \t]*)?").match(text, end)
    assert following is not None
    at_end_of_line = following.end() == len(text) or text[following.end()] in "\r\n"
    indent = _line_before(span)
    if not indent.strip() and at_end_of_line:
        newline = text.find("\n", end)
        return Edit(Span(span.source, start - len(indent), newline + 1 if newline >= 0 else len(text)), "", help)
    if following[1]:
        return Edit(Span(span.source, start, following.end()), "", help)
    preceding = re.search(r"\s*;\s*$", text[:start])
    return Edit(Span(span.source, preceding.start() if preceding else start, end), "", help)


def moved_before(statement: Span, target: Span, help: str) -> Edit:
    """A statement moves from below before another one: one edit of the range from that to this."""
    removal = without_statement(statement).span
    between = statement.source.text[target.start : removal.start]
    insertion = before(target, statement.text).text
    return Edit(Span(statement.source, target.start, removal.end), insertion + between, help)


def replaced(span: Span | None, pattern: str, text: str, help: str = "write `{}`") -> tuple[Edit, ...]:
    """The first part of a range that matches the pattern becomes `text`; nothing where none does."""
    match = re.search(pattern, span.text) if span is not None else None
    if span is None or match is None:
        return ()
    return (Edit(Span(span.source, span.start + match.start(), span.start + match.end()), text, help),)


def renamed(name: syntax.Name, new: str, within: Span, help: str) -> Edit:
    """A name is replaced at its definition and wherever it is used, from there to the end of the range."""
    text = within.source.text[name.span.start : within.end]
    word = rf"(?<![\w.]){re.escape(name.text)}(?![\w.])"
    changed = re.sub(word, new, text)
    return Edit(Span(name.span.source, name.span.start, within.end), changed, help.replace("{}", new, 1))
