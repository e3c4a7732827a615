"""Reading and writing files so that nothing is ever half there.

In: paths and bytes. Out: bytes, or files written whole. A write goes to a temporary file beside its
target, reaches the disk, and takes the target's name in one step: a full disk, a signal or a power cut
leaves what was there before. A link stays a link, and what is no file (a device, a pipe) is written to and
never replaced. Every OSError leaves as a CnncError with exit status 6.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cnnc.diagnostics import CnncError


def unreadable(path: Path | str, error: OSError) -> CnncError:
    return CnncError.of("E901", f"cannot read {path}: {_reason(error)}")


def unwritable(path: Path | str, error: OSError) -> CnncError:
    return CnncError.of("E902", f"cannot write {path}: {_reason(error)}")


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The content of a file. Raises E901 where it cannot be read, E903 where it is larger than `limit` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read() if limit is None else file.read(limit + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if limit is not None and len(data) > limit:
        raise CnncError.of("E903", f"{path} is larger than {limit:,} bytes")
    return data


def require_readable(path: Path) -> None:
    """Raises E901 where a file cannot be read, before another library tries."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise unreadable(path, error) from error


def require_place(path: Path, help: str = "") -> None:
    """Raises E902 where a file cannot come to stand here: where a folder does, or none holds it. For before long work."""
    if path.is_dir() or not path.parent.is_dir():
        why = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise CnncError.of("E902", f"cannot write {path}: {why}", help=help)


def decode(data: bytes, name: str) -> str:
    """The text of a file: UTF-8, a byte-order mark skipped. Raises E008, with the line."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise CnncError.of("E008", f"{name}:{line}: the text is not UTF-8 (byte {error.start})") from error


def make_folder(path: Path) -> None:
    """Makes a folder and those above it. Raises E902."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the body ends well and is gone when not.

    Where `path` is a device or a pipe, it is that itself. Raises E902, for an OSError of the body as well.
    """
    temporary: Path | None = None
    try:
        before = _mode(path)
        if before is not None and not stat.S_ISREG(before) and not stat.S_ISDIR(before):
            yield path
            return
        target = Path(os.path.realpath(path))
        handle, name = tempfile.mkstemp(prefix=f"{_prefix(target)}.", suffix=_SUFFIX, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask() if before is None else stat.S_IMODE(before))
        os.replace(temporary, target)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_atomic(path: Path, *data: bytes | memoryview) -> None:
    """Writes a file whole, its parts one after the other, or leaves what was there. Raises E902."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(data)


def sweep(path: Path) -> None:
    """Removes what writes of `path` left that were killed half-way."""
    with suppress(OSError):
        for left in path.parent.iterdir():
            if left.name.startswith(f"{_prefix(path)}.") and left.name.endswith(_SUFFIX):
                left.unlink(missing_ok=True)


_SUFFIX = ".part"


def _prefix(path: Path) -> str:
    return f".{path.name[:100]}"


def _mode(path: Path) -> int | None:
    """Kind and permissions of what stands at the path, or None."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
