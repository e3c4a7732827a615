"""Where the files of a tar archive lie: `read_members` reads the headers alone, so that each file can be read by its offset.

In: the path of an uncompressed .tar. Out: a `TarMember` for each of its files, in order. Python's tarfile reads the headers;
what it passes over in silence (a damaged header in the middle, a missing end, a second archive behind the first) is an
error here. So are compression, links, devices, names that lead out of the archive, and sizes that exceed the file. Every
error is an E602 that names archive and member.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from cnnc.core.files import first_line, open_file, open_unbuffered, reason
from cnnc.data.file_tree import bad_file, is_hidden, name_in_archive

BLOCK = 512

_LARGEST_READ = 1 << 21
_TRAILER = 1 << 20
"""Zeros that may follow the last member; archivers write up to a record of 10 KiB."""

_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
}


class TarMember(NamedTuple):
    """A file in an archive: its name, and where its content begins and how many bytes it has."""

    name: str
    offset: int
    size: int


def read_members(path: Path) -> Iterator[TarMember]:
    """The files of an archive, without hidden ones. Raises CnncError E602."""
    try:
        with _HeaderReader(open_unbuffered(path)) as file:
            _require_uncompressed(path, file.read(8))
            end = file.seek(0, 2)
            file.seek(0)
            yield from _members(path, file, end)
    except OSError as error:
        raise bad_file(path, f"cannot be read ({reason(error)})") from error


def _require_uncompressed(path: Path, start: bytes) -> None:
    for magic, (kind, program) in _COMPRESSED.items():
        if start.startswith(magic):
            problem = f"is compressed with {kind}; shards are read at any position, which needs a plain .tar"
            raise bad_file(path, problem, f"run `{program} {quote(str(path))}`; images are compressed already")


def _members(path: Path, file: _HeaderReader, end: int) -> Iterator[TarMember]:
    names: set[str] = set()
    try:
        archive = tarfile.TarFile(fileobj=file)
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them
            member = _checked(path, info, end)
            if member is None:
                continue
            if member.name in names:
                raise bad_file(path, f"two members are named {member.name}")
            names.add(member.name)
            yield member
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise bad_file(path, f"is truncated or not a .tar archive ({first_line(error)})") from error
    _require_end(path, file, archive.offset)


def _checked(path: Path, info: tarfile.TarInfo, end: int) -> TarMember | None:
    """A member that is a file; None for folders and hidden files."""
    name = name_in_archive(path, info.name)
    if info.isdir() or is_hidden(name):
        return None
    if not info.isreg() or info.issparse():
        raise bad_file(path, f"the member {name} is a link, a device or a sparse file", "shards hold plain files only")
    if info.size < 0 or info.offset_data + info.size > end:
        raise bad_file(path, f"is truncated: the member {name} of {info.size:,} bytes ends behind the archive")
    return TarMember(name, info.offset_data, info.size)


def _require_end(path: Path, file: _HeaderReader, offset: int) -> None:
    """Raises CnncError E602 unless only zeros follow the last member, at least a block of them."""
    file.seek(offset)
    rest = file.read(_TRAILER + 1)
    if len(rest) < BLOCK:
        raise bad_file(path, "is truncated: the blocks that end an archive are missing")
    if any(rest[:BLOCK]):
        raise bad_file(path, f"is damaged at byte {offset:,}: expected the header of a member")
    if len(rest) > _TRAILER or any(rest):
        help = "several archives in one file? `tar --concatenate` joins them"
        raise bad_file(path, f"has more content behind its end at byte {offset:,}", help)


class _HeaderReader(io.BufferedReader):
    """A file of which no more is read at a time than a header has, whatever size a damaged one states."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def member_name(path: Path, offset: int) -> str:
    """The name of the member whose content begins at an offset, from its header, for messages."""
    try:
        with open_file(path) as file:
            file.seek(offset - BLOCK)
            return tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "backslashreplace").name
    except (OSError, ValueError, tarfile.TarError):
        return f"byte {offset:,}"
