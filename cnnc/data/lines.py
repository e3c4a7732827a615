"""Reads a text file line by line.

In: a path. Out: numbered lines, decoded, without line ends. Only LF and CRLF end a line. A file that is not UTF-8, or a
line of more than `MAX_BYTES` bytes, is an E602 that names file and line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from cnnc.core.files import open_file, reason
from cnnc.core.limits import require_memory_limit
from cnnc.data.file_tree import bad_file

MAX_BYTES = 2**24


T = TypeVar("T")


def peek(items: Iterator[T], count: int) -> tuple[list[T], Iterator[T]]:
    """The first `count` items, and an iterator over all items, for a reader that decides by the first ones."""
    first = list(islice(items, count))
    return first, chain(first, items)


def read_raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, from 1; a byte-order mark is skipped. Raises CnncError E602."""
    try:
        with open_file(path) as file:
            require_memory_limit(os.fstat(file.fileno()).st_size, str(path))
            number = 0
            while line := file.readline(MAX_BYTES + 1):
                number += 1
                if len(line) > MAX_BYTES:
                    raise bad_file(f"{path}:{number}", f"expected lines of at most {MAX_BYTES:,} bytes")
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield number, line.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise bad_file(path, f"cannot be read ({reason(error)})") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers, from 1. Raises CnncError E602."""
    return ((number, decode_line(line, f"{path}:{number}", path.name)) for number, line in read_raw_lines(path))


def decode_line(line: bytes, where: str, file: str) -> str:
    """The text of a line; `where` and the name of the file are for errors. Raises CnncError E602."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        byte = line[error.start]
        marked = line[:2] in (b"\xff\xfe", b"\xfe\xff")
        known, name = ("it is UTF-16", "utf-16") if marked else ("if it is Latin-1", "latin1")
        raise bad_file(
            where,
            f"expected UTF-8, found the byte 0x{byte:02x} at column {error.start + 1}",
            f"{known}: iconv -f {name} -t utf-8 {file} > utf8-{file}",
        ) from error
    if "\0" in text:
        raise bad_file(where, "expected text, found a zero byte")
    return text
