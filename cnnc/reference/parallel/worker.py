"""A worker process of a crew: takes its part of each batch through the network, as it is told.

In: a line to the first process, and the file of the common memory. Out: values and gradients, in that memory.
It ends with the line. See crew.py.
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
from cnnc.reference.engine import backward_part, forward_part, own_numbers
from cnnc.reference.parallel.pipe import Line
from cnnc.reference.parallel.processes import MEMORY, Ahead, Back, Job, common_memory
from cnnc.reference.parallel.threads import keep_memory, one_blas_thread
from cnnc.reference.registry import Mode


def work(end: int, file: int) -> None:
    """Works until the other end of the line is closed."""
    with Connection(end) as connection, one_blas_thread():
        keep_memory()
        try:
            line = Line(connection)
            job: Job = line.recv()
            memory = common_memory(file, job.size)
            os.close(file)
            _serve(job, memory, line)
        except (EOFError, OSError):  # the first process has left
            sys.exit()


def _serve(job: Job, memory: mmap.mmap, line: Line) -> None:
    weights = {name: place.array(memory) for name, place in job.weights.items()}
    meter = MemoryMeter()
    saved: dict[str, Any] = {}
    count = 0
    while True:
        order = line.recv()
        try:
            match order:
                case Ahead():
                    count = order.size
                    saved = _ahead(job, memory, weights, order, line)
                case Back():
                    _back(job, memory, weights, order, saved, count)
            line.send((meter.growth, meter.process_peak) if order == MEMORY else None)
        except (EOFError, OSError):
            raise
        except Exception as error:
            line.send(error)


def _ahead(job: Job, memory: mmap.mmap, weights: Mapping[str, Array], order: Ahead, line: Line) -> dict[str, Any]:
    def total(*arrays: Array) -> tuple[Array, ...]:
        line.send(arrays)
        sums: tuple[Array, ...] = line.recv()
        return sums

    feeds = {
        name: job.part.feeds[name].array(memory, order.size, np.dtype(dtype)) for name, dtype in order.dtypes.items()
    }
    mode, random = Mode(True, None, total), own_numbers(order.random, job.member)
    nodes = needed_nodes(job.graph, job.wanted)
    done = forward_part(job.graph, nodes, weights, feeds, job.wanted, np.dtype(job.dtype), mode, random)
    for name, value in done.values.items():
        job.part.values[name].array(memory, order.size)[...] = value
    return done.saved


def _back(
    job: Job, memory: mmap.mmap, weights: Mapping[str, Array], order: Back, saved: dict[str, Any], count: int
) -> None:
    seeds = {name: job.part.seeds[name].array(memory, count) for name in order.names}
    found, _ = backward_part(job.graph, needed_nodes(job.graph, job.wanted), weights, saved, seeds)
    for name, gradient in found.items():
        job.part.gradients[name].array(memory)[...] = gradient
