"""Cases that are files: how bytes of a fuzzer become files, and how a reader is tried on them.

The bytes are parts with `SEPARATOR` between them. The first byte chooses one of the target's `Reading`s, which makes files
of the parts. Where a format has checksums or compression, a Reading writes the container itself around damaged parts, since
damaged containers are all refused at the same early line.
"""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnc.diagnostics import CnncError
from tests.fuzz.guard import guarded
from tests.fuzz.target import Target, mutated

SEPARATOR = b"\xff\x00\xff"


class FileCase(NamedTuple):
    """Files by name, and the name of the reading that is tried on them."""

    reading: str
    files: Mapping[str, bytes]


class Reading(NamedTuple):
    """How parts become files, `read` reads them in a folder, and parts that are valid."""

    files: Callable[[Sequence[bytes]], dict[str, bytes]]
    read: Callable[[Path], Any]
    parts: tuple[bytes, ...]


def target(help: str, readings: Mapping[str, Reading]) -> Target:
    """The target of some readings: a result or a CnncError, and the files stay as they are."""
    names = list(readings)

    def case(data: bytes) -> FileCase:
        name = names[(data[0] if data else 0) % len(names)]
        reading = readings[name]
        parts = data[1:].split(SEPARATOR, len(reading.parts) - 1)
        return FileCase(name, reading.files([*parts, *reading.parts[len(parts) :]]))

    def hold(case: FileCase) -> str:
        return read_in_folder(readings[case.reading].read, case.files)

    def seeds() -> Iterable[bytes]:
        for number, name in enumerate(names):
            yield bytes([number]) + SEPARATOR.join(readings[name].parts)

    valid = tuple(seeds())
    longest = max(map(len, valid)) + 256
    return Target(help, case, hold, seeds, lambda random: mutated(random.choice(valid), random), longest)


def read_in_folder(read: Callable[[Path], Any], files: Mapping[str, bytes]) -> str:
    """Reads files in a folder of their own; "valid", or the code of the error."""
    folder = Path(tempfile.mkdtemp(prefix="case"))
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            with guarded():
                read(folder)
            ending = "valid"
        except CnncError as error:
            ending = error.diagnostics[0].code
        found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        assert found == files, "the files have changed"
        return ending
    finally:
        shutil.rmtree(folder)


# --- containers --------------------------------------------------------------------------------------------


def one_file(name: str) -> Callable[[Sequence[bytes]], dict[str, bytes]]:
    """The first part as a file."""
    return lambda parts: {name: parts[0]}


def named(*names: str) -> Callable[[Sequence[bytes]], dict[str, bytes]]:
    """Each part as a file; where there are more names, the parts begin again."""
    return lambda parts: dict(_around(names, parts))


def _around(names: Sequence[str], parts: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    for number, name in enumerate(names):
        yield name, with_checksums(parts[number % len(parts)])


def zipped(name: str, members: Sequence[str]) -> Callable[[Sequence[bytes]], dict[str, bytes]]:
    """As `named`, in a .zip or .npz."""

    def files(parts: Sequence[bytes]) -> dict[str, bytes]:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for member, part in _around(members, parts):
                archive.writestr(zipfile.ZipInfo(member), part)
        return {name: content.getvalue()}

    return files


def tar_of(members: Iterable[tuple[str, bytes]], mode: Any = "w") -> bytes:
    """A tar archive; `w:gz` compresses it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


_PNG = b"\x89PNG\r\n\x1a\n"


def with_checksums(data: bytes) -> bytes:
    """A .png with right checksums in its chunks, so that a damaged one gets further; other data as it is."""
    if not data.startswith(_PNG):
        return data
    chunks, at = [_PNG], len(_PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + length]
        if len(body) < 4 + length:
            break
        chunks.append(data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join([*chunks, data[at:]])
