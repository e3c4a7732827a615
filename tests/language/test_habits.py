"""Notation of other frameworks and beginners' mistakes: the help of the first error, and the source that it leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.network import check

# A wrong statement below `input 3x32x32`; part of the help; the statement after following the help.
STATEMENTS = [
    ("conv 8 ksize=3", "did you mean `k`?", "conv 8 k=3"),
    ("conv filters=8 k=3", "did you mean `out`?", "conv out=8 k=3"),
    ("conv out_channels=8 k=3", "did you mean `out`?", "conv out=8 k=3"),
    ("conv in_channels=3 8 k=3", "remove it", "conv 8 k=3"),
    ("conv 8 k=3 padding=1", "did you mean `pad`?", "conv 8 k=3 pad=1"),
    ("conv 8 k=3 strides=2 p=1", "did you mean `stride`?", "conv 8 k=3 stride=2 p=1"),
    ("conv 8 k=3 activation=relu", "an activation is a separate layer: `conv 8 k=3; relu`", "conv 8 k=3\nrelu"),
    ("conv 3 64 3", "write `conv 64 k=3`", "conv 64 k=3"),
    ("conv 8 5x5", "did you mean `k=5x5`?", "conv 8 k=5x5"),
    ('conv 8 k=3 p="same"', "write `same`, without quotes", "conv 8 k=3 p=same"),
    ("conv w k=3", "`let w = 16`", "let w = 16\nconv w k=3"),
    ("conv 8 k=(3, 3)", "write `3x3`", "conv 8 k=3x3"),
    ("conv 8 k:3", "`k=3`", "conv 8 k=3"),
    ("conv 8 k=3 p=0 // the first", "a comment begins with `#`", "conv 8 k=3 p=0 # the first"),
    ("// the first", "a comment begins with `#`", "# the first"),
    ("-- the first", "a comment begins with `#`", "# the first"),
    ("depthwise k=3", "`conv c_in k=3 groups=c_in`", "conv c_in groups=c_in k=3"),
    ("gap", "`global_pool avg`", "global_pool avg"),
    ("pool 2 k=2", "`pool max k=2`", "pool max k=2"),
    ("maxpool 2", "write `pool max k=2`", "pool max k=2"),
    ("leaky_relu alpha=0.1", "did you mean `slope`?", "leaky_relu slope=0.1"),
    ("upsample scale=2", "did you mean `n`?", "upsample n=2"),
    ("relu()", "without parentheses: `relu`", "relu"),
    ("dropout 50", "`0.5`", "dropout 0.5"),
    ("bn 3", "remove it", "bn"),
    ("fc 3072 10", "write `fc 10`", "fc 10"),
    ("w = 16", "write `let w = 16`", "let w = 16\nconv w k=3"),
    ("c1 = conv 4 k=3", "write `c1: conv 4 k=3`", "c1: conv 4 k=3"),
    ("rate = 0.5\ndropout rate", "write `let rate = 0.5`", "let rate = 0.5\ndropout rate"),
    ("test = conv 4 k=3", "write `test: conv 4 k=3`", "test: conv 4 k=3"),
    ("my conv: conv 4 k=3", "`my_conv:`", "my_conv: conv 4 k=3"),
    ("1a: conv 4 k=3", "names begin with a letter", "a1: conv 4 k=3"),
    ("conv 4 k=3×3", "type `x` instead", "conv 4 k=3x3"),
    ("conv 4\u00a0k=3", "type a space instead", "conv 4 k=3"),
    ("clip \u22121 1", "type `-` instead", "clip -1 1"),
    ("net “Mine”", 'type `"` instead', 'net "Mine"'),
    ("net 'Mine'", 'type `"` instead', 'net "Mine"'),
    ("conv 4 k=3 -> relu", "separate layers by `;`", "conv 4 k=3; relu"),
    ("for 3 { conv 3 k=1 }", "`repeat`", "repeat 3 { conv 3 k=1 }"),
    ("conv 1 k=1 bias=0.5", "write `biases=0.5`", "conv 1 k=1 biases=0.5"),
    ("filter kernel=[[1, 2], [3, 4]]", "write `filter [[1, 2], [3, 4]]`", "filter [[1, 2], [3, 4]]"),
    ("filter [[1 0] [0 -1]]", "by commas: `[[1, 0], [0, -1]]`", "filter [[1, 0], [0, -1]]"),
    ("filter [[1, 0][0, 1]]", "by commas: `[[1, 0], [0, 1]]`", "filter [[1, 0], [0, 1]]"),
    ("filter [[0 -1 0],[-1 5 -1],[0 -1 0]]", "by commas: `[[0, -1, 0],[-1, 5, -1],[0, -1, 0]]`", "filter sharpen"),
    ("budget flash=1MB", "`1MiB`", "budget flash=1MiB"),
    ("budget flash=256KB", "`256KiB`", "budget flash=256KiB"),
    ("budget macs=10m", "`10M`", "budget macs=10M"),
]


def errors(text: str) -> list[Diagnostic]:
    try:
        return [d for d in check(text).diagnostics if d.severity == "error"]
    except CnncError as error:
        return list(error.diagnostics)


def test_biases_beside_weights_are_not_fitted_by_other_outputs() -> None:
    (error,) = errors("input 2x4\nconv 2 k=1 weights=[[[1], [2]], [[3], [4]]] biases=[1, 2, 3]")
    assert error.help == "write a list of 2, or one number for all"


@pytest.mark.parametrize(("wrong", "help", "fixed"), STATEMENTS, ids=[wrong for wrong, _, _ in STATEMENTS])
def test_the_help_says_what_to_write(wrong: str, help: str, fixed: str) -> None:
    diagnostics = errors(f"input 3x32x32\n{wrong}\nfc 10\n")
    assert any(help in d.help for d in diagnostics), diagnostics
    assert {d.span.line for d in diagnostics if d.span is not None} == {2}
    assert errors(f"input 3x32x32\n{fixed}\nfc 10\n") == []


@pytest.mark.parametrize(
    ("wrong", "help"),
    [
        ("input 1 28 28", "write `input 1x28x28`"),
        ("input (1, 28, 28)", "write `1x28x28`"),
        ("input shape=(1,28,28)", "write `1x28x28`"),
        ("input 1X28X28", "write `1x28x28`"),
        ("input 1x28x28 relu", "begin a new line for the next layer: `relu`"),
    ],
)
def test_a_wrong_input_gives_one_error_that_shows_the_right_form(wrong: str, help: str) -> None:
    (diagnostics,) = errors(f"{wrong}\nfc 10\n")
    assert help in diagnostics.help


def test_the_help_writes_symbols_in_capitals() -> None:
    (diagnostics,) = errors("input 3xhxw\nglobal_pool avg\nfc 10")
    assert "`3xHxW`" in diagnostics.help
    assert errors("input 3xHxW\nglobal_pool avg\nfc 10") == []


def test_a_train_statement_with_an_equals_sign() -> None:
    (diagnostics,) = errors(
        "input 3x32x32\nfc 10\ntrain { data cifar10; loss cross_entropy; optimizer sgd lr=0.1; epochs=5 }"
    )
    assert "`epochs 5`" in diagnostics.help


def test_carriage_returns_alone_are_not_line_endings() -> None:
    assert "LF or CRLF" in errors("input 1x8x8\rfc 10\r")[0].help


def test_a_misspelled_layer_causes_no_further_errors() -> None:
    assert [d.code for d in errors("input 3x8x8\nrehsape 8\nfc 10")] == ["E111"]
    assert "block" not in errors("input 3x8x8\nresblock 8\nfc 10")[0].help


def test_a_missing_include_causes_no_errors_about_its_blocks(tmp_path: Path) -> None:
    text = 'include "blocks.cnn"\ninput 3x8x8\nres 8\nconv 4 kk=3\nfc 10'
    diagnostics = check(text, str(tmp_path / "a.cnn"), root=tmp_path).diagnostics
    assert [d.code for d in diagnostics] == ["E120", "E201"]


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ("28x28x1", "1x28x28"),
        ("224x224x3", "3x224x224"),
        ("1x1x28x28", "1x28x28"),
        ("64x3x32x32", "3x32x32"),
        ("28x28", "1x28x28"),
        ("3x32x32", ""),
        ("16x16x16", ""),
        ("3x16x112x112", ""),
        ("22x100x1", ""),
        ("28x100", ""),
        ("784", ""),
        ("28x28 dtype=int64", ""),
    ],
)
def test_an_image_in_another_layout_gives_a_warning(shape: str, image: str) -> None:
    diagnostics = [d.help for d in check(f"input {shape}\nflatten\n").diagnostics if d.code == "W304"]
    assert diagnostics == ([f"write `input {image}` if it is an image"] if image else [])
