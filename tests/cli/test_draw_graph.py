"""`cnnc draw`: the files of the style graph, what they are drawn from, and errors whose help works."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cnnc, codes, run
from tests.paths import MODELS
from tests.view.browser import document_after_scripts, needs_browser

RESNET = MODELS / "resnet18.cnn"
STARTS = {
    "svg": b"<svg ",
    "png": b"\x89PNG",
    "html": b"<!doctype html>",
    "mmd": b"%% drawn by cnnc",
    "dot": b"// drawn by cnnc",
}


@pytest.mark.parametrize("kind", STARTS)
def test_each_kind_of_file(cnnc: Cnnc, tmp_path: Path, kind: str) -> None:
    """Is written, the same twice, and replaces an earlier one without --force."""
    if kind == "png":
        pytest.importorskip("PIL")
    path = tmp_path / f"x.{kind}"
    contents = []
    for _ in range(2):
        done = cnnc("draw", "small.cnn", "-o", path.name)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"wrote {path.name}\n", "")
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(STARTS[kind])


def test_a_file_of_another_kind_is_not_replaced(cnnc: Cnnc, tmp_path: Path) -> None:
    for suffix in STARTS:
        path = tmp_path / f"mine.{suffix}"
        path.write_text("mine")
        if suffix != "png":
            assert codes(cnnc("draw", "small.cnn", "-o", path.name).stderr) == ["E902"]
            assert path.read_text() == "mine"
            assert cnnc("draw", "small.cnn", "-o", path.name, "--force").returncode == 0


def test_without_out(cnnc: Cnnc, tmp_path: Path) -> None:
    assert cnnc("draw", "small.cnn").stdout == "wrote small.svg\n"
    assert ">conv 6 k=3 p=1 bias=false<" in (tmp_path / "small.svg").read_text()


@pytest.mark.long
def test_runs_checkpoints_and_models(trained: Path, tmp_path: Path) -> None:
    """Are drawn as their source is; a model has batch norm merged."""
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    for source in ("small.cnn", "run", "small.onnx"):
        assert run("draw", source, "-o", "x.mmd", "--force", cwd=folder).stdout == "wrote x.mmd\n"
        text = (folder / "x.mmd").read_text()
        assert "conv 6 k=3 p=" in text
        assert "softmax" in text


def test_symbols_are_drawn(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "s.cnn").write_text("net S\ninput 3xHxW\nconv 8 k=3 p=1\npool max k=2\nupsample 2\nconv 2 k=1\n")
    cnnc("draw", "s.cnn", "-o", "s.svg")
    texts = re.findall(r"<text[^>]*>([^<]*)<", (tmp_path / "s.svg").read_text())
    assert "input 3xHxW" in texts
    assert "8 x ⌊H/2⌋ x ⌊W/2⌋" in texts


def test_folded_blocks_say_how_to_unfold(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("draw", RESNET, "-o", "x.svg")
    assert done.stdout == "wrote x.svg\n"
    option = re.search(r"--depth \d+", done.stderr)
    assert option
    folded = (tmp_path / "x.svg").read_text()
    assert option[0] in folded
    assert cnnc("draw", RESNET, "-o", "y.svg", *option[0].split()).stderr == ""
    assert (tmp_path / "y.svg").read_text().count("<text") > folded.count("<text")


def test_html_holds_a_drawing_per_depth(cnnc: Cnnc, tmp_path: Path) -> None:
    """Each with names of its own, without scripts."""
    cnnc("draw", MODELS / "resnet50.cnn", "-o", "x.html")
    text = (tmp_path / "x.html").read_text()
    assert re.findall(r'id="shown\d"( checked)?> <span>([^<]*)<', text) == [
        ("", "blocks folded at depth 1"),
        (" checked", "blocks folded at depth 2"),
        ("", "all layers"),
    ]
    assert text.count("<svg ") == 3
    assert len(set(re.findall(r'class="(c[0-9a-f]{8})"', text))) == 3
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


@needs_browser
@pytest.mark.long
def test_html_in_a_browser(cnnc: Cnnc, tmp_path: Path) -> None:
    cnnc("draw", RESNET, "-o", "x.html")
    assert document_after_scripts((tmp_path / "x.html").read_text(), tmp_path).count("<svg ") == 2


def test_errors_have_help_that_works(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "bad.cnn").write_text("input 1x8x8\nconv 4 k=9\n")
    for words, code in (
        (("small.cnn", "--at", "conv1"), "E010"),
        (("small.cnn", "--image", "x.png"), "E010"),
        (("small.cnn", "-o", "x.pdf"), "E902"),
        (("small.cnn", "-o", "no/x.svg"), "E902"),
        (("small.cnn", "-o", "small.cnn"), "E902"),
        (("missing.cnn",), "E901"),
        (("bad.cnn",), "E302"),
        ((), "E010"),
    ):
        done = cnnc("draw", *words)
        assert codes(done.stderr) == [code], words
        assert "help:" in done.stderr or code == "E901"
        assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.cnn", "small.cnn"]
    assert cnnc("draw", "small.cnn", "--depth", "-1").returncode == 2


def test_names_that_are_markup(cnnc: Cnnc, tmp_path: Path) -> None:
    """A file's name can be anything; the net's name is that of the file if the source names none."""
    path = tmp_path / '<b onclick=x>&amp;".cnn'
    path.write_text("input 1x4x4\nrelu\n")
    for kind in ("svg", "html", "mmd", "dot"):
        assert cnnc("draw", path.name, "-o", f"x.{kind}").returncode == 0
        assert "<b on" not in (tmp_path / f"x.{kind}").read_text().replace('digraph "', "")
