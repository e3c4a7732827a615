"""Work split over threads by the batch, with BLAS held to one thread each.

NumPy lets go of the interpreter inside its loops and matrix products, so threads that each take some
images keep all cores busy; BLAS's own threads would only stand in their way. How a batch is split depends
on the number of threads alone, so a run is repeatable on the same number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise

from threadpoolctl import threadpool_limits


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


def shares(count: int, parts: int) -> list[tuple[int, int]]:
    """`count` things in at most `parts` runs of nearly equal length, as (start, stop)."""
    parts = max(1, min(parts, count))
    edges = [count * i // parts for i in range(parts + 1)]
    return list(pairwise(edges))


def over_batch(count: int, work: Callable[[int, int], None], cost: float) -> None:
    """Calls work(start, stop) for runs of a batch of `count`, in threads where `cost` (operations) is worth it."""
    threads = thread_count()
    if threads == 1 or count == 1 or cost < 200_000:
        work(0, count)
        return
    runs = shares(count, threads)
    pool = _pool(threads)
    waiting = [pool.submit(work, start, stop) for start, stop in runs[1:]]
    work(*runs[0])
    for future in waiting:
        future.result()
