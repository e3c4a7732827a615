"""Images as a column of a data set: decoded in memory where they fit, else decoded on the disk where they fit there, else
decoded whenever they are read.

In: `ImageFiles`, their keys, and the shape (C, H, W) of the network's input. Out: `ImageColumn`, uint8 (N, C, H, W), and
what was found: which files are not images, how many were resized or converted.

`column[rows]` decodes in this process; `column.batches(parts)` decodes in worker processes, ahead of the reader. Both give
the same pixels, whatever is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.core.limits import most_memory
from cnnc.core.process_memory import free_memory
from cnnc.data.decoded_cache import CacheEntry, PixelFile
from cnnc.data.decoders import Decoded, Decoders, processes_of_this_machine, worker_count
from cnnc.data.file_tree import bad_file
from cnnc.data.image_decoder import ImageFiles, Scan, Shape, decode_each

KEPT_FRACTION = 4
"""Decoded images stay in memory up to this fraction of the free memory: a quarter."""

KEPT_AT_LEAST = 2**26
"""Decoded images of fewer bytes than these stay in memory anyway."""

FEWEST_FOR_WORKERS = 1024
"""Fewer images than these are decoded sooner than worker processes start."""

_CHUNK = 256


def largest_in_memory() -> int:
    """The most bytes of decoded images that stay in memory; processes that torchrun starts on this machine share it."""
    most = max(KEPT_AT_LEAST, free_memory() // KEPT_FRACTION // processes_of_this_machine())
    limit = most_memory()
    return most if limit is None else min(most, limit.value // KEPT_FRACTION)


class ImageColumn:
    """Images (N, C, H, W), uint8: in memory, or decoded when they are read."""

    def __init__(
        self, files: ImageFiles, keys: Sequence[Any], shape: Shape, decoded: NDArray[np.uint8] | PixelFile | None = None
    ) -> None:
        self._files = files
        self._keys = keys
        self._decoded = decoded
        self._idle: list[Decoders] = []
        self.shape = (len(keys), *shape)
        self.dtype = np.dtype(np.uint8)

    @property
    def in_memory(self) -> NDArray[np.uint8] | None:
        """All images, where they are kept decoded in memory."""
        return self._decoded if isinstance(self._decoded, np.ndarray) else None

    def __len__(self) -> int:
        return len(self._keys)

    def display_name(self, n: int) -> str:
        """The file of image `n` in messages."""
        return self._files.display_name(self._keys[n])

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        """Raises CnncError E602 where a file has changed since it was first read and is not an image any more."""
        if self._decoded is not None:
            images: NDArray[Any] = self._decoded[chosen]
            return images
        rows = np.arange(len(self))[chosen]
        keys = self._keys_of(rows.reshape(-1))
        batch = self._checked(_decoded_here(self._files, self.shape[1:], keys), keys)
        return batch.reshape(*rows.shape, *self.shape[1:])

    def batches(self, parts: Sequence[Any]) -> Iterator[NDArray[Any]]:
        """The images at each of the parts, index arrays or slices, in order; the next ones are decoded meanwhile.

        Raises CnncError E602 as indexing does, E912 where a worker process has died.
        """
        every = np.arange(len(self), dtype=np.int64)
        counts = [len(every[part]) for part in parts]
        if isinstance(self._decoded, PixelFile):
            yield from self._decoded.batches(parts)
            return
        if self._decoded is not None or sum(counts) < FEWEST_FOR_WORKERS or not worker_count():
            yield from (self[part] for part in parts)
            return
        decoders = self._idle.pop() if self._idle else Decoders(self._files, self.shape[1:], worker_count())
        keys = (self._keys_of(every[part]) for part in parts)
        with closing(decoders.batches(keys, max(counts))) as batches:
            for part, decoded in zip(parts, batches, strict=True):
                yield self._checked(decoded, self._keys_of(every[part]))
        self._idle.append(decoders)

    def _keys_of(self, rows: NDArray[np.int64]) -> list[Any]:
        return [self._keys[n] for n in rows.tolist()]

    def _checked(self, decoded: Decoded, keys: Sequence[Any]) -> NDArray[np.uint8]:
        for key, facts in zip(keys, decoded.facts, strict=True):
            if isinstance(facts, str):
                raise bad_file(self._files.display_name(key), f"is not an image any more: {facts}")
        return decoded.pixels


def load_images(files: ImageFiles, keys: Sequence[Any], shape: Shape) -> tuple[ImageColumn, Scan]:
    """All files as a column, and what was found, which says which of them are not images; each file is decoded once."""
    if len(keys) * prod(shape) <= largest_in_memory():
        pixels = np.empty((len(keys), *shape), np.uint8)
        scan = Scan()
        for first, decoded in decode_all(files, keys, shape):
            pixels[first : first + len(decoded.pixels)] = decoded.pixels
            scan.add(first, decoded.facts, shape)
        return ImageColumn(files, keys, shape, pixels), scan
    entry = CacheEntry(files, keys, shape)
    kept = entry.load()
    if kept is not None:
        scan, pixel_file = kept
        return ImageColumn(files, keys, shape, pixel_file), scan
    scan = Scan()
    with entry:
        for first, decoded in decode_all(files, keys, shape):
            entry.add(decoded.pixels)
            scan.add(first, decoded.facts, shape)
        return ImageColumn(files, keys, shape, entry.save(scan)), scan


def decode_all(files: ImageFiles, keys: Sequence[Any], shape: Shape) -> Iterator[tuple[int, Decoded]]:
    """Decodes all files in order, some at a time, each time with the index of the first: in worker processes where that pays. The rows of files that are not images are undefined."""
    firsts = range(0, len(keys), _CHUNK)
    chunks = (list(keys[n : n + _CHUNK]) for n in firsts)
    workers = worker_count() if len(keys) >= FEWEST_FOR_WORKERS else 0
    if not workers:
        yield from zip(firsts, (_decoded_here(files, shape, chunk) for chunk in chunks), strict=True)
        return
    decoders = Decoders(files, shape, workers)
    with closing(decoders), closing(decoders.batches(chunks, _CHUNK)) as batches:
        yield from zip(firsts, batches, strict=True)


def _decoded_here(files: ImageFiles, shape: Sequence[int], keys: Sequence[Any]) -> Decoded:
    """Files decoded in this process."""
    pixels = np.empty((len(keys), *shape), np.uint8)
    return Decoded(pixels, decode_each(pixels, files, keys))
