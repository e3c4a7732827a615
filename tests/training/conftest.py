"""What the tests of training share: a small network with all that has a state, and runs of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cnnc.data import load
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from cnnc.network import Network, check
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.loop import start, train
from cnnc.training.run import RunResult, Stopping

TINY = """net Tiny
input 1x8x8
conv 6 k=3 p=1 bias=false
bn
relu
pool max k=2
dropout 0.25
fc 10
softmax
train { data digits; optimizer adam lr=0.01; schedule cosine; batch 128; epochs 3; seed 3 }
"""


class Saved(NamedTuple):
    """What a run left: the bytes of its checkpoints, and its metrics without what the clock and the system say."""

    last: bytes
    best: bytes
    metrics: list[dict[str, Any]]


class Trainer(NamedTuple):
    """Runs networks in folders."""

    data: Dataset

    def run(self, network: Network, folder: Path, steps: int | None = None) -> RunResult:
        """Trains in a folder from where it stands, for so many steps or to the end."""
        last = folder / "last.safetensors"
        resume = checkpoints.load(last) if last.exists() else None
        return train(start(network, self.data, folder, resume), stopping=Stopping(countdown(steps)))


def countdown(steps: int | None) -> Callable[[], bool]:
    """Asks to stop once so many steps were made."""
    left = [steps]

    def asked() -> bool:
        if left[0] is None:
            return False
        left[0] -= 1
        return left[0] < 0

    return asked


def tiny(*settings: str) -> Network:
    network = check(TINY, "tiny.cnn", settings)
    network.require_graph()
    return network


MEASURED = ("seconds", "images_per_second", "memory", "waiting")
"""Keys of metrics.jsonl that differ between equal runs."""


def saved(folder: Path) -> Saved:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    metrics = [{k: v for k, v in line.items() if k not in MEASURED} for line in lines]
    return Saved((folder / "last.safetensors").read_bytes(), (folder / "best.safetensors").read_bytes(), metrics)


def refused(path: Path) -> Checkpoint | None:
    """What is read from the file, or None where it is refused as damaged; any other error is one of the test."""
    try:
        return checkpoints.load(path)
    except CnncError as error:
        caught = error
    assert [d.code for d in caught.diagnostics] == ["E605"], caught
    assert "\n" not in caught.diagnostics[0].message
    return None


@pytest.fixture(scope="session")
def trainer() -> Trainer:
    return Trainer(load("digits"))
