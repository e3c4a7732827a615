"""Run folders and processes: commands that start at once, a run that trains, and one that was killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from cnnc.training.checkpoint import RUN_FILES, load
from cnnc.training.run_lock import LOCK_FILE
from tests.cli.conftest import SMALL, codes, run
from tests.commands import COMMAND, environment

pytestmark = pytest.mark.long

LONG = ("--set", "train.epochs=5000")
needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.cnn").write_text(SMALL)
    return tmp_path


def begin(folder: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    command, pipe = [*COMMAND, "train", *words], subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment(**variables), stdout=pipe, stderr=pipe, text=True)


def await_epoch(stream: IO[str] | None) -> None:
    assert stream is not None
    assert any(line.startswith("epoch ") for line in stream), "no epoch"


@contextmanager
def training(folder: Path, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A process that trains in `folder/run`, from its first epoch on."""
    process = begin(folder, "small.cnn", "--run", "run", *LONG, *words, **variables)
    try:
        await_epoch(process.stderr)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def weights(run_folder: Path) -> list[bytes]:
    return [(run_folder / f"{name}.safetensors").read_bytes() for name in ("last", "best")]


def test_commands_that_start_at_once_get_different_folders(folder: Path) -> None:
    assert run("train", "small.cnn", "--run", "alone", cwd=folder).returncode == 0
    started = [begin(folder, "small.cnn") for _ in range(3)]
    results = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert [status for _, status in results] == [0, 0, 0], results
    assert sorted(out.split("run ")[-1].strip() for (out, _), _ in results) == [
        "runs/small",
        "runs/small-2",
        "runs/small-3",
    ]
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["small", "small-2", "small-3"]
    for path in (folder / "runs").iterdir():
        assert sorted(file.name for file in path.iterdir()) == sorted(RUN_FILES)
        assert weights(path) == weights(folder / "alone")


@pytest.mark.parametrize("exists", [False, True])
def test_of_commands_that_start_at_once_with_one_folder_one_trains(folder: Path, exists: bool) -> None:
    assert run("train", "small.cnn", "--run", "alone", cwd=folder).returncode == 0
    if exists:
        (folder / "run").mkdir()
    started = [begin(folder, "small.cnn", "--run", "run") for _ in range(3)]
    errors = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert sorted(status for _, status in errors).count(0) == 1, errors
    assert {code for error, status in errors if status for code in codes(error)} <= {"E010", "E907"}
    assert all(len(codes(error)) == (status != 0) for error, status in errors), errors
    assert sorted(file.name for file in (folder / "run").iterdir()) == sorted(RUN_FILES)
    assert weights(folder / "run") == weights(folder / "alone")
    assert sorted(path.name for path in folder.iterdir()) == ["alone", "run", "small.cnn"]


def test_nothing_else_writes_into_the_folder_of_a_run_that_trains_and_all_can_read_it(folder: Path) -> None:
    with training(folder) as process:
        for words in (
            ("small.cnn", "--run", "run"),
            ("--resume", "run"),
            ("--resume", "run/best.safetensors"),
            ("--resume", "run", "--run", "other"),
        ):
            done = run("train", *words, cwd=folder)
            assert (done.returncode, codes(done.stderr)) == (6, ["E907"]), done.stderr
            assert f"process {process.pid} on " in done.stderr
            assert f"`kill {process.pid}`" in done.stderr
        assert not (folder / "other").exists()
        assert run("eval", "run", cwd=folder).returncode == 0
        assert run("export", "run", "-o", "small.onnx", cwd=folder).returncode == 0
        assert run("export", "run/last.safetensors", "-o", "last.onnx", cwd=folder).returncode == 0
        assert run("check", "run/network.cnn", cwd=folder).returncode == 0
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)  # what the help says
        assert process.wait(60) == 143
    assert not (folder / "run" / LOCK_FILE).exists()
    assert run("train", "--resume", "run", "--set", "train.epochs=1", cwd=folder).returncode == 0


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes of a training; where the system does not list them, none."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in children.read_text().split()] if children.exists() else []


@needs_kill
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_killed_run_resumes_at_once_to_the_same_bits(folder: Path, threads: str) -> None:
    """With two threads, a worker process outlives the main process for as long as it is stopped: it does not keep the lock."""
    options = ("--set", "train.batch=512", "--set", "width=64")
    count = {"CNNC_THREADS": threads}
    with training(folder, *options, **count) as process:
        workers = workers_of(process)
        assert len(workers) == int(threads) - 1 or not Path("/proc/self/task").exists()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        assert (folder / "run" / LOCK_FILE).exists()
        epochs = f"train.epochs={load(folder / 'run' / 'last.safetensors').progress.epoch + 3}"
        shutil.copytree(folder / "run", folder / "copy")
        try:
            for name in ("run", "copy"):
                done = run("train", "--resume", name, "--set", epochs, cwd=folder, env=count)
                assert done.returncode == 0, done.stderr
                assert "note: " not in done.stderr
                assert sorted(file.name for file in (folder / name).iterdir()) == sorted(RUN_FILES)
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
    whole = run("train", "small.cnn", "--run", "whole", *options, "--set", epochs, cwd=folder, env=count)
    assert whole.returncode == 0, whole.stderr
    for kind in ("last", "best"):
        expected = load(folder / "whole" / f"{kind}.safetensors").weights
        for name in ("run", "copy"):
            found = load(folder / name / f"{kind}.safetensors").weights
            assert {key: w.tobytes() for key, w in found.items()} == {key: w.tobytes() for key, w in expected.items()}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_in_a_folder_that_cannot_be_written_is_read_and_continued_elsewhere(folder: Path) -> None:
    assert run("train", "small.cnn", "--run", "run", cwd=folder).returncode == 0
    (folder / "run").chmod(0o555)
    try:
        assert run("eval", "run", cwd=folder).returncode == 0
        assert run("export", "run", "-o", "small.onnx", cwd=folder).returncode == 0
        done = run("train", "--resume", "run", "--set", "train.epochs=3", cwd=folder)
        assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
        more = run("train", "--resume", "run", "--run", "more", "--set", "train.epochs=3", cwd=folder)
        assert more.returncode == 0, more.stderr
    finally:
        (folder / "run").chmod(0o755)
