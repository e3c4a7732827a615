"""The canonical layout: examples, that it keeps the meaning, and the command `cnnc fmt`."""

from __future__ import annotations

import io
import re
from pathlib import Path
from random import Random

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnc.cli.format import fmt
from cnnc.diagnostics import CnncError, Source
from cnnc.language.format import WIDTH, format_text
from tests.language.programs import MODELS, comments, program, tree

# --- properties --------------------------------------------------------------------------------------------


def formatted(text: str) -> str:
    return format_text(Source("<test>", text))


def assert_properties(text: str) -> None:
    """Properties of the layout of every source."""
    result = formatted(text)
    assert tree(result) == tree(text)
    assert formatted(result) == result
    assert comments(result) == comments(text)
    assert result == "" or result.endswith("\n")
    assert "\r" not in result
    assert "\ufeff" not in result
    assert not result.startswith("\n")
    assert "\n\n\n" not in result
    assert not result.endswith("\n\n")
    assert not re.search(r"[ \t]\n", result)
    assert not re.search(r"\{\n\n", result)
    assert not re.search(r"\n\n *\}", result)


@pytest.mark.long
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_random_programs(random: Random) -> None:
    assert_properties(program(random))


@pytest.mark.long
def test_more_random_programs() -> None:
    """Larger programs than hypothesis chooses."""
    for seed in range(200):
        assert_properties(program(Random(seed)))


@pytest.mark.slow
def test_5_000_random_programs() -> None:
    for seed in range(200, 5_200):
        assert_properties(program(Random(seed)))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_models_are_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert_properties(text)
    assert formatted(text) == text


# --- examples ----------------------------------------------------------------------------------------------

LONG = (
    "concat { conv 64 k=1; relu } { conv 96 k=1; relu; conv 128 k=3 p=1; relu } { pool max k=3 s=1 p=1; conv 32 k=1 }"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("\n \n;;\n", ""),
        ("\ufeffrelu", "relu\n"),
        ("relu\r\n\r\n\r\n\r\nbn\r\n", "relu\n\nbn\n"),
        ("\n\n# first\n\n\n# second\nrelu\n\n", "# first\n\n# second\nrelu\n"),
        ("; relu ;; bn ;", "relu; bn\n"),
        ("conv   64\tk = 3  p= 1", "conv 64 k=3 p=1\n"),
        ("e1 :conv 64", "e1: conv 64\n"),
        ("conv 64 kernel= 3x3  stride  =2", "conv 64 kernel=3x3 stride=2\n"),
        ("fc 007 1e2 .5 64k 1. 256KiB", "fc 007 1e2 .5 64k 1. 256KiB\n"),
        ('net "a  \\u00e9 # b"', 'net "a  \\u00e9 # b"\n'),
        # minus
        ("clip 0 -1", "clip 0 -1\n"),
        ("clip n - 1", "clip n-1\n"),
        ("clip n -1", "clip n -1\n"),
        ("clip n- 1", "clip n-1\n"),
        ("clip a - -1 - -b", "clip a--1--b\n"),
        ("clip k=- 1", "clip k=-1\n"),
        ("clip (n -1)", "clip (n - 1)\n"),
        ("clip -(n-1) -min(- 1,-n)", "clip -(n - 1) -min(-1, -n)\n"),
        ("clip (1) (2)(3)[4]", "clip (1) (2) (3) [4]\n"),
        # arithmetic
        ("let x=3- 2*( n-1 )", "let x = 3 - 2*(n - 1)\n"),
        ("conv n *2 k=[n+1,n  //2 , 2 ** - 1]", "conv n*2 k=[n + 1, n//2, 2**-1]\n"),
        ("conv ((n))", "conv ((n))\n"),
        ("conv min (3)", "conv min (3)\n"),
        ("expect [512,H / 16,W/16 , ]", "expect [512, H/16, W/16,]\n"),
        # lists on several lines
        ("filter [[1,0],\n [2,0]]", "filter [[1, 0],\n        [2, 0]]\n"),
        ("filter [\n[1,0],\n\n[2,0],\n]", "filter [\n  [1, 0],\n  [2, 0],\n]\n"),
        ("select [ # why\n1,# one\n# two\n2]", "select [  # why\n  1,      # one\n  # two\n  2]\n"),
        # bodies
        ("block f{relu}", "block f { relu }\n"),
        ("block f (w , b = n-1){relu}", "block f(w, b=n-1) { relu }\n"),
        ("block max (w) {relu}", "block max (w) { relu }\n"),
        ("train{}", "train { }\n"),
        ("train{\n\n}", "train { }\n"),
        ("train{;\n# c\n}", "train {\n  # c\n}\n"),
        ("train { # c\n\n\nseed 1\n\n\n}", "train {  # c\n  seed 1\n}\n"),
        ("repeat 2 {\nrepeat 3 as i { relu; bn }\n}", "repeat 2 {\n  repeat 3 as i { relu; bn }\n}\n"),
        ("repeat 2 { relu\nbn }", "repeat 2 {\n  relu\n  bn\n}\n"),
        ("add {relu} {\nbn\n}\n{ }", "add { relu } {\n  bn\n} { }\n"),
        ("add {relu}\n\n{bn}", "add { relu } { bn }\n"),
        ("add {relu} # one\n# two\n{bn} # three", "add { relu }  # one\n# two\n{ bn }  # three\n"),
        ("relu; add {\nbn\n}; relu # c", "relu; add {\n  bn\n}; relu  # c\n"),
        (
            LONG,
            "concat {\n  conv 64 k=1; relu\n} {\n  conv 96 k=1; relu; conv 128 k=3 p=1; relu\n} {\n"
            "  pool max k=3 s=1 p=1; conv 32 k=1\n}\n",
        ),
        ("mul {} { " + "relu; " * 20 + "bn }", "mul { } {\n  " + "relu; " * 20 + "bn\n}\n"),
        ("repeat 2 {\n" + "relu; " * 20 + "bn\n}", "repeat 2 {\n  " + "relu; " * 20 + "bn\n}\n"),
        (LONG + "  # allow W301", LONG + "  # allow W301\n"),
        # comments in one column, but for those that would become too long
        ("conv 64 # a\nrelu# b\n\nbn # c", "conv 64  # a\nrelu     # b\n\nbn  # c\n"),
        ("conv 64 # a\nbn\nrelu # b", "conv 64  # a\nbn\nrelu  # b\n"),
        (f"conv {'n' * 60} # {'a' * 20}\nrelu # {'b' * 60}", f"conv {'n' * 60}  # {'a' * 20}\nrelu  # {'b' * 60}\n"),
    ],
)
def test_layout(text: str, expected: str) -> None:
    assert formatted(text) == expected
    assert_properties(text)


def test_a_body_on_one_line_may_fill_the_line() -> None:
    fits = "repeat 2 { fc " + "n" * (WIDTH - len("repeat 2 { fc  }")) + " }"
    assert formatted(fits) == fits + "\n"
    assert formatted(fits + " # and a comment") == fits + "  # and a comment\n"
    assert formatted(fits.replace("fc", "fcc")).count("\n") == 3


def test_the_deepest_bodies_are_formatted() -> None:
    text = "add { relu; " * 39 + "bn" + " }" * 39
    assert_properties(text)


def test_lines_are_not_aligned_with_brackets_far_to_the_right() -> None:
    name = "n" * 60
    assert formatted(f"filter {name} [1,\n2]") == f"filter {name} [1,\n  2]\n"


ROW = "[" + ", ".join(["0.5"] * 8) + "]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"conv 1 k=8 weights=[{ROW},{ROW} , {ROW}] biases=[1,2]  # kernel",
            f"conv 1 k=8 weights=[{ROW},\n{' ' * 20}{ROW},\n{' ' * 20}{ROW}] biases=[1, 2]  # kernel\n",
        ),
        (
            f"let k = [[{ROW}, {ROW}], [{ROW}, {ROW}]]",
            f"let k = [[{ROW},\n{' ' * 10}{ROW}],\n{' ' * 9}[{ROW},\n{' ' * 10}{ROW}]]\n",
        ),
        (
            f"add {{ conv 1 k=8 weights=[{ROW}, {ROW}, {ROW}]; relu }} {{ }}",
            f"add {{\n  conv 1 k=8 weights=[{ROW},\n{' ' * 22}{ROW},\n{' ' * 22}{ROW}]; relu\n}} {{ }}\n",
        ),
        ("conv 1 k=2 weights=[[1, 2], [3, 4]]", "conv 1 k=2 weights=[[1, 2], [3, 4]]\n"),
        (f"fc 2 weights=[{ROW}, {ROW},\n{ROW}]", f"fc 2 weights=[{ROW}, {ROW},\n{' ' * 14}{ROW}]\n"),
        (f"f [{ROW}, {ROW}, {ROW}] # allow W302", f"f [{ROW}, {ROW}, {ROW}]  # allow W302\n"),
    ],
)
def test_lists_of_lists_that_are_too_wide_get_one_row_each(text: str, expected: str) -> None:
    assert formatted(text) == expected
    assert_properties(text)


@pytest.mark.long
def test_rows_of_thousands_of_numbers_stay_rows() -> None:
    rows = [", ".join(f"{i * 784 + j}.5e-3" for j in range(784)) for i in range(4)]
    text = f"input 1x28x28\nfc 4 weights=[{', '.join(f'[{row}]' for row in rows)}]\n"
    assert [line.strip() for line in formatted(text).splitlines()[2:-1]] == [f"[{row}]," for row in rows[1:-1]]
    assert_properties(text)


@pytest.mark.long
def test_source_that_indents_would_make_too_long_is_rejected() -> None:
    """Otherwise the result could not be parsed."""
    with pytest.raises(CnncError, match="too long"):
        formatted("add {\n" * 39 + "a\n" * 20_000 + "}\n" * 39)


def test_all_syntax_errors_are_raised() -> None:
    with pytest.raises(CnncError) as caught:
        formatted("conv k=\nrelu\nconv 3x5n\n")
    assert [d.code for d in caught.value.diagnostics] == ["E002", "E004"]


# --- cnnc fmt ----------------------------------------------------------------------------------------------


def run(*files: Path | str, check: bool = False, diff: bool = False) -> int:
    with pytest.raises(typer.Exit) as left:
        fmt([str(f) for f in files], check=check, diff=diff)
    return left.value.exit_code


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    path = tmp_path / "ugly.cnn"
    path.write_bytes(b"\xef\xbb\xbfconv   64\r\nrelu")
    return path


def test_rewrites_in_place(ugly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ugly) == 0
    assert ugly.read_bytes() == b"conv 64\nrelu\n"
    assert capsys.readouterr() == ("", f"formatted {ugly}\n")
    assert run(ugly) == 0
    assert capsys.readouterr() == ("", "")


def test_a_formatted_file_is_not_written(ugly: Path) -> None:
    run(ugly)
    before = ugly.stat()
    run(ugly)
    assert (ugly.stat().st_ino, ugly.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_check(ugly: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.cnn"
    good.write_text("relu\n")
    before = ugly.read_bytes()
    assert run(good, ugly, check=True) == 1
    assert capsys.readouterr() == (f"{ugly}\n", "")
    assert ugly.read_bytes() == before
    assert run(good, check=True) == 0
    assert capsys.readouterr() == ("", "")


def test_diff(ugly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = ugly.read_bytes()
    assert run(ugly, diff=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"--- {ugly}", f"+++ {ugly} (formatted)"]
    assert lines[3:] == ["-\ufeffconv   64", "-relu", "\\ No newline at end of file", "+conv 64", "+relu"]
    assert run(ugly, diff=True, check=True) == 1
    assert ugly.read_bytes() == before


def test_syntax_errors_leave_the_file(tmp_path: Path, ugly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.cnn"
    bad.write_text("conv   k=\nrelu )\n")
    assert run(bad, ugly, tmp_path / "none.cnn") == 6
    error = capsys.readouterr().err
    assert "error[E002]" in error
    assert "error[E006]" in error
    assert "error[E901]" in error
    assert bad.read_text() == "conv   k=\nrelu )\n"
    assert ugly.read_bytes() == b"conv 64\nrelu\n"
    assert run(bad) == 1


def test_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.cnn"
    path.write_bytes(b"relu\n# \xff\n")
    assert run(path) == 1
    assert f"{path}:2: the file is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "check", "status", "out"),
    [
        (b"conv   64\r\n", False, 0, "conv 64\n"),
        (b"", False, 0, ""),
        (b"conv   64\n", True, 1, "<stdin>\n"),
        (b"conv 64\n", True, 0, ""),
        (b"conv k=\n", False, 1, ""),
    ],
)
def test_stdin(
    given: bytes,
    check: bool,
    status: int,
    out: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert run("-", check=check) == status
    assert capsys.readouterr().out == out
