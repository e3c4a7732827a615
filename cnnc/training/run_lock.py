"""The lock of a run folder: one process at a time writes into it.

In: a run folder. Out: a context manager that holds its lock, or CnncError E907, which names the process that holds it.

The operating system locks the file `.cnnc.lock` in the folder (cnnc/core/file_lock.py): there is no stale lock, and no
process number decides whether there is one. What the file says (process, host, time) is for messages. A folder that was
moved keeps its lock; where another run has begun at its old position, `require_not_taken` tells.

    with locked(Path("runs/lenet5"), print):
        ...  # no other process writes into runs/lenet5
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from cnnc.core.file_lock import acquire, release
from cnnc.core.files import read_start, write_atomic, write_error
from cnnc.diagnostics import CnncError

LOCK_FILE = ".cnnc.lock"


class LockHolder(NamedTuple):
    """What the file says about the process that locked it; the fields are its keys."""

    process: int
    host: str
    since: str


@contextmanager
def locked(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Holds the lock of an existing folder.

    `report` receives a line if the lock was left behind on another machine, or if the file system has no locks. Raises
    CnncError E907 if another run holds the lock, E902 if the folder cannot be written.
    """
    path = folder / LOCK_FILE
    try:
        file = _acquire(path, report)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield
    finally:
        release(file, path)


def require_not_taken(folder: Path) -> None:
    """Raises CnncError E902 where another process has locked this folder: it is no longer the one that this process locked."""
    holder = _holder(folder / LOCK_FILE)
    if holder is not None and (holder.process, holder.host) != (os.getpid(), platform.node()):
        message = f"cannot write {folder}: it was moved or deleted, and process {holder.process} on {holder.host} trains there"
        raise CnncError.of("E902", message, help="give each run a folder of its own with `--run DIR`")


def write_file(folder: Path, name: str, *data: bytes | memoryview) -> None:
    """Writes a file of a run. Raises CnncError E902, also where another run has taken the place of its folder."""
    require_not_taken(folder)
    write_atomic(folder / name, *data)


def remove_abandoned(folder: Path) -> None:
    """Deletes a folder that is empty, or whose lock was left behind by a killed process of this machine.

    A process that was about to lock it finds it locked or deleted, and makes another.
    """
    with suppress(OSError):
        folder.rmdir()  # only if it is empty
        return
    doubts: list[str] = []
    with suppress(CnncError, OSError):
        if _holder(folder / LOCK_FILE) is None and os.listdir(folder) != [LOCK_FILE]:
            return
        with locked(folder, doubts.append):
            if not doubts:
                shutil.rmtree(folder, ignore_errors=True)


def _acquire(path: Path, report: Callable[[str], None]) -> int:
    """The descriptor of the locked file. Raises CnncError E907, OSError."""
    try:
        file, is_locked = acquire(path)
    except BlockingIOError:
        raise _in_use(path) from None
    try:
        if not is_locked:
            report(f"note: the file system of {path.parent} has no locks; do not train in it twice at once")
        before = _holder(path)
        if before is not None and before.host != platform.node():
            report(
                f"note: process {before.process} on {before.host} began to train {path.parent} at {before.since} and was "
                "killed; make sure that it no longer runs, as not every network disk shares locks between machines"
            )
        _write(file, LockHolder(os.getpid(), platform.node(), time.strftime("%Y-%m-%d %H:%M:%S")))
    except BaseException:
        os.close(file)
        raise
    return file


def _write(file: int, holder: LockHolder) -> None:
    os.lseek(file, 0, os.SEEK_SET)
    os.ftruncate(file, 0)
    os.write(file, f"{json.dumps(holder._asdict())}\n".encode())


def _holder(path: Path) -> LockHolder | None:
    """The process that the file names; None where it names none."""
    try:
        facts = json.loads(read_start(path))
        host, since = ("".join(c for c in str(facts[key])[:100] if c.isprintable()) for key in ("host", "since"))
        return LockHolder(int(facts["process"]), host, since)
    except (CnncError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _in_use(path: Path) -> CnncError:
    """The E907 of a folder that another run holds."""
    holder = _holder(path)
    if holder is None:
        return CnncError.of("E907", f"another process trains the run in {path.parent}", help="wait until it ends")
    stop = f"`{'taskkill /PID' if sys.platform == 'win32' else 'kill'} {holder.process}`"
    elsewhere = f" on {holder.host}" if holder.host != platform.node() else ""
    return CnncError.of(
        "E907",
        f"{path.parent} is in use: process {holder.process} on {holder.host} has been training this run since {holder.since}",
        help=f"wait until it ends, or stop it with {stop}{elsewhere}, which saves the run",
    )
