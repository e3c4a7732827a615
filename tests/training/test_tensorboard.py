"""What TensorBoard is told is what metrics.jsonl says, resumed runs included."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnc.diagnostics import CnncError, Exit
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import start, train
from cnnc.training.run import Callbacks, Stopping
from cnnc.training.tensorboard import FOLDER, TensorBoard
from tests.cli.conftest import SMALL, codes, run
from tests.training.conftest import Trainer, countdown, tiny

pytestmark = pytest.mark.long


def events(folder: Path) -> Iterator[Any]:
    """The events of a run's files, in order; a record is its length, a checksum, the event, a checksum."""
    from tensorboardX.proto import event_pb2

    for path in sorted(folder.glob("events*"), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            yield event_pb2.Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def run_for(trainer: Trainer, folder: Path, steps: int | None) -> None:
    last = folder / "last.safetensors"
    resume = checkpoints.load(last) if last.exists() else None
    board = TensorBoard()
    try:
        train(start(tiny(), trainer.data, folder, resume), Callbacks(board), Stopping(countdown(steps)))
    finally:
        board.close()


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Values by name and step; what a later file takes back is gone."""
    found: dict[str, dict[int, float]] = {}
    for event in events(folder):
        if event.HasField("session_log"):
            found = {name: {s: v for s, v in values.items() if s < event.step} for name, values in found.items()}
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_scalars_are_those_of_the_metrics(trainer: Trainer, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    run_for(trainer, tmp_path / "whole", None)
    for steps in (4, 9, None):
        run_for(trainer, tmp_path / "pieces", steps)
    found, pieces = (scalars(tmp_path / name / FOLDER) for name in ("whole", "pieces"))
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    steps = len(found["loss"]) // 3
    assert sorted(found["loss"]) == list(range(1, 3 * steps + 1))
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"):
        assert found[name] == {steps * line["epoch"]: pytest.approx(line[name], rel=1e-6) for line in lines}
        assert pieces[name] == found[name]
    assert pieces["loss"] == found["loss"]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(CnncError) as caught:
        TensorBoard()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E906"
    assert "pip install tensorboardX" in diagnostic.help
    assert caught.value.status is Exit.RESOURCES


def test_the_command_without_the_library(tmp_path: Path) -> None:
    (tmp_path / "tensorboardX.py").write_text("raise ImportError\n")  # the current folder comes first
    (tmp_path / "small.cnn").write_text(SMALL)
    done = run("train", "small.cnn", "--log", "tensorboard", cwd=tmp_path, new_process=True)
    assert done.returncode == int(Exit.RESOURCES)
    assert codes(done.stderr) == ["E906"]
    assert not (tmp_path / "runs").exists()


def test_the_command(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    (tmp_path / "small.cnn").write_text(SMALL)
    done = run("train", "small.cnn", "--log", "tensorboard", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(scalars(tmp_path / "runs" / "small" / FOLDER)) >= {"loss", "val_accuracy"}
