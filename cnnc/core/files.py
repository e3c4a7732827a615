"""Reads files within limits, and writes them atomically: a file is written completely or not at all.

In: paths and bytes. Out: bytes, or complete files. Every file that cnnc reads is opened here, by `open_file`: only regular
files are, since a pipe may never end and a device has no size; what was opened is judged, so that nothing can take its
position in between. `read_bytes` compares the size with a limit and with the free memory before it allocates anything.

A write goes to a temporary file in the same folder, is flushed to disk, and is renamed to its target in one step; then the
folder is flushed, so that the new name is on the disk too. After a full disk, a signal or a power cut there is the old file
or the new one. A symbolic link stays a link. A device or pipe is written to, never replaced. Every OSError is raised as a
CnncError (E901 to E904) with exit status 6.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from cnnc.core.limits import require_memory_limit
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


def open_file(path: Path, limit: int | None = None, *, shell_pipe: bool = False) -> io.BufferedReader:
    """Opens a regular file of at most `limit` bytes; with `shell_pipe` also a pipe of the shell, as `<(command)` is.

    Raises OSError, with a `strerror` that says what is there instead. A pipe without a writer does not block.
    """
    return io.BufferedReader(open_unbuffered(path, limit, shell_pipe=shell_pipe))


def open_unbuffered(path: Path, limit: int | None = None, *, shell_pipe: bool = False) -> io.FileIO:
    """As `open_file`, without a buffer."""

    def opener(name: str, flags: int) -> int:
        try:
            file = os.open(name, flags | _WITHOUT_WAITING)
        except OSError as error:  # the system's words for a socket are "no such device or address"
            raise OSError(error.errno, _SOCKET, name) if error.errno == errno.ENXIO else error from None
        try:
            _require_regular(path, os.fstat(file), limit, shell_pipe)
            os.set_blocking(file, True)
        except BaseException:
            os.close(file)
            raise
        return file

    if "\0" in str(path):
        raise OSError(errno.EINVAL, "its name contains a zero byte", str(path))
    return io.FileIO(str(path), "rb", opener=opener)


_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_SOCKET = "it is a socket, not a regular file"


def _require_regular(path: Path, status: os.stat_result, limit: int | None, shell_pipe: bool) -> None:
    """Raises OSError for what is not a regular file, and for a larger one than `limit` bytes."""
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISFIFO(mode) and not (shell_pipe and _is_of_shell(path)):
        raise OSError(errno.EINVAL, "it is a pipe, not a regular file", str(path))
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "it is a device, not a regular file", str(path))
    if limit is not None and status.st_size > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes", str(path))


def _is_of_shell(path: Path) -> bool:
    """Whether a path names what the shell opened: standard input, or `<(command)`."""
    return str(path) == "/dev/stdin" or str(path.parent) in ("/dev/fd", "/proc/self/fd")


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file, or of a pipe of the shell.

    Raises E901 if it cannot be read, E903 if it is larger than `limit` bytes, E904 or E913 if it does not fit into memory.
    """
    try:
        with open_file(path, shell_pipe=True) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= limit:
                require_memory(size, str(path))
                return _read_all(file, size, path, limit)
    except OSError as error:
        raise read_error(path, error) from error
    raise too_large(path, limit)


def _read_all(file: io.BufferedReader, size: int, path: Path, limit: int) -> bytes:
    """Reads to the end; the size may have changed, and that of a pipe is 0."""
    parts = [file.read(size + 1)]
    total = len(parts[0])
    while total <= limit and (part := file.read(_CHUNK)):
        parts.append(part)
        total += len(part)
    if total > limit:
        raise too_large(path, limit)
    return b"".join(parts)


_CHUNK = 1 << 20


def too_large(path: Path | str, limit: int) -> CnncError:
    """E903 for a file of more than `limit` bytes."""
    return CnncError.of("E903", f"{path} is larger than {limit:,} bytes")


def require_memory(size: int, what: str) -> None:
    """Raises E913 if `size` bytes of memory are more than the caller's limit, E904 if they are more than are free.

    Small sizes are not compared with what is free.
    """
    require_memory_limit(size, what)
    if size < _SURELY_FREE:
        return
    from cnnc.core.process_memory import free_memory

    free = free_memory()
    if 0 < free < size:
        raise CnncError.of("E904", f"{what} needs {size / 2**30:.1f} GiB of memory; {free / 2**30:.1f} GiB are free")


_SURELY_FREE = 1 << 26


def read_start(path: Path, size: int = 4096) -> bytes:
    """The first bytes of a file. Raises E901 if it cannot be read."""
    try:
        with open_file(path) as file:
            return file.read(size)
    except OSError as error:
        raise read_error(path, error) from error


def require_readable(path: Path) -> None:
    """Raises E901 if a file cannot be opened; for use before a library opens it."""
    read_start(path, 0)


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


def real_path(path: Path) -> Path:
    """The absolute path with symbolic links followed; a circle of links stays as it is, where `Path.resolve` may raise."""
    return Path(os.path.realpath(path))


def make_folder(path: Path) -> None:
    """Creates a folder and its parents, and flushes their names to disk. Raises E902."""
    try:
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in new:
            sync_folder(folder.parent)
    except OSError as error:
        raise write_error(path, error) from error


def sync_folder(folder: Path) -> None:
    """Flushes the names of a folder to disk, where the system can: new and renamed files survive a power cut. Raises OSError."""
    try:
        file = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # Windows, or a folder that may be written and not read
        return
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(file)


def rename_synced(source: Path, target: Path) -> None:
    """Gives a file that is complete its name: its content is on the disk before, and the name after. Raises OSError."""
    with source.open("rb+") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())
    os.replace(source, target)
    sync_folder(target.parent)


_CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)  # of network file systems


@contextmanager
def atomic_replacement(path: Path) -> Iterator[Path]:
    """A context manager that yields a temporary path in the same folder.

    The temporary file replaces `path` if the body succeeds, and is deleted if it raises. For a device or a pipe the path
    itself is yielded. Raises E902, also for an OSError of the body.
    """
    with atomic_replacements(path) as (temporary,):
        yield temporary


@contextmanager
def atomic_replacements(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """As `atomic_replacement` for several files: all of them are on the disk before the first gets its name."""
    with ExitStack() as stack:
        files = [stack.enter_context(_replacement(path)) for path in paths]
        yield tuple(file.temporary for file in files)
        for file in files:
            file.sync()
        for file in files:
            file.rename()


class _Replacement:
    """A file that is being written: its path, its place with links followed, and the temporary file, where it has one.

    `mode` holds the type and the permissions of the file that is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.mode = path, _mode(path)
        self.temporary = path
        self._target = Path(os.path.realpath(path))
        if self.is_file:
            handle, name = tempfile.mkstemp(prefix=f"{_prefix(self._target)}.", suffix=_SUFFIX, dir=self._target.parent)
            os.close(handle)
            self.temporary = Path(name)

    @property
    def is_file(self) -> bool:
        """Whether it is replaced; a device or a pipe is written to. A folder fails when it is replaced."""
        return self.mode is None or stat.S_ISREG(self.mode) or stat.S_ISDIR(self.mode)

    def sync(self) -> None:
        """Flushes the content to disk."""
        if self.is_file:
            with _e902(self.path), self.temporary.open("rb+") as file:
                self.temporary.chmod(0o666 & ~umask() if self.mode is None else stat.S_IMODE(self.mode))
                os.fsync(file.fileno())

    def rename(self) -> None:
        """Gives the file its name, and flushes that."""
        if self.is_file:
            with _e902(self.path):
                os.replace(self.temporary, self._target)
                sync_folder(self._target.parent)


@contextmanager
def _replacement(path: Path) -> Iterator[_Replacement]:
    """The replacement of a file; what is left of it at the end is removed. Raises E902, also for an OSError of the body."""
    with _e902(path):
        file = _Replacement(path)
        try:
            with nullcontext() if file.is_file else _written_to(path, file.mode or 0):
                yield file
        finally:
            if file.is_file:
                with suppress(OSError):
                    file.temporary.unlink(missing_ok=True)


@contextmanager
def _e902(path: Path) -> Iterator[None]:
    """Raises an OSError of the body as E902 for a path."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


@contextmanager
def _written_to(path: Path, mode: int) -> Iterator[None]:
    """Holds a pipe open, which must have a reader, since writing to it would wait for one. Raises OSError."""
    if stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "it is a disk", str(path))
    if not stat.S_ISFIFO(mode):
        yield
        return
    try:
        pipe = os.open(path, os.O_WRONLY | _WITHOUT_WAITING)
    except OSError as error:
        raise (
            OSError(error.errno, "no program reads the pipe", str(path)) if error.errno == errno.ENXIO else error
        ) from None
    try:
        yield
    finally:
        os.close(pipe)


def safe_name(text: str, longest: int = 100) -> str:
    """Text as part of a file name, at most `longest` characters of it.

    Letters, digits and `._+=@~()[]-` stay; other characters and leading dots become `_`. So a name from an untrusted
    file cannot lead out of its folder (`/`, `..`), is not hidden, and contains no control characters.
    """
    name = "".join(c if c.isalnum() or c in "._+=@~()[]-" else "_" for c in text[:longest])
    dots = len(name) - len(name.lstrip("."))
    return "_" * dots + name[dots:] or "_"


def with_suffix(path: Path, suffix: str) -> Path:
    """The path with another suffix, as a help names it; `NAME` and the suffix inside a path without a name, as `.` and `/` are."""
    return path.with_suffix(suffix) if path.name else path / f"NAME{suffix}"


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
    mask = os.umask(0o077)  # for a moment also that of other threads: their files are then for nobody else
    os.umask(mask)
    return mask
