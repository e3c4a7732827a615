"""The program of a worker process: takes its shard of each batch through the network, on request.

In: a pipe to the main process, and the file of the shared memory. Out: outputs and gradients, in that memory. The
process ends when the pipe is closed. See processes.py.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.process_memory import MemoryMeter
from cnnc.graph.graph import needed_nodes
from cnnc.reference.engine import backward_shard, forward_shard, random_of_shard
from cnnc.reference.parallel.pipe import PollingPipe
from cnnc.reference.parallel.processes import (
    MEMORY_REQUEST,
    BackwardRequest,
    ForwardRequest,
    WorkerSetup,
    map_memory,
)
from cnnc.reference.parallel.threads import keep_memory, one_blas_thread
from cnnc.reference.registry import Mode


def work(pipe_file: int, memory_file: int) -> None:
    """Serves requests until the main process closes the pipe. Takes two inherited file descriptors."""
    with Connection(pipe_file) as connection, one_blas_thread():
        keep_memory()
        try:
            pipe = PollingPipe(connection)
            setup: WorkerSetup = pipe.recv()
            memory = map_memory(memory_file, setup.memory_size)
            os.close(memory_file)
            _serve(setup, memory, pipe)
        except (EOFError, OSError):  # the main process has closed the pipe
            sys.exit()


def _serve(setup: WorkerSetup, memory: mmap.mmap, pipe: PollingPipe) -> None:
    weights = {name: shared.view(memory) for name, shared in setup.weights.items()}
    meter = MemoryMeter()
    saved: dict[str, Any] = {}
    count = 0
    while True:
        request = pipe.recv()
        try:
            match request:
                case ForwardRequest():
                    count = request.examples
                    saved = _forward(setup, memory, weights, request, pipe)
                case BackwardRequest():
                    _backward(setup, memory, weights, request, saved, count)
            pipe.send((meter.growth, meter.process_peak) if request == MEMORY_REQUEST else None)
        except (EOFError, OSError):
            raise
        except Exception as error:
            pipe.send(error)


def _forward(
    setup: WorkerSetup, memory: mmap.mmap, weights: Mapping[str, Array], request: ForwardRequest, pipe: PollingPipe
) -> dict[str, Any]:
    """Runs the shard forward, writes its outputs into the shared memory, and returns what its layers saved."""

    def batch_sum(*arrays: Array) -> tuple[Array, ...]:
        pipe.send(arrays)
        sums: tuple[Array, ...] = pipe.recv()
        return sums

    shared = setup.arrays.feeds
    feeds = {
        name: shared[name].view(memory, request.examples, np.dtype(dtype)) for name, dtype in request.dtypes.items()
    }
    mode, random = Mode(True, None, batch_sum), random_of_shard(request.random, setup.shard)
    order = needed_nodes(setup.graph, setup.outputs)
    trace = forward_shard(setup.graph, order, weights, feeds, setup.outputs, np.dtype(setup.dtype), mode, random)
    for name, value in trace.values.items():
        setup.arrays.values[name].view(memory, request.examples)[...] = value
    return trace.saved


def _backward(
    setup: WorkerSetup,
    memory: mmap.mmap,
    weights: Mapping[str, Array],
    request: BackwardRequest,
    saved: dict[str, Any],
    count: int,
) -> None:
    """Runs the shard backward, and writes its weight gradients into the shared memory."""
    seeds = {name: setup.arrays.seeds[name].view(memory, count) for name in request.layers}
    gradients, _ = backward_shard(setup.graph, needed_nodes(setup.graph, setup.outputs), weights, saved, seeds)
    for name, gradient in gradients.items():
        setup.arrays.gradients[name].view(memory)[...] = gradient
