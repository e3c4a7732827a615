"""A batch split over threads, with BLAS held to one thread each.

NumPy lets go of the interpreter inside its loops and matrix products, so threads that each take some images
through the whole network keep all cores busy; BLAS's own threads would only stand in their way. Where a layer
looks at the whole batch, the threads meet. How a batch is split depends on the number of threads alone, so a
run is repeatable on the same number.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from threading import Barrier, BrokenBarrierError, RLock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

T = TypeVar("T")
Array = NDArray[Any]


def thread_count() -> int:
    """CNNC_THREADS where it is set, else the cores this process may use."""
    wanted = os.environ.get("CNNC_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="cnnc")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS works in the calling thread alone. Entering costs more than a small product: enter it once."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt(3)


@cache
def keep_memory() -> None:
    """Has the C library keep what NumPy frees for the next array of its size, for the rest of this process.

    By default it hands large blocks back to the system, and every step pays for fresh, zeroed pages: a quarter of a
    ReLU's time and more. Does nothing where the library is not glibc.
    """
    try:
        mallopt: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, (1 << 31) - 1), (_ARENA_MAX, 1)):
        mallopt(option, value)


def shares(count: int, parts: int) -> list[tuple[int, int]]:
    """`count` things in at most `parts` runs of nearly equal length, as (start, stop)."""
    parts = max(1, min(parts, count))
    edges = [count * i // parts for i in range(parts + 1)]
    return list(pairwise(edges))


class Meeting:
    """Where threads that work on one batch add up what each has found of it.

    All of them come in the same order to the same sums. Each computes every sum by itself, in the order of the
    members, so all have the same to the last bit.
    """

    def __init__(self, members: int) -> None:
        self.members = members
        self._barrier = Barrier(members)
        # one table for the sum at hand and one for the next, which the first may bring before the last has read
        self._brought: tuple[list[Any], list[Any]] = ([None] * members, [None] * members)
        self._turns = [0] * members

    def total(self, member: int, *arrays: Array) -> tuple[Array, ...]:
        """The sums over all members of what each brings."""
        if self.members == 1:
            return arrays
        table = self._brought[self._turns[member] % 2]
        self._turns[member] += 1
        table[member] = arrays
        self._barrier.wait()
        return tuple(np.asarray(sum(parts[1:], start=parts[0])) for parts in zip(*table, strict=True))

    def break_off(self) -> None:
        """Lets nobody wait any more, as one will not come."""
        self._barrier.abort()


_one_crew = RLock()  # crews that share the pool could wait for each other's threads for ever


def together(meeting: Meeting, work: Callable[[int], T]) -> list[T]:
    """What work(member) returns, for each member of a meeting, each in a thread of its own; raises the first error."""
    if meeting.members == 1:
        return [work(0)]

    def run(member: int) -> T:
        try:
            return work(member)
        except BaseException:
            meeting.break_off()
            raise

    with _one_crew:
        waiting = [_pool(meeting.members).submit(run, member) for member in range(1, meeting.members)]
        errors: list[BaseException] = []
        results: list[T] = []
        ways: list[Callable[[], T]] = [lambda: run(0), *(future.result for future in waiting)]
        for get in ways:
            try:
                results.append(get())
            except BaseException as error:
                errors.append(error)
    if errors:
        raise next((e for e in errors if not isinstance(e, BrokenBarrierError)), errors[0])
    return results
