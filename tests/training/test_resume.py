"""A run that is stopped and resumed ends with the bits of one that was not."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.core import files
from cnnc.diagnostics import CnncError
from cnnc.training import checkpoint as checkpoints
from cnnc.training import run_lock
from cnnc.training.loop import start, train
from cnnc.training.run import Stopping
from tests.training.conftest import TINY, Trainer, countdown, saved, tiny

pytestmark = pytest.mark.long

SGD = ("train.optimizer=sgd", "train.optimizer.lr=0.05", "train.optimizer.momentum=0.9")
RECIPES = {
    "adam": (),
    "sgd": SGD,
    "nesterov": (*SGD, "train.optimizer.nesterov=true", "train.optimizer.weight_decay=0.001"),
    "augmented": ("train.augment.shift=1", "train.augment.noise=0.05"),
    "lighting": ("train.augment.brightness=0.3", "train.augment.contrast=0.3"),
    "mixed": ("train.augment.perspective=0.2", "train.augment.mixup=0.4", "train.augment.cutmix=1"),
    "no validation": ("train.data.val=0",),
}


@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES)
def test_stopped_and_resumed_to_the_same_bits(trainer: Trainer, tmp_path: Path, settings: tuple[str, ...]) -> None:
    network = tiny(*settings)
    whole = trainer.run(network, tmp_path / "whole")
    pieces = None
    for steps in (4, 0, 1, 11, 7, None):  # in epochs of 11 or 12: within one, at once, at an end, across one
        pieces = trainer.run(network, tmp_path / "pieces", steps)
        assert pieces.stopped == (steps is not None)
    assert pieces is not None
    assert pieces.test == whole.test
    for ours, theirs in ((whole.run.weights, pieces.run.weights), (whole.run.slots, pieces.run.slots)):
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert array.tobytes() == theirs[name].tobytes(), name
    assert saved(tmp_path / "whole") == saved(tmp_path / "pieces")


def test_stopped_after_every_step(trainer: Trainer, tmp_path: Path) -> None:
    network = tiny("train.epochs=2", "train.batch=256")
    trainer.run(network, tmp_path / "whole")
    rounds = 1
    while trainer.run(network, tmp_path / "pieces", 1).stopped:
        rounds += 1
    assert rounds >= 11
    assert saved(tmp_path / "whole") == saved(tmp_path / "pieces")


def test_repeated_to_the_same_bits(trainer: Trainer, tmp_path: Path) -> None:
    for name in ("a", "b"):
        trainer.run(tiny(), tmp_path / name)
    assert saved(tmp_path / "a") == saved(tmp_path / "b")


def test_another_seed_is_another_run(trainer: Trainer, tmp_path: Path) -> None:
    trainer.run(tiny(), tmp_path / "a")
    trainer.run(tiny("train.seed=4"), tmp_path / "b")
    a, b = (checkpoints.load(tmp_path / name / "last.safetensors").weights for name in "ab")
    assert (a["fc1.weight"] != b["fc1.weight"]).any()


def test_resuming_a_run_that_is_done_changes_nothing(trainer: Trainer, tmp_path: Path) -> None:
    first = trainer.run(tiny(), tmp_path)
    before = saved(tmp_path)
    assert trainer.run(tiny(), tmp_path).test == first.test
    assert saved(tmp_path) == before


def test_killed_between_the_files_of_an_epoch(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics and best are written before last: each prefix of these writes must do to go on from."""
    trainer.run(tiny(), tmp_path / "whole")
    real = files.write_atomic
    for survivor in range(1, 9):
        folder = tmp_path / str(survivor)
        left = [survivor]

        def write(path: Path, *data: bytes, left: list[int] = left) -> None:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            real(path, *data)

        for module in (run_lock, checkpoints):
            monkeypatch.setattr(module, "write_atomic", write)
        with pytest.raises(KeyboardInterrupt):
            trainer.run(tiny(), folder)
        monkeypatch.undo()
        trainer.run(tiny(), folder)
        assert saved(folder) == saved(tmp_path / "whole"), f"after {survivor} writes"


@pytest.mark.parametrize(
    ("call", "number"), [("fsync", errno.EIO), ("replace", errno.ENOSPC), ("replace", errno.EROFS)]
)
def test_a_disk_that_fails_during_training_costs_no_more_than_an_epoch(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """All files but the first two fail; those that were there stay whole, and the run goes on once the disk works."""
    network, real, left = tiny("train.epochs=2", "train.batch=512"), getattr(os, call), [5 if call == "fsync" else 2]

    def failing(*words: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        real(*words)

    trainer.run(network, tmp_path / "whole")
    monkeypatch.setattr(os, call, failing)
    with pytest.raises(CnncError, match=rf"cannot write .*metrics\.jsonl: {os.strerror(number).lower()}") as error:
        trainer.run(network, tmp_path / "run")
    assert (error.value.diagnostics[0].code, error.value.status) == ("E902", 6)
    assert sorted(os.listdir(tmp_path / "run")) == ["last.safetensors", "network.cnn"]
    monkeypatch.undo()
    trainer.run(network, tmp_path / "run")
    assert saved(tmp_path / "run") == saved(tmp_path / "whole")


def test_a_fresh_run_takes_the_folder_of_an_old_one(trainer: Trainer, tmp_path: Path) -> None:
    """Through the API nobody is asked; whatever the old run left, this one can be resumed from its first step."""
    trainer.run(tiny("train.seed=9"), tmp_path / "used")
    result = train(start(tiny(), trainer.data, tmp_path / "used"), stopping=Stopping(countdown(3)))
    assert result.stopped
    trainer.run(tiny(), tmp_path / "used")
    trainer.run(tiny(), tmp_path / "new")
    assert saved(tmp_path / "used") == saved(tmp_path / "new")


def test_half_written_files_of_a_killed_run_are_swept(trainer: Trainer, tmp_path: Path) -> None:
    trainer.run(tiny(), tmp_path, 2)
    (tmp_path / ".last.safetensors.abc.part").write_bytes(b"half")
    (tmp_path / ".mine.part").write_bytes(b"not of this run")
    trainer.run(tiny(), tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".mine.part", "last.safetensors", "network.cnn"]


KILLED = """
import sys
from cnnc.training import loop
loop.SAVE_SECONDS = 0.0  # a checkpoint after every step, so that many kills strike within one
from cnnc.cli.main import main
main()
"""


def _train(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", KILLED, "train", *words]
    environment = {**os.environ, "CNNC_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_at_any_moment_and_resumed_to_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "tiny.cnn").write_text(TINY.replace("epochs 3", "epochs 8"))
    assert _train(tmp_path, "tiny.cnn", "--run", "whole").wait(120) == 0
    draw = random.Random(11)
    last = tmp_path / "killed" / "last.safetensors"
    words: tuple[str, ...] = ("tiny.cnn", "--run", "killed")
    kills = 0
    for _ in range(6):  # `python -m tests.faults.kills` kills hundreds
        process = _train(tmp_path, *words)
        written = last.stat().st_mtime_ns if last.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if last.exists() and last.stat().st_mtime_ns != written:
                break
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.12))
        process.send_signal(signal.SIGKILL)
        kills += process.wait(60) == -signal.SIGKILL
        checkpoints.load(last)
        words = ("--resume", "killed")
    assert kills >= 3
    assert _train(tmp_path, *words).wait(120) == 0
    assert saved(tmp_path / "killed") == saved(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".*")), "nothing half-written is left"


def test_random_choices_are_functions_of_seed_epoch_and_step(trainer: Trainer, tmp_path: Path) -> None:
    """A first epoch of a longer run is that of a shorter one (the schedule aside)."""
    for name, epochs in (("a", 1), ("b", 2)):
        trainer.run(tiny(f"train.epochs={epochs}", "train.schedule=constant"), tmp_path / name)
    a, b = saved(tmp_path / "a").metrics, saved(tmp_path / "b").metrics
    assert a == b[:1]
    assert np.isfinite([line["train_loss"] for line in b]).all()
