"""`cnnc draw --style volumes` and `--style edges`: what they write, and errors whose help works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Cnnc, codes
from tests.paths import MODELS

LINE = "net Line\ninput 1x6\nconv 1 k=3 p=1\nrelu\nfc 2\n"


@pytest.fixture
def line(tmp_path: Path) -> str:
    """The name of a small 1-D network in the folder."""
    (tmp_path / "line.cnn").write_text(LINE)
    return "line.cnn"


@pytest.mark.parametrize("style", ["volumes", "edges"])
def test_title_and_description(cnnc: Cnnc, tmp_path: Path, line: str, style: str) -> None:
    assert cnnc("draw", line, "--style", style, "-o", "x.svg").stdout == "wrote x.svg\n"
    svg = (tmp_path / "x.svg").read_text()
    assert re.search(r"<title[^>]*>Line</title>", svg)
    shown = {"volumes": "3 volumes, from 1@6 to 2", "edges": "20 units and 34 edges"}[style]
    assert re.search(rf"<desc[^>]*>{shown}</desc>", svg)


def test_symbolic_sizes(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "s.cnn").write_text("net S\ninput 3xHxW\nconv 8 k=3 p=1\npool max k=2\n")
    assert cnnc("draw", "s.cnn", "--style", "volumes").returncode == 0
    texts = re.findall(r"<text[^>]*>([^<]*)<", (tmp_path / "s.svg").read_text())
    assert "3@HxW" in texts
    assert "sizes with symbols are drawn at one of their values" in texts


def test_folded_blocks_are_named(cnnc: Cnnc, tmp_path: Path) -> None:
    source = "net F\nblock b { conv 4 k=3 p=1; relu }\ninput 4x8x8\n" + "b\n" * 50
    (tmp_path / "f.cnn").write_text(source)
    done = cnnc("draw", "f.cnn", "--style", "volumes")
    assert "--depth 0 draws every layer" in done.stderr + (tmp_path / "f.svg").read_text()
    done = cnnc("draw", "f.cnn", "--style", "volumes", "--depth", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "folded" not in (tmp_path / "f.svg").read_text()


def test_a_unit_is_marked(cnnc: Cnnc, tmp_path: Path, line: str) -> None:
    assert cnnc("draw", line, "--style", "edges", "--at", "conv1:2").returncode == 0
    assert "diamond: unit 2 of conv1" in (tmp_path / "line.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "corrected"),
    [
        (["--style", "volumes", "--at", "conv1"], ["--style", "volumes"]),
        (["--style", "volumes", "--image", "x.png"], ["--style", "volumes"]),
        (["--style", "edges", "--image", "x.png"], ["--style", "edges"]),
        (["--style", "edges", "--depth", "1"], ["--style", "edges"]),
    ],
)
def test_options_of_other_styles(cnnc: Cnnc, line: str, arguments: list[str], corrected: list[str]) -> None:
    done = cnnc("draw", line, *arguments)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert f"leave {arguments[2]} out" in done.stderr
    assert cnnc("draw", line, *corrected).returncode == 0


def test_a_very_wide_drawing_says_how_wide_it_is(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "u.cnn").write_text((MODELS / "unet.cnn").read_text())
    done = cnnc("draw", "u.cnn", "--style", "volumes", "--depth", "0", "-o", "wide.svg")
    width = float(re.findall(r' width="([0-9.]+)"', (tmp_path / "wide.svg").read_text())[0])
    assert f"the drawing is {width:,.0f} pixels wide; without --depth, blocks are folded" in done.stderr
    assert "pixels wide" not in cnnc("draw", "u.cnn", "--style", "volumes", "-o", "folded.svg").stderr
    folded = float(re.findall(r' width="([0-9.]+)"', (tmp_path / "folded.svg").read_text())[0])
    assert folded < width / 2


@pytest.mark.parametrize("at", ["conv:2", "conv1", "conv1:6", "conv1:-1", "conv1:x", "conv1:0,1", "nothing", "conv1:²"])
def test_a_unit_that_does_not_exist(cnnc: Cnnc, line: str, at: str) -> None:
    done = cnnc("draw", line, "--style", "edges", "--at", at)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    helped = re.search(r"`cnnc ([^`]*)`", done.stderr)
    assert helped
    assert cnnc(*shlex.split(helped[1])).returncode == 0


@pytest.mark.parametrize("layers", ["input 1x4x4\nrelu\n", "input 1x50\nfc 2\n", "input 1x40\nfc 40\nfc 40\n"])
def test_networks_without_drawable_units(cnnc: Cnnc, tmp_path: Path, layers: str) -> None:
    (tmp_path / "n.cnn").write_text(f"net N\n{layers}")
    done = cnnc("draw", "n.cnn", "--style", "edges")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert "`cnnc draw n.cnn --style volumes`" in done.stderr
    assert cnnc("draw", "n.cnn", "--style", "volumes").returncode == 0
