"""A batch split over processes: training on all cores.

Threads of one process hand the interpreter's lock to each other at every operation, which costs more than the
small operations themselves. So a training run starts a worker for every further core. Each takes its part of a
batch through the network; what they share lies in memory that all of them map: weights, and for each worker its
inputs, the values asked for, the gradients that backward begins with, and the weights' gradients. Where a layer
looks at the whole batch, the workers send what they found to the first part's process, which sends back the sum.

In: a graph, weights, the size of a batch. Out: `Crew`, whose `forward` and `backward` give the same bits as those
of engine.py with as many threads. Only where processes can inherit files (not on Windows); else see `crew_for`.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, needed_nodes
from cnnc.ops.dense import Input
from cnnc.reference.engine import Trace, backward_part, forward_part, joined, parts_of
from cnnc.reference.feeds import check_feeds, working_dtype
from cnnc.reference.parallel.pipe import Line
from cnnc.reference.parallel.threads import shares
from cnnc.reference.registry import Mode, Random

WORTH_IT = 3e10  # multiply-adds of a whole run: some seconds, which a few tenths for starting processes do not double
ALIGNED = 64  # bytes: a cache line


class Place(NamedTuple):
    """Where an array lies in the common memory."""

    start: int
    shape: tuple[int, ...]
    dtype: str

    def array(self, memory: mmap.mmap, count: int | None = None, dtype: Any = None) -> Array:
        """The array, or its first `count` rows, perhaps as another type of no larger elements."""
        shape = self.shape if count is None else (count, *self.shape[1:])
        found: Array = np.ndarray(shape, dtype or self.dtype, memory, self.start)
        return found


class Layout:
    """Gives arrays their places, one after the other."""

    def __init__(self) -> None:
        self.size = 0

    def add(self, shape: tuple[int, ...], dtype: Any) -> Place:
        place = Place(self.size, shape, np.dtype(dtype).str)
        self.size += -(-int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize // ALIGNED) * ALIGNED
        return place


class Part(NamedTuple):
    """What one worker shares with the first process."""

    feeds: dict[str, Place]
    values: dict[str, Place]
    seeds: dict[str, Place]
    gradients: dict[str, Place]


class Job(NamedTuple):
    """What a worker is told once."""

    graph: Graph
    wanted: tuple[str, ...]
    dtype: str
    member: int
    size: int
    weights: dict[str, Place]
    part: Part


class Ahead(NamedTuple):
    """Run so many examples forward; the feeds have these element types."""

    size: int
    dtypes: dict[str, str]
    random: Random | None


class Back(NamedTuple):
    """Run them backward, from what stands in `seeds` of these layers."""

    names: tuple[str, ...]


MEMORY = "memory"  # asks a worker how much memory it takes


class Crew:
    """Workers for one graph. A context manager: leaving it ends them."""

    def __init__(self, graph: Graph, weights: Weights, wanted: tuple[str, ...], batch: int) -> None:
        self.graph, self.wanted = graph, wanted
        self._order = needed_nodes(graph, wanted)
        members, dtype = parts_of(graph, batch, training=True), working_dtype(weights, {})
        layout = Layout()
        places = {name: layout.add(array.shape, array.dtype) for name, array in weights.items()}
        parts = [_layout_of(layout, graph, weights, wanted, -(-batch // members), dtype) for _ in range(1, members)]
        file = _file(layout.size)
        self._memory = common_memory(file, layout.size)
        self._shared = {name: place.array(self._memory) for name, place in places.items()}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._workers: list[tuple[Part, Line]] = []
        self._runs: list[slice] = []  # of the batch at hand: what each worker has of it
        for member, part in enumerate(parts, start=1):
            process, line = _start(file)
            self._processes.append(process)
            self._workers.append((part, line))
            self._send(line, Job(graph, wanted, dtype.str, member, layout.size, places, part))
        os.close(file)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process, (_, line) in zip(self._processes, self._workers, strict=True):
            line.close()  # at its end a worker leaves
            if kind is not None:
                process.kill()
            process.wait()

    def adopt(self, weights: Weights) -> Weights:
        """The weights, in the common memory; an optimizer that changes them in place changes them for all."""
        self._refresh(weights)
        return dict(self._shared)

    def forward(self, weights: Weights, feeds: Mapping[str, Array], random: Random | None = None) -> Trace:
        """`engine.forward` in training. Raises CnncError E602, and E704 where a worker is gone."""
        inputs = [node for node in self._order if isinstance(node.op, Input)]
        count = check_feeds(inputs, feeds)
        self._refresh(weights)
        first, *self._runs = (slice(*run) for run in shares(count, parts_of(self.graph, count, training=True)))
        dtypes = {node.name: feeds[node.name].dtype.str for node in inputs}
        for (worker, line), run in zip(self._workers, self._runs, strict=False):
            size = run.stop - run.start
            for name in dtypes:
                mine = feeds[name][run]
                worker.feeds[name].array(self._memory, size, mine.dtype)[...] = mine
            self._send(line, Ahead(size, dtypes, random))
        own, dtype = {name: feeds[name][first] for name in dtypes}, working_dtype(weights, feeds)
        mode = Mode(True, None, self._total)
        done = forward_part(self.graph, self._order, weights, own, self.wanted, dtype, mode, random)
        self._gather()
        values = {name: joined([value, *self._rows(name)]) for name, value in done.values.items()}
        return Trace(values, done.buffers, [(first, done.saved)])

    def backward(self, weights: Weights, trace: Trace, seeds: Mapping[str, Array]) -> Weights:
        """The weights' gradients of `engine.backward`. Raises CnncError E704 where a worker is gone."""
        ((own, saved),) = trace.parts
        for (part, line), run in zip(self._workers, self._runs, strict=False):
            for name, seed in seeds.items():
                part.seeds[name].array(self._memory, run.stop - run.start)[...] = seed[run]
            self._send(line, Back(tuple(seeds)))
        found, _ = backward_part(self.graph, self._order, weights, saved, {n: seed[own] for n, seed in seeds.items()})
        self._gather()
        for name, gradient in found.items():
            for part, _ in self._workers[: len(self._runs)]:
                gradient = gradient + part.gradients[name].array(self._memory)
            found[name] = gradient
        return found

    def memory(self) -> list[tuple[int | None, int]]:
        """For each worker, by how much it has grown at work and what it held at most, in bytes (see `MemoryMeter`)."""
        for _, line in self._workers:
            self._send(line, MEMORY)
        return [self._receive(line) for _, line in self._workers]

    def _refresh(self, weights: Weights) -> None:
        """Copies what the caller holds elsewhere into the common memory."""
        for name, array in weights.items():
            if array is not self._shared[name]:
                self._shared[name][...] = array

    def _rows(self, name: str) -> list[Array]:
        """The workers' values of a layer."""
        return [
            worker.values[name].array(self._memory, run.stop - run.start)
            for (worker, _), run in zip(self._workers, self._runs, strict=False)
        ]

    def _total(self, *arrays: Array) -> tuple[Array, ...]:
        """`Mode.total` of the first part: adds up what the workers send, in their order, and sends them the sums."""
        lines = [line for _, line in self._workers[: len(self._runs)]]
        for line in lines:
            others = self._receive(line)
            arrays = tuple(np.asarray(a + b) for a, b in zip(arrays, others, strict=True))
        for line in lines:
            self._send(line, arrays)
        return arrays

    def _gather(self) -> None:
        for _, line in self._workers[: len(self._runs)]:
            self._receive(line)

    def _send(self, line: Line, what: Any) -> None:
        try:
            line.send(what)
        except OSError as error:
            raise _gone() from error

    def _receive(self, line: Line) -> Any:
        """What a worker sends; an error that it sends is raised here."""
        try:
            found = line.recv()
        except (EOFError, OSError) as error:
            raise _gone() from error
        if isinstance(found, Exception):
            raise found
        return found


def _gone() -> CnncError:
    help = "was it killed, or the memory full? CNNC_THREADS=1 runs without workers"
    return CnncError.of("E704", "a worker process of the training run is gone", help=help)


def _layout_of(layout: Layout, graph: Graph, weights: Weights, wanted: tuple[str, ...], most: int, dtype: Any) -> Part:
    """Room for what a worker shares, for a part of at most so many examples."""

    def values() -> dict[str, Place]:
        types = {name: graph.by_name[name].type for name in wanted}
        return {name: layout.add((most, *type.shape[1:], type.shape[0]), dtype) for name, type in types.items()}

    feeds = {node.name: layout.add((most, *node.type.shape), np.int64) for node in graph.inputs}
    return Part(
        feeds, values(), values(), {name: layout.add(array.shape, array.dtype) for name, array in weights.items()}
    )


def common_memory(file: int, size: int) -> mmap.mmap:
    """The memory of a file, shared by all who map it."""
    return mmap.mmap(file, size)


def _file(size: int) -> int:
    """A file without a name, which never reaches a disk where the system has such."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("cnnc")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file


def _start(file: int) -> tuple[subprocess.Popen[bytes], Line]:
    """A worker, and the line to it."""
    ours, theirs = Pipe()
    home = str(Path(__file__).parents[3])
    run = f"import sys; sys.path.insert(0, {home!r}); from cnnc.reference.parallel.worker import work; work({theirs.fileno()}, {file})"
    # sessions of their own: a Ctrl-C at the terminal is for the first process alone
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", run],
            pass_fds=(theirs.fileno(), file),
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return process, Line(ours)


def crew_for(graph: Graph, weights: Weights, wanted: tuple[str, ...], batch: int, examples: int) -> Crew | None:
    """Workers for a run of so many examples in all; None where one process does as well, or has to."""
    able = hasattr(os, "ftruncate") and sys.platform != "win32" and bool(sys.executable)
    if not able or parts_of(graph, batch, training=True) == 1 or 3 * examples * graph.total_macs < WORTH_IT:
        return None
    return Crew(graph, weights, wanted, batch)
