"""The processes that train one network together: ranks, counted from 0. The first one writes the run folder and prints.

`Ranks` is a process that trains alone; `cnnc.torch.distributed` has those that torchrun starts. What a run decides by its
own clock, signals or files, it decides through `Ranks`, so that all processes decide alike.

    stops, is_due = run.ranks.any(stopping.requested(), clock_says_so)
    weights = run.ranks.first(lambda: load(path).weights)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def is_started_by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


class Ranks:
    """One process that trains alone. A method that several processes call, all of them call in the same order."""

    rank = 0
    size = 1
    local_size = 1
    """The number of processes on this machine."""
    device = ""
    """The device of this process, by the word of `--device`; "" where the option decides."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run folder and prints."""
        return self.rank == 0

    @property
    def is_orphaned(self) -> bool:
        """Whether the process that started this one has ended, so that nobody would stop it."""
        return False

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag whether it is set in any process."""
        return flags

    def first(self, action: Callable[[], T]) -> T:
        """Runs the action in the first process; every process gets its result, or the CnncError that it raised."""
        return action()

    @contextmanager
    def holding(self, context: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Holds a context in the first process, for all of them."""
        with ExitStack() as stack:
            self.first(lambda: stack.enter_context(context()))
            yield

    def gather(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        return [value]

    def sum(self, *numbers: float) -> tuple[float, ...]:
        """The sums of numbers over all processes."""
        return numbers

    def share(self, parts: Iterator[T]) -> Iterator[T]:
        """Every size-th part, beginning with that of this rank."""
        return islice(parts, self.rank, None, self.size)


ALONE = Ranks()
