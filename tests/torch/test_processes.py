"""Several processes that train together end with the weights of one, on the CPU with gloo.

pytest -m slow tests/torch/test_processes.py        # 8 minutes of CPU time
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
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
pool avg k=2
fc 10
softmax
train {{ data digits val=0.1; augment shift=1 noise=0.05; loss cross_entropy; optimizer {optimizer}; clip 5; batch {batch}; epochs {epochs} }}
"""
"""1,293 training images: with a batch of 50 the last batch has 43, with 68 it has one.

Activations and pooling are smooth: where a relu's input is 0 up to rounding, or two elements of a max pool are equal up to
rounding, the last bit decides where the gradient goes, and runs part.
"""

NETWORKS = {
    "sgd": BATCH_NORM.format(optimizer="sgd lr=0.02 momentum=0.9 nesterov=true", batch=50, epochs=4),
    "adam": BATCH_NORM.format(optimizer="adam lr=0.001 eps=0.0001", batch=50, epochs=4),
    "last_batch_of_one": BATCH_NORM.format(optimizer="sgd lr=0.01", batch=68, epochs=5),
    "autoencoder": "input 1x8x8\nconv 4 k=3 p=1; elu\nwhere1: pool max k=2\nconv 4 k=3 p=1; drop_path 0.1\nunpool where1\nconv 1 k=3 p=1; sigmoid\n"
    "train { data digits val=0.1; loss mse target=input; metric mse; optimizer adamw lr=0.003 weight_decay=0.01; batch 60; epochs 5 }\n",
    "segments": "input 1x6x6\nconv 8 k=3 p=1 bias=false\nbn\nsilu\nconv 3 k=1\n"
    'train { data npz "segments.npz" test=0.2; loss cross_entropy ignore=255 weight=0.5; metric iou; optimizer rmsprop lr=0.001; batch 7; epochs 10 }\n',
    "balanced": "input 1x8x8\nconv 4 k=3\nsilu\nfc 10\n"
    "train { data digits sampling=balanced; loss cross_entropy weights=[1, 5, 1, 1, 1, 1, 0, 1, 1, 0.1] smoothing=0.1;"
    " metric macro_f1; optimizer sgd lr=0.05; batch 7; epochs 1 }\n",
    "focal": "input 1x6x6\nconv 8 k=3 p=1\nsilu\nconv 3 k=1\n"
    'train { data npz "segments.npz" test=0.2; loss focal alpha=balanced ignore=255; metric recall 2; optimizer adam; batch 7; epochs 3 }\n',
    "tiny_batches": "input 1x8x8\nconv 4 k=3\ntanh\nfc 10\ntrain { data digits; optimizer lion lr=0.0001; batch 3; epochs 1 }\n",
}
"""Every kind of share: unequal, empty, labels that do not count or count more, targets that are the input."""


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


def train_together(folder: Path, processes: int, kind: str, passes: int) -> None:
    shutil.rmtree(folder / "together", ignore_errors=True)
    words = ("-m", "tests.torch.train_together", str(folder), kind, str(passes))
    torchrun(folder, "--nproc-per-node", str(processes), *words)


def last(run: Path) -> Checkpoint:
    return checkpoints.load(run / "last.safetensors")


def difference(a: Checkpoint, b: Checkpoint) -> float:
    """The largest difference of two weights."""
    return max(float(np.abs(a.weights[name] - b.weights[name]).max()) for name in a.weights)


@pytest.mark.parametrize("kind", ["copies", "shards"])
@pytest.mark.parametrize("processes", [2, 4])
def test_the_weights_are_those_of_one_process(folder: Path, processes: int, kind: str) -> None:
    train_together(folder, processes, kind, 1)
    for name in NETWORKS:
        alone, together = last(folder / "alone" / name), last(folder / "together" / name)
        assert alone.progress.epoch == together.progress.epoch
        assert difference(alone, together) < 1e-5, name
        one, other = (json.loads((folder / way / name / "test.json").read_text()) for way in ("alone", "together"))
        intervals = [scores.pop("accuracy_interval", None) or [] for scores in (one, other)]
        assert intervals[0] == pytest.approx(intervals[1], rel=1e-3), name
        assert one == pytest.approx(other, rel=1e-3), name


def test_the_weights_do_not_depend_on_the_processes_that_share_each_pass(folder: Path) -> None:
    """Batch norm normalizes over a pass, so only networks without it have the weights of one pass."""
    train_together(folder, 1, "copies", 3)
    first = {name: last(folder / "together" / name) for name in NETWORKS}
    train_together(folder, 2, "copies", 3)
    for name, text in NETWORKS.items():
        assert difference(first[name], last(folder / "together" / name)) < 1e-5, name
        if "bn" not in text:
            assert difference(first[name], last(folder / "alone" / name)) < 1e-5, name


class Job:
    """`cnnc train` of the network `sgd` for many epochs, which has finished its second epoch."""

    def __init__(self, folder: Path, *command: str, epochs: int = 2000) -> None:
        self.folder = folder
        self.output = folder / "output"
        words = [sys.executable, "-m", *command, "sgd.cnn", "--engine", "torch", "--set", f"train.epochs={epochs}"]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                words, cwd=folder, env=environment(PYTHONPATH=str(ROOT)), stdout=output, stderr=subprocess.STDOUT
            )
        for _ in range(1200):
            time.sleep(0.1)
            if "\nepoch    2/" in self.output.read_text() or "\nepoch  2/" in self.output.read_text():
                break
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.ranks = [pid for pid in map(int, children) if b"sgd.cnn" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(self.ranks) == 2, self.output.read_text()

    def ends(self) -> tuple[int, str]:
        """The exit status and the output; no process is left."""
        status = self.process.wait(timeout=60)
        for _ in range(100):
            if not any(Path(f"/proc/{pid}").exists() for pid in self.ranks):
                break
            time.sleep(0.1)
        assert not any(Path(f"/proc/{pid}").exists() for pid in self.ranks)
        return status, self.output.read_text()


PROCESSES = ("cnnc", "train", "--processes", "2", "--run", "job")
TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1", "-m", "cnnc", "train")


@pytest.fixture
def job_folder(tmp_path: Path) -> Path:
    (tmp_path / "sgd.cnn").write_text(NETWORKS["sgd"])
    return tmp_path


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_all_processes_stop_together(job_folder: Path, number: signal.Signals, status: int) -> None:
    job = Job(job_folder, *PROCESSES)
    for pid in (job.process.pid, *(job.ranks if number == signal.SIGTERM else ())):  # as some schedulers signal all
        os.kill(pid, number)
    ended, text = job.ends()
    assert ended == status, text
    assert "cnnc train --resume job --processes 2" in text
    assert "error" not in text
    assert last(job_folder / "job").progress.epoch >= 2


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_a_killed_process_ends_the_job_with_one_error(job_folder: Path) -> None:
    job = Job(job_folder, *PROCESSES)
    os.kill(job.ranks[1], signal.SIGKILL)
    status, text = job.ends()
    assert status == 6, text
    assert text.count("error") == 1
    assert "error[E909]" in text
    assert "Traceback" not in text


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_processes_whose_starter_was_killed_save_and_stop(job_folder: Path) -> None:
    job = Job(job_folder, *PROCESSES)
    os.kill(job.process.pid, signal.SIGKILL)
    _, text = job.ends()
    assert "stopped; job/last.safetensors is saved" in text


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_torchrun_starts_a_job_again_which_resumes(job_folder: Path) -> None:
    """The end is bit-identical to that of an uninterrupted run of as many processes."""
    job = Job(job_folder, *TORCHRUN, epochs=20)
    os.kill(job.ranks[1], signal.SIGKILL)
    status, text = job.ends()
    assert status == 0, text
    assert "resuming at epoch" in text
    torchrun(
        job_folder, *TORCHRUN[1:], "sgd.cnn", "--engine", "torch", "--set", "train.epochs=20", "--run-folder", "whole"
    )
    killed, whole = last(job_folder / "runs" / "sgd"), last(job_folder / "whole")
    assert difference(killed, whole) == 0
