"""What the tests of the command line share: the command itself, a small network, and a trained model of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from tests.commands import COMMAND, IN_PROCESS, environment, run_in_process

SMALL = """net Small
let width = 6

input 1x8x8
conv width k=3 p=1 bias=false
bn
relu
pool max k=2
dropout 0.25
fc 10
softmax

train {
  data digits
  optimizer adam lr=0.01
  batch 128
  epochs 2
}
"""

Cnnc = Callable[..., "subprocess.CompletedProcess[str]"]


def run(
    *words: str | Path,
    cwd: Path,
    env: Mapping[str, str] = {},
    stdout: int | IO[Any] = subprocess.PIPE,
    stderr: int | IO[Any] = subprocess.PIPE,
    before: Callable[[], None] | None = None,
    new_process: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Runs cnnc in a folder; no run may end with a traceback.

    In the process of the test, unless the test asks for a new process, a stream of its own, or PYTHON variables.
    """
    plain = stdout == stderr == subprocess.PIPE and before is None and not any(n.startswith("PYTHON") for n in env)
    if plain and IN_PROCESS and not new_process:
        done = run_in_process([str(word) for word in words], cwd, environment(**env))
    else:
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            cwd=cwd,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
            preexec_fn=before,
            check=False,
        )
    assert "Traceback" not in f"{done.stdout}{done.stderr}", done.stderr
    assert "Warning" not in f"{done.stderr}", done.stderr
    return done


@pytest.fixture
def cnnc(tmp_path: Path) -> Cnnc:
    """The command, in a folder that holds small.cnn."""
    (tmp_path / "small.cnn").write_text(SMALL)

    def here(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return run(*words, **{"cwd": tmp_path, **options})

    return here


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.cnn, its run, and its model small.onnx. Tests copy what they change."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.cnn").write_text(SMALL)
    words = ("train", "small.cnn", "--run", "run", "--export", "small.onnx", "--set", "train.epochs=8", "--json")
    done = run(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "result.json").write_text(done.stdout)
    return folder


def codes(text: str) -> list[str]:
    """The codes of the errors and warnings in what was printed, in order."""
    found = []
    for line in text.splitlines():
        kind, bracket, rest = line.partition("[")
        if bracket and kind in ("error", "warning"):
            found.append(rest[:4])
    return found
