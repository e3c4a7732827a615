"""The limits of one fuzzed call: time, memory, and what it may touch.

`guarded` raises `Breach` for a call that takes too long or much memory, and after `watch` also for one that writes a file
outside of the allowed folders, opens a connection, starts a process, or prints something, as a library in C may. A Breach is
no Exception, so that no reader mistakes it for a damaged file.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from cnnc.core.process_memory import peak_process_memory

SECONDS = 5
"""The CPU time of a call, which says the same on a busy machine; it may wait 60 times as long for something else."""

MOST_MEMORY = 500 << 20
"""The bytes by which a call may raise the peak of this process."""

_FORBIDDEN = ("socket.connect", "socket.bind", "subprocess.Popen", "os.posix_spawn", "os.system", "os.exec", "os.fork")
_WRITING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink", "os.chmod")
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Breach(BaseException):
    """A call that broke a limit."""


class _Watched:
    """What the calls of this process touched; `allowed` are the folders in which they may write."""

    on = False
    installed = False
    allowed: tuple[str, ...] = ()
    touched: list[str] = []  # noqa: RUF012
    stderr = -1


def watch(stderr: Path, *allowed: str) -> None:
    """From now on, guarded calls of this process may write below the `allowed` folders only, and nothing to its stderr, which becomes a file."""
    _Watched.allowed = allowed
    _Watched.stderr = os.open(stderr, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(_Watched.stderr, 2)
    if not _Watched.installed:
        _Watched.installed = True
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _Watched.on:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITE_FLAGS and not isinstance(path, int) and path is not None:
            _touched(event, path)
    elif event in _WRITING:
        _touched(event, arguments[0])
    elif event in _FORBIDDEN:
        _Watched.touched.append(f"{event} {arguments[:2]!r:.200}")


def _touched(event: str, path: Any) -> None:
    if not os.path.abspath(os.fsdecode(path)).startswith((*_Watched.allowed, os.devnull)):
        _Watched.touched.append(f"{event} {path!r}")


@contextmanager
def guarded(seconds: float = SECONDS, memory: int = MOST_MEMORY) -> Iterator[None]:
    """Raises Breach if the body breaks a limit."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Breach(f"no answer after {seconds} seconds")

    alarms = ((signal.SIGPROF, signal.ITIMER_PROF, 1), (signal.SIGALRM, signal.ITIMER_REAL, 60))
    before = [signal.signal(number, ring) for number, _, _ in alarms]
    peak = peak_process_memory()
    _Watched.touched = []
    if _Watched.stderr >= 0:
        os.ftruncate(_Watched.stderr, 0)
    _Watched.on = _Watched.installed
    for _, timer, factor in alarms:
        signal.setitimer(timer, factor * seconds)
    try:
        yield
    finally:
        _Watched.on = False
        for (number, timer, _), handler in zip(alarms, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
    if _Watched.stderr >= 0 and os.fstat(_Watched.stderr).st_size:
        raise Breach(f"printed {os.pread(_Watched.stderr, 500, 0)!r}")
    if _Watched.touched:
        raise Breach(f"touched {_Watched.touched[0]}")
    if peak_process_memory() - peak > memory:
        raise Breach(f"took {(peak_process_memory() - peak) >> 20} MiB")
