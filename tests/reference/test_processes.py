"""Worker processes give the bits that threads give, pass on what goes wrong, and leave nothing behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.reference.engine import StepNumbers, backward, forward, parts_of
from cnnc.reference.initializers import initialize
from cnnc.reference.parallel import processes as crews
from cnnc.reference.parallel.processes import Crew, crew_for
from tests.reference.test_layers import graph

pytestmark = pytest.mark.skipif(not hasattr(os, "ftruncate"), reason="workers inherit files, which this system lacks")

NORMED = "input 8x16x16; conv 16 k=3 p=1; bn; relu; dropout 0.3; conv 24 k=3; bn; relu; fc 5"
WORDS = "input 40 dtype=int64; embed 32 vocab=50; conv 64 k=5; relu; global_pool max; fc 3"
NUMBERS = StepNumbers(0, 1, 2)


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch, small_parts: None) -> None:
    monkeypatch.setenv("CNNC_THREADS", "3")


def feeds_of(made: Graph, count: int) -> dict[str, Array]:
    random = np.random.default_rng(count)
    node = made.inputs[0]
    if node.type.dtype == "int64":
        return {node.name: random.integers(0, 50, (count, *node.type.shape))}
    return {node.name: random.integers(0, 256, (count, *node.type.shape), np.uint8)}


@pytest.mark.long
@pytest.mark.parametrize("text", [NORMED, WORDS], ids=["normed", "words"])
def test_workers_give_the_bits_of_threads(text: str) -> None:
    made = graph(text)
    wanted = made.outputs
    weights = initialize(made, 0)
    with Crew(made, weights, wanted, 10) as crew:
        shared = crew.adopt(weights)
        for count in (10, 10, 7, 1):  # the last batch of an epoch is smaller
            feeds = feeds_of(made, count)
            expected = forward(made, weights, feeds, wanted=wanted, training=True, random=NUMBERS)
            trace = crew.forward(shared, feeds, NUMBERS)
            assert trace.values[wanted[0]].tobytes() == expected.values[wanted[0]].tobytes()
            assert {k: v.tobytes() for k, v in trace.buffers.items()} == {
                k: v.tobytes() for k, v in expected.buffers.items()
            }
            seeds = {name: np.cos(value) for name, value in trace.values.items()}
            gradients, _ = backward(made, weights, expected, seeds)
            found = crew.backward(shared, trace, seeds)
            assert found.keys() == gradients.keys()
            for name, gradient in gradients.items():
                assert found[name].tobytes() == gradient.tobytes(), name
            for held in (weights, shared):  # in place in one, and as new arrays
                held.update({name: held[name] - np.float32(0.1) * found[name] for name in found})


def test_what_a_worker_finds_wrong_is_raised() -> None:
    made = graph(WORDS)
    weights = initialize(made, 0)
    feeds = feeds_of(made, 30)
    feeds["input1"][-1, 0] = 99
    with Crew(made, weights, made.outputs, 30) as crew, pytest.raises(CnncError, match="it got 99") as error:
        crew.forward(crew.adopt(weights), feeds)
    assert error.value.diagnostics[0].code == "E602"


def test_a_killed_worker_is_told() -> None:
    made = graph(NORMED)
    weights = initialize(made, 0)
    with Crew(made, weights, made.outputs, 30) as crew:
        crew.forward(crew.adopt(weights), feeds_of(made, 30), NUMBERS)
        os.kill(crew._processes[0].pid, signal.SIGKILL)
        crew._processes[0].wait()
        with pytest.raises(CnncError) as error:
            crew.forward(crew.adopt(weights), feeds_of(made, 30), NUMBERS)
    assert error.value.diagnostics[0].code == "E704"


def test_workers_leave_with_the_crew() -> None:
    made = graph(NORMED)
    weights = initialize(made, 0)
    with Crew(made, weights, made.outputs, 30) as crew:
        crew.forward(crew.adopt(weights), feeds_of(made, 30), NUMBERS)
        pids = [process.pid for process in crew._processes]
        assert len(crew.memory()) == len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_short_run_starts_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = graph(NORMED)
    weights = initialize(made, 0)
    assert crew_for(made, weights, made.outputs, 10, 100) is None
    monkeypatch.setattr(crews, "WORTH_IT", 0)
    monkeypatch.setenv("CNNC_THREADS", "1")
    assert crew_for(made, weights, made.outputs, 10, 100) is None


def test_a_batch_is_split_where_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured on two cores: LeNet-5's batches of 16 gain nothing, those of 64 do; batch norms and words cost."""
    monkeypatch.undo()
    monkeypatch.setenv("CNNC_THREADS", "2")
    lenet = graph("input 1x28x28; conv 6 k=5 p=2; relu; pool max k=2; conv 16 k=5; relu; pool max k=2; fc 120; fc 10")
    assert [parts_of(lenet, count, training=True) for count in (16, 64)] == [1, 2]
    normed = graph(
        "input 1x8x8; conv 32 k=3 p=1; bn; relu; conv 32 k=3 p=1; bn; relu; pool max k=2; conv 64 k=3 p=1; bn; fc 10"
    )
    assert parts_of(normed, 32, training=True) == 1
    assert parts_of(normed, 32, training=False) == 2
    words = graph("input 40 dtype=int64; embed 50 vocab=18000; conv 100 k=2; relu; global_pool max; fc 2")
    assert [parts_of(words, count, training=True) for count in (50, 500)] == [1, 2]
