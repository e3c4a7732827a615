"""Runs the shards of a batch in worker processes: training on all cores.

Threads of one process hand the interpreter lock to each other at every operation, which costs more than the small
operations themselves. So a training run starts a worker process for every further core, and each takes one shard of
every batch through the network. Arrays lie in memory that all processes map: the weights, and for each worker its
feeds, its outputs, the seeds of backward, and its weight gradients. Pipes carry only requests and replies. Where a
layer needs sums over the batch, the workers send their arrays to the main process, which replies with the sums.

In: a graph, weights, the largest batch size. Out: `WorkerPool`, whose `forward` and `backward` give the same bits as
those of engine.py with as many threads. Works where processes can inherit files (not on Windows): `worker_pool_for`
decides whether a run gets a pool.

LeNet-5 with batch 64 on two cores: the main process runs examples 0..31, the one worker 32..63. `forward` copies the
images 32..63 into the worker's feeds, sends ForwardRequest(32, ...), runs its own shard, waits for the reply, and
concatenates its own outputs (32, 10) with the worker's.
"""

from __future__ import annotations

import mmap
import os
import subprocess
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.worker_process import anonymous_file, can_start_workers, start_worker
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, needed_nodes
from cnnc.ops.dense import Input
from cnnc.reference.engine import Trace, backward_shard, concatenated, forward_shard, shard_count
from cnnc.reference.feeds import check_feeds, working_dtype
from cnnc.reference.parallel.pipe import PollingPipe
from cnnc.reference.parallel.threads import split_evenly
from cnnc.reference.registry import Mode, Random

MIN_RUN_MACS = 3e10  # multiply-adds of a whole run: some seconds, compared to which processes start quickly
CACHE_LINE = 64  # bytes


class SharedArray(NamedTuple):
    """An array in the shared memory: byte offset, shape, and NumPy's name of the element type."""

    offset: int
    shape: tuple[int, ...]
    dtype: str

    def view(self, memory: mmap.mmap, count: int | None = None, dtype: Any = None) -> Array:
        """The array, or its first `count` rows, or these as another element type that is no larger."""
        shape = self.shape if count is None else (count, *self.shape[1:])
        array: Array = np.ndarray(shape, dtype or self.dtype, memory, self.offset)
        return array


class MemoryLayout:
    """Assigns offsets in the shared memory, one array after the other; `size` is the number of bytes so far."""

    def __init__(self) -> None:
        self.size = 0

    def add(self, shape: tuple[int, ...], dtype: Any) -> SharedArray:
        """Reserves memory for an array that begins at a cache line."""
        array = SharedArray(self.size, shape, np.dtype(dtype).str)
        self.size += -(-int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize // CACHE_LINE) * CACHE_LINE
        return array


class WorkerArrays(NamedTuple):
    """The arrays that one worker shares with the main process, by layer (feeds, values, seeds) or full weight name."""

    feeds: dict[str, SharedArray]
    values: dict[str, SharedArray]
    seeds: dict[str, SharedArray]
    gradients: dict[str, SharedArray]


class WorkerSetup(NamedTuple):
    """The first message to a worker: what to run, and where the arrays lie."""

    graph: Graph
    outputs: tuple[str, ...]
    dtype: str
    shard: int
    memory_size: int
    weights: dict[str, SharedArray]
    arrays: WorkerArrays


class ForwardRequest(NamedTuple):
    """Run the first `examples` rows of the feeds forward; `dtypes` are the element types of the feeds."""

    examples: int
    dtypes: dict[str, str]
    random: Random | None


class BackwardRequest(NamedTuple):
    """Run the same examples backward, from the seeds of these layers."""

    layers: tuple[str, ...]


MEMORY_REQUEST = "memory"
"""Asks a worker how much memory it has used."""


class WorkerPool:
    """Worker processes for one graph, `shard_count - 1` of them. A context manager: leaving it ends the processes.

    Raises CnncError E904 where no process can be started, E704 where one has died at once.
    """

    def __init__(self, graph: Graph, weights: Weights, outputs: tuple[str, ...], batch_size: int) -> None:
        self.graph, self.outputs = graph, outputs
        self._order = needed_nodes(graph, outputs)
        shards, dtype = shard_count(graph, batch_size, training=True), working_dtype(weights, {})
        layout = MemoryLayout()
        shared_weights = {name: layout.add(array.shape, array.dtype) for name, array in weights.items()}
        largest = -(-batch_size // shards)
        arrays = [_add_worker_arrays(layout, graph, weights, outputs, largest, dtype) for _ in range(1, shards)]
        file = anonymous_file(layout.size)
        self._memory = map_memory(file, layout.size)
        self._weights = {name: shared.view(self._memory) for name, shared in shared_weights.items()}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._workers: list[tuple[WorkerArrays, PollingPipe]] = []
        self._slices: list[slice] = []  # of the current batch: the shard of each worker
        try:
            for shard, worker_arrays in enumerate(arrays, start=1):
                setup = WorkerSetup(graph, outputs, dtype.str, shard, layout.size, shared_weights, worker_arrays)
                self._start(file, setup)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        finally:
            os.close(file)

    def _start(self, file: int, setup: WorkerSetup) -> None:
        process, connection = start_worker("cnnc.reference.parallel.worker:work", file)
        pipe = PollingPipe(connection)
        self._processes.append(process)
        self._workers.append((setup.arrays, pipe))
        self._send(pipe, setup)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process, (_, pipe) in zip(self._processes, self._workers, strict=True):
            pipe.close()  # which ends the worker
            if kind is not None:
                process.kill()
            process.wait()

    def adopt(self, weights: Weights) -> Weights:
        """The weights, copied into the shared memory: an optimizer that updates them in place updates all processes."""
        self._copy_weights(weights)
        return dict(self._weights)

    def forward(self, weights: Weights, feeds: Mapping[str, Array], random: Random | None = None) -> Trace:
        """`engine.forward` in training. Raises CnncError E602, and E704 where a worker has died."""
        inputs = [node for node in self._order if isinstance(node.op, Input)]
        batch_size = check_feeds(inputs, feeds)
        self._copy_weights(weights)
        shards = shard_count(self.graph, batch_size, training=True)
        first, *self._slices = (slice(*run) for run in split_evenly(batch_size, shards))
        dtypes = {node.name: feeds[node.name].dtype.str for node in inputs}
        for (arrays, pipe), run in zip(self._workers, self._slices, strict=False):
            count = run.stop - run.start
            for name in dtypes:
                shard_feed = feeds[name][run]
                arrays.feeds[name].view(self._memory, count, shard_feed.dtype)[...] = shard_feed
            self._send(pipe, ForwardRequest(count, dtypes, random))
        first_feeds, dtype = {name: feeds[name][first] for name in dtypes}, working_dtype(weights, feeds)
        mode = Mode(True, None, self._batch_sum)
        trace = forward_shard(self.graph, self._order, weights, first_feeds, self.outputs, dtype, mode, random)
        self._await_replies()
        values = {name: concatenated([value, *self._worker_values(name)]) for name, value in trace.values.items()}
        return Trace(values, trace.buffers, [(first, trace.saved)])

    def backward(self, weights: Weights, trace: Trace, seeds: Mapping[str, Array]) -> Weights:
        """The weights' gradients of `engine.backward`. Raises CnncError E704 where a worker has died."""
        ((first, saved),) = trace.shards
        for (arrays, pipe), run in zip(self._workers, self._slices, strict=False):
            for name, seed in seeds.items():
                arrays.seeds[name].view(self._memory, run.stop - run.start)[...] = seed[run]
            self._send(pipe, BackwardRequest(tuple(seeds)))
        first_seeds = {name: seed[first] for name, seed in seeds.items()}
        gradients, _ = backward_shard(self.graph, self._order, weights, saved, first_seeds)
        self._await_replies()
        for name, gradient in gradients.items():
            for arrays, _ in self._workers[: len(self._slices)]:
                gradient = gradient + arrays.gradients[name].view(self._memory)
            gradients[name] = gradient
        return gradients

    def memory(self) -> list[tuple[int | None, int]]:
        """For each worker, in bytes: `MemoryMeter.growth` and `.process_peak`. Raises CnncError E704."""
        for _, pipe in self._workers:
            self._send(pipe, MEMORY_REQUEST)
        return [self._receive(pipe) for _, pipe in self._workers]

    def _copy_weights(self, weights: Weights) -> None:
        """Copies weights that the caller holds elsewhere into the shared memory."""
        for name, array in weights.items():
            if array is not self._weights[name]:
                self._weights[name][...] = array

    def _worker_values(self, name: str) -> list[Array]:
        """The workers' outputs of a layer."""
        return [
            arrays.values[name].view(self._memory, run.stop - run.start)
            for (arrays, _), run in zip(self._workers, self._slices, strict=False)
        ]

    def _batch_sum(self, *arrays: Array) -> tuple[Array, ...]:
        """`Mode.batch_sum` of shard 0: adds what the workers send, in their order, and sends them the sums."""
        pipes = [pipe for _, pipe in self._workers[: len(self._slices)]]
        for pipe in pipes:
            others = self._receive(pipe)
            arrays = tuple(np.asarray(a + b) for a, b in zip(arrays, others, strict=True))
        for pipe in pipes:
            self._send(pipe, arrays)
        return arrays

    def _await_replies(self) -> None:
        for _, pipe in self._workers[: len(self._slices)]:
            self._receive(pipe)

    def _send(self, pipe: PollingPipe, message: Any) -> None:
        try:
            pipe.send(message)
        except OSError as error:
            raise _worker_died() from error

    def _receive(self, pipe: PollingPipe) -> Any:
        """A worker's message; an exception that it sends is raised here."""
        try:
            message = pipe.recv()
        except (EOFError, OSError) as error:
            raise _worker_died() from error
        if isinstance(message, Exception):
            raise message
        return message


def _worker_died() -> CnncError:
    help = "was it killed, or did memory run out? CNNC_THREADS=1 trains without worker processes"
    return CnncError.of("E704", "a training worker process died", help=help)


def _add_worker_arrays(
    layout: MemoryLayout, graph: Graph, weights: Weights, outputs: tuple[str, ...], largest: int, dtype: Any
) -> WorkerArrays:
    """The arrays of one worker, for shards of at most `largest` examples."""

    def add_outputs() -> dict[str, SharedArray]:
        types = {name: graph.by_name[name].type for name in outputs}
        return {name: layout.add((largest, *type.shape[1:], type.shape[0]), dtype) for name, type in types.items()}

    feeds = {node.name: layout.add((largest, *node.type.shape), np.int64) for node in graph.inputs}
    values, seeds = add_outputs(), add_outputs()
    return WorkerArrays(
        feeds, values, seeds, {name: layout.add(array.shape, array.dtype) for name, array in weights.items()}
    )


def map_memory(file: int, size: int) -> mmap.mmap:
    """The memory of a file, shared by all processes that map it."""
    return mmap.mmap(file, size)


def worker_pool_for(
    graph: Graph, weights: Weights, outputs: tuple[str, ...], batch_size: int, examples: int
) -> WorkerPool | None:
    """Workers for a training run of `examples` in all (over all epochs), or None.

    None where batches are too small to split, the run is too short to pay for starting processes, or the system
    cannot share memory with them.
    """
    if shard_count(graph, batch_size, training=True) == 1 or 3 * examples * graph.total_macs < MIN_RUN_MACS:
        return None
    if not can_start_workers():
        return None
    return WorkerPool(graph, weights, outputs, batch_size)
