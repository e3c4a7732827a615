"""Several processes that train together end with the weights of one, on the CPU with gloo.

pytest -m slow tests/torch/test_processes.py        # 6 minutes of CPU time
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cnnc.network import load
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.loop import open_data, start, train
from tests.commands import environment
from tests.paths import ROOT

pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.slow

BATCH_NORM = """input 1x8x8
conv 8 k=3 p=1 bias=false
bn
silu
dropout 0.2
conv 16 k=3 p=1 bias=false
bn
silu
pool max k=2
fc 10
softmax
train {{ data digits val=0.1; augment shift=1 noise=0.05; loss cross_entropy; optimizer {optimizer}; clip 5; batch {batch}; epochs {epochs} }}
"""
"""1,293 training images: with a batch of 50 the last batch has 43, with 68 it has one.

Its activation is smooth: where a relu's input is 0 up to rounding, its gradient is 0 or 1, and a run takes another way.
"""

NETWORKS = {
    "sgd": BATCH_NORM.format(optimizer="sgd lr=0.02 momentum=0.9 nesterov=true", batch=50, epochs=4),
    "adam": BATCH_NORM.format(optimizer="adam lr=0.001 eps=0.0001", batch=50, epochs=4),
    "last_batch_of_one": BATCH_NORM.format(optimizer="sgd lr=0.01", batch=68, epochs=5),
    "autoencoder": "input 1x8x8\nconv 4 k=3 p=1; elu\nwhere1: pool max k=2\nconv 4 k=3 p=1; drop_path 0.1\nunpool where1\nconv 1 k=3 p=1; sigmoid\n"
    "train { data digits val=0.1; loss mse target=input; metric mse; optimizer adamw lr=0.003 weight_decay=0.01; batch 60; epochs 5 }\n",
    "segments": "input 1x6x6\nconv 8 k=3 p=1 bias=false\nbn\nsilu\nconv 3 k=1\n"
    'train { data npz "segments.npz" test=0.2; loss cross_entropy ignore=255 weight=0.5; metric iou; optimizer rmsprop lr=0.001; batch 7; epochs 10 }\n',
    "tiny_batches": "input 1x8x8\nconv 4 k=3\ntanh\nfc 10\ntrain { data digits; optimizer lion lr=0.0001; batch 3; epochs 1 }\n",
}
"""Every kind of share: unequal, empty, labels that do not count, targets that are the input."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The networks, each trained in one process into FOLDER/alone."""
    from cnnc.torch.engine import TorchEngine

    os.environ["CNNC_THREADS"] = "1"  # as in the other processes: the masks of dropout depend on it
    folder = tmp_path_factory.mktemp("networks")
    random = np.random.default_rng(1)
    images = random.random((72, 1, 6, 6), np.float32)
    labels = np.where(random.random((72, 6, 6)) < 0.3, 255, (images[:, 0] * 3).astype(np.int64))
    np.savez(folder / "segments.npz", x=images, y=labels)
    for name, text in NETWORKS.items():
        (folder / f"{name}.cnn").write_text(text)
        network = load(folder / f"{name}.cnn")
        data = open_data(network, folder, lambda line: None)
        train(start(network, data, folder / "alone" / name, engine=TorchEngine("cpu")))
    return folder


def torchrun(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def last(run: Path) -> Checkpoint:
    return checkpoints.load(run / "last.safetensors")


def difference(a: Checkpoint, b: Checkpoint) -> float:
    """The largest difference of two weights."""
    return max(float(np.abs(a.weights[name] - b.weights[name]).max()) for name in a.weights)


@pytest.mark.parametrize("processes", [2, 4])
def test_the_weights_are_those_of_one_process(folder: Path, processes: int) -> None:
    torchrun(folder, "--nproc-per-node", str(processes), "-m", "tests.torch.train_together", str(folder))
    for name in NETWORKS:
        alone, together = last(folder / "alone" / name), last(folder / "together" / name)
        assert alone.progress.epoch == together.progress.epoch
        assert difference(alone, together) < 1e-5, name
        scores = [json.loads((folder / way / name / "test.json").read_text()) for way in ("alone", "together")]
        assert scores[0] == pytest.approx(scores[1], rel=1e-3), name
