"""Explains syntax errors.

In: the token that the grammar does not accept, and the terminals that it would accept. Out: a diagnostic, with help where
the line shows what was meant, such as notation of other languages: `conv(4, k=3)` gets "`conv 4 k=3`".
"""

from __future__ import annotations

import re

from cnnc.diagnostics import Diagnostic, Edit, Span
from cnnc.language.brackets import Token
from cnnc.language.edits import first_that_works
from cnnc.language.synonyms import is_train_statement, train_setting


def malformed(token: Token, expected: set[str]) -> Diagnostic:
    """E002 to E005 at a token that the grammar does not accept; `expected` are the terminals that it would accept."""
    line = token.span.source.line(token.span.line)
    if "(" in line and len(line) < 500:
        from cnnc.language.foreign import translated_line

        translated = translated_line(line)
        if translated:
            return _line_of_another_format(token.span, line, translated)
    return _malformed(token, expected)


def _line_of_another_format(span: Span, line: str, translated: str) -> Diagnostic:
    """E002 at a line such as `nn.Conv2d(8, 16, 3)`."""
    start = span.start - span.column + 1 + len(line) - len(line.lstrip())
    whole = span.source.span(start, span.start - span.column + 1 + len(line.rstrip()))
    message = f"`{_shorten(line.strip())}` is not a statement of this language"
    return Diagnostic("E002", message, whole, edits=(Edit(whole, translated),))


def _malformed(token: Token, expected: set[str]) -> Diagnostic:
    kind, span = token.type, token.span
    if kind in ("BAD_NUMBER", "BAD_STRING", "STRANGE"):
        return _wrong_word(kind, token.text, span)
    if kind in ("_END", "RBRACE", "$END"):
        where = {"_END": "line", "RBRACE": "body", "$END": "file"}[kind]
        missing = _missing(expected)
        edits = _unfinished(span)
        if missing == "`{`":
            edits = (Edit(_gap_before(span), " {", "put `{}` at the end of this line"),)
        end = span.start + 1 if kind == "_END" else span.end
        here = Span(span.source, span.start, end)
        message = f"the {where} ends in the middle of a statement"
        return Diagnostic("E002", message, here, f"expected {missing} here", edits=edits)
    if kind == "LBRACE" and _before(span) == "block":
        edits = (Edit(Span(span.source, span.start, span.start), "my_block ", "name it, e.g. `block {} {`"),)
        return Diagnostic("E002", "a block needs a name", span, edits=edits)
    if kind == "LBRACE":
        help = "put `{` at the end of the line that it belongs to"
        return Diagnostic("E002", "a body must begin on the line that it belongs to", span, help=help)
    if kind == "EQUAL":
        help = "write `=` between a key and its value"
        return Diagnostic("E002", "`=` without a key before it", span, help=help, edits=_assignment_meant(span))
    if kind == "COMMA" and re.search(r",\s*$", _line_before(span)):
        return Diagnostic("E002", "two commas in a row", span, edits=(Edit(span, "", "remove one of them"),))
    if kind == "COMMA":
        line = span.source.line(span.line)[: span.column - 1]
        listed = re.search(r"(?<!\w)\(([\d\s,]+)\)$", line + _end_of_list(span))
        if listed is not None:
            start = span.start - len(line) + listed.start()
            sizes = Span(span.source, start, start + len(listed[0]))
            edits = (Edit(sizes, re.sub(r"[ ,]+", "x", listed[1].strip(" ,"))),)
            return Diagnostic("E002", "a comma between sizes, which are separated by `x`", span, edits=edits)
        if line.count("(") > line.count(")"):
            help = "omit the parentheses and separate arguments by spaces"
            message = "a comma in parentheses, which enclose one expression"
            return Diagnostic("E002", message, span, help=help, edits=_without_parentheses(span))
        rest = _rest(span)
        listed_values = re.match(r"[^\[\](){}]*,", rest)
        commas = Span(span.source, span.start, span.start + (listed_values.end() if listed_values else 1))
        edits = (
            Edit(
                commas,
                re.sub(r",(?=\S)", " ", commas.text).replace(",", ""),
                "separate arguments by spaces; write lists in `[ ]`",
            ),
        )
        return Diagnostic("E002", "a comma outside brackets", span, edits=edits)
    missing = _missing(expected)
    label = f"expected {missing} here" if missing in ("a name", "`=`") else ""
    if label:
        return Diagnostic(
            "E002",
            f"unexpected `{_shorten(token.text)}`",
            span,
            label,
            edits=_definition_meant(span) or _foreign_notation(token),
        )
    if token.type == "NAME" and _line_before(span).rstrip().endswith("}"):
        edits = _name_first(span)
        if edits:
            message = f"the name `{_shorten(token.text)}` after the braces of a merge"
            return Diagnostic("E002", message, span, help="names come before the braces", edits=edits)
    edits = _missing_comma(token, expected) or _foreign_notation(token)
    return Diagnostic("E002", f"unexpected `{_shorten(token.text)}`", span, label, edits=edits)


def _gap_before(span: Span) -> Span:
    """The empty range after the last word before a range."""
    end = len(span.source.text[: span.start].rstrip(" \t\r"))
    return Span(span.source, end, end)


def _unfinished(span: Span) -> tuple[Edit, ...]:
    """Edits of a statement that ends too early: `let w =`, `conv 8 k=`."""
    before, gap = _before(span), _gap_before(span)
    let = re.fullmatch(r"let\s+([A-Za-z_]\w*)\s*(=?)", before)
    key = re.search(r"\b(\w+)\s*=$", before)
    if let is not None:
        values = [f" {value}" if let[2] else f" = {value}" for value in (16, 3, 1)]
        return first_that_works(
            [Edit(gap, v, f"write a value after it, e.g. `let {let[1]} = {v[-2:].strip()}`") for v in values]
        )
    if key is None:
        return ()
    return (Edit(gap, str(_VALUES.get(key[1], 1)), f"write a value after it, e.g. `{key[1]}={{}}`"),)


def _name_first(span: Span) -> tuple[Edit, ...]:
    """The edits of `concat { ... } a`: the name stands before the braces, or after `from` in braces of its own."""
    text = span.source.text
    start, depth = span.start, 0
    while start and not (depth == 0 and text[start - 1] in "\n;{"):
        start -= 1
        depth += (text[start] == "}") - (text[start] == "{")
    opening = text.find("{", start, span.start)
    end = span.start + len(re.match(r"[\w. \t]*", text[span.start :])[0].rstrip())  # type: ignore[index]
    names, op = text[span.start : end], text[start:opening].split()[-1:]
    if opening < 0 or not op or op[0] not in ("add", "mul", "maximum", "concat", "sub"):
        return ()
    merge = Span(span.source, opening, end)
    bodies = text[opening : span.start].rstrip()
    branches = " ".join(f"{{ from {name} }}" for name in names.split())
    in_order = Edit(Span(span.source, span.start, end), branches, "in this order: `{}`")
    first = Edit(merge, f"{names} {bodies}", f"names come before the braces: `{op[0]} {names} {{ ... }}`")
    if op[0] == "sub":
        return (in_order._replace(help="names come before the braces; here write `{}`"),)
    return (first, in_order) if op[0] == "concat" else (first,)


def _without_parentheses(span: Span) -> tuple[Edit, ...]:
    """`conv(4, k=3)` without parentheses and commas."""
    line = span.source.line(span.line)
    call = re.search(r"(\w+)\s*\(([^()]*)\)", line)
    if call is None or not call.start() < span.column <= call.end():
        return ()
    start = span.start - span.column + 1 + call.start()
    arguments = re.sub(r"\s*=\s*", "=", re.sub(r",\s*(?![^\[]*\])", " ", call[2].strip()))
    whole = Span(span.source, start, start + len(call[0]))
    return (Edit(whole, f"{call[1]} {arguments}", "omit the parentheses and separate arguments by spaces: `{}`"),)


_VALUES = {"k": 3, "kernel": 3, "lr": 0.01, "out": 16, "bias": "false"}


def _definition_meant(span: Span) -> tuple[Edit, ...]:
    """The edit of `let w 16`, which lacks its `=`."""
    name, value = re.fullmatch(r"let\s+([A-Za-z_]\w*)", _before(span)), _rest(span)
    at = Span(span.source, span.start, span.start)
    return (Edit(at, "= ", f"write `let {name[1]} = {value}`"),) if name is not None and value else ()


def _missing_comma(token: Token, expected: set[str]) -> tuple[Edit, ...]:
    """The edit of a value in a list, or a parameter of a block, that follows another without a comma."""
    if "COMMA" not in expected or token.type not in ("NUMBER", "NAME", "EXTENT", "STRING", "LSQB", "LPAR", "FUNCTION"):
        return ()
    source, start = token.span.source, token.span.start
    last = re.search(r"[\w.\])]+$", _line_before(token.span).rstrip())
    rest = re.match(r"[^\[\](){};#\n]*", source.text[start:])
    shown = f"{last[0] if last else '...'}, {_shorten(token.text)}"
    gap = _gap_before(token.span)
    values = "" if rest is None else re.sub(r"(?<=[^\s,])[ \t]+(?=[^\s,])", ", ", rest[0])
    whole = Span(source, gap.start, start + (len(rest[0]) if rest is not None else 0))
    return (Edit(whole, f", {values}", f"separate values by commas: `{shown}`"),)


def _line_before(span: Span) -> str:
    """The part of the span's line before it."""
    return span.source.line(span.line)[: span.column - 1]


def _rest(span: Span) -> str:
    """The rest of the statement on the span's line, from the span on."""
    return re.split(r"[;#}]", span.source.line(span.line)[span.column - 1 :])[0].strip()


def _before(span: Span) -> str:
    """The part of the statement before the span, on its line."""
    return re.split(r"[;{}]", span.source.line(span.line)[: span.column - 1])[-1].strip()


def _end_of_list(span: Span) -> str:
    """The rest of a list of numbers, from the comma at the span to the closing parenthesis; "" if it is another list."""
    rest = re.match(r"[\d\s,]*\)", span.source.line(span.line)[span.column - 1 :])
    return rest[0] if rest else ""


def _assignment_meant(span: Span) -> tuple[Edit, ...]:
    """Edits of an `=` that follows no key: of `name = ...`, of `k==3`, of `conv 4 =3`."""
    name, value = _before(span), re.split(r"[;#}]", span.source.line(span.line)[span.column :])[0].strip()
    end = span.end + len(span.source.line(span.line)[span.column :].split(value)[0]) + len(value) if value else span.end
    if name.endswith("="):
        return (Edit(span, "", "write `key=value`, with one `=`"),)
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or not value or len(value) > 60:
        without_sign = Edit(Span(span.source, span.start, end), value, "write `key=value`, or `{}` without `=`")
        return (without_sign,) if value and name else ()
    statement = Span(span.source, span.start - len(_line_before(span)) + _line_before(span).rindex(name), end)
    if is_train_statement(name):
        return (Edit(statement, f"{name} {value}"),)
    keyword, _, key = train_setting(name).removeprefix("train.").partition(".")
    if key:
        words = f"write `{key}={value}` in the line of `{keyword}` in the train section"
        default = "sgd lr=0.01" if keyword == "optimizer" and key != "lr" else {"optimizer": "sgd"}.get(keyword, "")
        return (Edit(statement, " ".join(f"{keyword} {default} {key}={value}".split()), words),)
    if re.match(r"[\d(\[]", value):
        return (
            Edit(statement, f"let {name} = {value}", "write `{}` to define a variable"),
            Edit(statement, f"{name} {value}", "write `{}` for a statement"),
        )
    labelled = re.match(r"[A-Za-z_]\w*\b(?![.(])", value) is not None
    return (Edit(statement, f"{name}: {value}", "write `{}` to label a layer"),) if labelled else ()


def _foreign_notation(token: Token) -> tuple[Edit, ...]:
    """Edits of notation of other languages; () if it is not recognized."""
    before, span, source = _before(token.span), token.span, token.span.source
    if not before and token.text in ("/", "//", "-"):
        signs = re.compile(r"[-/*]+").match(source.text, span.start)
        return (Edit(Span(source, span.start, signs.end() if signs else span.end), "#", "a comment begins with `{}`"),)
    if token.text == ")" and before.endswith("("):
        opening = source.text.rindex("(", 0, span.start)
        return (Edit(Span(source, opening, span.end), "", f"write it without parentheses: `{before[:-1].strip()}`"),)
    label_only = re.fullmatch(r"(\w+)\s*:", before)
    if label_only is not None and token.type in ("NUMBER", "STRING", "EXTENT"):
        line = _line_before(span)
        start = span.start - len(line) + line.rindex(label_only[1])
        text = f"{label_only[1]} {token.text}"
        return (Edit(Span(source, start, span.end), text, "write `{}`; a label is followed by a layer"),)
    if token.text == ":":
        words = before.split()
        after = re.match(r":\s*([\w.]+)", source.line(span.line)[span.column - 1 :])
        if words and after is not None and after[1][0].isdigit():
            sign = Span(source, _gap_before(span).start, span.start + len(after[0]) - len(after[1]))
            return (Edit(sign, "=", f"write `=` after a key: `{words[-1]}={after[1]}`"),)
        if len(words) > 1:
            label = Span(source, span.start - len(_line_before(span)) + _line_before(span).rindex(before), span.start)
            return (Edit(label, "_".join(words), "a label is one word: `{}:`"),)
    return ()


def _missing(expected: set[str]) -> str:
    """What should come next, in words; "more" if several things could."""
    if "NUMBER" in expected:
        return "a value"
    signs = {"NAME": "a name", "EQUAL": "`=`", "LBRACE": "`{`"}
    return next((words for kind, words in signs.items() if expected - {"LPAR"} == {kind}), "more")


def _wrong_word(kind: str, text: str, span: Span) -> Diagnostic:
    """E003 to E005 at text that is not a token of the language."""
    if kind == "BAD_STRING":
        string = Span(span.source, span.start, span.start + len(text.rstrip()))
        end = Span(span.source, string.end, string.end)
        help = "a string ends on its line, with a quotation mark"
        return Diagnostic(
            "E003",
            "unterminated string",
            string,
            help=help,
            edits=(Edit(end, '"', "close it with `{}` on the same line"),),
        )
    if kind == "STRANGE":
        return _strange(text, span)
    help = _number_help(text) if _before(span) else "names begin with a letter"
    edits = _number_meant(text, span) if _before(span) else ()
    return Diagnostic("E004", f"`{_shorten(text)}` is not a number", span, help=help, edits=edits)


def _strange(character: str, span: Span) -> Diagnostic:
    """E005 at a character that the language does not use. Look-alikes are corrected before parsing, see lookalikes.py."""
    from cnnc.language.lookalikes import described, meant_by

    help = ""
    edits: tuple[Edit, ...] = ()
    if character == "\r":
        help = "save the file with LF or CRLF line endings"
    elif character in (">", "|", "→"):
        help = "write one layer per line, or separate layers by `;`"
        arrow = re.search(r"\s*-?$", _line_before(span))
        start = span.start - (len(arrow[0]) if arrow is not None else 0)
        edits = (Edit(Span(span.source, start, span.end), ";", "write one layer per line, or separate layers by `;`"),)
    elif meant_by(character) == '"':
        help = 'type `"` instead, and at the end of the string as well'
    shown = repr(character) if character.isascii() else described(character)
    return Diagnostic("E005", f"unexpected character {shown}", span, help=help, edits=edits)


_SPACE = "put a space between the number and the letters"
_UNIT = re.compile(r"(\d[\d.]*)([kmg])(i?)b?", re.IGNORECASE)


def _number_help(text: str) -> str:
    """Help for text that begins like a number, in words."""
    if text.count(".") > 1:
        return "a number has at most one decimal point"
    return "an extent has only numbers and names in capitals" if "x" in text else _SPACE


def _number_meant(text: str, span: Span) -> tuple[Edit, ...]:
    """Edits of text that begins like a number."""
    if len(text) > 80 or text.count(".") > 1:
        return ()
    unit = _UNIT.fullmatch(text)
    if unit is not None:
        number, letter, binary = unit[1], unit[2].upper(), unit[3] or text[-1] in "bB"
        return (Edit(span, f"{number}{f'{letter}iB' if binary else letter.replace('K', 'k')}"),)
    if re.fullmatch(r"\d+(X\d+)+", text):
        return (Edit(span, text.lower(), "write `{}`, with a lowercase x"),)
    axes = text.split("x")
    if len(axes) > 1 and all(axes):
        return _extent_meant(axes, span)
    parts = re.match(r"([\d.]+)(.*)", text)
    return (Edit(span, f"{parts[1]} {parts[2]}", f"{_SPACE}: `{{}}`"),) if parts is not None else ()


def _extent_meant(axes: list[str], span: Span) -> tuple[Edit, ...]:
    """`3xhxw` and `3xNonexNone` with symbols, `3x2n` as a list with arithmetic."""
    head = "an extent has only numbers and names in capitals"
    open_axes = [axis for axis in axes if not axis.isdigit()]
    arithmetic = ", ".join(re.sub(r"(?<=[0-9])(?=[A-Za-z_])", "*", axis) for axis in axes)
    computed = Edit(span, f"[{arithmetic}]", f"{head}; for arithmetic write `{{}}`")
    names = iter({1: "T", 2: "HW"}.get(len(open_axes), "DHW"))
    if all(re.fullmatch(r"[dhwt]|None|none|null|nil|any", axis) for axis in open_axes) and len(open_axes) <= 3:
        letters = [axis.upper() if len(axis) == 1 else "" for axis in axes]
        symbols = [a if a.isdigit() else letter or next(names) for a, letter in zip(axes, letters, strict=True)]
        return (
            Edit(span, "x".join(symbols), f"{head}; for symbols write `{{}}`"),
            computed._replace(help="for arithmetic `{}`"),
        )
    return (computed,)


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
