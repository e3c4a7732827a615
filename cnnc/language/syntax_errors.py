"""Explains syntax errors.

In: the token that the grammar does not accept, and the terminals that it would accept. Out: a diagnostic, with help where
the line shows what was meant, such as notation of other languages: `conv(4, k=3)` gets "`conv 4 k=3`".
"""

from __future__ import annotations

import re

from cnnc.diagnostics import Diagnostic, Edit, Span
from cnnc.language.brackets import Token
from cnnc.language.column_names import quoted_column
from cnnc.language.synonyms import is_train_statement, train_path


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
        help = "put `{` at the end of this line" if missing == "`{`" else ""
        end = span.start + 1 if kind == "_END" else span.end
        here = Span(span.source, span.start, end)
        message = f"the {where} ends in the middle of a statement"
        return Diagnostic("E002", message, here, f"expected {missing} here", help=help, edits=edits)
    if kind == "LBRACE" and _before(span) == "block":
        edits = (Edit(Span(span.source, span.start, span.start), "my_block ", "name it, e.g. `block {} {`"),)
        return Diagnostic("E002", "a block needs a name", span, edits=edits)
    if kind == "LBRACE":
        help = "put `{` at the end of the line that it belongs to"
        return Diagnostic("E002", "a body must begin on the line that it belongs to", span, help=help)
    if kind == "EQUAL":
        edits = _assignment_meant(span) or _equals_meant(span)
        return Diagnostic("E002", "`=` without a key before it", span, help="write `key=value`", edits=edits)
    if kind == "COMMA" and re.search(r",\s*$", _line_before(span)):
        return Diagnostic("E002", "two commas in a row", span, edits=(Edit(span, "", "remove one of them"),))
    if kind == "COMMA":
        line = span.source.line(span.line)[: span.column - 1]
        listed = re.search(r"(?<!\w)\(([\d\s,]+)\)$", line + _end_of_list(span))
        if listed is not None:
            begin = span.start - (len(line) - line.rindex("("))
            sizes = re.sub(r"[ ,]+", "x", listed[1].strip(" ,"))
            edits = (Edit(span.source.span(begin, begin + len(listed[0])), sizes),)
            return Diagnostic("E002", "a comma between sizes, which are separated by `x`", span, edits=edits)
        if line.count("(") > line.count(")"):
            help = "omit the parentheses and separate arguments by spaces: `conv 4 k=3`; write lists in `[ ]`"
            message = "a comma in parentheses, which enclose one expression"
            return Diagnostic("E002", message, span, help=help, edits=_python_call(span))
        help = "separate arguments by spaces; write lists in `[ ]`"
        commas = re.match(r"[^\[\](){}]*,", _rest(span))
        listed_values = span.source.span(span.start, span.start + (commas.end() if commas is not None else 1))
        text = re.sub(r",(?=\S)", " ", listed_values.text).replace(",", "")
        if not span.source.text[listed_values.end : listed_values.end + 1].isspace():
            text += " "
        return Diagnostic("E002", "a comma outside brackets", span, edits=(Edit(listed_values, text, help),))
    missing = _missing(expected)
    label = f"expected {missing} here" if missing in ("a name", "`=`") else ""
    if token.type == "NAME" and _line_before(span).rstrip().endswith("}") and _name_first(span):
        message = f"the name `{_shorten(token.text)}` after the braces of a merge"
        return Diagnostic("E002", message, span, help="names come before the braces", edits=_name_first(span))
    edits = (_definition_meant(span) if label else _missing_comma(token, expected)) or _foreign_notation(token)
    quoted = quoted_column(span)
    has_marks = any(re.search(r"[^\w\s]", edit.text.strip('"')) for edit in quoted)  # two words may be two columns
    edits = (*quoted, *edits) if has_marks else (*edits, *quoted)
    return Diagnostic("E002", f"unexpected `{_shorten(token.text)}`", span, label, edits=edits)


Edits = tuple[Edit, ...]


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


def _unfinished(span: Span) -> Edits:
    """The edit of a statement that ends too early: `let w =`, `conv 8 k=`."""
    before = _before(span)
    at = span.start - len(_line_before(span)) + len(_line_before(span).rstrip())
    end = span.source.span(at, at)
    let = re.fullmatch(r"let\s+([A-Za-z_]\w*)\s*(=?)", before)
    key = re.search(r"\b(\w+)\s*=$", before)
    percentage = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)\s*%$", before)
    if percentage is not None:
        whole = span.source.span(at - len(percentage[0]), at)
        return (Edit(whole, f"{float(percentage[1]) / 100:g}", "write a fraction, not a percentage: `{}`"),)
    if let is not None:
        return (Edit(end, " 16" if let[2] else " = 16", f"write a value after it, e.g. `let {let[1]} = 16`"),)
    if key is None:
        return ()
    value = str(_VALUES.get(key[1], 1))
    return (Edit(end, value, f"write a value after it, e.g. `{key[1]}={value}`"),)


_VALUES = {"k": 3, "kernel": 3, "lr": 0.01, "out": 16, "bias": "false"}


def _definition_meant(span: Span) -> Edits:
    """The edit of `let w 16`, which lacks its `=`."""
    name, value = re.fullmatch(r"let\s+([A-Za-z_]\w*)", _before(span)), _rest(span)
    if name is None or not value:
        return ()
    return (Edit(span.source.span(span.start, span.start), "= ", f"write `let {name[1]} = {value}`"),)


def _missing_comma(token: Token, expected: set[str]) -> Edits:
    """The edit of a value in a list, or a parameter of a block, that follows another without a comma."""
    if "COMMA" not in expected or token.type not in ("NUMBER", "NAME", "EXTENT", "STRING", "LSQB", "LPAR", "FUNCTION"):
        return ()
    line = _line_before(token.span)
    last = re.search(r"[\w.\])]+$", line.rstrip())
    at = token.span.start - len(line) + len(line.rstrip())
    whole = _list_with_commas(token.span)
    if whole:
        return whole
    help = f"separate values by commas: `{last[0]}, {_shorten(token.text)}`" if last else "separate values by commas"
    return (Edit(token.span.source.span(at, token.span.start), ", ", help),) if line.strip() else ()


def _list_with_commas(span: Span) -> Edits:
    """The edit of `[[1 2], [3 4]]`: all commas of a list that consists of numbers and lists."""
    text = span.source.text
    before = re.search(r"\[[\[\]\d\s.,eE+-]*$", text[: span.start])
    after = re.match(r"[\[\]\d\s.,eE+-]*\]", text[span.start :])
    written = before[0] + after[0] if before is not None and after is not None else ""
    if not written or "[" not in written[1:]:
        return ()
    begin = span.start - len(before[0]) if before is not None else 0
    commas = re.sub(r"(?<=[\d.\]])(?:\s+(?=[\[\d.]|[+-][\d.])|(?<=\])(?=\[))", ", ", written)
    return (Edit(span.source.span(begin, begin + len(written)), commas, "separate values by commas: `{}`"),)


def _equals_meant(span: Span) -> Edits:
    """The edit of `k==3`, and of `conv 4 =3`."""
    if _line_before(span).endswith("="):
        return (Edit(span, "", "write `key=value`, with one `=`"),)
    return (Edit(span.source.span(span.start, span.start), "k", "write `key=value`, e.g. `k=3`"),)


def _python_call(span: Span) -> Edits:
    """The edit of `conv(4, k=3)`."""
    line = span.source.line(span.line)
    call = re.search(r"(\w+)\(([^()]*)\)", line)
    if call is None or not call.start() < span.column - 1 < call.end():
        return ()
    start = span.start - span.column + 1 + call.start()
    words = " ".join(part.strip().replace(" = ", "=") for part in call[2].split(","))
    return (
        Edit(span.source.span(start, start + len(call[0])), f"{call[1]} {words}", "omit parentheses and commas: `{}`"),
    )


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


def _assignment_meant(span: Span) -> Edits:
    """The edit of the statement `name = ...`; nothing for any other `=`."""
    name, value = _before(span), re.split(r"[;#}]", span.source.line(span.line)[span.column :])[0].strip()
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or not value or len(value) > 60:
        return ()
    line = _line_before(span)
    start = span.start - len(line) + line.rindex(name)
    end = span.source.text.index(value, span.end) + len(value)
    whole = span.source.span(start, end)
    if is_train_statement(name):
        return (Edit(whole, f"{name} {value}"),)
    usual: Edits = ()
    if re.match(r"[\d(\[]", value):
        define = Edit(whole, f"let {name} = {value}", "write `{}` to define a variable")
        usual = (define, Edit(whole, f"{name} {value}", "`{}` for a statement"))
    elif re.match(r"[A-Za-z_]\w*\b(?![.(])", value):
        usual = (Edit(whole, f"{name}: {value}", "write `{}` to label a layer"),)
    keyword, _, key = train_path(name).partition(".")
    if not key:
        return usual
    words = f"write `{key}={value}` in the line of `{keyword}` in the train section: `{{}}`"
    default = "sgd lr=0.01" if keyword == "optimizer" and key != "lr" else {"optimizer": "sgd"}.get(keyword, "")
    alone = Edit(whole, " ".join(f"{keyword} {default} {key}={value}".split()), words)
    # completed by the edit of E501, which moves it to the statement that the section has already
    return (Edit(whole, f"{name} {value}", words, (alone, *usual[:1])),)


def _foreign_notation(token: Token) -> Edits:
    """The edit of notation of other languages; nothing if it is not recognized."""
    before, span = _before(token.span), token.span
    line = _line_before(span)
    if not before and token.text in ("/", "//", "-"):
        sign = re.match(r"[/-]+", span.source.line(span.line)[span.column - 1 :])
        end = span.start + len(sign[0]) if sign is not None else span.end
        return (Edit(span.source.span(span.start, end), "#", "a comment begins with `#`"),)
    if token.text == ")" and before.endswith("("):
        opening = span.start - len(line) + line.rindex("(")
        help = f"write it without parentheses: `{before[:-1].strip()}`"
        return (Edit(span.source.span(opening, span.end), "", help),)
    label = re.fullmatch(r"(\w+)\s*:", before)
    if label is not None and token.type in ("NUMBER", "STRING", "EXTENT"):
        start = span.start - len(line) + line.rindex(label[1])
        text = f"{label[1]} {token.text}"
        return (Edit(span.source.span(start, span.end), text, "write `{}`; a label is followed by a layer"),)
    if token.text != ":":
        return ()
    words = before.split()
    after = re.match(r":\s*([\w.]+)", span.source.line(span.line)[span.column - 1 :])
    if words and after is not None and after[1][0].isdigit():
        start = span.start - len(line) + line.rindex(words[-1])
        whole = span.source.span(start, span.start + len(after[0]))
        return (Edit(whole, f"{words[-1]}={after[1]}", "write `=` after a key: `{}`"),)
    if len(words) > 1:
        start = span.start - len(line) + line.rindex(before)
        return (Edit(span.source.span(start, span.end), f"{'_'.join(words)}:", "a label is one word: `{}`"),)
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
        end = span.source.span(string.end, string.end)
        help = 'close it with `"` on the same line'
        return Diagnostic(
            "E003", "unterminated string", string, help="a string ends on its line", edits=(Edit(end, '"', help),)
        )
    if kind == "STRANGE":
        return _strange(text, span)
    help, edits = _number_meant(text, span)
    if not _before(span):
        help, edits = "names begin with a letter", ()
    edits = (*quoted_column(span), *edits)
    return Diagnostic("E004", f"`{_shorten(text)}` is not a number", span, help=help, edits=edits)


def _strange(character: str, span: Span) -> Diagnostic:
    """E005 at a character that the language does not use. Look-alikes are corrected before parsing, see lookalikes.py."""
    from cnnc.language.lookalikes import described, meant_by

    help = ""
    if character == "\r":
        help = "save the file with LF or CRLF line endings"
    elif character in (">", "|", "→"):
        arrow = 1 if character == ">" and span.source.text[span.start - 1] == "-" else 0
        rest = re.match(r"[^#]*", span.source.line(span.line)[span.column - 1 :])
        line = span.source.span(span.start - arrow, span.start + (len(rest[0].rstrip()) if rest is not None else 1))
        text = re.sub(r"\s*(?:-*>|[|→])", ";", line.text)
        edit = Edit(line, text, "write one layer per line, or separate layers by `;`")
        return Diagnostic(
            "E005",
            f"unexpected character {described(character) if character == '→' else repr(character)}",
            span,
            edits=(edit,),
        )
    elif meant_by(character) == '"':
        help = 'type `"` instead, and at the end of the string as well'
    shown = repr(character) if character.isascii() else described(character)
    return Diagnostic("E005", f"unexpected character {shown}", span, help=help, edits=quoted_column(span))


_SPACE = "put a space between the number and the letters"
_UNIT = re.compile(r"(\d[\d.]*)([kmg])(i?)b?", re.IGNORECASE)


def _number_meant(text: str, span: Span) -> tuple[str, Edits]:
    """Help for text that begins like a number, and its edits."""
    if len(text) > 80:
        return _SPACE, ()
    if text.count(".") > 1:
        return "a number has at most one decimal point", ()
    unit = _UNIT.fullmatch(text)
    if unit is not None:
        number, letter, binary = unit[1], unit[2].upper(), unit[3] or text[-1] in "bB"
        return "", (Edit(span, f"{number}{f'{letter}iB' if binary else letter.replace('K', 'k')}"),)
    if re.fullmatch(r"\d+(X\d+)+", text):
        return "", (Edit(span, text.lower(), "write `{}`, with a lowercase x"),)
    axes = text.split("x")
    if len(axes) > 1 and all(axes):
        open_sizes = [axis for axis in axes if not axis.isdigit()]
        if all(axis in ("None", "none", "null", "any") for axis in open_sizes) and 0 < len(open_sizes) <= 3:
            names = iter({1: "T", 2: "HW"}.get(len(open_sizes), "DHW"))
            symbols = "x".join(axis if axis.isdigit() else next(names) for axis in axes)
            return "", (Edit(span, symbols, "a size that is open is a name in capitals: `{}`"),)
        arithmetic = ", ".join(re.sub(r"(?<=[0-9])(?=[A-Za-z_])", "*", axis) for axis in axes)
        help = "an extent has only numbers and names in capitals; for arithmetic write `{}`"
        if all(re.fullmatch(r"\d+|[dhwt]", axis) for axis in axes):
            symbols = "x".join(axis.upper() for axis in axes)
            return "", (Edit(span, symbols, "an extent has only numbers and names in capitals: `{}`"),)
        return "an extent has only numbers and names in capitals", (Edit(span, f"[{arithmetic}]", help),)
    if re.fullmatch(r"\d+(x\d+)*x", text):
        return "", (Edit(span, text[:-1], "write `{}`, or one more size after the x"),)
    parts = re.match(r"([\d.]+)(.*)", text)
    return _SPACE, (Edit(span, f"{parts[1]} {parts[2]}"),) if parts is not None else ()


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
