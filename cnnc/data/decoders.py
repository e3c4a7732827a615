"""Decodes images in worker processes, ahead of the one who asks: the engine computes while the next batches are decoded.

In: `ImageFiles`, the shape (C, H, W) of an image, and batches of keys. Out: for each batch, in order, its pixels
(N, C, H, W) and what `decode_each` says of each image. Threads of one process would not do: Pillow holds the interpreter
lock for most of the time that a small image takes, so two threads decode no faster than one.

    with_two = Decoders(files, (3, 64, 64), workers=2)
    for pixels, facts in with_two.batches(parts): ...

The workers write into memory that all processes map: a few batches, whatever the size of the data set. Pipes carry only
keys and facts. Which worker decodes an image changes nothing in it, so the number of workers
changes no result.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import weakref
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.worker_process import anonymous_file, can_start_workers, start_worker
from cnnc.data.image_decoder import ImageFacts, ImageFiles, Shape, batches_ahead
from cnnc.diagnostics import CnncError

MOST_WORKERS = 8
"""The most workers that start by default."""

MOST_PER_REQUEST = 32

VARIABLE = "CNNC_WORKERS"

LARGEST_COUNT = 256
"""The most workers that CNNC_WORKERS may ask for."""


class DecodeSetup(NamedTuple):
    """The first message to a worker."""

    files: ImageFiles
    shape: Shape


class DecodeRequest(NamedTuple):
    """Decode the files of these keys into the images from `first` on, in a memory of `memory_size` bytes."""

    keys: list[Any]
    first: int
    memory_size: int


class Decoded(NamedTuple):
    """A batch: pixels (N, C, H, W), and for each image what was changed, or why it is not one."""

    pixels: NDArray[np.uint8]
    facts: list[ImageFacts | str]


def worker_count() -> int:
    """The number of processes that decode images: CNNC_WORKERS, else the cores that this process may use, at most 8.

    Processes that torchrun starts on this machine share the cores. 0 decodes in the main process, and so does a system
    that cannot start workers. Raises CnncError E010 where the variable is not a number.
    """
    setting = os.environ.get(VARIABLE, "").strip()
    if setting:
        if not (setting.isascii() and setting.isdigit() and len(setting) < 10 and int(setting) <= LARGEST_COUNT):
            message = f"{VARIABLE} is `{setting}`, which is not a number of processes from 0 to {LARGEST_COUNT}"
            raise CnncError.of("E010", message, help=f"set it to a number such as {VARIABLE}=2, or unset it")
        count = int(setting)
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = max(1, min(MOST_WORKERS, cores // processes_of_this_machine()))
    return count if can_start_workers() else 0


def processes_of_this_machine() -> int:
    """The number of training processes that torchrun started on this machine; 1 without torchrun."""
    setting = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, int(setting)) if setting.isascii() and setting.isdigit() else 1


class _Worker(NamedTuple):
    """A worker process, and our end of the pipe to it."""

    process: subprocess.Popen[bytes]
    pipe: Connection


class Decoders:
    """Worker processes that decode the images of one set of files; they end with `close`, or with this object.

    Raises CnncError E904 where no process can be started, E912 where one has died at once. A thread per worker sends it a request, waits for the reply, and takes the next request.
    """

    def __init__(self, files: ImageFiles, shape: Shape, workers: int) -> None:
        self._shape = shape
        self._file = anonymous_file(0)
        self._memory: mmap.mmap | None = None
        self._workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end, self._file, self._workers)
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for _ in range(workers):
            worker = _Worker(*start_worker("cnnc.data.decode_worker:work", self._file))
            self._workers.append(worker)
            try:
                worker.pipe.send(DecodeSetup(files, shape))
            except OSError as error:
                self._end()
                raise _worker_died() from error
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decoders")

    def close(self) -> None:
        """Ends the workers."""
        self._end()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def batches(self, parts: Iterable[list[Any]], largest: int) -> Generator[Decoded, None, None]:
        """Decodes batches of keys, each of at most `largest`; raises CnncError E912 where a worker has died.

        One caller at a time. Where it leaves off before the end, or an error ends it, the workers end too.
        """
        most = batches_ahead(largest * prod(self._shape))
        self._reserve(most * largest)
        ahead: deque[tuple[int, list[Future[list[ImageFacts | str]]]]] = deque()
        is_complete = False
        try:
            for number, keys in enumerate(parts):
                decoded = self._receive(*ahead.popleft()) if len(ahead) == most else None
                first = number % most * largest
                ahead.append((first, self._request(keys, first)))
                if decoded is not None:
                    yield decoded
            while ahead:
                yield self._receive(*ahead.popleft())
            is_complete = True
        finally:
            if not is_complete:
                self.close()

    def _reserve(self, images: int) -> None:
        """Makes the memory large enough for this many images."""
        size = max(1, images * prod(self._shape))
        if self._memory is None or len(self._memory) < size:
            os.ftruncate(self._file, size)
            self._memory = mmap.mmap(self._file, size)

    def _request(self, keys: list[Any], first: int) -> list[Future[list[ImageFacts | str]]]:
        """Asks for a batch, in requests of few images, so that a worker with small images takes more of them."""
        assert self._memory is not None
        count = max(1, min(MOST_PER_REQUEST, -(-len(keys) // len(self._workers))))
        return [
            self._threads.submit(self._decode, DecodeRequest(keys[n : n + count], first + n, len(self._memory)))
            for n in range(0, len(keys), count)
        ]

    def _decode(self, request: DecodeRequest) -> list[ImageFacts | str]:
        """Gives a request to an idle worker, and waits for its reply; an exception that it sends is raised here."""
        worker = self._idle.get()
        try:
            worker.pipe.send(request)
            reply = worker.pipe.recv()
        except (EOFError, OSError, ValueError) as error:  # ValueError: `close` has closed the pipe
            raise _worker_died() from error
        finally:
            self._idle.put(worker)
        if isinstance(reply, Exception):
            raise reply
        facts: list[ImageFacts | str] = reply
        return facts

    def _receive(self, first: int, replies: list[Future[list[ImageFacts | str]]]) -> Decoded:
        """Waits for a batch, and copies it out of the shared memory."""
        assert self._memory is not None
        facts = [fact for reply in replies for fact in reply.result()]
        return Decoded(map_images(self._memory, self._shape, first, len(facts)).copy(), facts)


def map_images(memory: mmap.mmap, shape: Sequence[int], first: int, count: int) -> NDArray[np.uint8]:
    """The images from `first` on, in the shared memory."""
    return np.ndarray((count, *shape), np.uint8, memory, first * prod(shape))


def _end(file: int, workers: list[_Worker]) -> None:
    os.close(file)
    for worker in workers:
        worker.process.kill()  # it holds nothing that could be lost; the thread that waits for its reply ends
    for worker in workers:
        worker.process.wait()
        worker.pipe.close()


def _worker_died() -> CnncError:
    help = f"was it killed, or did memory run out? {VARIABLE}=0 decodes in the main process"
    return CnncError.of("E912", "a process that decodes images died", help=help)
