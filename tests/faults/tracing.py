"""Runs commands under strace: which files they sync and rename, in which order, and what happens where a call fails.

In: a command line of cnnc. Out: the calls that touch files, or the end of the command where calls failed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.commands import COMMAND, environment

CALLS = "fsync,fdatasync,rename,renameat,renameat2,write,writev,pwrite64,sendfile,copy_file_range"
_LINE = re.compile(r"\d+ +(\w+)\((.*)\) += +-?\d")
_FILE = re.compile(r"\d+<([^>]*)>")
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Call(NamedTuple):
    """A call that succeeded: `write` of a path, `sync` of a path, or `rename` of one path to another."""

    kind: str
    path: Path
    target: Path | None = None


@cache
def why_not() -> str:
    """Why commands cannot be traced here; "" if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "this system does not let strace trace processes"


needs_strace = pytest.mark.skipif(bool(why_not()), reason=why_not() or "strace works")


def traced(command: Sequence[str], folder: Path) -> list[Call]:
    """The calls of a command that ends with status 0."""
    trace = folder.parent / f"{folder.name}.trace"
    words = ["strace", "-f", "-y", "-qq", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(trace), *command]
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    calls = []
    for line in trace.read_text(errors="replace").splitlines():
        found = _LINE.match(line)
        if found is None or " = -1 " in line:
            continue
        name, words_of_call = found.groups()
        if name.startswith("rename"):
            source, target = (folder / each for each in _NAME.findall(words_of_call)[:2])
            calls.append(Call("rename", source, target))
        elif file := _FILE.match(words_of_call):
            calls.append(Call("sync" if name in ("fsync", "fdatasync") else "write", Path(file[1])))
    return calls


def order_problems(calls: Sequence[Call], folder: Path) -> list[str]:
    """What a power cut could damage: names that were given before their content, or that were not synced themselves.

    A file in a temporary folder (`.part`) counts once the folder gets its name.
    """
    problems = []
    for n, call in enumerate(calls):
        if call.kind != "rename" or call.target is None or not call.target.is_relative_to(folder):
            continue
        if not call.target.is_dir() and call.path.suffix == ".part":
            written = max((m for m, c in enumerate(calls[:n]) if c.kind == "write" and c.path == call.path), default=-1)
            if not any(c.kind == "sync" and c.path == call.path for c in calls[written + 1 : n]):
                problems.append(f"{call.target} got its name before its content was synced")
        is_synced = any(c.kind == "sync" and c.path == call.target.parent for c in calls[n + 1 :])
        if not is_synced and call.target.parent.suffix != ".part":
            problems.append(f"{call.target.parent} was not synced after {call.target.name} got its name")
    return problems


def bypassing(calls: Sequence[Call], folder: Path) -> list[str]:
    """The files in a folder that were written under their own names, so that a reader could see half of them."""
    written = {call.path for call in calls if call.kind == "write" and call.path.is_relative_to(folder)}
    return sorted(
        str(path.relative_to(folder))
        for path in written
        if not any(part.endswith(".part") for part in path.relative_to(folder).parts) and path.name != ".cnnc.lock"
    )


def with_fault(
    fault: str, words: Sequence[str], folder: Path, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs cnnc where calls fail or wait, as strace's `inject=` says: `fsync:error=EIO:when=3`."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}", *(before or COMMAND), *words]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )


ONE_WRITE = [
    sys.executable,
    "-c",
    "import pathlib, sys; from cnnc.core.files import write_atomic; write_atomic(pathlib.Path(sys.argv[1]), b'data')",
]
"""A process that writes one file and does nothing else."""
