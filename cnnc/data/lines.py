"""The lines of a text file, one at a time.

In: a path. Out: numbered lines, decoded, without their ends. Only LF and CRLF end a line. A file that is not UTF-8,
and a line of more than `LONGEST` bytes, is an E602 that names file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cnnc.data.sources import bad

LONGEST = 2**24


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, from 1; a byte-order mark is skipped. Raises E602."""
    try:
        if not path.is_file():
            raise bad(path, "expected a file")
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise bad(f"{path}:{number}", f"expected lines of at most {LONGEST:,} bytes")
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield number, line.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise bad(path, f"cannot be read ({(error.strerror or 'no reason given').lower()})") from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file. Raises E602."""
    for number, line in raw_lines(path):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            marked = line[:2] in (b"\xff\xfe", b"\xfe\xff")
            known, name = ("it is UTF-16", "utf-16") if marked else ("if it is Latin-1", "latin1")
            raise bad(
                f"{path}:{number}",
                f"expected UTF-8, found the byte 0x{byte:02x} at column {error.start + 1}",
                f"{known}: iconv -f {name} -t utf-8 {path.name} > utf8-{path.name}",
            ) from error
        if "\0" in text:
            raise bad(f"{path}:{number}", "expected text, found a zero byte")
        yield number, text
