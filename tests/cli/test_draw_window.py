"""`cnnc draw`: moving windows, coverage, activation functions and receptive fields; bad input ends in help that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import run

NET = "net Small\ninput 1x8x8\nconv 2 k=3\nrelu\npool max k=2\nconv 2 k=2\nflatten\nfc 3\nsoftmax\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.cnn").write_text(NET)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("--slide", "k=3 s=2 p=1 d=1", "5x5"),
        ("--slide", "maxpool k=2 s=2", "4x6"),
        ("--slide", "conv_transpose k=3 s=2 p=1", "3x3"),
        ("--slide", "conv k=3 p=[1,0]", "7"),
        ("--slide", "k=3 s=2", "--coverage", "6x6"),
        ("--activations",),
        ("net.cnn", "--activations"),
        ("net.cnn", "--coverage", "--at", "conv1"),
        ("net.cnn", "--style", "field", "--at", "conv1:1,1"),
        ("net.cnn", "--style", "field", "--at", "fc1"),
    ],
)
@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_pictures_are_written(folder: Path, words: tuple[str, ...], suffix: str) -> None:
    done = run("draw", *words, "-o", f"x.{suffix}", cwd=folder)
    assert (done.returncode, done.stdout) == (0, f"wrote x.{suffix}\n")
    text = (folder / f"x.{suffix}").read_text()
    assert set(re.findall(r"https?://[^\"' )<]+", text)) <= {"http://www.w3.org/2000/svg"}
    if suffix == "svg":
        assert "<script" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--slide", "kov k=3", "5x5"), "`kov` is not a layer with a window"),
        (("--slide", "k=3", "50x50"), "2,304 positions"),
        (("--slide", "k=9", "5x5"), "does not fit"),
        (("--slide", "k=3", "five"), "takes the size of an input"),
        (("--slide", "k=3", "3x5x5"), "one channel"),
        (("--slide", "k=3", "0x5"), "sizes are 1 to"),
        (("--slide", "conv 8 k=3", "5x5"), "one output channel"),
        (("--slide", "k=3; relu", "5x5"), "one layer"),
        (("--slide", "k=3 q=1", "5x5"), "no argument `q`"),
        (("--slide", "k=3", "5x5", "--at", "x"), "--at does not go with --slide"),
        (("net.cnn", "--coverage"), "needs a layer"),
        (("net.cnn", "--coverage", "--at", "conv9"), "no layer is named"),
        (("net.cnn", "--coverage", "--at", "conv1:0,0"), "counts all positions"),
        (("net.cnn", "--style", "field"), "needs a layer"),
        (("net.cnn", "--style", "field", "--at", "conv1:9,9"), "has no position"),
        (("net.cnn", "--style", "field", "--at", "conv1:a"), "is not a position"),
        (("net.cnn", "--style", "field", "--at", "input1"), "is an input"),
        (("net.cnn", "--style", "field", "--at", "conv1", "--image", "none.png"), "none.png"),
    ],
)
def test_bad_input_is_one_error(folder: Path, words: tuple[str, ...], message: str) -> None:
    done = run("draw", *words, "-o", "x.svg", cwd=folder)
    assert done.returncode in (2, 3, 6)
    assert message in done.stderr
    assert done.stderr.count("error[") == 1
    assert not (folder / "x.svg").exists()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--slide", "k=3", "50x50"), marks=pytest.mark.long),
        ("--slide", "k=3 p=1", "4000x2"),
        ("net.cnn", "--coverage"),
        ("net.cnn", "--style", "field"),
    ],
)
def test_the_command_in_the_help_works(folder: Path, words: tuple[str, ...]) -> None:
    help = run("draw", *words, cwd=folder).stderr
    command = re.search(r"`cnnc (draw [^`]*)`", help)
    assert command
    assert run(*shlex.split(command[1]), cwd=folder).returncode == 0


def test_the_field_of_a_text_begins_at_the_embedded_words(folder: Path) -> None:
    (folder / "words.cnn").write_text("input 12 dtype=int64\nembed 4 vocab=100\nconv 3 k=3\nconv 3 k=3 d=2\n")
    done = run("draw", "words.cnn", "--style", "field", "--at", "conv2:2", "-o", "x.svg", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The field is 7: elements 2 to 8." in (folder / "x.svg").read_text()


def test_a_network_in_three_dimensions_says_so_once(folder: Path) -> None:
    (folder / "video.cnn").write_text("input 1x4x8x8\nconv 2 k=3\n")
    done = run("draw", "video.cnn", "--coverage", "-o", "x.svg", cwd=folder)
    assert done.returncode == 2
    assert "one or two axes" in done.stderr
