"""The edits that help names: what is proposed for common mistakes, and that each edit works as it stands."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cnnc.diagnostics import CnncError, Diagnostic, Edit, Source
from cnnc.language.working_edits import MAX_TRIED, with_working_edits
from cnnc.network import check


def diagnostics(text: str, *settings: str) -> tuple[Diagnostic, ...]:
    try:
        return check(text, "net.cnn", settings).diagnostics
    except CnncError as error:
        return error.diagnostics


def applied(edit: Edit) -> str:
    text = edit.span.source.text
    return text[: edit.span.start] + edit.text + text[edit.span.end :]


TABLE = 'input 3\nfc 2\ntrain {{ data series "a.csv" {} }}'


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("input 1x8x8\npool max k=2\nunpool", "input 1x8x8\npool max k=2\nunpool pool1"),
        ("input 20 dtype=int64\nembed 10000 64", "input 20 dtype=int64\nembed 64 vocab=10000"),
        ("input 20 dtype=int64\nembed 64 10000", "input 20 dtype=int64\nembed 64 vocab=10000"),
        ("input 1x8x8\nconv 8 k=3 bias", "input 1x8x8\nconv 8 k=3 bias=true"),
        ("input 1x8x8\nconv 8 bias k=3", "input 1x8x8\nconv 8 bias=true k=3"),
        ("input 1x8x8\nfc 10\nsoftmax\noutput softmax", "input 1x8x8\nfc 10\nsoftmax\noutput softmax1"),
        ("input 1x8x8\nfc 10\noutput softmax", "input 1x8x8\nfc 10\nsoftmax; output softmax1"),
        ("input 3xNonexNone\nrelu", "input 3xHxW\nrelu"),
        ("input 3x8x8\nconv 8 k=2error", "input 3x8x8\nconv 8 k=2"),
        ("input 3 x 32 x 32\nrelu", "input 3x32x32\nrelu"),
        ("block {\n relu\n}\ninput 1x8x8\nfc 10", "block my_block {\n relu\n}\ninput 1x8x8\nfc 10"),
        ("input 100\nconv 4 k=3", "input 1x100\nconv 4 k=3"),
        ("input 100x1\nconv 4 k=3", "input 1x100\nconv 4 k=3"),
        ("input 1x8x8\na: relu\nadd { conv 1 k=1 } a", "input 1x8x8\na: relu\nadd a { conv 1 k=1 }"),
        ("input 1x8x8\na: relu\nsub { conv 1 k=1 } a", "input 1x8x8\na: relu\nsub { conv 1 k=1 } { from a }"),
        ("input 1x8x8\nnormalize", "input 1x8x8\nnormalize mean=0.5 std=0.5"),
        ("input 1x8\nfilter", "input 1x8\nfilter [1, 0, -1]"),
        ("input 3x8x8\nMaxPool2d 2", "input 3x8x8\npool max k=2"),
        ("input 3x8x8\nconvolution 8 3", "input 3x8x8\nconv 8 k=3"),
        ("input 3x8x8\nconv 8 k=3 relu", "input 3x8x8\nconv 8 k=3\nrelu"),
        ("input 3x8x8\n  conv 8 k=3 {\n    relu\n  }", "input 3x8x8\n  conv 8 k=3\n    relu\n"),
        ("a: input 8\nb: input 8\nbilinear a", "a: input 8\nb: input 8\nbilinear a b"),
        ("input 3x8x8\nfc 10 # last\nslice 0 20", "input 3x8x8\nfc 10 # last\nslice 0 10"),
        ("input 12\nembed 8 vocab=9", "input 12 dtype=int64\nembed 8 vocab=9"),
        ("input 3x32x32\nrepeat i in 3 { conv 3 k=1 }", "input 3x32x32\nrepeat 3 as i { conv 3 k=1 }"),
        (
            "input 1x8x8\nfc 10\ntrain {\n  data digits\n  optimizer adam\n  lr = 0.01\n}",
            "input 1x8x8\nfc 10\ntrain {\n  data digits\n  optimizer adam lr=0.01\n  \n}",
        ),
        ("input 1x8x8\nfc 10\ntrain { data: digits }", "input 1x8x8\nfc 10\ntrain { data digits }"),
        ("input 1x8x8\nfc 10\ntrain { dataset: digits }", "input 1x8x8\nfc 10\ntrain { data digits }"),
        (
            "input 1x8x8\nfc 10\ntrain { data digits; a: epochs 5 }",
            "input 1x8x8\nfc 10\ntrain { data digits; epochs 5 }",
        ),
        ("input 1x8x8\nfc 10\ntrain { data npz x.npz }", 'input 1x8x8\nfc 10\ntrain { data npz "x.npz" }'),
        (
            "input 1x8x8\nconv w k=3\nlet w = 2*3  # kernels",
            "let w = 2*3\ninput 1x8x8\nconv w k=3\n  # kernels",
        ),
        ("input 1x28x\nrelu", "input 1x28\nrelu"),
        ("input 1x8x8\ndropout 12.5 %\nrelu", "input 1x8x8\ndropout 0.125\nrelu"),
        ("input 1x8x8\npool 2 s=1", "input 1x8x8\npool max k=2 s=1"),
        ("net my-net\ninput 8\nrelu", 'net "my-net"\ninput 8\nrelu'),
        (TABLE.format("label=Größe"), TABLE.format('label="Größe"')),
        (TABLE.format("label=Gewicht (g) test=0.2"), TABLE.format('label="Gewicht (g)" test=0.2')),
        (TABLE.format("label=serial no. index=[date]"), TABLE.format('label="serial no." index=[date]')),
        (TABLE.format("index=[sample no., date]"), TABLE.format('index=["sample no.", date]')),
        (TABLE.format("index=[date, sample-no]"), TABLE.format('index=[date, "sample-no"]')),
        (TABLE.format("index=2nd"), TABLE.format('index="2nd"')),
        ("net My Net\ninput 8\nrelu", 'net "My Net"\ninput 8\nrelu'),
        ("input 1x8x8  // digits\nrelu", "input 1x8x8  # digits\nrelu"),
        (
            'input 1x4x8\nfc 1\ntrain { data images "photos"; loss mse }',
            'input 1x4x8\nfc 1\ntrain { data npz "file.npz"; loss mse }',
        ),
        (
            'input 3\nfc 1\ntrain { data series "s.csv" target=price; loss mse }',
            'input 3\nfc 1\ntrain { data series "s.csv" label=price; loss mse }',
        ),
        ("input 1x8x8\nfc 10\ntrain digits", "input 1x8x8\nfc 10\ntrain { data digits }"),
        ("input 1x28x28\nfc 10\ntrain { epochs 3 }", "input 1x28x28\nfc 10\ntrain { data mnist; epochs 3 }"),
        (
            "block b(w, s=1) { conv w k=3 s=s p=1; relu; add in }\ninput 16x32x32\nb 16\nb 32 s=2\nb 64 s=2\nfc 10",
            "block b(w, s=1) { add { conv w k=3 s=s p=1; relu } { conv w k=1 s=s } }\n"
            "input 16x32x32\nb 16\nb 32 s=2\nb 64 s=2\nfc 10",
        ),
        (
            "block b(w) { a: conv w k=3 p=1; conv 2*w k=3 p=1; add a }\ninput 3x8x8\nb 8\nb 16",
            "block b(w) { a: conv w k=3 p=1; conv 2*w k=3 p=1; add { } { from a; conv 2*w k=1 } }\ninput 3x8x8\nb 8\nb 16",
        ),
        (
            "block b(w) { conv w k=3; relu; concat in }\ninput 3x8x8\nb 8\nb 16",
            "block b(w) { conv w k=3 p=same; relu; concat in }\ninput 3x8x8\nb 8\nb 16",
        ),
    ],
)
def test_the_edit_of_a_common_mistake(text: str, fixed: str) -> None:
    first = next(d for d in diagnostics(text) if d.severity == "error")
    assert applied(first.edits[0]) == fixed
    assert not [d for d in diagnostics(fixed) if d.severity == "error"]


def test_two_missing_arguments_have_one_edit() -> None:
    both = diagnostics("input 1x8x8\nnormalize")
    assert [d.code for d in both] == ["E202", "E202"]
    assert len({applied(edit) for d in both for edit in d.edits}) == 1


def test_an_edit_that_does_not_work_is_not_named() -> None:
    (error,) = diagnostics("input 1x8x8\nfc 10\nconv 4 k=3")  # 10 elements make no image for this kernel
    assert error.code == "E303"
    assert error.edits == ()
    assert "reshape 10x1x1" not in error.help


def test_an_error_at_the_end_of_a_line_is_not_that_of_the_next_line() -> None:
    found = diagnostics("input 1x8x8\ndropout 50%\nrelu\ndropout 25%\ndropout 20%\nrelu")
    assert [d.help.split("`")[1] for d in found] == ["0.5", "0.25", "0.2"]


def test_an_edit_does_not_end_in_the_removal_of_what_is_written() -> None:
    section = "train {\n data digits\n val_split = 2\n optimizer adam\n lr = -0.01\n}"
    for diagnostic in diagnostics(f"input 1x8x8\nfc 10\n{section}"):
        assert "``" not in diagnostic.help
        assert all(edit.text.strip() for edit in diagnostic.edits)


def test_an_edit_of_a_warning_causes_no_error_anywhere() -> None:
    (warning,) = diagnostics("input 1x8x8\nrelu\nrelu\nfc 10")
    assert (warning.code, applied(warning.edits[0])) == ("W104", "input 1x8x8\nrelu\nfc 10")
    (warning,) = diagnostics("input 1x8x8\nrelu\nb: relu\nfc 10\nfrom b\nfc 4\noutput fc1 fc2")
    assert (warning.code, warning.edits) == ("W104", ())  # without the layer b, `from b` would be an error


def test_settings_of_the_command_line() -> None:
    text = "let width = 4\ninput 1x8x8\nconv width k=3\nrelu\nfc 10\ntrain { data digits; optimizer adam }"
    (error,) = diagnostics(text, "widht=8")
    assert applied(error.edits[0]) == "width=8"
    (error,) = diagnostics(text, "train.optimizer.lrr=0.1")
    assert applied(error.edits[0]) == "train.optimizer.lr=0.1"
    (error,) = diagnostics(text, "train.optimzer.lr=0.1")
    assert applied(error.edits[0]) == "train.optimizer.lr=0.1"
    (error,) = diagnostics(text, "train.optimizer=sgd lr=0.02")
    assert error.help == 'write `settings=["train.optimizer=sgd", "train.optimizer.lr=0.02"]`'
    assert diagnostics(text, "train.optimizer=sgd", "train.optimizer.lr=0.02") == ()
    (error,) = diagnostics(text, "train.optimizer=sgd")
    assert diagnostics(applied(error.edits[0]), "train.optimizer=sgd") == ()
    without_section = text.replace("; optimizer adam", "")
    (error,) = diagnostics(without_section, "train.optimizer=rmsprob")
    assert applied(error.edits[0]) == "train.optimizer=rmsprop"


# --- the procedure -------------------------------------------------------------------------------------------


def checker(source: Source, rules: Mapping[str, Diagnostic]) -> tuple[list[str], object]:
    texts: list[str] = []

    def again(changed: Mapping[Source, str]) -> list[Diagnostic]:
        text = changed[source]
        texts.append(text)
        return [d for word, d in rules.items() if word in text]

    return texts, again


def test_edits_that_work_together_take_one_check() -> None:
    source = Source("x", "aa\nbb\ncc\n")
    found = [
        Diagnostic("E201", word, source.span(i, i + 2), edits=(Edit(source.span(i, i + 2), "zz"),))
        for i, word in ((0, "aa"), (3, "bb"), (6, "cc"))
    ]
    texts, again = checker(source, {d.message: d for d in found})
    kept = with_working_edits(found, again, 40)  # type: ignore[arg-type]
    assert texts == ["zz\nzz\nzz\n"]
    assert all(d.edits for d in kept)


def test_without_checks_left_no_edit_is_named() -> None:
    source = Source("x", "aa")
    found = Diagnostic("E201", "aa", source.span(0, 2), help="in words", edits=(Edit(source.span(0, 2), "zz"),))
    _, again = checker(source, {})
    (kept,) = with_working_edits([found], again, 0)  # type: ignore[arg-type]
    assert (kept.edits, kept.help) == ((), "in words")


def test_of_many_diagnostics_only_the_first_have_edits() -> None:
    found = diagnostics("input 8\n" + "fc 8\n" * 2 * MAX_TRIED)
    assert {d.code for d in found} == {"W112"}
    assert [bool(d.edits) for d in found] == [i < MAX_TRIED for i in range(len(found))]
    assert all(d.help for d in found)


def test_the_next_edit_is_tried_where_the_first_fails() -> None:
    source = Source("x", "aa")
    second = Edit(source.span(0, 2), "yy")
    edit = Edit(source.span(0, 2), "zz", otherwise=(second,))
    found = Diagnostic("E201", "aa", source.span(0, 2), edits=(edit,))
    _, again = checker(source, {"zz": Diagnostic("E203", "zz is wrong", Source("x", "zz").span(0, 2))})
    (kept,) = with_working_edits([found], again, 40)  # type: ignore[arg-type]
    assert kept.edits == (second,)
    assert kept.help == "write `yy`"
