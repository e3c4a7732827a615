"""Each command in a process of its own, as a user starts it: the other tests run most commands in the process of the test.

A module that a command forgets to import is missed here, and so is a difference between the two ways to run it.
"""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from cnnc.cli.app import COMMANDS
from tests.cli.conftest import run
from tests.commands import environment, run_in_process

pytestmark = pytest.mark.long

WORDS: dict[str, tuple[str, ...]] = {
    "check": ("small.cnn", "bad.cnn", "--explain"),
    "train": ("small.cnn", "--run", "new", "--set", "train.epochs=1", "--export", "new.onnx"),
    "export": ("run", "-o", "x.onnx", "--report"),
    "import": ("small.onnx", "-o", "imported.cnn"),
    "predict": ("small.onnx", "digits.npy"),
    "eval": ("run",),
    "info": ("small.onnx",),
    "where": ("small.onnx",),
    "bench": ("small.onnx", "--seconds", "0.01"),
    "unfold": ("run", "conv1", "digits.npy", "--html", "conv1.html"),
    "fmt": ("small.cnn", "--check"),
    "new": ("mine",),
    "draw": ("small.cnn", "-o", "small.html"),
    "inspect": ("run", "--example", "0", "-o", "x.html", "--files", "drawings"),
    "curves": ("run", "-o", "picture.svg"),
    "data": ("small.cnn",),
    "demo": ("small.onnx", "--runtime", "missing"),
    "filter": ("digit.png", "sobel_x"),
    "ops": ("conv",),
    "lsp": ("--syntax", "vim"),
    "explain": ("E301",),
    "doctor": (),
    "man": (),
}


def test_all_commands_are_run() -> None:
    assert list(WORDS) == list(COMMANDS)


STATUSES = {"check": 1, "demo": 6}
"""The exit statuses that are not 0."""


def inputs_of(command: str, trained: Path, folder: Path) -> Path:
    """A folder with what the command reads."""
    shutil.copytree(trained, folder)
    (folder / "bad.cnn").write_text("input 1x8x8\nconv 4 k=9\n")
    np.save(folder / "digits.npy", np.random.default_rng(0).random((3, 1, 8, 8), np.float32))
    if command == "filter":
        pytest.importorskip("PIL.Image").fromarray(np.eye(8, dtype=np.uint8) * 255).save(folder / "digit.png")
    return folder


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process can neither connect, nor listen, nor ask for the address of a host."""

    def refuse(*args: object) -> None:
        raise AssertionError(f"a connection was asked for: {args}")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.mark.parametrize("command", WORDS)
def test_a_process_says_what_a_test_sees(command: str, trained: Path, tmp_path: Path, no_connections: None) -> None:
    """Up to the numbers of what is measured, times and rates; and the test's process opens no connection."""
    told = []
    for place in ("process", "here"):
        folder = inputs_of(command, trained, tmp_path / place)
        words = (command, *WORDS[command])
        done = (
            run_in_process(words, folder, environment())
            if place == "here"
            else run(*words, cwd=folder, new_process=True)
        )
        text = f"{done.stdout}\n---\n{done.stderr}"
        if command in ("train", "bench"):
            text = re.sub(r"\d[\d,.:]* *(s|ms|us|MB|GB|MiB|images/s)?\b", "0", text)
        files = {p.relative_to(folder) for p in folder.rglob("*")}
        told.append((done.returncode, text.splitlines(), sorted(files)))
    assert told[0] == told[1]
    assert told[0][0] == STATUSES.get(command, 0)
