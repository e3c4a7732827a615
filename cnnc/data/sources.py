"""The user's own files: where a path leads, and a folder or a .zip as a tree of files.

In: paths as they were written. Out: `locate` (the path that is meant), and `open_tree`: the names in a folder or .zip,
sorted, and the content of each. Nothing is ever unpacked onto the disk. Hidden files (`.name`, `__MACOSX`, ...) are
counted, not listed. A .zip with names that leave it, doubles or encrypted members is refused; a member is read no
further than the limit its reader sets. Every defect is an E602 that names file and member; a missing file is E603.
"""

from __future__ import annotations

import os
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from cnnc.data import Request
from cnnc.data.fetch import VARIABLE
from cnnc.diagnostics import CnncError

_HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")


def bad(place: Path | str, found: str, help: str = "") -> CnncError:
    """The E602 of a file that is not as it should be."""
    return CnncError.of("E602", f"{place}: {found}", help=help)


def locate(request: Request, kind: str, example: str) -> Path:
    """The file or folder that `data KIND "path"` means: within --data if it is there, else from the current folder, or
    within CNNC_DATA.

    Of --data the path as written is tried, then its last name alone, then the folder itself where it has that name:
    so data are found that moved. Raises E603 where there is none.
    """
    if not request.path:
        raise CnncError.of("E603", f"data {kind} names no file", help=f'write `data {kind} "{example}"`')
    written = Path(request.path).expanduser()
    places = [written]
    if request.folder is not None:
        itself = [request.folder] if request.folder.name == written.name else []
        places = list(dict.fromkeys((request.folder / written, request.folder / written.name, *itself, written)))
    elif home := os.environ.get(VARIABLE):
        places += dict.fromkeys((Path(home) / written, Path(home) / written.name))
    for place in places:
        if _exists(place):
            return place
    searched = " or ".join(str(place if place.is_absolute() else Path.cwd() / place) for place in places)
    raise CnncError.of(
        "E603",
        f"there is no {request.path}",
        help=f"it was looked for at {searched}; "
        "the path counts from the current folder, or from that of --data or CNNC_DATA",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a folder that may not be entered; a zero byte
        return False


class Tree(Protocol):
    """Files by their names within a folder or archive, `/` between the parts."""

    place: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    hidden: int

    def where(self, name: str) -> str:
        """How messages cite a file."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """The content of a file. Raises E602, for one of more than `limit` bytes as well. Threads may share it."""
        ...


def open_tree(place: Path) -> Tree:
    """A folder or a .zip. Raises E602."""
    return _Folder(place) if place.is_dir() else _Zip(place)


class _Folder:
    """The files below a folder, links followed; a folder that was met before is not entered again."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.hidden = 0
        files: list[str] = []
        folders: list[str] = []
        try:
            for relative, is_folder in self._walk("", set()):
                (folders if is_folder else files).append(relative)
        except OSError as error:
            raise bad(place, f"cannot be read ({_reason(error)})") from error
        self.files, self.folders = tuple(sorted(files)), tuple(sorted(folders))

    def _walk(self, below: str, met: set[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
        status = (self.place / below).stat()
        if (status.st_dev, status.st_ino) in met:
            return
        met.add((status.st_dev, status.st_ino))
        with os.scandir(self.place / below) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            relative = f"{below}/{entry.name}" if below else entry.name
            if _is_hidden(entry.name):
                self.hidden += 1
            elif entry.is_dir():
                _check_name(self.place, relative)
                yield relative, True
                yield from self._walk(relative, met)
            else:
                _check_name(self.place, relative)
                yield relative, False

    def where(self, name: str) -> str:
        return str(self.place / name)

    def read(self, name: str, limit: int) -> bytes:
        path = self.place / name
        try:
            if not path.is_file():  # a pipe would be waited for
                raise bad(path, "expected a file")
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise bad(path, f"cannot be read ({_reason(error)})") from error
        if len(data) > limit:
            raise bad(path, f"expected at most {limit:,} bytes")
        return data


class _Zip:
    """The members of a .zip; the file stays open as long as the tree is used."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.hidden = 0
        self._zip = open_zip(place)
        self._members: dict[str, zipfile.ZipInfo] = {}
        folders: set[str] = set()
        for info in self._zip.infolist():
            name = info.filename.replace("\\", "/")
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1] or name[1:2] == ":":
                raise bad(place, f"the name of the member {info.filename!r} leads out of the archive")
            relative = str(path)
            if any(_is_hidden(part) for part in path.parts):
                self.hidden += not name.endswith("/")
                continue
            _check_name(place, relative)
            folders.update(str(parent) for parent in path.parents if parent.parts)
            if name.endswith("/"):
                folders.add(relative)
            elif relative in self._members:
                raise bad(place, f"two members are named {relative}")
            else:
                self._members[relative] = info
        self.files, self.folders = tuple(sorted(self._members)), tuple(sorted(folders))

    def where(self, name: str) -> str:
        return f"{self.place}: {name}"

    def read(self, name: str, limit: int) -> bytes:
        return read_member(self._zip, self._members[name], limit, self.where(name))


def open_zip(place: Path, kind: str = ".zip archive") -> zipfile.ZipFile:
    """Opens a .zip none of whose members is encrypted. Raises E602."""
    try:
        opened = zipfile.ZipFile(place)
    except OSError as error:
        raise bad(place, f"cannot be read ({_reason(error)})") from error
    except Exception as error:  # zipfile raises several kinds for a stranger's bytes
        raise bad(place, f"expected a {kind}, found something else or a part of one ({_first_line(error)})") from error
    locked = next((info for info in opened.infolist() if info.flag_bits & 1), None)
    if locked is not None:
        opened.close()
        raise bad(place, f"the member {locked.filename} is encrypted", "unpack it, and name the folder")
    return opened


def read_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, where: str) -> bytes:
    """The content of a member, of at most `limit` bytes whatever its header says. Raises E602."""
    try:
        with opened.open(info) as stream:
            data = stream.read(limit + 1)
    except Exception as error:  # zipfile and its decoders raise several kinds
        raise bad(where, f"expected a sound member, found a damaged one ({_first_line(error)})") from error
    if len(data) > limit:
        raise bad(where, f"expected at most {limit:,} bytes")
    return data


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _HIDDEN


def _check_name(place: Path, name: str) -> None:
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        shown = name.encode("unicode_escape", "backslashreplace").decode("ascii")
        raise bad(place, f"the name {shown} has characters that cannot be shown", "rename it")


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
