"""What commands print on narrow terminals and in encodings without the usual characters.

In most tests the command runs in this process and believes that it prints to a terminal; two have a real one.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnc.api import progress
from cnnc.cli import console, unfold
from cnnc.diagnostics import cells
from tests.cli.conftest import Cnnc
from tests.commands import COMMAND, environment

pytestmark = pytest.mark.long

WIDTHS = (80, 60, 40)
BROKEN = """input 1x8x8
conv 8 k=3 strde=1 p=1 # a comment that makes this line longer than the terminal is wide, whatever that is
add { relu; conv 8 k=3 p=1 } { conv 9 k=3 p=1 }
nolayer
"""
NOT_SPLIT = re.compile(r"`[^`]*`|\S+")


@pytest.fixture
def files(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (tmp_path / "broken.cnn").write_text(BROKEN)
    (tmp_path / "megapixel.cnn").write_text("input 1x1000x1000\nconv 1 k=10 p=same bias=false\nrelu\nlocal 1 k=10\n")
    (tmp_path / "open.cnn").write_text("input 3xHxW\nconv 8 k=3 s=2\npool max k=2\n")
    return tmp_path


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Sets the width that commands of this process see; None is a pipe."""

    def resize(width: int | None) -> None:
        for module in (console, progress, unfold):
            monkeypatch.setattr(module, "width_of", lambda stream: width)

    return resize


PROSE = (
    "export run -o again.onnx",
    "export --passes",
    "info small.onnx",
    "explain E010",
    "explain",
    "ops",
    "ops conv",
    "ops pool",
    "train --resume run",
    "train small.cnn --epochs 3",
    "eval small.onnx",
    "import small.onnx -o back.cnn --force",
)
TABLES = (
    "check small.cnn",
    "check small.cnn --versus-dense",
    "check megapixel.cnn --versus-dense",
    "check open.cnn",
    "export run -o again.onnx --report",
    "where small.onnx",
    "eval run",
)


@pytest.mark.parametrize(
    "words", [*PROSE, *TABLES, "check broken.cnn", "where small.onnx conv1", "check small.cnn --explain"]
)
def test_lines_fit_the_terminal(cnnc: Cnnc, files: Path, terminal: Callable[[int | None], None], words: str) -> None:
    for width in WIDTHS:
        terminal(width)
        done = cnnc(*words.split())
        for line in f"{done.stdout}{done.stderr}".splitlines():
            alone = NOT_SPLIT.fullmatch(line.strip())  # a word that is longer than a line
            assert cells(line) <= width or alone, line


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["name", "output", "params", "fc weights", "local", "shared", "saved"]),
        (60, ["name", "output", "params", "local"]),
        (40, ["name", "output", "params"]),
    ],
)
def test_weights_are_compared_at_every_width_that_has_room(
    cnnc: Cnnc, files: Path, terminal: Callable[[int | None], None], width: int, columns: list[str]
) -> None:
    terminal(width)
    table = cnnc("check", "megapixel.cnn", "--versus-dense").stdout.splitlines()
    assert re.split(r"\s{2,}", table[0]) == columns
    if width == 80:
        assert re.split(r"\s{2,}", table[3])[3:6] == ["1,000,000,000,000", "100,000,000", "100"]


@pytest.mark.parametrize("words", PROSE)
def test_words_are_not_broken_and_none_is_lost(
    cnnc: Cnnc, files: Path, terminal: Callable[[int | None], None], words: str
) -> None:
    terminal(None)
    whole = cnnc(*words.split())
    for width in WIDTHS:
        terminal(width)
        done = cnnc(*words.split())
        assert done.returncode == whole.returncode
        assert (done.stdout.split(), done.stderr.split()) == (whole.stdout.split(), whole.stderr.split())


def test_name_output_and_params_stay_longest(cnnc: Cnnc, files: Path, terminal: Callable[[int | None], None]) -> None:
    heads = {}
    (files / "long.cnn").write_text("input 3x224x224\nlongname: conv 64 k=7 s=2 p=3 bias=false\nfc 1000\n")
    for width in (None, 80, 70, 60, 50, 40, 30):
        terminal(width)
        heads[width] = cnnc("check", "long.cnn").stdout.splitlines()[0].split()
    assert heads == {
        None: ["name", "layer", "output", "params", "share", "MACs", "field"],
        80: ["name", "layer", "output", "params", "MACs", "field"],
        70: ["name", "layer", "output", "params", "MACs"],
        60: ["name", "layer", "output", "params"],
        50: ["name", "layer", "output", "params"],
        40: ["name", "output", "params"],
        30: ["name", "output", "params"],
    }


@pytest.mark.parametrize(
    "words", ["check small.cnn --json", "check small.cnn --csv", "info small.onnx --source", "ops --markdown"]
)
def test_output_for_programs_is_the_same_on_a_terminal(
    cnnc: Cnnc, files: Path, terminal: Callable[[int | None], None], words: str
) -> None:
    terminal(None)
    expected = cnnc(*words.split()).stdout
    terminal(40)
    assert cnnc(*words.split()).stdout == expected


MANY = """input 1x4x4
conv 2 k=1
train { data npz "maps.npz"; epochs 12; batch 8; metric iou; metric accuracy; metric top5; optimizer adam }
"""


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (160, "epoch loss accuracy val-loss val-iou val-accuracy val-top5 speed"),
        (110, "epoch loss val-loss val-iou val-accuracy val-top5"),
        (80, "epoch loss val-loss val-iou"),
        (None, "epoch loss val-loss val-iou"),
        (50, "epoch loss val-iou"),
        (40, "epoch val-iou"),
    ],
)
def test_an_epoch_is_one_line(
    cnnc: Cnnc, tmp_path: Path, terminal: Callable[[int | None], None], width: int | None, shown: str
) -> None:
    """However many metrics there are; a pipe has 80 columns."""
    x = np.random.default_rng(0).random((200, 1, 4, 4), np.float32)
    np.savez(tmp_path / "maps.npz", x=x, y=(x[:, 0] > 0.5).astype(np.uint8))
    (tmp_path / "many.cnn").write_text(MANY)
    terminal(width)
    lines = [line for line in cnnc("train", "many.cnn").stderr.splitlines() if line.startswith("epoch")]
    assert len(lines) == 12
    for line in lines:
        assert len(line) <= (width or 80)
        named = re.sub(r"[\d,]+ images/s", "speed", line.replace("val ", "val-").replace("epoch  ", "epoch "))
        assert [part.split()[0] for part in re.split(r"\s{2,}", named) if part != "best"] == shown.split()
    assert any(line.endswith("  best") for line in lines)


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_meaning_survives_an_encoding_that_lacks_characters(cnnc: Cnnc, files: Path, encoding: str) -> None:
    def text(*words: str) -> str:
        done = cnnc(*words, env={"PYTHONIOENCODING": encoding})
        return f"{done.stdout}{done.stderr}"

    assert "legal sizes: H >= 5; W >= 5" in text("check", "open.cnn")
    assert "the nearest legal size is H=5 (H >= 5)" in text("check", "open.cnn", "--at", "H=2,W=9"), "on stderr as well"
    assert "8 x floor((H-1)/2) x floor((W-1)/2)" in text("check", "open.cnn")
    if encoding == "ascii":
        assert "MACs = 6*8*8*(1*3*3) = 3,456" in text("check", "small.cnn", "--explain")
        assert "x/(bias + alpha/size*sum x^2)^beta" in text("ops", "lrn")
        assert "input 1\\xd78\\xd78" in text("explain", "E005"), "the broken example differs from the fixed one"
    for words in (("ops",), ("ops", "pool"), ("explain", "E301"), ("export", "--passes"), ("info", "small.onnx")):
        assert "?" not in text(*words), words


needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def on_a_terminal(folder: Path, width: int, *words: str, **variables: str) -> str:
    """What `cnnc WORDS` prints on a terminal of this width, without colours."""
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environ = environment(TERM="xterm", NO_COLOR="1", **variables)
    with subprocess.Popen([*COMMAND, *words], cwd=folder, env=environ, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # the terminal closes with its last user
            pass
        os.close(ours)
        assert process.wait(60) == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()).replace("\r\n", "\n")


@needs_terminal
@pytest.mark.long
def test_a_real_terminal(files: Path) -> None:
    table = on_a_terminal(files, 40, "check", "small.cnn")
    assert max(map(cells, table.splitlines())) <= 40
    assert table.splitlines()[0].split() == ["name", "layer", "output", "params"]
    assert "conv 6 k=3 p=…" in table
    plain = on_a_terminal(files, 40, "check", "small.cnn", PYTHONIOENCODING="ascii")
    assert "conv 6 k=3 ..." in plain
    assert max(map(len, plain.splitlines())) <= 40
    assert on_a_terminal(files, 40, "check", "small.cnn", COLUMNS="100").splitlines()[0].split()[-1] == "field"


@needs_terminal
@pytest.mark.long
@pytest.mark.parametrize("width", WIDTHS)
def test_the_progress_bar_fits_a_real_terminal(files: Path, width: int) -> None:
    text = on_a_terminal(files, width, "train", "small.cnn", "--set", "train.epochs=12")
    lines = [line for part in text.splitlines() for line in part.split("\r")]
    again = on_a_terminal(files, width, "train", "--resume", "runs/small")
    assert "nothing to train" in " ".join(again.split())
    assert "epoch 13" not in again, "there is no progress to show"
    assert all(cells(line) <= width for line in lines), [line for line in lines if cells(line) > width]
    assert len([line for line in lines if re.match(r"epoch +\d+/12  loss .*|epoch +\d+/12  val accuracy", line)]) >= 12
