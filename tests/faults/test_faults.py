"""Every row of the catalogue ends with its status and code, harms no file, and takes little memory.

The slow test runs each row in a process of its own, as a user does: `pytest -m slow tests/faults -n auto`. The quick one
runs every fifth row in the process of the test.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cnnc.diagnostics import Exit
from tests.commands import COMMAND, environment, run_in_process, run_into_broken_pipe
from tests.faults.catalogue import BROKEN_PIPES, CATALOGUE, CLOSED_STREAMS
from tests.faults.inputs import RAW, write_inputs

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")

MOST_MEMORY = 500 << 20
"""The bytes that a command may take to refuse something."""

SECONDS = 60

_LAUNCHER = """
import json, os, resource, sys
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), 1024 * usage.ru_maxrss], file)
"""
"""Starts a command from a small process: its peak memory begins with that of the process that starts it."""


class Row(NamedTuple):
    """A command, and how it ends: its status, and the codes of its errors."""

    words: tuple[str, ...]
    environ: dict[str, str]
    status: int
    codes: tuple[str, ...]

    @classmethod
    def read(cls, line: str) -> Row:
        """A row from a line of the catalogue."""
        ending, _, command = line.partition(": ")
        status, *codes = ending.split()
        words = shlex.split(command)
        environ = dict([words.pop(0).split("=", 1)]) if "=" in words[0] else {}
        return cls(tuple(words), environ, int(status), tuple(codes))


LINES = CATALOGUE.strip("\n").splitlines()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the inputs."""
    return _inputs(tmp_path_factory, with_bombs=False)


@pytest.fixture(scope="module")
def all_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the inputs, with those that take seconds to make."""
    return _inputs(tmp_path_factory, with_bombs=True)


def _inputs(factory: pytest.TempPathFactory, with_bombs: bool) -> Path:
    pytest.importorskip("PIL.Image")
    folder = factory.mktemp("faults") / "inputs"
    folder.mkdir()
    write_inputs(folder, with_bombs)
    return folder


def test_the_catalogue_is_large() -> None:
    assert len(set(LINES)) == len(LINES) >= 250


@pytest.mark.long
def test_every_fifth_row_in_this_process(inputs: Path) -> None:
    wrong = []
    for line in LINES[::5]:
        row = Row.read(line)
        if any("bomb." in word for word in row.words) or "npz_bomb.cnn" in row.words:
            continue
        with _unchanged(inputs, row) as changed, _time_limit():
            done = run_in_process(row.words, inputs, environment(**row.environ))
        problem = _problem(row, done.returncode, done.stdout, done.stderr) or changed[0]
        if problem:
            wrong.append(f"{line}\n    {problem}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_row(all_inputs: Path, tmp_path: Path, line: str) -> None:
    row = Row.read(line)
    with _unchanged(all_inputs, row) as changed:
        status, memory, out, err = _run(row, all_inputs, tmp_path / "usage")
    assert not _problem(row, status, out, err), err
    assert not changed[0]
    assert status == 0 or memory < MOST_MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("line", CLOSED_STREAMS.strip("\n").splitlines())
def test_closed_streams(all_inputs: Path, line: str) -> None:
    ending, _, command = line.partition(": ")
    words, _, redirections = command.partition(" ; ")
    command = f"{shlex.join(COMMAND)} {words}"
    shell = f"{redirections} && {command}" if redirections.startswith("ulimit") else f"{command} {redirections}"
    with _unchanged(all_inputs, Row.read(f"0: {words}")):
        done = subprocess.run(
            ["sh", "-c", shell], cwd=all_inputs, env=environment(), capture_output=True, timeout=SECONDS, check=False
        )
    assert done.returncode == int(ending), done.stderr
    assert b"Traceback" not in done.stderr
    assert not redirections.startswith("ulimit") or done.returncode == 0 or b"error[E904]" in done.stderr


@pytest.mark.slow
def test_every_command_ends_alike_where_nobody_reads_its_output(all_inputs: Path) -> None:
    wrong = []
    for line in BROKEN_PIPES.strip("\n").splitlines():
        row = Row.read(f"0: {line}")
        with _unchanged(all_inputs, row):
            status, err = run_into_broken_pipe(row.words, all_inputs, environment())
        if status != Exit.RESOURCES or re.search("(?i)error|traceback|broken", err):
            wrong.append(f"{line}: {status} {err[-300:]}")
    assert not wrong, "\n".join(wrong)


def _run(row: Row, folder: Path, usage: Path) -> tuple[int, int, str, str]:
    """The status, peak memory, stdout and stderr of a row in a process of its own."""
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(usage), *COMMAND, *row.words]
    environ = {**environment(**row.environ), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    status, memory = json.loads(usage.read_text())
    return status, memory, out, err


def _problem(row: Row, status: int, out: str, err: str) -> str:
    """What is wrong with how a row ended; "" if nothing is."""
    codes = tuple(sorted(set(re.findall(r"^error\[(.{4})", err, re.MULTILINE))))
    if (status, codes) != (row.status, row.codes):
        return f"ended with {status} {' '.join(codes)}: {err[-300:]}"
    if "Traceback" in err or set(out + err) & RAW:
        return f"printed {err[-300:]!a}"
    return ""


@contextmanager
def _unchanged(folder: Path, row: Row) -> Iterator[list[str]]:
    """Compares the regular files before and after a row; removes new ones. The list gets what a failed row changed."""
    before = _files(folder)
    changed = [""]
    yield changed
    after = _files(folder)
    touched = sorted(str(path) for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    if row.status:
        changed[0] = f"changed {', '.join(touched)}" if touched else ""
    for path in after.keys() - before.keys():
        place = path.relative_to(folder).parts[0]
        new = folder / place
        if new.is_dir() and place.startswith("new"):
            shutil.rmtree(new)
        else:
            path.unlink(missing_ok=True)


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    """The size and time of change of each regular file."""
    found: dict[Path, tuple[int, int]] = {}
    for below, _, names in os.walk(folder):
        for name in names:
            path = Path(below, name)
            status: Any = path.lstat()
            if path.is_file() and not path.is_symlink():
                found[path] = (status.st_size, status.st_mtime_ns)
    return found


@contextmanager
def _time_limit() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise TimeoutError("the command did not end")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
