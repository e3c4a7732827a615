"""Signals and terminals: Ctrl-C saves and prints the command that resumes; progress bar and colours on a terminal."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.training import checkpoint as checkpoints
from tests.cli.conftest import SMALL, run
from tests.commands import COMMAND, environment

pytestmark = pytest.mark.long

EPOCHS = ("--set", "train.epochs=60")
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these signals")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.cnn").write_text(SMALL)
    return tmp_path


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Starts a training and returns after its first epoch."""
    command = [*COMMAND, "train", *words]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch "):
            return process
    raise AssertionError("no epoch")


def command_in(text: str) -> list[str]:
    """The words of the resume command that a stopped training prints."""
    (line,) = [line.strip() for line in text.splitlines() if line.strip().startswith("cnnc train --resume")]
    return shlex.split(line)[1:]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was not stopped."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "small.cnn").write_text(SMALL)
    assert run("train", "small.cnn", "--run", "whole", *EPOCHS, cwd=folder).returncode == 0
    return folder / "whole"


@needs_signals
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_stopped_with_a_command_that_resumes(
    folder: Path, uninterrupted: Path, number: signal.Signals, status: int
) -> None:
    name = "my run"  # a name that a shell would take for two
    process = started(folder, "small.cnn", "--run", name, "--export", "out.onnx", *EPOCHS)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert out == ""
    assert "Traceback" not in err
    assert "last.safetensors is saved" in err
    done = run(*command_in(err), cwd=folder)
    assert done.returncode == 0
    assert "resuming at epoch" in done.stderr
    assert (folder / "out.onnx").exists()
    for file in ("last.safetensors", "best.safetensors"):
        assert (folder / name / file).read_bytes() == (uninterrupted / file).read_bytes()


@needs_signals
@pytest.mark.parametrize("pause", [0.0, 0.005, 0.05])
def test_stopped_twice(folder: Path, pause: float) -> None:
    process = started(folder, "small.cnn", "--run", "run", "--set", "train.epochs=5000")
    process.send_signal(signal.SIGINT)
    try:
        process.wait(pause)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)
    assert command_in(err) == ["train", "--resume", "run"]
    checkpoints.load(folder / "run" / "last.safetensors")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the terminal closes with its last user
        return b""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_progress_bar_on_a_terminal(folder: Path) -> None:
    master, slave = os.openpty()
    environ = environment(TERM="xterm-256color", COLUMNS="100")
    command = [*COMMAND, "train", "small.cnn", "--set", "train.epochs=12"]
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=slave) as process:
        os.close(slave)
        seen = b""
        while chunk := _read(master):
            seen += chunk
        os.close(master)
        assert process.stdout is not None
        assert process.stdout.read().startswith(b"test accuracy ")
        assert process.wait(60) == 0
    text = seen.decode()
    assert "\x1b[" in text
    live = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"epoch \d+/12 .*%  loss \d+\.\d+  [\d,]+ images/s \d+:\d\d:\d\d", live), "rate and time left"
    for epoch in range(1, 13):
        assert re.search(rf"epoch +{epoch}/12  loss .*val accuracy", live)
    assert text.rstrip("\r\n").rfind("\x1b[?25h") >= 0, "the cursor is shown again"


def test_plain_lines_in_a_pipe(folder: Path) -> None:
    done = run("train", "small.cnn", "--set", "train.epochs=3", cwd=folder)
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stderr
    words = [line.split()[0] for line in done.stderr.splitlines()]
    assert words[:4] == ["Small:", "epoch", "epoch", "epoch"]
    assert set(words[4:]) <= {"next:"}


def test_errors_with_source_lines_in_colour_say_what_they_say_without(folder: Path) -> None:
    """The excerpt has more roles than the message: positions, notes and help."""
    (folder / "wrong.cnn").write_text("input 4\nfc 3 k=3\nfc 3\nadd nowhere\n")
    (folder / "twice.cnn").write_text("input 4\nblock b { fc 3 }\nblock b { fc 3 }\nb\n")
    for name in ("wrong.cnn", "twice.cnn"):
        coloured = run("check", name, cwd=folder, env={"FORCE_COLOR": "1"}).stderr
        assert "\x1b[2;34m-->\x1b[0m" in coloured
        assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == run("check", name, cwd=folder).stderr


def test_colour_only_if_requested(folder: Path) -> None:
    assert "\x1b[1;31m" in run("check", "nowhere.cnn", cwd=folder, env={"FORCE_COLOR": "1"}).stderr
    assert "\x1b" not in run("check", "nowhere.cnn", cwd=folder, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stderr
    assert "\x1b" not in run("check", "nowhere.cnn", cwd=folder).stderr


BLOCK = "block b(k) {\n  conv 4 k=k\n}\n"
IN_COLOUR = {
    "errors": ('include "block.cnn"\ninput 1x8x8\nb(9)\nconv 4 k=3 p=1 k=3\n', {"1;31", "34", "2;34", "1;36"}),
    "warnings": ("input 1x8x8\nconv 4 k=3\nconv 4 k=3\n", {"1;33", "34", "2;34", "1;36"}),
}


@pytest.mark.parametrize("name", IN_COLOUR)
def test_a_diagnostic_in_colour_says_the_same(folder: Path, name: str) -> None:
    source, styles = IN_COLOUR[name]
    (folder / "block.cnn").write_text(BLOCK)
    (folder / "net.cnn").write_text(source)
    plain = run("check", "net.cnn", cwd=folder)
    coloured = run("check", "net.cnn", cwd=folder, env={"FORCE_COLOR": "1"})
    assert coloured.returncode == plain.returncode == (name == "errors")
    assert set(re.findall(r"\x1b\[([0-9;]+)m", coloured.stderr)) == styles | {"0"}
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.stderr) == plain.stderr
