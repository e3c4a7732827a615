"""A lock file: one process at a time does what it stands for.

In: the path of a file, which need not exist. Out: its descriptor, locked by the operating system (flock; on Windows
msvcrt.locking), which frees it when its process ends, however it ends: there is no stale lock. Worker processes do not
inherit the descriptor. The file is deleted at the end; one that a killed process or a copy left behind is taken over.

    file, is_locked = acquire(path)    # BlockingIOError if another process holds it
    try: ...
    finally: release(file, path)
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

_CANNOT_LOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)  # of file systems without locks


def acquire(path: Path) -> tuple[int, bool]:
    """The descriptor of the locked file, and whether it is locked: not all file systems have locks.

    Raises BlockingIOError if another process holds the lock, OSError if the file cannot be written.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            is_locked = _lock(file)
            if not is_locked or _is_at(file, path):
                return file, is_locked
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its last holder deleted it after we opened it


def release(file: int, path: Path) -> None:
    """Frees the lock and deletes its file, unless that of another process has taken its position in the meantime."""
    is_ours = False
    with suppress(OSError):
        is_ours = _is_at(file, path)
    with suppress(OSError):
        if is_ours and sys.platform != "win32":
            path.unlink()
    with suppress(OSError):
        os.close(file)
        if is_ours and sys.platform == "win32":  # which deletes only what nobody has open
            path.unlink()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        """Locks one byte far behind the text, so that others can read the text. Raises BlockingIOError."""
        os.lseek(file, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from error
        return True
else:
    import fcntl

    def _lock(file: int) -> bool:
        """Locks the file; False if its file system has no locks. Raises BlockingIOError if another process holds it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _CANNOT_LOCK:
                return False
            raise
        return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
