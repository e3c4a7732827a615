"""Runs the shards of a batch in threads, with BLAS limited to one thread each.

NumPy releases the interpreter lock inside its loops and matrix products, so threads that each take some examples
through the whole network keep all cores busy; BLAS's own threads would only compete with them. Where a layer needs
sums over the whole batch, the threads wait for each other (`AllReduce`). How a batch is split depends on the number
of threads alone, so a run is repeatable with the same number.

    all_reduce = AllReduce(2)
    run_in_threads(all_reduce, lambda shard: all_reduce.sum(shard, np.array(shard + 1)))  # both get the sum 1 + 2
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Barrier, BrokenBarrierError, RLock
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError

T = TypeVar("T")

MAX_THREADS = 1024
"""The most that CNNC_THREADS may ask for; more than any machine has cores for."""


def thread_count() -> int:
    """The environment variable CNNC_THREADS if it is set, else the number of cores that this process may use.

    Raises CnncError E010 if the variable is not a number of threads.
    """
    setting = os.environ.get("CNNC_THREADS", "")
    if setting:
        digits = setting.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) < 10 and 0 < int(digits) <= MAX_THREADS):
            message = f"CNNC_THREADS is `{setting}`, which is not a number of threads from 1 to {MAX_THREADS}"
            raise CnncError.of("E010", message, help="set it to a number such as CNNC_THREADS=2, or unset it")
        return int(digits)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _executor(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="cnnc")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limits BLAS to the calling thread. Entering costs more than a small matrix product, so enter it once per run."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def blas_libraries() -> list[str]:
    """The BLAS libraries that this process has loaded: name, version, and the kind of processor whose kernels run."""
    return list(dict.fromkeys(_blas_name(each) for each in _loaded_blas()))


def numpy_blas() -> str:
    """The BLAS library that NumPy brought along, or else those that are loaded; "none" without one."""
    site, loaded = Path(np.__file__).parents[1], _loaded_blas()
    own = [each for each in loaded if str(each["filepath"]).startswith(f"{site}{os.sep}numpy")]
    return ", ".join(dict.fromkeys(_blas_name(each) for each in own or loaded)) or "none"


def _loaded_blas() -> list[dict[str, Any]]:
    return [each for each in threadpool_info() if each["user_api"] == "blas"]


def _blas_name(library: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (library["internal_api"], library["version"], library.get("architecture"))))


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt(3)


@cache
def keep_memory() -> None:
    """Makes the C library keep the memory that NumPy frees, for the rest of this process.

    By default glibc returns large blocks to the system, and every step pays for fresh, zeroed pages: a quarter of a
    ReLU's time and more. Does nothing with other C libraries.
    """
    try:
        mallopt: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1), (_ARENA_MAX, 1)):
        mallopt(option, value)


def split_evenly(count: int, parts: int) -> list[tuple[int, int]]:
    """Splits range(count) into at most `parts` runs (start, stop) of nearly equal length: 10 in 3 is 0-3, 3-6, 6-10."""
    parts = max(1, min(parts, count))
    edges = [count * i // parts for i in range(parts + 1)]
    return list(pairwise(edges))


class AllReduce:
    """Sums over the shards of one batch, for threads that run one shard each.

    All threads ask for the same sums in the same order. Each computes every sum itself, in the order of the shards,
    so the results are bit-identical in all threads.
    """

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._barrier = Barrier(shards)
        # one table for the current sum and one for the next, to which a fast thread may add before a slow one has read
        self._tables: tuple[list[Any], list[Any]] = ([None] * shards, [None] * shards)
        self._calls = [0] * shards

    def sum(self, shard: int, *arrays: Array) -> tuple[Array, ...]:
        """Each array summed over all shards; waits until all have called. `shard` is the caller's index."""
        if self.shards == 1:
            return arrays
        table = self._tables[self._calls[shard] % 2]
        self._calls[shard] += 1
        table[shard] = arrays
        self._barrier.wait()
        return tuple(np.asarray(sum(terms[1:], start=terms[0])) for terms in zip(*table, strict=True))

    def abort(self) -> None:
        """Releases the waiting threads with BrokenBarrierError, because one has failed."""
        self._barrier.abort()


_executor_lock = RLock()  # two runs that shared the threads could wait for each other's for ever


def run_in_threads(all_reduce: AllReduce, work: Callable[[int], T]) -> list[T]:
    """The results of work(shard) for each shard, each in a thread (shard 0 in the caller's); raises the first error."""
    if all_reduce.shards == 1:
        return [work(0)]

    def run(shard: int) -> T:
        try:
            return work(shard)
        except BaseException:
            all_reduce.abort()
            raise

    with _executor_lock:
        futures = [_executor(all_reduce.shards).submit(run, shard) for shard in range(1, all_reduce.shards)]
        errors: list[BaseException] = []
        results: list[T] = []
        getters: list[Callable[[], T]] = [lambda: run(0), *(future.result for future in futures)]
        for get in getters:
            try:
                results.append(get())
            except BaseException as error:
                errors.append(error)
    if errors:
        raise next((e for e in errors if not isinstance(e, BrokenBarrierError)), errors[0])
    return results
