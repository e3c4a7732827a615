"""The processes that torchrun starts, as `Ranks`.

In: the environment that torchrun sets (RANK, WORLD_SIZE, ...). Out: `TorchRanks`, joined by torch.distributed: with nccl
between GPUs and gloo between CPUs; what runs agree on goes through gloo, so that no GPU waits for it.

A process that fails says so before it ends, so that only the first one reports its error. The others find that a peer has gone
(`lost_peers`) and end without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from cnnc.diagnostics import CnncError
from cnnc.reference.parallel.threads import thread_count
from cnnc.training.ranks import Ranks

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for the others before it takes them for lost."""

_LOST_PEER = re.compile(r"gloo/transport|connection (closed|reset|refused)|broken pipe|timed out", re.IGNORECASE)

T = TypeVar("T")


class TorchRanks(Ranks):
    """The processes of a job. `local_rank` counts those of this machine, of which there are `local_size`.

    `device` is the word of `--device`. Raises CnncError E010 or E905 for one that these processes cannot use.
    """

    def __init__(self, device: str = "auto") -> None:
        self.local_rank, self.local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
        self.device = self._device(device)
        uses_gpus = self.device != "cpu"
        self._parent = os.getppid()
        store, self.rank, self.size = next(dist.rendezvous("env://", timeout=TIMEOUT))
        # torchrun keeps the store when it starts the processes again, with the addresses of those that ended
        self._store = dist.PrefixStore(f"cnnc {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if uses_gpus else "gloo",
            store=dist.PrefixStore("processes", self._store),
            rank=self.rank,
            world_size=self.size,
            timeout=TIMEOUT,
            device_id=torch.device(self.device) if uses_gpus else None,
        )
        self._agreement = dist.new_group(backend="gloo", timeout=TIMEOUT)
        os.environ["CNNC_THREADS"] = str(self.first(thread_count))  # which the masks of dropout depend on

    def _device(self, word: str) -> str:
        """The device of this process, from the word of `--device`. Raises CnncError E010, E905."""
        if word == "auto":
            word = "cuda" if torch.cuda.is_available() else "cpu"
        if word not in ("cpu", "cuda"):
            message = f"--device {word}: each process that torchrun starts has a GPU of its own, or all use the cpu"
            raise CnncError.of("E010", message, help="write `--device cuda` or `--device cpu`")
        if word == "cpu":
            return word
        gpus = torch.cuda.device_count()
        if self.local_size > gpus:
            message = f"{self.local_size} processes on this machine need a GPU each; PyTorch finds {gpus}"
            raise CnncError.of(
                "E905", message, help=f"start {gpus}, or write `--device cpu`" if gpus else "write `--device cpu`"
            )
        torch.cuda.set_device(self.local_rank)
        return f"cuda:{self.local_rank}"

    def any(self, *flags: bool) -> tuple[bool, ...]:
        values = torch.tensor(flags, dtype=torch.uint8)
        with lost_peers():
            dist.all_reduce(values, dist.ReduceOp.MAX, group=self._agreement)
        return tuple(bool(value) for value in values)

    def sum(self, *numbers: float) -> tuple[float, ...]:
        values = torch.tensor(numbers, dtype=torch.float64)
        with lost_peers():
            dist.all_reduce(values, group=self._agreement)
        return tuple(values.tolist())

    def first(self, action: Callable[[], T]) -> T:
        result: list[T | CnncError | None] = [None]
        if self.is_first:
            try:
                result = [action()]
            except CnncError as error:
                result = [error]
        with lost_peers():
            dist.broadcast_object_list(result, src=0, group=self._agreement)
        if isinstance(result[0], CnncError):
            raise result[0]
        return result[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        values = [value] * self.size
        with lost_peers():
            dist.all_gather_object(values, value, group=self._agreement)
        return values

    @property
    def is_orphaned(self) -> bool:
        """Whether the process that started this one has ended, so that nobody would stop it."""
        return os.getppid() != self._parent

    def is_first_to_fail(self) -> bool:
        """Whether this process is the first of the job to fail, which is the one that reports it."""
        if self.is_orphaned:  # the store has ended with the process that started this one
            return self.is_first
        try:
            return int(self._store.add("failures", 1)) == 1
        except RuntimeError:
            return self.is_first

    def close(self) -> None:
        """Leaves the job, once all processes have come here."""
        self.any(True)
        dist.destroy_process_group()


@contextmanager
def lost_peers() -> Iterator[None]:
    """Raises CnncError E909 where a collective operation fails because another process has ended."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not _LOST_PEER.search(str(error)):
            raise
        message = "a process that trains together with this one has ended; somebody killed it, or its memory ran out"
        raise CnncError.of("E909", message) from error
