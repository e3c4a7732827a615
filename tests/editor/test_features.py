"""What the editor shows and offers: hints, descriptions, completion, names, fixes, outline, colours, drawing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnc.diagnostics import CnncError, Edit, Source
from cnnc.editor.analysis import analyse, in_include, is_library
from cnnc.editor.colours import colours
from cnnc.editor.completion import complete
from cnnc.editor.describe import describe
from cnnc.editor.fixes import fix_all, fixes, problems
from cnnc.editor.hints import hints
from cnnc.editor.names import definition_at, included_at, references, rename
from cnnc.editor.open_files import OpenFiles
from cnnc.editor.outline import Fold, folds, outline
from cnnc.editor.positions import Positions
from cnnc.editor.preview import preview
from cnnc.editor.signature import signature_at
from cnnc.network import check
from tests.editor.test_fuzz import NAMES
from tests.paths import MODELS


def shown(text: str, calls: tuple[str, ...] = ()) -> dict[str, str]:
    """The hints by the text of their lines."""
    analysis = analyse("", text)
    return {analysis.source.line(analysis.source.position(h.offset)[0]).strip(): h.text for h in hints(analysis, calls)}


def at(text: str) -> tuple[str, int]:
    """A text without its mark `|`, and where that was."""
    offset = text.index("|")
    return text[:offset] + text[offset + 1 :], offset


def texts(marked: str) -> list[str]:
    """What can be completed at the mark."""
    text, offset = at(marked)
    return [item.text for item in complete(analyse("", text), offset)]


def described(marked: str) -> str:
    text, offset = at(marked)
    found = describe(analyse("", text), offset)
    return found.markdown if found is not None else ""


# --- hints -----------------------------------------------------------------------------------------------------


def test_each_line_shows_its_shape_and_parameters() -> None:
    found = shown("net a\ninput 1x28x28\nconv 6 k=5; relu\npool max k=2\nfc 10\n")
    assert found == {
        "conv 6 k=5; relu": "6x24x24, 156 parameters",
        "pool max k=2": "6x12x12",
        "fc 10": "10, 8,650 parameters",
    }


def test_lines_below_an_error_show_nothing_that_could_be_wrong() -> None:
    found = shown("input 1x28x28\nconv 6 k=5\nconv 8 k=\nrelu\nfc 10\ntanh\n")
    assert found == {"conv 6 k=5": "6x24x24, 156 parameters", "fc 10": "10"}  # whatever it reads, fc gives 10


def test_symbolic_sizes_are_formulas_also_while_the_file_has_an_error() -> None:
    text = "input 3xHxW\nconv 8 k=3 p=1\npool max k=2\n"
    assert shown(text)["pool max k=2"] == "8 x ⌊H/2⌋ x ⌊W/2⌋"
    assert shown(text + "conv 4 k=\n")["conv 8 k=3 p=1"] == "8xHxW, 224 parameters"


def test_the_lines_of_a_block_show_the_call_at_the_cursor() -> None:
    text = "block b(w) {\n  conv w k=3\n}\ninput 3x32x32\nb 8\nlast: b 16\n"
    assert shown(text)["conv w k=3"] == "8x30x30, 224 parameters"
    assert shown(text, ("last",))["conv w k=3"] == "16x28x28, 1,168 parameters"
    assert shown(text)["block b(w) {"] == "shapes of b1, one of 2 calls"


def test_a_body_of_several_lines_has_its_hint_at_the_end() -> None:
    found = shown("input 8x9x9\nadd {\n  conv 8 k=3 p=1\n} { }\nrepeat 2 {\n  conv 8 k=3 p=1\n}\n")
    assert found["} { }"] == "8x9x9, 584 parameters"
    assert found["}"] == "8x9x9, 1,168 parameters"


def test_values_of_variables_are_shown_as_the_language_writes_them() -> None:
    text = 'let a = "1\\n2"\nlet b = a\nlet c = true\nlet d = c\nlet e = 2*8\ninput 1x8x8\n'
    assert {line: hint for line, hint in shown(text).items() if hint.startswith("=")} == {
        "let b = a": '= "1\\n2"',
        "let d = c": "= true",
        "let e = 2*8": "= 16",
    }


def test_shared_parameters_count_once() -> None:
    assert shown("input 8x9x9\na: conv 8 k=3 p=1\nconv 8 k=3 p=1 share=a\n")["conv 8 k=3 p=1 share=a"] == "8x9x9"


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "text_ranker"])
def test_the_parameters_of_all_top_lines_are_those_of_the_network(name: str) -> None:
    text = (MODELS / f"{name}.cnn").read_text(encoding="utf-8")
    analysis = analyse("", text)
    top = [p for p in analysis.placed if not p.parents]
    visits = [analysis.visit(p.statement.span) for p in top]
    numbers = {n for visit in visits if visit is not None for n in visit.nodes}
    total = sum(analysis.parameters(analysis.trace.nodes[n]) for n in numbers)
    assert total == check(text).require_graph().total_parameters


# --- descriptions and completion ---------------------------------------------------------------------------------


def test_a_layer_is_described_with_its_own_numbers() -> None:
    text = described("input 1x28x28\nco|nv 6 k=5\n")
    assert "`1x28x28` → `6x24x24`, 156 parameters" in text
    assert "params = 6·(1·5·5) + 6 = 156" in text
    assert "receptive field 5x5" in text
    assert "conv OUT k=" in text


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ("input 1x8x8\nconv 4 |k=3\n", "window size"),
        ("let w = 2*8\ninput 1x8x8\nconv |w k=3\n", "`w` = 16"),
        ("input 1x8x8\na: conv 4 k=3\nrelu\nadd |a\n", "**a**"),
        ("block b(n, s=1) { conv n k=3 s=s }\ninput 1x8x8\n|b 3\n", "block b(n, s=1)"),
        ("input 1x8x8\nfc 10\ntrain { data digits; optim|izer adam lr=0.1 }\n", "optimizer adam"),
        ("input 3xHxW\nconv 4 k=3\nexpect 4x|HxW\n", "symbolic size"),
        ("input 3x8x8\nexpe|ct 3x8x8\nfc 3\n", "assertion"),
    ],
)
def test_what_is_known_about_a_word(marked: str, words: str) -> None:
    assert words in described(marked)


def test_layers_that_fit_come_first() -> None:
    found = texts("input 1x8x8\nfc 10\n|\n")
    assert found.index("relu") < found.index("conv")
    found = texts("input 1x8x8\n|\n")
    assert found.index("conv") < found.index("embed")


@pytest.mark.parametrize(
    ("marked", "first"),
    [
        ("input 1x8x8\npool |", ["max", "avg"]),
        ("input 1x8x8\nconv 8 |", ["k="]),
        ("input 1x8x8\nconv 8 k=3 p=|", ["same"]),
        ("let w = 3\ninput 1x8x8\nconv 8 k=|", ["w"]),
        ("input 1x8x8\na: relu\nb: relu\nadd |", ["b", "a"]),
        ("input 1x8x8\na: conv 4 k=3 p=1\nconv 4 k=3 share=|", ["a"]),
        ("input 1x8x8\nfc 10\ntrain {\n  |\n}\n", ["data", "optimizer"]),
        ("input 1x8x8\nfc 10\ntrain {\n  data |\n}\n", ["digits"]),
        ("input 1x8x8\nfc 10\ntrain {\n  optimizer |\n}\n", ["adam", "sgd"]),
        ("input 1x8x8\nfc 10\ntrain {\n  data digits\n  loss cross_entropy |\n}\n", ["smoothing="]),
        ("block b(n, s=1) { conv n k=3 s=s }\ninput 1x8x8\nb |", ["n=", "s="]),
        ("block b(n) {\n  x: relu\n  add |\n}\ninput 1x8x8\n", ["x"]),
    ],
)
def test_what_can_be_completed(marked: str, first: list[str]) -> None:
    found = texts(marked)
    assert set(first) <= set(found[: len(first) + 3]), found[:8]


def test_only_layers_above_are_offered() -> None:
    assert "below" not in texts("input 1x8x8\na: relu\nadd |\nbelow: relu\n")


def test_a_comment_offers_to_allow_the_warning_of_its_line() -> None:
    found = texts("input 1x8x8\nconv 4 k=3\nconv 4 k=3  # |\nfc 3\n")
    assert [text for text in found if not text.startswith("allow W")] == []


def test_the_signature_marks_the_argument_at_the_cursor() -> None:
    text, offset = at("input 1x8x8\nconv 4 p=1 s=|\n")
    signature = signature_at(analyse("", text), offset)
    assert signature is not None
    assert signature.label.startswith("conv OUT k= ")
    assert signature.parameters[signature.active or 0][0] == "s=1"


# --- names -------------------------------------------------------------------------------------------------------


def renamed(text: str, word: str, new: str) -> str:
    """The text after the first occurrence of a word is renamed."""
    analysis = analyse("", text)
    found = definition_at(analysis, text.index(word))
    assert found is not None
    edits = rename([analysis], found[1], new, lambda texts: [analyse("", next(iter(texts.values())))])
    return applied(text, edits)


def applied(text: str, edits: list[Edit]) -> str:
    for edit in sorted(edits, key=lambda e: -e.span.start):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


@pytest.mark.parametrize(
    ("word", "new", "uses"),
    [
        ("skip:", "shortcut", 3),
        ("w = 2*8", "width", 6),
        ("b(n", "body", 3),
        ("n, s", "channels", 3),
        ("a: conv", "first", 4),
        ("one:", "two", 4),
        ("r: conv", "round", 3),
        ("HxW\na", "Y", 3),
        ("q)", "channels", 2),
    ],
)
def test_a_name_is_renamed_everywhere(word: str, new: str, uses: int) -> None:
    after = renamed(NAMES, word, new)
    before_errors = [d.code for d in check(NAMES).diagnostics]
    assert [d.code for d in check(after).diagnostics] == before_errors
    old = re.match(r"[A-Za-z]+?(?=x[A-Z]|\b)", word)
    assert old is not None
    assert len(after) - len(NAMES) == uses * (len(new) - len(old[0]))


def test_a_layer_without_a_label_gets_one() -> None:
    text = "input 1x8x8\nconv 4 k=3 p=1\nrelu\nadd conv1\n"
    assert renamed(text, "conv1", "skip") == "input 1x8x8\nskip: conv 4 k=3 p=1\nrelu\nadd skip\n"


@pytest.mark.parametrize("new", ["relu", "b", "two words", "1x", "in", "é", ""])
def test_a_name_that_is_not_allowed_or_taken(new: str) -> None:
    with pytest.raises(CnncError):
        renamed("input 1x8x8\na: conv 4 k=3 p=1\nb: relu\nadd a\n", "a:", new)


def test_a_name_may_not_change_what_another_means() -> None:
    text = "let w = 4\nblock b(n) { conv n k=3; conv w k=3 }\ninput 1x8x8\nb 2\n"
    with pytest.raises(CnncError, match="something else"):
        renamed(text, "n)", "w")


def files(folder: Path) -> tuple[OpenFiles, Path, Path]:
    """A network that includes a file with a block, both on the disk."""
    parts, main = folder / "parts.cnn", folder / "main.cnn"
    parts.write_text("block body(w) {\n  skip: conv w k=3 p=1\n  add skip\n}\n")
    main.write_text('include "parts.cnn"\ninput 3x8x8\nfirst: body 4\nadd first.skip\n')
    return OpenFiles(), parts, main


def test_names_lead_into_included_files(tmp_path: Path) -> None:
    opened, parts, main = files(tmp_path)
    file = opened.open("main", str(main), main.read_text(), 1)
    analysis = opened.analysis_of(file)
    found = definition_at(analysis, file.text.index("body"))
    assert found is not None
    assert (found[1].span.source.name, found[1].span.line) == (str(parts), 1)
    assert included_at(analysis, 12) == str(parts)
    used = references([analysis], found[1])
    assert [(Path(span.source.name).name, span.line) for span in used] == [("main.cnn", 3), ("parts.cnn", 1)]


def test_a_file_of_blocks_shows_the_shapes_of_the_network_that_includes_it(tmp_path: Path) -> None:
    opened, parts, main = files(tmp_path)
    file = opened.open("parts", str(parts), parts.read_text(), 1)
    analysis = opened.analysis_of(file)
    assert [hint.text for hint in hints(analysis)] == ["4x8x8, 112 parameters", "4x8x8"]
    assert problems(analysis, analysis.network.diagnostics, with_help=True) == []
    opened.open("main", str(main), main.read_text().replace("body 4", "body 5"), 1)
    opened.forget(str(main))
    assert next(hint.text for hint in hints(opened.analysis_of(file))).startswith("5x8x8")


def test_an_error_in_an_included_file_is_shown_at_the_include(tmp_path: Path) -> None:
    opened, parts, main = files(tmp_path)
    parts.write_text(parts.read_text().replace("k=3", "k=33"))
    file = opened.open("main", str(main), main.read_text(), 1)
    analysis = opened.analysis_of(file)
    (problem,) = problems(analysis, analysis.network.diagnostics, with_help=True)
    assert problem.span.text == '"parts.cnn"'
    assert problem.related[0].span.source.name == str(parts)


def test_an_error_in_a_block_leads_to_each_call_that_it_stands_in() -> None:
    text = "block one(w) {\n  conv w k=9\n}\nblock two(w) {\n  one w\n}\ninput 1x8x8\ntwo 4\n"
    analysis = analyse("", text)
    (problem,) = problems(analysis, analysis.network.diagnostics, with_help=True)
    assert (problem.span.line, problem.span.text) == (2, "k=9")
    assert [(note.span.line, note.span.text) for note in problem.related] == [(8, "two 4"), (5, "one w")]


def test_is_library() -> None:
    assert is_library(analyse("", "let a = 1\nblock b { relu }\n"))
    assert not is_library(analyse("", "input 1x8x8\nfc 3\n"))
    assert not is_library(analyse("", ""))
    assert in_include(analyse("", "input 1x8x8\nfc 3\n"), "parts.cnn") is None


# --- fixes -------------------------------------------------------------------------------------------------------


def test_a_fix_removes_its_error() -> None:
    text = "input 1x8x8\ncnv 8 k=3\nrelu\nfc 10\n"
    analysis = analyse("", text)
    diagnostics = analysis.network.with_working_edits().diagnostics
    assert [d.edits[0].text for d in diagnostics] == [d.edits[0].text for d in check(text).diagnostics]
    (fix,) = fixes(analysis, diagnostics, text.index("cnv"), text.index("cnv"))
    assert fix.title == "Change to `conv`"
    assert fix.preferred
    assert check(applied(text, list(fix.edits))).ok
    assert fixes(analysis, diagnostics, text.index("fc"), text.index("fc")) == []


def test_a_warning_can_be_allowed_on_its_line() -> None:
    text = "input 1x8x8\nconv 8 k=3  # wide\nbn\nrelu\nfc 10\n"
    analysis = analyse("", text)
    (warning,) = analysis.network.diagnostics
    found = fixes(analysis, analysis.network.diagnostics, 0, len(text))
    allowing = next(fix for fix in found if fix.title.startswith("allow"))
    after = applied(text, list(allowing.edits))
    assert f"conv 8 k=3  # wide allow {warning.code}\n" in after
    assert check(after).diagnostics == ()


def test_all_fixes_at_once() -> None:
    text = "input 1x8x8\ncnv 8 k=3\nrelu6x\nfc\n"
    diagnostics = check(text).diagnostics
    after = applied(text, list(fix_all(diagnostics)))
    assert len(check(after).diagnostics) < len(diagnostics)


# --- views -------------------------------------------------------------------------------------------------------


def test_outline() -> None:
    symbols = outline(
        analyse("", "net N\nblock b(w) { conv w k=3 }\ninput 1x8x8\na: b 4\ntrain { data digits; epochs 3 }\n")
    )
    assert [(s.name, s.detail, s.kind) for s in symbols] == [
        ("N", "net", "net"),
        ("b", "(w)", "block"),
        ("input", "1x8x8 → 1x8x8", "layer"),
        ("a: b", "4 → 4x6x6", "call"),
        ("train", "", "section"),
    ]
    assert [child.name for child in symbols[4].children] == ["data", "epochs"]


def test_folds() -> None:
    text = "# one\n# two\ninput 1x8x8\nadd {\n  relu\n} {\n}\nblock b {\n  relu\n  relu\n}\n"
    assert folds(analyse("", text)) == [Fold(1, 2, True), Fold(4, 5, False), Fold(8, 10, False)]


def test_colours() -> None:
    text = (
        'let w = 2*8  # two\nblock b(n) { conv n k=3 p=same }\ninput 3x8x8\na: b w\nadd a\ntrain { data npz "x.npz" }\n'
    )
    found = [(c.span.text, c.type) for c in colours(analyse("", text))]
    for expected in [
        ("let", "keyword"),
        ("w", "variable"),
        ("8", "number"),
        ("# two", "comment"),
        ("n", "parameter"),
        ("conv", "class"),
        ("k", "property"),
        ("same", "enumMember"),
        ("3x8x8", "number"),
        ("a", "variable"),
        ("b", "function"),
        ("data", "keyword"),
        ('"x.npz"', "string"),
    ]:
        assert expected in found


def test_the_preview_leads_from_lines_to_boxes() -> None:
    text = (MODELS / "resnet18.cnn").read_text(encoding="utf-8")
    drawn = preview(analyse("", text))
    assert drawn is not None
    assert drawn.svg.startswith("<svg ")
    lines = text.splitlines()
    boxes = {box.name: lines[box.lines[0] - 1] for box in drawn.boxes}
    assert boxes["pool1"] == "pool max k=3 s=2 p=1"
    assert boxes["down1"] == "down 128"
    assert preview(analyse("", "input 1x8x8\nconv\n")) is None


@pytest.mark.parametrize(("encoding", "character"), [("utf-16", 3), ("utf-8", 5), ("utf-32", 2)])
def test_positions_count_as_the_editor_does(encoding: str, character: int) -> None:
    text = "ab\n😀x\u2028y\r\nz"
    positions = Positions(text, encoding)
    assert positions.position(5) == (1, character)
    assert positions.offset(1, character) == 5
    assert positions.position(len(text)) == (2, 1)
    assert positions.offset(1, 99) == text.index("\r")
    assert positions.offset(99, 0) == len(text)


def test_a_source_of_one_version_is_checked_once() -> None:
    opened = OpenFiles()
    file = opened.open("a", "", "input 1x8x8\nfc 3\n", 1)
    first = opened.analysis_of(file)
    assert opened.analysis_of(file) is first
    opened.change("a", "input 1x8x8\nfc 4\n", 2)
    assert opened.analysis_of(file).text == "input 1x8x8\nfc 4\n"
    assert opened.positions_in("<unsaved>", "x").text == Source("", "x").text
