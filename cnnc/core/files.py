"""Reads files, and writes them atomically: a file is written completely or not at all.

In: paths and bytes. Out: bytes, or complete files. A write goes to a temporary file in the same folder, is flushed to disk,
and is renamed to its target in one step: after a full disk, a signal or a power cut the old file is still there. A
symbolic link stays a link. A device or pipe is written to, never replaced. Every OSError is raised as a CnncError
(E901 to E903) with exit status 6.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cnnc.diagnostics import CnncError


def read_error(path: Path | str, error: OSError) -> CnncError:
    """E901 for a file that cannot be read."""
    return CnncError.of("E901", f"cannot read {path}: {reason(error)}")


def write_error(path: Path | str, error: OSError) -> CnncError:
    """E902 for a file or folder that cannot be written."""
    return CnncError.of("E902", f"cannot write {path}: {reason(error)}")


def reason(error: OSError) -> str:
    """What the system says about an error, for a message: `no space left on device`."""
    return (error.strerror or type(error).__name__).lower()


def first_line(error: Exception) -> str:
    """The first line of an error of a library, at most 200 characters, for a message; its type if it says nothing."""
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The content of a file. Raises E901 if it cannot be read, E903 if it is larger than `limit` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read() if limit is None else file.read(limit + 1)
    except OSError as error:
        raise read_error(path, error) from error
    if limit is not None and len(data) > limit:
        raise CnncError.of("E903", f"{path} is larger than {limit:,} bytes")
    return data


def read_start(path: Path, size: int = 4096) -> bytes:
    """The first bytes of a file. Raises E901 if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise read_error(path, error) from error


def require_readable(path: Path) -> None:
    """Raises E901 if a file cannot be opened; for use before a library opens it."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise read_error(path, error) from error


def require_writable(path: Path, help: str = "") -> None:
    """Raises E902 if `path` is a folder or its folder does not exist; for use before long work whose result goes there."""
    if path.is_dir() or not path.parent.is_dir():
        problem = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise CnncError.of("E902", f"cannot write {path}: {problem}", help=help)


def decode_utf8(data: bytes, name: str) -> str:
    """The content of a UTF-8 file without its byte-order mark. Raises E008 with the line if it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise CnncError.of("E008", f"{name}:{line}: the file is not UTF-8 (byte {error.start})") from error


def make_folder(path: Path) -> None:
    """Creates a folder and its parents. Raises E902."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


@contextmanager
def atomic_replacement(path: Path) -> Iterator[Path]:
    """A context manager that yields a temporary path in the same folder.

    The temporary file replaces `path` if the body succeeds, and is deleted if it raises. For a device or a pipe the path
    itself is yielded. Raises E902, also for an OSError of the body.
    """
    temporary: Path | None = None
    try:
        old_mode = _mode(path)
        if old_mode is not None and not stat.S_ISREG(old_mode) and not stat.S_ISDIR(old_mode):
            yield path
            return
        target = Path(os.path.realpath(path))
        handle, name = tempfile.mkstemp(prefix=f"{_prefix(target)}.", suffix=_SUFFIX, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~umask() if old_mode is None else stat.S_IMODE(old_mode))
        os.replace(temporary, target)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def safe_name(text: str, longest: int = 100) -> str:
    """Text as part of a file name, at most `longest` characters of it.

    Letters, digits and `._+=@~()[]-` stay; other characters and leading dots become `_`. So a name from an untrusted
    file cannot lead out of its folder (`/`, `..`), is not hidden, and contains no control characters.
    """
    name = "".join(c if c.isalnum() or c in "._+=@~()[]-" else "_" for c in text[:longest])
    dots = len(name) - len(name.lstrip("."))
    return "_" * dots + name[dots:] or "_"


def write_atomic(path: Path, *data: bytes | memoryview) -> None:
    """Writes a file that consists of the given parts, or leaves the old one unchanged. Raises E902."""
    with atomic_replacement(path) as temporary, temporary.open("wb") as file:
        file.writelines(data)


def remove_temporary_files(path: Path) -> None:
    """Deletes temporary files that killed writes of `path` left behind."""
    with suppress(OSError):
        for file in path.parent.iterdir():
            if file.name.startswith(f"{_prefix(path)}.") and file.name.endswith(_SUFFIX):
                file.unlink(missing_ok=True)


_SUFFIX = ".part"


def _prefix(path: Path) -> str:
    return f".{path.name[:100]}"


def _mode(path: Path) -> int | None:
    """The type and permission bits of a file, or None if it does not exist."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def umask() -> int:
    """The permission bits that new files and folders do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
