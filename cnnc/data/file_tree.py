"""User data on the disk: `locate` finds the path of a `data` statement, `open_tree` lists and reads a folder or .zip.

A `FileTree` lists file names, sorted, and reads the content of each; nothing is unpacked onto the disk. Hidden files
(`.name`, `__MACOSX`, ...) are counted, not listed. A .zip is refused if a member's name leads out of it, occurs twice, or
if a member is encrypted; no more bytes of a member are read than the caller's limit. Every error is an E602 that names
file and member; a missing file is an E603.
"""

from __future__ import annotations

import os
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from cnnc.core.files import first_line, open_file, reason
from cnnc.data import Request
from cnnc.data.fetch import named_folder
from cnnc.diagnostics import CnncError

_HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")


def bad_file(path: Path | str, problem: str, help: str = "") -> CnncError:
    """The E602 of an invalid file."""
    return CnncError.of("E602", f"{path}: {problem}", help=help)


def locate(request: Request, kind: str, example: str) -> Path:
    """The file or folder that `data KIND "path"` names. Raises CnncError E603 where there is none.

    With --data, these are tried: the path inside that folder, its last part inside that folder, that folder itself if
    it has the same name, and the path from the current folder. Without, the path from the current folder, then both
    inside CNNC_DATA. So data that were moved are still found. `example` is a path for the help of the error.
    """
    if not request.path:
        raise CnncError.of(
            "E603", f"`data {kind}` does not name a file or folder", help=f'write `data {kind} "{example}"`'
        )
    try:
        written = Path(request.path).expanduser()
    except RuntimeError as error:  # `~name` of a user who does not exist, or `~` without a home
        raise CnncError.of(
            "E603", f"{request.path} names the home folder of an unknown user", help="write the whole path"
        ) from error
    candidates = [written]
    if request.folder is not None:
        itself = [request.folder] if request.folder.name == written.name else []
        candidates = list(dict.fromkeys((request.folder / written, request.folder / written.name, *itself, written)))
    elif not _exists(written) and (home := named_folder()) is not None:
        candidates += dict.fromkeys((home / written, home / written.name))
    for path in candidates:
        if _exists(path):
            return path
    searched = " or ".join(str(path if path.is_absolute() else Path.cwd() / path) for path in candidates)
    raise CnncError.of(
        "E603",
        f"{request.path} does not exist",
        help=f"searched {searched}; the path is relative to the current folder, --data or CNNC_DATA",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a folder without permission to enter; a zero byte in the name
        return False


class FileTree(Protocol):
    """The files of a folder or archive, by names relative to it with `/` as separator; `hidden` counts hidden files.

    A pickled tree reads the same files in another process.
    """

    path: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    hidden: int

    def display_name(self, name: str) -> str:
        """The name of a file in messages."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file. Thread-safe. Raises CnncError E602, also for more than `limit` bytes."""
        ...

    def states(self, keys: Sequence[str]) -> Iterator[str]:
        """What changes when one of these files changes: their paths, sizes and times of change."""
        ...


def open_tree(path: Path) -> FileTree:
    """The tree of a folder or .zip. Raises CnncError E602."""
    return _FolderTree(path) if path.is_dir() else _ZipTree(path)


class _FolderFiles:
    """Reads files below a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def display_name(self, name: str) -> str:
        return str(self.path / name)

    def read(self, name: str, limit: int) -> bytes:
        file_path = self.path / name
        try:
            with open_file(file_path) as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise bad_file(file_path, f"cannot be read ({reason(error)})") from error
        if len(data) > limit:
            raise bad_file(file_path, f"expected at most {limit:,} bytes")
        return data

    def states(self, keys: Sequence[str]) -> Iterator[str]:
        return (state_of(self.path / name) for name in keys)


class _FolderTree(_FolderFiles):
    """The files below a folder. Links are followed, but no folder is entered twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.hidden = 0
        files: list[str] = []
        folders: list[str] = []
        try:
            for name_in_tree, is_folder in self._walk("", set()):
                (folders if is_folder else files).append(name_in_tree)
        except OSError as error:
            raise bad_file(path, f"cannot be read ({reason(error)})") from error
        self.files, self.folders = tuple(sorted(files)), tuple(sorted(folders))

    def _walk(self, below: str, visited: set[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
        status = (self.path / below).stat()
        if (status.st_dev, status.st_ino) in visited:
            return
        visited.add((status.st_dev, status.st_ino))
        with os.scandir(self.path / below) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            name_in_tree = f"{below}/{entry.name}" if below else entry.name
            if is_hidden(entry.name):
                self.hidden += 1
            elif entry.is_dir():
                _check_name(self.path, name_in_tree)
                yield name_in_tree, True
                yield from self._walk(name_in_tree, visited)
            else:
                _check_name(self.path, name_in_tree)
                yield name_in_tree, False

    def __reduce__(self) -> tuple[type[_FolderFiles], tuple[Path]]:
        return _FolderFiles, (self.path,)  # another process reads files that were listed here


class _ZipTree:
    """The members of a .zip, which stays open as long as the tree exists."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hidden = 0
        self._zip = open_zip(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        folders: set[str] = set()
        for info in self._zip.infolist():
            name_in_tree, is_folder = name_in_archive(path, info.filename), info.filename[-1:] in ("/", "\\")
            if is_hidden(name_in_tree):
                self.hidden += not is_folder
                continue
            folders.update(str(parent) for parent in PurePosixPath(name_in_tree).parents if parent.parts)
            if is_folder:
                folders.add(name_in_tree)
            elif name_in_tree in self._members:
                raise bad_file(path, f"two members are named {name_in_tree}")
            else:
                self._members[name_in_tree] = info
        self.files, self.folders = tuple(sorted(self._members)), tuple(sorted(folders))

    def __reduce__(self) -> tuple[type[_ZipTree], tuple[Path]]:
        return _ZipTree, (self.path,)  # another process opens the file again

    def display_name(self, name: str) -> str:
        return f"{self.path}: {name}"

    def read(self, name: str, limit: int) -> bytes:
        return read_member(self._zip, self._members[name], limit, self.display_name(name))

    def states(self, keys: Sequence[str]) -> Iterator[str]:
        yield state_of(self.path)
        yield from keys


def state_of(path: Path) -> str:
    """The path of a file, its size, and the times at which its content and its entry in the folder last changed."""
    try:
        status = path.stat()
    except OSError:
        return str(path)
    return f"{path.absolute()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def name_in_archive(path: Path, written: str) -> str:
    """The name of a member with `/` as separator. Raises CnncError E602 where it leads out of the archive."""
    name = written.replace("\\", "/")
    member_path = PurePosixPath(name)
    if member_path.is_absolute() or ".." in member_path.parts or ":" in member_path.parts[:1] or name[1:2] == ":":
        raise bad_file(path, f"the name of the member {written!r} leads out of the archive")
    if not is_hidden(str(member_path)):
        _check_name(path, str(member_path))
    return str(member_path)


def open_zip(path: Path, kind: str = ".zip archive") -> zipfile.ZipFile:
    """Opens a .zip; `kind` names it in errors. Raises CnncError E602, also for encrypted members."""
    try:
        opened = _RegularZip(path)
    except OSError as error:
        raise bad_file(path, f"cannot be read ({reason(error)})") from error
    except Exception as error:  # zipfile raises several kinds for damaged archives
        raise bad_file(path, f"expected a {kind}; it is damaged or something else ({first_line(error)})") from error
    locked = next((info for info in opened.infolist() if info.flag_bits & 1), None)
    if locked is not None:
        opened.close()
        raise bad_file(path, f"the member {locked.filename} is encrypted", "unpack the archive and name the folder")
    return opened


class _RegularZip(zipfile.ZipFile):
    """A .zip that is a regular file, which it closes with itself."""

    def __init__(self, path: Path) -> None:
        file = open_file(path)  # after this object, so that the collection of garbage closes it by `close`
        try:
            super().__init__(file)
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        file = self.fp
        super().close()
        if file is not None:
            file.close()


def read_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, display_name: str) -> bytes:
    """The content of a member, at most `limit` bytes whatever its header says. Raises CnncError E602."""
    try:
        with opened.open(info) as stream:
            data = stream.read(limit + 1)
    except Exception as error:  # zipfile and its decoders raise several kinds
        raise bad_file(display_name, f"the member is damaged ({first_line(error)})") from error
    if len(data) > limit:
        raise bad_file(display_name, f"expected at most {limit:,} bytes")
    return data


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, is hidden."""
    return any(part.startswith(".") or part in _HIDDEN for part in name.split("/"))


def _check_name(path: Path, name: str) -> None:
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        shown = name.encode("unicode_escape", "backslashreplace").decode("ascii")
        raise bad_file(path, f"the name {shown} contains control characters", "rename the file")
