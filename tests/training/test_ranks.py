"""Processes that train together, without PyTorch: what each of them computes, and which one writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from cnnc.core.arrays import Rows
from cnnc.network import check
from cnnc.recipe.metrics import Metric
from cnnc.training.batches import batches_of_epoch
from cnnc.training.job import run_of_job, write_job
from cnnc.training.loop import start
from cnnc.training.metrics import COUNTERS
from cnnc.training.numpy_engine import NumpyEngine
from cnnc.training.ranks import Ranks
from cnnc.training.run_folder import save, save_metrics, save_network, save_test
from tests.training.conftest import TINY, Trainer, tiny

T = TypeVar("T")


class ThreadRanks(Ranks):
    """Two processes, as threads that meet in `gather`."""

    size = 2

    def __init__(self, rank: int, meeting: threading.Barrier, values: list[Any]) -> None:
        self.rank, self._meeting, self._values = rank, meeting, values

    def gather(self, value: T) -> list[T]:
        self._values[self.rank] = value
        self._meeting.wait(10)
        return deepcopy(self._values)


def in_both(action: Callable[[Ranks], T]) -> list[T]:
    """The results of the action in two processes."""
    meeting, values, results = threading.Barrier(2), [None, None], [None, None]

    def run(rank: int) -> None:
        results[rank] = action(ThreadRanks(rank, meeting, values))  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results  # type: ignore[return-value]


@pytest.mark.parametrize("metric", COUNTERS, ids=lambda metric: metric.__name__)
def test_counters_of_parts_add_up(metric: type[Metric]) -> None:
    random = np.random.default_rng(0)
    outputs = random.random((12, 7), np.float32)
    target = random.integers(0, 7, 12) if metric.compares_with == "labels" else random.random((12, 7), np.float32)
    whole, parts = COUNTERS[metric](), [COUNTERS[metric]() for _ in range(3)]
    whole.add(outputs, target, None)
    parts[0].add(outputs[:5], target[:5], None)
    parts[2].add(outputs[5:], target[5:], None)  # one part has no examples
    for other in parts[1:]:
        parts[0].merge(other)
    assert parts[0].value() == pytest.approx(whole.value(), rel=1e-6)


def test_a_score_is_that_of_one_process(trainer: Trainer, tmp_path: Path) -> None:
    run = start(tiny(), trainer.data, tmp_path)
    runner, test = run.engine.runner(run, run.weights), run.data.test
    alone = run.objective.measure(runner, test)
    for score in in_both(lambda ranks: run.objective.measure(runner, test, ranks=ranks)):
        assert (score.right, score.total) == (alone.right, alone.total)
        assert score.loss == pytest.approx(alone.loss, rel=1e-12)


class HalfEngine(NumpyEngine):
    """The engine of the second of two processes, which gets the odd examples of a batch."""

    ranks = ThreadRanks(1, threading.Barrier(1), [None, None])

    def rows(self, size: int) -> Rows:
        return np.arange(1, size, 2)


def test_a_process_reads_and_augments_its_examples_as_one_process_does(trainer: Trainer, tmp_path: Path) -> None:
    network = check(
        "input 1x8x8\nfc 10\ntrain { data digits; batch 50; augment flip shift=2 rotate=10 brightness=0.2 "
        "contrast=0.2 noise=0.1 cutout=3 }"
    )
    whole, half = (start(network, trainer.data, tmp_path, engine=kind()) for kind in (NumpyEngine, HalfEngine))
    for step, (all_, own) in enumerate(zip(batches_of_epoch(whole), batches_of_epoch(half), strict=True)):
        np.testing.assert_array_equal(own.inputs[0], all_.inputs[0][1::2])
        np.testing.assert_array_equal(own.targets[0], all_.targets[0][1::2])
        assert own.size == all_.size == len(all_.inputs[0])
        if step == 2:
            break


def test_only_the_first_process_writes(trainer: Trainer, tmp_path: Path) -> None:
    run = start(tiny(), trainer.data, tmp_path, engine=HalfEngine())
    save(run, "last")
    save_network(run)
    save_metrics(run, ["{}"])
    save_test(run, [], run.objective.measure(run.engine.runner(run, run.weights), run.data.test))
    assert list(tmp_path.iterdir()) == []


def test_a_job_finds_the_run_that_it_began(trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of another job, nor that of another network."""
    network, other = tiny(), check(TINY.replace("seed 3", "seed 4"), "tiny.cnn")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "first")
    for name in ("net", "net-2"):
        (tmp_path / name).mkdir()
        save(start(network, trainer.data, tmp_path / name), "last")
    wanted = tmp_path / "net"
    assert run_of_job(wanted, network, numbered=True) is None
    write_job(tmp_path / "net-2")
    assert run_of_job(wanted, network, numbered=True) == tmp_path / "net-2"
    assert run_of_job(wanted, network, numbered=False) is None
    assert run_of_job(wanted, other, numbered=True) is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "second")
    assert run_of_job(wanted, network, numbered=True) is None
