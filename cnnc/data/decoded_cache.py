"""Keeps decoded images on the disk, from one epoch and from one run to the next, for data that do not fit into memory.

In: `ImageFiles`, their keys, and the shape (C, H, W) of the network's input. Out: for files that were decoded before, what was
found and, where the disk has room for them, a `PixelFile` of all images (N, C, H, W). Decoding a small image takes longer
than a training step of a small network; reading its pixels does not.

An entry is named by the paths, sizes and times of change of all files, the shape, and the version of Pillow, so that a
changed file is decoded again. Entries are in the user's cache; those that were not used for longest go first where a new
one needs their room. CNNC_CACHE_GB limits them, and 0 turns them off. A cache that cannot be written is none.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cnnc.core.file_lock import acquire, release
from cnnc.core.files import rename_synced, write_atomic
from cnnc.data.fetch import cache_folder
from cnnc.data.image_decoder import ImageFiles, Scan, Shape, batches_ahead
from cnnc.data.image_file import pillow_version
from cnnc.diagnostics import CnncError

VARIABLE = "CNNC_CACHE_GB"

FREE_FRACTION = 4
"""By default entries take up to this fraction of the disk's free space: a quarter."""

_VERSION = 3
_PART = ".part"


class PixelFile:
    """Images (N, C, H, W) in a file; only those that are asked for are in memory."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._row = shape[1:]
        self._count = shape[0]

    def __getitem__(self, chosen: Any) -> NDArray[np.uint8]:
        rows = np.arange(self._count)[chosen]
        pixels = np.empty((rows.size, *self._row), np.uint8)
        size = prod(self._row)
        for image, row in zip(pixels, rows.reshape(-1).tolist(), strict=True):
            data = os.pread(self._file, size, row * size)
            image[...] = np.frombuffer(data, np.uint8).reshape(self._row)
        return pixels.reshape(*rows.shape, *self._row)

    def batches(self, parts: Sequence[Any]) -> Iterator[NDArray[np.uint8]]:
        """The images at each of the parts, in order; the next ones are read meanwhile."""
        with ThreadPoolExecutor(1, thread_name_prefix="pixels") as thread:
            largest = max((np.arange(self._count)[part].size for part in parts), default=0)
            most = batches_ahead(largest * prod(self._row))
            ahead = deque(thread.submit(self.__getitem__, part) for part in parts[:most])
            for n in range(len(parts)):
                pixels = ahead.popleft().result()
                if n + most < len(parts):
                    ahead.append(thread.submit(self.__getitem__, parts[n + most]))
                yield pixels


class CacheEntry:
    """The place of a set of images in the cache. A context manager: `add` pixels in order, and `save` at the end."""

    def __init__(self, files: ImageFiles, keys: Sequence[Any], shape: Shape) -> None:
        self._shape = (len(keys), *shape)
        self._limit = _limit()
        name = _name(files, keys, shape) if self._limit else ""
        self._pixels, self._facts = (cache_folder("decoded") / f"{name}{end}" for end in (".u8", ".json"))
        self._part = self._pixels.with_suffix(f"{_PART}{os.getpid()}")
        self._file: BinaryIO | None = None

    def load(self) -> tuple[Scan, PixelFile | None] | None:
        """What is kept of these images; None where they were not decoded before, or their pixels have been deleted."""
        if not self._limit:
            return None
        try:
            scan = Scan.from_dict(json.loads(self._facts.read_bytes()))
            os.utime(self._facts)  # used last
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        pixels = self._open()
        return (scan, pixels) if pixels is not None or prod(self._shape) > self._limit else None

    def _open(self) -> PixelFile | None:
        with suppress(OSError):
            if self._pixels.stat().st_size == prod(self._shape):
                return PixelFile(self._pixels, self._shape)
        return None

    def __enter__(self) -> CacheEntry:
        if self._limit:
            with suppress(OSError):
                self._pixels.parent.mkdir(parents=True, exist_ok=True)
                _remove_abandoned(self._pixels.parent)
                if _make_room(self._pixels.parent, prod(self._shape), self._limit):
                    self._file = os.fdopen(acquire(self._part)[0], "wb")
        return self

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Appends images; a full disk ends the writing."""
        if self._file is not None:
            try:
                self._file.write(np.ascontiguousarray(pixels).data)
            except OSError:
                self._discard()

    def save(self, scan: Scan) -> PixelFile | None:
        """Keeps what was found, and the pixels that were added."""
        with suppress(OSError, CnncError):
            if self._file is not None:
                self._file.flush()
                rename_synced(self._part, self._pixels)
                self._file.close()
                self._file = None
            if self._limit:
                write_atomic(self._facts, json.dumps(scan.as_dict()).encode())
        return self._open() if self._limit else None

    def __exit__(self, *error: object) -> None:
        self._discard()

    def _discard(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._part.unlink(missing_ok=True)
            self._file = None


def read_kept(name: str) -> bytes | None:
    """The content of another file in the cache; None where it is not there."""
    path = cache_folder("decoded") / name
    if _limit():
        with suppress(OSError):
            content = path.read_bytes()
            os.utime(path)  # used last
            return content
    return None


def keep(name: str, content: bytes) -> None:
    """Writes another file into the cache, where that is possible."""
    limit, path = _limit(), cache_folder("decoded") / name
    with suppress(OSError, CnncError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if limit and _make_room(path.parent, len(content), limit):
            write_atomic(path, content)


def _limit() -> int:
    """The most bytes of all entries. Raises CnncError E010 where CNNC_CACHE_GB is not a number."""
    setting = os.environ.get(VARIABLE, "").strip()
    if not hasattr(os, "pread"):
        return 0
    if setting:
        if not (setting.isascii() and setting.isdigit() and len(setting) < 10):
            message = f"{VARIABLE} is `{setting}`, which is not a whole number of gigabytes"
            raise CnncError.of("E010", message, help=f"set it to a number such as {VARIABLE}=20, or unset it")
        return int(setting) * 10**9
    folder = cache_folder("decoded")
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        return (shutil.disk_usage(existing).free + sum(size for _, size, _ in _entries(folder))) // FREE_FRACTION
    except OSError:
        return 0


def _remove_abandoned(folder: Path) -> None:
    """Deletes the pixels that killed processes had begun to write: nobody holds their locks."""
    for path in folder.glob(f"*{_PART}*"):
        with suppress(OSError):
            file, is_locked = acquire(path)
            if is_locked:
                release(file, path)
            else:  # the file system has no locks
                os.close(file)


def _name(files: ImageFiles, keys: Sequence[Any], shape: Shape) -> str:
    digest = hashlib.sha256(f"{_VERSION} {pillow_version()} {shape}\n".encode())
    for state in files.states(keys):
        digest.update(f"{state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _entries(folder: Path) -> list[tuple[float, int, Path]]:
    """The large files with the times of their last use and their sizes."""
    entries = []
    for path in (*folder.glob("*.u8"), *folder.glob("*.npz")):
        with suppress(OSError):
            facts = path.with_suffix(".json")
            used = (facts if facts.exists() else path).stat().st_mtime
            entries.append((used, path.stat().st_size, path))
    return entries


def _make_room(folder: Path, size: int, limit: int) -> bool:
    """Deletes the large files that were not used for longest; False where even an empty cache has no room."""
    if size > limit:
        return False
    entries = sorted(_entries(folder))
    total = sum(entry_size for _, entry_size, _ in entries)
    for _, entry_size, path in entries:
        if total + size > limit:
            path.unlink(missing_ok=True)
            total -= entry_size
    return shutil.disk_usage(folder).free > size
