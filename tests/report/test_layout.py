"""Tables that fit a width, lines that break between words, and characters that an encoding lacks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cnnc.core.ascii import COUNTERPARTS, encodable
from cnnc.diagnostics import Diagnostic, Source, cells, render
from cnnc.report import reference
from cnnc.report.confusion import confusion_text
from cnnc.report.explanations import page_text, pages
from cnnc.report.layout import ColumnLayout, Layout, fitted, reflowed, shortened, wrapped
from tests.paths import PACKAGE
from tests.syntax_trees import tree_of

COLUMNS = (
    ColumnLayout("name", least=8, is_path=True),
    ColumnLayout("layer", least=12, drop=1),
    ColumnLayout("output", right=True),
    ColumnLayout("share", right=True, drop=3),
    ColumnLayout("MACs", right=True, drop=2),
)
ROWS = [
    ("stage1.block2.conv1", "conv 64 k=3 p=1 bias=false", "64x56x56", "0.3%", "115,605,504"),
    ("fc1", "fc 10", "10", "99.7%", "960"),
]


@pytest.mark.parametrize(
    ("width", "head", "row"),
    [
        (
            None,
            "name layer output share MACs",
            "stage1.block2.conv1 conv 64 k=3 p=1 bias=false 64x56x56 0.3% 115,605,504",
        ),
        (
            77,
            "name layer output share MACs",
            "stage1.block2.conv1 conv 64 k=3 p=1 bias=false 64x56x56 0.3% 115,605,504",
        ),
        (76, "name layer output share MACs", "stage1.block2.conv1 conv 64 k=3 p=1 bias=fal… 64x56x56 0.3% 115,605,504"),
        (62, "name layer output MACs", "stage1.block2.conv1 conv 64 k=3 p=1 b… 64x56x56 115,605,504"),
        (50, "name layer output", "stage1.block2.conv1 conv 64 k=3 p=1 bi… 64x56x56"),
        (40, "name output", "stage1.block2.conv1 64x56x56"),
        (24, "name output", "stag…ck2.conv1 64x56x56"),
    ],
)
def test_cells_are_shortened_and_columns_left_out(width: int | None, head: str, row: str) -> None:
    lines = fitted(COLUMNS, ROWS, Layout(width), rule=True)
    assert [" ".join(lines[i].split()) for i in (0, 2)] == [head, row]
    assert set(lines[1]) == {"─", " "}
    assert max(map(len, lines)) <= (width or 77)
    if width in (None, 77):
        assert max(map(len, lines)) == 77


def test_a_table_too_wide_for_any_terminal_keeps_its_least() -> None:
    lines = fitted(COLUMNS, ROWS, Layout(5))
    assert [line.split()[-1] for line in lines] == ["output", "64x56x56", "10"]


def test_columns_without_heads_have_no_line_of_them() -> None:
    columns = [ColumnLayout("", least=3), ColumnLayout("")]
    assert fitted(columns, [("a", "b"), ("long", "c")], Layout()) == ["a     b", "long  c"]
    assert fitted(columns, [], Layout(10)) == []


def test_wide_characters_and_those_an_encoding_lacks_keep_the_columns_aligned() -> None:
    columns = [ColumnLayout("a", least=4), ColumnLayout("b")]
    rows = [("猫猫猫猫", "1"), ("H ≥ 8 → x", "2")]
    assert {cells(line) for line in fitted(columns, rows, Layout())} == {12}
    assert fitted(columns, rows[1:], Layout(None, lambda text: encodable(text, "ascii"))) == [
        "a            b",
        "H >= 8 -> x  2",
    ]
    narrow = fitted(columns, rows, Layout(9, lambda text: encodable(text, "ascii")))
    assert all(len(line) <= 9 for line in narrow)
    assert narrow[2] == "H >...  2"


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("convolution", 11, "convolution"),
        ("convolution", 6, "convo…"),
        ("abc", 1, "…"),
        ("abc", 0, "…"),
        ("猫猫", 3, "猫…"),
    ],
)
def test_shortened(text: str, width: int, expected: str) -> None:
    assert shortened(text, width) == expected


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("one two three", None, "one two three"),
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two\n  three"),
        ("one `two three` four", 12, "one\n  `two three`\n  four"),
        ("one incomprehensibilities two", 10, "one\n  incomprehensibilities\n  two"),
        ("    params = 3·(3·3) = 27 (scale, shift)", 24, "    params = 3·(3·3) =\n      27 (scale, shift)"),
        ("  latency  p50 3 ms, p90 4 ms", 24, "  latency  p50 3 ms, p90\n           4 ms"),
        ("a long first column  and its text", 20, "a long first column\n    and its text"),
        (
            "stopped. Resume with:\n  cnnc train --resume runs/x",
            21,
            "stopped. Resume with:\n  cnnc train --resume runs/x",
        ),
        (" 12 | conv 64 k=3 p=1 bias=false", 20, " 12 | conv 64 k=3 p=1 bias=false"),
        ("    |             ^^^^^ a label", 20, "    |             ^^^^^ a label"),
        ("a  b  c  d  e  f  g", 9, "a  b  c  d  e  f  g"),
        ("\x1b[1;31merror\x1b[0m: too long for it", 20, "\x1b[1;31merror\x1b[0m: too long for\n  it"),
        ("", 10, ""),
    ],
)
def test_lines_break_between_words(text: str, width: int | None, expected: str) -> None:
    assert wrapped(text, width) == expected


def test_paragraphs_become_lines_and_indented_lines_stay() -> None:
    assert reflowed("one\ntwo\n\nthree\n    a  b\n    c  d\n\nfour") == "one two\n\nthree\n    a  b\n    c  d\n\nfour"


MATRIX = [[30, 2, 0], [1, 27, 5], [0, 0, 33]]
NAMES = ["airplane", "automobile", "bird"]


def test_a_confusion_matrix_gives_way_to_the_most_frequent_confusions() -> None:
    texts = {width: confusion_text(MATRIX, NAMES, Layout(width)) for width in (None, 90, 60, 30)}
    assert texts[90] == texts[None]
    assert len(texts[None].splitlines()) == 4
    assert "true \\ predicted  airplane" in texts[60]
    assert "class" in texts[60]
    lines = texts[30].splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["true", "predicted", "examples"],
        ["automobi…", "bird", "5"],
        ["airplane", "automobi…", "2"],
    ]
    assert [line.split()[0] for line in lines[5:]] == ["class", "airplane", "automobile", "bird"]
    for width, text in texts.items():
        assert width is None or max(map(len, text.splitlines())) <= width
    assert "every prediction is right" in confusion_text([[3, 0], [0, 3]], ["a" * 30, "b" * 30], Layout(40))


@pytest.mark.parametrize("width", [40, 60, 80])
def test_source_lines_of_a_diagnostic_fit_and_the_marks_stay_below_them(width: int) -> None:
    source = Source("net.cnn", "conv 64 " + "k=3 " * 30 + "strde=2 " + "p=1 " * 30)
    start = source.text.index("strde")
    diagnostic = Diagnostic("E201", "conv has no argument `strde`", source.span(start, start + 5), "a label " * 9)
    for shown in (str, lambda text: encodable(text, "ascii")):
        lines = render(diagnostic, width=width, shown=shown).splitlines()
        assert max(map(len, lines[1:])) <= width
        text, marks = lines[3:5]
        assert text[marks.index("^") : marks.rindex("^") + 1] == "strde"
        assert "\n".join(lines[4:]).count("label") == 9


@pytest.mark.long
def test_every_character_that_cnnc_prints_has_a_counterpart_in_ascii() -> None:
    """In the pages of ops and explain, and in the messages of the code (those that recognize a character quote its code)."""
    texts = {name: reference.page(entry) for name in reference.names() for entry in reference.entries(name)}
    texts |= {code: page_text(page) for code, page in pages().items()}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name not in ("ascii.py", "lookalikes.py", "syntax_errors.py"):
            texts |= {f"{path.name}:{line}": text for line, text in _strings(path)}
    lacking = {
        where: sorted({c for c in text if c.isprintable() and not c.isascii() and c not in COUNTERPARTS})
        for where, text in texts.items()
    }
    assert {where: characters for where, characters in lacking.items() if characters} == {}


def _strings(path: Path) -> list[tuple[int, str]]:
    """The strings of a module other than docstrings."""
    tree = tree_of(path)
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements
    ]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "H ≥ 8 · 2² → ⌊x⌋ … é 猫"),
        ("latin-1", "H >= 8 · 2² -> floor(x) ... é \\u732b"),
        ("ascii", "H >= 8 * 2^2 -> floor(x) ... \\xe9 \\u732b"),
    ],
)
def test_characters_that_an_encoding_lacks(encoding: str, expected: str) -> None:
    assert encodable("H ≥ 8 · 2² → ⌊x⌋ … é 猫", encoding) == expected


def test_no_two_characters_that_may_stand_in_names_have_one_counterpart() -> None:
    assert all(not character.isalpha() or character in "ΣΦµᵀ" for character in COUNTERPARTS)
