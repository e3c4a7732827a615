"""Worker processes give the same bits as threads, pass errors on, and end with the pool."""

from __future__ import annotations

import os
import signal
import subprocess
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.core.worker_process import start_worker
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.reference.engine import StepRandom, backward, forward, shard_count
from cnnc.reference.initializers import initialize
from cnnc.reference.parallel import processes
from cnnc.reference.parallel.processes import WorkerPool, worker_pool_for
from tests.reference.networks import graph

pytestmark = pytest.mark.skipif(
    not hasattr(os, "ftruncate"), reason="workers inherit files, which this system does not support"
)

NORMED = "input 8x16x16; conv 16 k=3 p=1; bn; relu; dropout 0.3; conv 24 k=3; bn; relu; fc 5"
WORDS = "input 40 dtype=int64; embed 32 vocab=50; conv 64 k=5; relu; global_pool max; fc 3"
NUMBERS = StepRandom(0, 1, 2)


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch, small_shards: None) -> None:
    monkeypatch.setenv("CNNC_THREADS", "3")


def feeds_of(net: Graph, count: int) -> dict[str, Array]:
    random = np.random.default_rng(count)
    node = net.inputs[0]
    if node.type.dtype == "int64":
        return {node.name: random.integers(0, 50, (count, *node.type.shape))}
    return {node.name: random.integers(0, 256, (count, *node.type.shape), np.uint8)}


@pytest.mark.long
@pytest.mark.parametrize("text", [NORMED, WORDS], ids=["normed", "words"])
def test_workers_give_the_bits_of_threads(text: str) -> None:
    net = graph(text)
    wanted = net.outputs
    weights = initialize(net, 0)
    with WorkerPool(net, weights, wanted, 10) as workers:
        shared = workers.adopt(weights)
        for count in (10, 10, 7, 1):  # the last batch of an epoch is smaller
            feeds = feeds_of(net, count)
            expected = forward(net, weights, feeds, outputs=wanted, training=True, random=NUMBERS)
            trace = workers.forward(shared, feeds, NUMBERS)
            assert trace.values[wanted[0]].tobytes() == expected.values[wanted[0]].tobytes()
            assert {k: v.tobytes() for k, v in trace.buffers.items()} == {
                k: v.tobytes() for k, v in expected.buffers.items()
            }
            seeds = {name: np.cos(value) for name, value in trace.values.items()}
            gradients, _ = backward(net, weights, expected, seeds)
            found = workers.backward(shared, trace, seeds)
            assert found.keys() == gradients.keys()
            for name, gradient in gradients.items():
                assert found[name].tobytes() == gradient.tobytes(), name
            for held in (weights, shared):  # in place in one, and as new arrays
                held.update({name: held[name] - np.float32(0.1) * found[name] for name in found})


def test_an_error_in_a_worker_is_raised() -> None:
    net = graph(WORDS)
    weights = initialize(net, 0)
    feeds = feeds_of(net, 30)
    feeds["input1"][-1, 0] = 99
    with WorkerPool(net, weights, net.outputs, 30) as workers, pytest.raises(CnncError, match="not 99") as error:
        workers.forward(workers.adopt(weights), feeds)
    assert error.value.diagnostics[0].code == "E602"


def test_a_killed_worker_is_reported() -> None:
    net = graph(NORMED)
    weights = initialize(net, 0)
    with WorkerPool(net, weights, net.outputs, 30) as workers:
        workers.forward(workers.adopt(weights), feeds_of(net, 30), NUMBERS)
        os.kill(workers._processes[0].pid, signal.SIGKILL)
        workers._processes[0].wait()
        with pytest.raises(CnncError) as error:
            workers.forward(workers.adopt(weights), feeds_of(net, 30), NUMBERS)
    assert error.value.diagnostics[0].code == "E704"


def test_a_worker_that_dies_at_once_is_reported_and_the_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    net = graph(NORMED)
    weights = initialize(net, 0)
    started: list[subprocess.Popen[bytes]] = []
    real = start_worker

    def second_dies(target: str, file: int) -> tuple[subprocess.Popen[bytes], Connection]:
        process, pipe = real(target, file)
        started.append(process)
        if len(started) == 2:
            pipe.close()
            pipe, theirs = Pipe()
            theirs.close()
        return process, pipe

    monkeypatch.setattr(processes, "start_worker", second_dies)
    with pytest.raises(CnncError) as error:
        WorkerPool(net, weights, net.outputs, 30)
    assert (error.value.diagnostics[0].code, error.value.status) == ("E704", 6)
    assert [process.returncode is not None for process in started] == [True, True]


def test_leaving_the_pool_ends_the_workers() -> None:
    net = graph(NORMED)
    weights = initialize(net, 0)
    with WorkerPool(net, weights, net.outputs, 30) as workers:
        workers.forward(workers.adopt(weights), feeds_of(net, 30), NUMBERS)
        pids = [process.pid for process in workers._processes]
        assert len(workers.memory()) == len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_short_run_starts_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    net = graph(NORMED)
    weights = initialize(net, 0)
    assert worker_pool_for(net, weights, net.outputs, 10, 100) is None
    monkeypatch.setattr(processes, "MIN_RUN_MACS", 0)
    monkeypatch.setenv("CNNC_THREADS", "1")
    assert worker_pool_for(net, weights, net.outputs, 10, 100) is None


def test_a_batch_is_split_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured on two cores: splitting pays for LeNet-5's batches of 64, not of 16; batch norms and large embeds make it costlier."""
    monkeypatch.undo()
    monkeypatch.setenv("CNNC_THREADS", "2")
    lenet = graph("input 1x28x28; conv 6 k=5 p=2; relu; pool max k=2; conv 16 k=5; relu; pool max k=2; fc 120; fc 10")
    assert [shard_count(lenet, count, training=True) for count in (16, 64)] == [1, 2]
    normed = graph(
        "input 1x8x8; conv 32 k=3 p=1; bn; relu; conv 32 k=3 p=1; bn; relu; pool max k=2; conv 64 k=3 p=1; bn; fc 10"
    )
    assert shard_count(normed, 32, training=True) == 1
    assert shard_count(normed, 32, training=False) == 2
    words = graph("input 40 dtype=int64; embed 50 vocab=18000; conv 100 k=2; relu; global_pool max; fc 2")
    assert [shard_count(words, count, training=True) for count in (50, 500)] == [1, 2]


def test_workers_run_no_file_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are named like modules of the standard library or like NumPy; each leaves a mark when it is run."""
    modules = ("numpy", "random", "pickle", "signal", "typing", "mmap", "struct", "socket", "cnnc")
    for name in modules:
        mark = tmp_path / f"{name}-was-executed"
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise ImportError\n")
    monkeypatch.chdir(tmp_path)
    net = graph(NORMED)
    weights = initialize(net, 0)
    with WorkerPool(net, weights, net.outputs, 12) as workers:
        trace = workers.forward(workers.adopt(weights), feeds_of(net, 12), NUMBERS)
    assert len(trace.values[net.outputs[0]]) == 12
    assert [path.name for path in tmp_path.glob("*-was-executed")] == []
