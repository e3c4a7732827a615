"""Source to syntax tree: every form of the language, every syntax error, and adversarial sources."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from cnnc.diagnostics import CnncError, Diagnostic, Source
from cnnc.language import parse as parsing
from cnnc.language import syntax
from cnnc.language.parse import grammar_text, layout, parse, parse_values
from tests.language.programs import MODELS, bare, tree


def errors(text: str) -> list[Diagnostic]:
    return parse(Source("<test>", text))[1]


def positions(text: str) -> list[tuple[str, int, int]]:
    """Code, line and column of each error."""
    return [(d.code, d.span.line, d.span.column) if d.span else (d.code, 0, 0) for d in errors(text)]


def only(text: str) -> Any:
    """The one statement of a source."""
    file, diagnostics = parse(Source("<test>", text))
    assert diagnostics == []
    (statement,) = file.statements
    return statement


def values(text: str) -> list[Any]:
    """The arguments of a call in short form: numbers and words as they are, (operator, operand...) for the rest."""
    return [short(argument.value) for argument in only(f"clip {text}").arguments]


def short(value: syntax.Expression) -> Any:
    match value:
        case syntax.Number(number):
            return number
        case syntax.Word(name):
            return name
        case syntax.Text(string):
            return (string,)
        case syntax.Extent(parts):
            return ("x", *parts)
        case syntax.List(items):
            return [short(item) for item in items]
        case syntax.Negative(operand):
            return ("-", short(operand))
        case syntax.Binary(operator, left, right):
            return (operator, short(left), short(right))
        case syntax.Apply(function, arguments):
            return (function, *map(short, arguments))


# --- the language's own examples ---------------------------------------------------------------------------

LENET = """\
# LeNet-5, as it is trained on MNIST today
net LeNet5

input 1x28x28

conv 6 k=5 p=2
relu
pool max k=2
conv 16 k=5
relu
pool max k=2
expect 16x5x5          # a shape, asserted where it stands

fc 120
relu
fc 84
relu
fc 10
softmax

expect params=61706 macs=416520

train {
  data mnist
  loss cross_entropy
  optimizer sgd lr=0.05 momentum=0.9
  schedule cosine
  batch 64
  epochs 5
}
"""

BRANCHES = """\
block basic(w) {                       # identity shortcut
  conv w k=3 p=1 bias=false; bn; relu
  conv w k=3 p=1 bias=false; bn
  add in
  relu
}
block down(w) {                        # projection shortcut
  add {
    conv w k=3 s=2 p=1 bias=false; bn; relu
    conv w k=3 p=1 bias=false; bn
  } {
    conv w k=1 s=2 bias=false; bn
  }
  relu
}
concat { conv 64 k=1; relu } { conv 96 k=1; relu; conv 128 k=3 p=1; relu } { pool max k=3 s=1 p=1; conv 32 k=1; relu }
e1: conv 64 k=3 p=same
concat e1                              # a long skip, as in U-Net
mul { } { global_pool avg; conv c_in//4 k=1; relu; conv 64 k=1; sigmoid }   # squeeze and excitation
"""


def test_the_first_example() -> None:
    file, diagnostics = parse(Source("lenet.cnn", LENET))
    assert diagnostics == []
    calls = [s for s in file.statements if isinstance(s, syntax.Call)]
    assert len(calls) == len(file.statements) == 17
    assert [c.op.text for c in calls[:4]] == ["net", "input", "conv", "relu"]
    conv = calls[2]
    assert [(a.key.text if a.key else None, short(a.value)) for a in conv.arguments] == [(None, 6), ("k", 5), ("p", 2)]
    assert conv.span.text == "conv 6 k=5 p=2"
    assert (conv.span.line, conv.span.column) == (6, 1)
    assert [c.text for c in file.comments] == [
        "# LeNet-5, as it is trained on MNIST today",
        "# a shape, asserted where it stands",
    ]
    train = calls[-1]
    assert train.span.text == "train"
    (body,) = train.bodies
    assert body.span.text.startswith("{\n  data")
    assert body.span.text.endswith("5\n}")
    optimizer = body.statements[2]
    assert isinstance(optimizer, syntax.Call)
    assert [short(a.value) for a in optimizer.arguments] == ["sgd", 0.05, 0.9]


def test_the_example_of_branches() -> None:
    file, diagnostics = parse(Source("<test>", BRANCHES))
    assert diagnostics == []
    basic, down, concat, e1, _, mul = file.statements
    assert isinstance(basic, syntax.Block)
    assert [p.name.text for p in basic.parameters] == ["w"]
    assert len(basic.body.statements) == 7
    assert isinstance(down, syntax.Block)
    add = down.body.statements[0]
    assert isinstance(add, syntax.Call)
    assert [len(b.statements) for b in add.bodies] == [5, 2]
    assert isinstance(concat, syntax.Call)
    assert [len(b.statements) for b in concat.bodies] == [2, 4, 3]
    assert isinstance(e1, syntax.Call)
    assert e1.label is not None
    assert e1.label.text == "e1"
    assert e1.span.text == "e1: conv 64 k=3 p=same"
    assert isinstance(mul, syntax.Call)
    assert [len(b.statements) for b in mul.bodies] == [0, 5]


@pytest.mark.parametrize(
    "text",
    [
        "net NAME",
        'net "a string"',
        "let NAME = 2*n",
        "label: op",
        "from NAME",
        "output a b.c s.*",
        "block NAME(a, b=a//2) { relu }",
        "block NAME(a, b=a//2,) { }",
        "block NAME() { relu }",
        "block NAME { relu }",
        "NAME 64 b=2",
        "up 256 e4",
        "repeat 3 { relu }",
        "repeat N as i { s: conv i }",
        'include "file.cnn"',
        "expect 16x5x5",
        "expect [512, H/16, W/16]",
        "expect params=12 macs=3 out=1x2 field=7",
        "budget ram=256KiB flash=1MiB macs=10M params=1M",
        "query: input 20 dtype=int64",
        "input 3xHxW",
        "conv 8 p=[1, 0, 1, 0]",
        "pool max k=3 ceil=true",
        "filter [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]",
        "filter sobel_x",
        "clip 0 -1",
        "tower share=left",
        "add s.*",
        "slice 0 -1 axis=1",
        "loss cross_entropy smoothing=0.1 on=logits weight=0.5",
        'text "file.tsv"',
        "groups: conv 8 groups=c_in",
    ],
)
def test_forms(text: str) -> None:
    statement = only(text)
    assert not isinstance(statement, syntax.Call) or text.startswith(statement.span.text)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_models(path: Any) -> None:
    assert tree(path.read_text(encoding="utf-8"))


def test_a_block() -> None:
    block = only("block f(a, b=a//2) {\n relu\n}")
    assert [(p.name.text, short(p.default) if p.default else None) for p in block.parameters] == [
        ("a", None),
        ("b", ("//", "a", 2)),
    ]
    assert [p.span.text for p in block.parameters] == ["a", "b=a//2"]
    assert block.span.text == "block f"
    assert block.body.span.text == "{\n relu\n}"


def test_a_let() -> None:
    let = only("let  x = 1 + n  # c")
    assert (let.name.text, short(let.value), let.span.text) == ("x", ("+", 1, "n"), "let  x = 1 + n")


def test_the_grammar_names_no_layers() -> None:
    assert {"LET", "BLOCK"} <= {line.split(".")[0] for line in grammar_text().splitlines()}
    for layer in ("conv", "relu", "pool max", "train", "repeat", "input"):
        assert f'"{layer}"' not in grammar_text()


# --- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("007", 7),
        ("3.5", 3.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e2", 100),
        ("1E+2", 100),
        ("1e-2", 0.01),
        ("15e-1", 1.5),
        ("64k", 64_000),
        ("10M", 10_000_000),
        ("2G", 2_000_000_000),
        ("256KiB", 1 << 18),
        ("1MiB", 1 << 20),
        ("1GiB", 1 << 30),
        ("1.5k", 1500.0),
        ("0.5KiB", 512.0),
        ("1e3k", 1_000_000),
        ("9" * 40, int("9" * 40)),
        ("true", "true"),
        ("max", "max"),
        ("stage3.skip", "stage3.skip"),
        ("s.0", "s.0"),
        ("s.*", "s.*"),
        ("letter", "letter"),
        ("let.a", "let.a"),
        ("blocks", "blocks"),
        ("_x9", "_x9"),
        ("3x5", ("x", 3, 5)),
        ("1x28x28", ("x", 1, 28, 28)),
        ("3xHxW", ("x", 3, "H", "W")),
        ("Hx2", ("x", "H", 2)),
        ("HxW_2", ("x", "H", "W_2")),
        ("Hx", "Hx"),
        ("Hxw", "Hxw"),
        ("x5", "x5"),
        ('""', ("",)),
        ('"a # ; { ( b"', ("a # ; { ( b",)),
        (r'"\"\\\/\n\t\u00e9\ud83d\ude00"', ('"\\/\n\té😀',)),
        ('"漢 é"', ("漢 é",)),
        ("[]", []),
        ("[1]", [1]),
        ("[1, 2,]", [1, 2]),
        ("[[1, n], same]", [[1, "n"], "same"]),
        ("min(1, n)", ("min", 1, "n")),
        ("floor( 1.5 )", ("floor", 1.5)),
        ("ceil(a/2)", ("ceil", ("/", "a", 2))),
        ("round(max(1, 2))", ("round", ("max", 1, 2))),
        ("(3)", 3),
        ("((n))", "n"),
    ],
)
def test_a_value(text: str, value: Any) -> None:
    (result,) = values(text)
    assert result == value
    assert type(result) is type(value)
    assert values(f"k={text}") == [value]
    assert values(f"[{text}]") == [[value]]


def test_the_span_of_a_value() -> None:
    call = only("clip  (a + b)*-c  k=min(1, 2) [1,\n 2] -x")
    assert [a.span.text for a in call.arguments] == ["a + b)*-c", "k=min(1, 2)", "[1,\n 2]", "-x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3", [("+", 1, ("*", 2, 3))]),
        ("(1+2)*3", [("*", ("+", 1, 2), 3)]),
        ("a-b-c", [("-", ("-", "a", "b"), "c")]),
        ("a/b//c%d", [("%", ("//", ("/", "a", "b"), "c"), "d")]),
        ("2**3**2", [("**", 2, ("**", 3, 2))]),
        ("-2**2", [("-", ("**", 2, 2))]),
        ("2**-1", [("**", 2, ("-", 1))]),
        ("2*-1", [("*", 2, ("-", 1))]),
        ("--1", [("-", ("-", 1))]),
        ("a * b", [("*", "a", "b")]),
        ("a *b", [("*", "a", "b")]),
        ("3x5*2", [("*", ("x", 3, 5), 2)]),
        ("s.**2", [("*", "s.*", 2)]),
        ("min (3)", ["min", 3]),
        ("(1)(2)[3]4", [1, 2, [3], 4]),
        ('"a""b"', [("a",), ("b",)]),
    ],
)
def test_arithmetic(text: str, expected: list[Any]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 -1", [0, ("-", 1)]),
        ("0 - 1", [("-", 0, 1)]),
        ("0-1", [("-", 0, 1)]),
        ("0- 1", [("-", 0, 1)]),
        ("-1 -2 -n", [("-", 1), ("-", 2), ("-", "n")]),
        ("n -(1)", ["n", ("-", 1)]),
        ("(n) -1", ["n", ("-", 1)]),
        ("[n] -1", [["n"], ("-", 1)]),
        ('"a" -1', [("a",), ("-", 1)]),
        ("3x5 -1", [("x", 3, 5), ("-", 1)]),
        ("n\t-1", ["n", ("-", 1)]),
        ("n\t-\t1", [("-", "n", 1)]),
        ("k=-1", [("-", 1)]),
        ("k = - 1", [("-", 1)]),
        ("k=n -1", ["n", ("-", 1)]),
        ("k=n - 1", [("-", "n", 1)]),
        ("a--1", [("-", "a", ("-", 1))]),
        ("a - -1", [("-", "a", ("-", 1))]),
        ("a --1", ["a", ("-", ("-", 1))]),
        ("a+-1", [("+", "a", ("-", 1))]),
        ("a + -1", [("+", "a", ("-", 1))]),
        # inside brackets it always subtracts
        ("(n -1)", [("-", "n", 1)]),
        ("[n -1]", [[("-", "n", 1)]]),
        ("[n, -1]", [["n", ("-", 1)]]),
        ("[n -1, -n -1]", [[("-", "n", 1), ("-", ("-", "n"), 1)]]),
        ("min(n -1, -1)", [("min", ("-", "n", 1), ("-", 1))]),
        ("[(n) -1]", [[("-", "n", 1)]]),
        ("[n\n-1]", [[("-", "n", 1)]]),
        ("[n # c\n-1]", [[("-", "n", 1)]]),
        ("[n,\n-1]", [["n", ("-", 1)]]),
        ("(\n-1)", [("-", 1)]),
    ],
)
def test_minus(text: str, expected: list[Any]) -> None:
    assert values(text) == expected


def test_minus_is_the_same_inside_bodies() -> None:
    assert tree("add { clip 0 -1 }") == tree("add {\n  clip 0 -1\n}")
    (body,) = only("add { clip 0 -1 }").bodies
    assert [short(a.value) for a in body.statements[0].arguments] == [0, ("-", 1)]
    assert tree("block f(a=1 -1) { }") == tree("block f(a=1-1) { }")


# --- text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("", ""),
        ("\n\n ; ;;\n", ""),
        ("# c", ""),
        ("\ufeff", ""),
        ("\ufeffrelu", "relu"),
        ("relu\r\nbn\r\n", "relu\nbn\n"),
        ("relu # c\r\nbn", "relu\nbn"),
        ("; relu ;; bn ;", "relu\nbn"),
        ("\trelu\t1\t", "relu 1"),
        ("add{relu}{bn}", "add { relu } { bn }"),
        ("add {\n relu\n}\n{\n bn\n}", "add { relu } { bn }"),
        ("add { relu }\r\n\r\n{ bn }", "add { relu } { bn }"),
        ("add { relu } # c\n# d\n{ bn }", "add { relu } { bn }"),
        ("add {\n\n;relu;\n\n}", "add { relu }"),
        ("add { # c\n}", "add { }"),
        ("block f(\n a,\n b # c\n =\n 1,\n) { }", "block f(a, b=1) { }"),
        ("conv [\n1\n,\n2\n]", "conv [1, 2]"),
        ("conv (\r\n1\r\n+\r\n2)", "conv (1+2)"),
        ("conv 8 k = 3", "conv 8 k=3"),
        ("a:conv 8", "a: conv 8"),
        ('net "a\\u0062"', 'net "ab"'),
    ],
)
def test_equivalent_sources(text: str, same: str) -> None:
    assert tree(text) == tree(same)


def test_comments_are_kept_without_line_ends() -> None:
    file, _ = parse(Source("<test>", "# one\r\nconv [1, # two\n2] #three\nadd { } # four\n{ }"))
    assert [c.text.rstrip() for c in file.comments] == ["# one", "# two", "#three", "# four"]
    assert all(c.span.text.startswith(c.text) for c in file.comments)


def test_a_byte_order_mark_is_skipped_but_has_an_offset() -> None:
    assert only("\ufeffconv 1").span.start == 1
    assert positions("relu \ufeff") == [("E005", 1, 6)]


def test_newlines_within_a_statement_become_breaks() -> None:
    tokens, _ = layout(Source("<test>", "add [1,\n2] { }\n{ }\nrelu"))
    assert [t.type for t in tokens if t.text == "\n"] == ["BREAK", "BREAK", "_END"]


# --- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "words"),
    [
        ("relu\nconv k=\n", "E002", 2, 8, "expected a value here"),
        (": 3", "E002", 1, 1, "unexpected `:`"),
        ("conv k=", "E002", 1, 8, "expected a value here"),
        ("add { conv k= }", "E002", 1, 15, "expected a value here"),
        ("conv 1 +\nrelu", "E002", 1, 9, "expected a value here"),
        ("let", "E002", 1, 4, "expected a name here"),
        ("let x", "E002", 1, 6, "expected `=` here"),
        ("let x 3", "E002", 1, 7, "expected `=` here"),
        ("let 5", "E002", 1, 5, "expected a name here"),
        ("let x = 1 2", "E002", 1, 11, "unexpected `2`"),
        ("let x = 3 -1", "E002", 1, 11, "unexpected `-`"),
        ("let let = 3", "E002", 1, 5, "unexpected `let`"),
        ("block", "E002", 1, 6, "expected a name here"),
        ("block f\n{ }", "E002", 2, 1, "put `{` at the end of line 1"),
        ("block f(a)\n# c\n\n{ }", "E002", 4, 1, "put `{` at the end of line 1"),
        ("block f", "E002", 1, 8, "expected `{` here"),
        ("block f(a b) { }", "E002", 1, 11, "unexpected `b`"),
        ("block f(3) { }", "E002", 1, 9, "unexpected `3`"),
        ("block f { } { }", "E002", 1, 13, "a body must begin on the line that it belongs to"),
        ("conv 3\n{ relu }", "E002", 2, 1, "put `{` at the end of line 1"),
        ("{ relu }", "E002", 1, 1, "a body must begin on the line that it belongs to"),
        ("conv 3, 4", "E002", 1, 7, "separate arguments by spaces"),
        ("conv 3 = 4", "E002", 1, 8, "write `key=value`"),
        ("conv k==3", "E002", 1, 8, "write `key=value`"),
        ("64", "E002", 1, 1, "unexpected `64`"),
        ('"a"', "E002", 1, 1, 'unexpected `"a"`'),
        ("a: b: conv", "E002", 1, 5, "unexpected `:`"),
        ("conv { } 3", "E002", 1, 10, "unexpected `3`"),
        ("conv [1 2]", "E002", 1, 9, "unexpected `2`"),
        ("conv [1,,2]", "E002", 1, 9, "comma"),
        ("conv ()", "E002", 1, 7, "unexpected `)`"),
        ("conv min()", "E002", 1, 10, "unexpected `)`"),
        ("conv - 1", "E002", 1, 6, "unexpected `-`"),
        ("conv *2", "E002", 1, 6, "unexpected `*`"),
        ("conv 2***3", "E002", 1, 9, "unexpected `*`"),
        ("conv let", "E002", 1, 6, "unexpected `let`"),
        (f"conv [1 {'n' * 100}]", "E002", 1, 9, "nnn…`"),
        # strings
        ('net "abc\nrelu', "E003", 1, 5, 'close it with `"` on the same line'),
        ('net "abc\\"', "E003", 1, 5, "unterminated string"),
        ('net "\\q"', "E003", 1, 5, "bad escape"),
        ('net "\\u12"', "E003", 1, 5, "bad escape"),
        ('net "a\tb"', "E003", 1, 5, "control character"),
        ('net "\\ud800"', "E003", 1, 5, "an unpaired surrogate"),
        ('net "\\u0000"', "E003", 1, 5, "null characters"),
        # numbers
        ("conv 1..2", "E004", 1, 6, "a number has at most one decimal point"),
        ("conv 1.2.3", "E004", 1, 6, "`1.2.3` is not a number"),
        ("conv 12abc", "E004", 1, 6, "write `12 abc`"),
        ("conv 0b1", "E004", 1, 6, "`0b1` is not a number"),
        ("conv 0xff", "E004", 1, 6, "`0xff` is not a number"),
        ("conv 1_000", "E004", 1, 6, "`1_000` is not a number"),
        ("conv 5K", "E004", 1, 6, "`5K` is not a number"),
        ("conv 3x5n", "E004", 1, 6, "for arithmetic write `[3, 5*n]`"),
        ("conv 3xn", "E004", 1, 6, "for arithmetic write `[3, n]`"),
        ("conv 3x5.5", "E004", 1, 6, "for arithmetic write `[3, 5.5]`"),
        ("conv .", "E004", 1, 6, "`.` is not a number"),
        ("conv 1e999", "E004", 1, 6, "too large"),
        ("conv 1e300G", "E004", 1, 6, "too large"),
        (f"conv {'1' * 41}", "E004", 1, 6, "at most 40"),
        (f"conv {'1' * 41}k", "E004", 1, 6, "at most 40"),
        (f"conv 3x{'1' * 41}", "E004", 1, 6, "at most 40|more than 40"),
        (f"conv 0.{'1' * 41}", "E004", 1, 6, "at most 40"),
        # characters
        ("conv ٣", "E005", 1, 6, "unexpected character '٣'"),
        ("conv 3\u00d75", "E005", 1, 7, "unexpected character"),
        ("conv −1", "E005", 1, 6, "unexpected character"),
        ("é: conv", "E005", 1, 1, "unexpected character"),
        ("relu\x00", "E005", 1, 5, "unexpected character"),
        ("relu\rbn", "E005", 1, 5, "unexpected character"),
        ("conv 'a'", "E005", 1, 6, "unexpected character"),
        ("conv a.", "E004", 1, 7, "`.` is not a number"),
        # brackets
        ("relu\nconv (3\nrelu\n", "E006", 2, 6, "close it with `)`"),
        ("conv k=[3\nrelu", "E006", 1, 8, "close it with `]`"),
        ("conv min(3\nrelu", "E006", 1, 9, "close it with `)`"),
        ("conv ((3)\nrelu", "E006", 1, 6, "close it with `)`"),
        ("conv (3; relu", "E006", 1, 6, "never closed"),
        ("conv (3 { relu }", "E006", 1, 6, "never closed"),
        ("add { conv (3 }", "E006", 1, 12, "never closed"),
        ("relu\nadd {\n relu\n", "E006", 2, 5, "close it with `}`"),
        ("relu )", "E006", 1, 6, "unmatched `)`"),
        ("add { relu ] }", "E006", 1, 12, "unmatched `]`"),
        ("relu }", "E006", 1, 6, "unmatched `}`"),
        ("conv [1, 2)", "E006", 1, 11, "`)` does not close `[`"),
        ("conv (1, 2]", "E006", 1, 11, "`]` does not close `(`"),
    ],
)
def test_a_syntax_error(text: str, code: str, line: int, column: int, words: str) -> None:
    (error,) = errors(text)
    assert error.span is not None
    assert (error.code, error.span.line, error.span.column) == (code, line, column)
    shown = " ".join((error.message, error.label, error.help))
    assert any(word in shown for word in words.split("|")), shown
    assert 0 <= error.span.start <= error.span.end <= len(text)


def test_the_bracket_that_was_opened_is_shown() -> None:
    (error,) = errors("conv [1, 2)")
    assert [(n.text, n.span.text) for n in error.notes] == [("opened here", "[")]


def test_all_errors_are_reported_and_the_other_statements_parsed() -> None:
    text = """\
conv k=
relu
conv 3x5n
add {
  conv (3
  bn
  net "abc
} {
  conv 1e999 { relu }
  softmax
}
fc 1, 2; elu
let 5
fc )
tanh"""
    file, diagnostics = parse(Source("<test>", text))
    codes = [(d.code, d.span.line if d.span else 0) for d in diagnostics]
    assert codes == [
        ("E002", 1),
        ("E004", 3),
        ("E006", 5),
        ("E003", 7),
        ("E004", 9),
        ("E002", 12),
        ("E002", 13),
        ("E006", 14),
    ]
    ops = [s.op.text for s in file.statements if isinstance(s, syntax.Call)]
    assert ops == ["relu", "add", "elu", "tanh"]


@pytest.mark.parametrize(
    ("text", "expected", "ops"),
    [
        ("conv (3\nconv [4\nconv 5 k=\nrelu", ["E006", "E006", "E002"], ["relu"]),
        ("conv 3)\nconv [4)\nconv 5]\nrelu", ["E006", "E006", "E006"], ["relu"]),
        ("conv (3; conv [4; relu", ["E006", "E006"], ["relu"]),
        ("add { conv (3 } { conv k= }\nrelu", ["E006", "E002"], ["add", "relu"]),
        ("conv = { relu\n bn }\nrelu", ["E002"], ["relu"]),
        ("conv 1..2 { relu\n conv k=\n }\nrelu", ["E004"], ["relu"]),
        # if braces do not match, it is unknown which statement is in which body
        ("relu\ntrain {\nconv k=\n", ["E006", "E002"], []),
        ("relu\nadd { { \nconv k=", ["E006", "E006", "E002"], []),
        # unless the indentation shows it
        ("relu }\nconv k=\nbn", ["E006", "E002"], ["relu", "bn"]),
        ("add {\n  relu\nconv k=\nbn", ["E006", "E002"], ["add", "bn"]),
        ("block a\n  relu\n}\nbn", ["E002"], ["bn"]),
        ("train\n{\n  batch 3\n}\nbn", ["E002"], ["train", "bn"]),
        # a bracket that is never closed ends before the next statement
        ("conv (3\nrelu\nconv [1,\nlet n = 3\nbn", ["E006", "E006"], ["relu", "bn"]),
        ("conv (\n" * 60 + "bn", ["E006"] * 60, ["bn"]),
    ],
)
def test_several_errors(text: str, expected: list[str], ops: list[str]) -> None:
    file, diagnostics = parse(Source("<test>", text))
    assert sorted(d.code for d in diagnostics) == sorted(expected)
    assert [s.op.text for s in file.statements if isinstance(s, syntax.Call)] == ops


@pytest.mark.parametrize(
    "lines", ["conv k=\n", "conv (\n", "conv )\n", "relu }\n", "add {\n  bn\n", "conv )\nconv k=\n"]
)
def test_after_the_first_hundred_errors_the_number_of_the_others_is_told(lines: str) -> None:
    count = lines.count("conv") or 1
    shown = errors(lines * (parsing.MAX_SYNTAX_ERRORS // count))
    assert len(shown) == parsing.MAX_SYNTAX_ERRORS
    *shown, last = errors(lines * 1000)
    assert len(shown) == parsing.MAX_SYNTAX_ERRORS
    assert last.message == f"and {1000 * count - len(shown):,} more syntax errors from here on"
    assert last.span is not None
    assert last.span.start > max(d.span.start for d in shown if d.span is not None)


def test_an_unpaired_surrogate() -> None:
    assert positions("relu # \ud800") == [("E008", 1, 8)]


# --- settings ----------------------------------------------------------------------------------------------


def test_values_of_a_setting() -> None:
    assert [short(v) for v in parse_values(Source("--set", "64"))] == [64]
    assert [short(v) for v in parse_values(Source("--set", " [1, -n] max"))] == [[1, ("-", "n")], "max"]
    assert [short(v) for v in parse_values(Source("--set", "-1"))] == [("-", 1)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E002"),
        ("a=3", "E002"),
        ("3; 4", "E002"),
        ("(3", "E006"),
        ("1..2", "E004"),
        ("1e999", "E004"),
        ("{ }", "E002"),
    ],
)
def test_bad_values_of_a_setting(text: str, code: str) -> None:
    with pytest.raises(CnncError) as caught:
        parse_values(Source("--set", text))
    assert [d.code for d in caught.value.diagnostics] == [code]


# --- adversarial sources -----------------------------------------------------------------------------------
# Each of these takes well under a second; an algorithm that is not linear would take hours.

ADVERSARIAL: dict[str, tuple[str, str]] = {
    "a line of 10 MB": ("a " * 5_000_000, "E001"),
    "500,000 tokens on a line": ("a " * 500_000, "E001"),
    "100,000 newlines": ("\n" * 100_000, ""),
    "1,000,000 newlines": ("\n" * 1_000_000, "E001"),
    "newlines in brackets": ("conv (" + "\n" * 200_000, "E006"),
    "minuses and newlines in brackets": ("conv (1" + "\n\n\n-\n1" * 200 + ")", ""),
    "10,000 brackets": ("conv " + "(" * 10_000, "E007"),
    "10,000 closed brackets": ("conv " + "[" * 10_000 + "]" * 10_000, "E007"),
    "10,000 braces": ("add {" * 10_000, "E007"),
    "10,000 functions": ("conv " + "min(" * 10_000, "E007"),
    "closing brackets": (")" * 200_000, "E006"),
    "closing braces": ("}" * 200_000, "E006"),
    "5,000 digits": ("conv " + "1" * 5_000, "E004"),
    "1,000,000 digits": ("conv " + "1" * 1_000_000, "E004"),
    "1,000,000 digits and a letter": ("conv " + "1" * 1_000_000 + "_", "E004"),
    "points": ("conv " + "1." * 500_000, "E004"),
    "an extent and a letter": ("conv " + "3x" * 500_000 + "n", "E004"),
    "an extent in capitals": ("conv " + "Ax" * 500_000 + "!", "E005"),
    "names with points": ("conv " + "a." * 500_000, "E004"),
    "10,000 operators": ("conv " + "+".join("1" * 10_000), "E007"),
    "10,000 powers": ("conv " + "**".join("2" * 10_000), "E007"),
    "minuses": ("conv " + "- " * 10_000 + "1", "E007"),
    "minuses in a row": ("conv k=" + "-" * 200_000 + "1", "E007"),
    "operators in brackets": ("conv " + "(1+" * 39 + "1+" * 200 + "1" + ")" * 39, "E007"),
    "a string of 1 MB": ('net "' + "a" * 1_000_000 + '"', ""),
    "an open string of 1 MB": ('net "' + "a" * 1_000_000, "E003"),
    "an open string of escapes": ('net "' + '\\"' * 500_000, "E003"),
    "an escape in 1 MB": ('net "' + "\\n" * 500_000 + '"', ""),
    "a comment of 1 MB": ("#" * 1_000_000, ""),
    "comments": ("#\n" * 100_000, ""),
    "strange characters": ("!" * 200_000, "E005"),
    "a list of 100,000": ("conv [" + "1," * 100_000 + "]", ""),
    "60,000 keys": ("conv " + "k=1 " * 60_000, ""),
    "bodies": ("add" + " { }\n" * 50_000, ""),
    "an error in the last lines of a body": ("block a {\n" + "conv 3\n" * 60_000 + "conv =\n" * 20 + "}", "E002"),
    "open brackets in the last lines": ("conv 3\n" * 60_000 + "conv (\n" * 20, "E006"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_sources(name: str) -> None:
    text, code = ADVERSARIAL[name]
    diagnostics = errors(text)
    assert {d.code for d in diagnostics} == ({code} if code else set())
    assert len(diagnostics) <= parsing.MAX_SYNTAX_ERRORS + 1


def test_sources_just_within_the_limits() -> None:
    assert errors("conv " + "(" * 40 + "1" + ")" * 40) == []
    assert errors("conv 1" + "+1" * 200) == []
    assert errors("clip" + " -1" * 1000) == []
    assert errors("clip" + " a+1 -(b)*2 (c)-1" * 1000) == []
    assert errors("conv [" + "1+1," * 1000 + "]") == []
    assert errors("conv k=" + "-" * 200 + "1") == []
    assert errors("add { " * 40 + "}" * 40) == []


@pytest.mark.long
def test_a_large_network() -> None:
    """10,000 lines of two layers each."""
    file, diagnostics = parse(Source("<test>", "conv 64 k=3 p=1 bias=false; relu\n" * 10_000))
    assert diagnostics == []
    assert len(file.statements) == 20_000
    assert bare(file.statements[0]) == bare(file.statements[-2])


# ---- the cache


@pytest.mark.skipif(sys.platform == "win32", reason="has no permission bits")
def test_tables_are_kept_where_nobody_else_can_put_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lark unpickles them, which can run code."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "cnnc" / "grammar"
    assert parsing._cache_file() == str(folder / "tables.pickle")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert parsing._cache_file() == str(folder / "tables.pickle")
    folder.chmod(0o770)
    assert parsing._cache_file() is False
    folder.chmod(0o701)
    assert parsing._cache_file() is False
    folder.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert parsing._cache_file() is False
    folder.unlink()
    monkeypatch.setattr(os, "getuid", lambda: folder.parent.stat().st_uid + 1)
    assert parsing._cache_file() is False
