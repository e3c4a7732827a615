"""A disk that loses power, fails, is full, slow or read-only, a run folder that vanishes, and clocks that are set.

The slow tests run trainings under strace, which shows the order of calls and makes them fail: `pytest -m slow
tests/faults/test_disk.py`. A test on a small disk of its own needs root.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import RUN_FILES
from tests.cli.conftest import SMALL, codes, run
from tests.commands import COMMAND, environment
from tests.faults.tracing import ONE_WRITE, bypassing, needs_strace, order_problems, traced, with_fault
from tests.paths import PACKAGE
from tests.syntax_trees import nodes_in

TRAIN = ("train", "small.cnn", "--run", "run")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "work"
    place.mkdir()
    (place / "small.cnn").write_text(SMALL)
    return place


def weights_of(run_folder: Path) -> list[bytes]:
    return [(run_folder / f"{name}.safetensors").read_bytes() for name in ("last", "best")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The checkpoints of an uninterrupted run."""
    place = tmp_path_factory.mktemp("whole")
    (place / "small.cnn").write_text(SMALL)
    assert run(*TRAIN, cwd=place).returncode == 0
    return weights_of(place / "run")


def resumes(folder: Path, expected: list[bytes]) -> bool:
    """Whether the run in a folder is resumed to the bits of the uninterrupted one; begun anew where it had not begun."""
    last = folder / "run" / "last.safetensors"
    if last.exists():
        checkpoints.load(last)
    done = run(*(("train", "--resume", "run") if last.exists() else TRAIN), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(folder / "run")) == sorted(RUN_FILES)
    assert sorted(os.listdir(folder)) == ["run", "small.cnn"]
    return weights_of(folder / "run") == expected


# ---- a power cut


@pytest.mark.long
@needs_strace
def test_a_write_is_synced_renamed_and_its_folder_synced(folder: Path) -> None:
    calls = traced([*ONE_WRITE, str(folder / "x")], folder)
    assert [(c.kind, (c.target or c.path).name) for c in calls if c.path.is_relative_to(folder)] in (
        [("write", calls[0].path.name), ("sync", calls[0].path.name), ("rename", "x"), ("sync", folder.name)],
    )


COMMANDS: dict[str, tuple[str, ...]] = {
    "train": TRAIN,
    "resume": ("train", "--resume", "run", "--set", "train.epochs=3", "--export", "small.onnx"),
    "export": ("export", "run", "-o", "small.onnx", "--card"),
    "separate weights": ("export", "run", "-o", "large.onnx", "--external"),
    "int8": ("export", "run", "-o", "int8.onnx", "--int8"),
    "training step": ("export", "run", "-o", "step.onnx", "--training"),
    "import": ("import", "small.onnx", "-o", "imported.cnn"),
    "predict": ("predict", "small.onnx", "digits.npy", "--out", "answers"),
    "draw": ("draw", "small.cnn", "-o", "small.svg"),
    "inspect": ("inspect", "run", "--example", "0", "-o", "inspect.html", "--files", "drawings"),
    "curves": ("curves", "run", "-o", "curves.png"),
    "data": ("data", "small.cnn", "-o", "data.html"),
    "unfold": ("unfold", "run", "conv1", "--example", "0", "--html", "unfold.html"),
    "fmt": ("fmt", "long.cnn"),
    "new": ("new", "mine"),
}


@pytest.mark.slow
@needs_strace
def test_every_file_of_every_command_is_synced_before_it_has_its_name(folder: Path) -> None:
    """And none is written under its own name."""
    (folder / "long.cnn").write_text("input   1x8x8\nfc 10\n")
    np.save(folder / "digits.npy", np.zeros((2, 1, 8, 8), np.float32))
    problems = []
    for name, words in COMMANDS.items():
        calls = traced([*COMMAND, *words], folder)
        assert any(call.kind == "rename" and call.target and call.target.is_relative_to(folder) for call in calls), name
        problems += [f"{name}: {each}" for each in order_problems(calls, folder)]
        problems += [f"{name}: {each} is written in place" for each in bypassing(calls, folder)]
    assert not problems, "\n".join(problems)


# ---- a disk that fails


FAULTS = [
    f"{call}:error={error}:when={n}{also}"
    for call, n, error, also in (
        *(("fsync", n, error, "") for n, error in enumerate(("EIO", "ENOSPC", "EDQUOT", "EROFS") * 8, start=1)),
        *(("rename", n, error, "") for n, error in enumerate(("EIO", "ENOSPC", "EROFS", "EACCES") * 4, start=1)),
        *(("fsync", n, "EIO", "+") for n in (3, 9, 14, 20)),
        *(("rename", n, "EROFS", "+") for n in (2, 6, 9, 12)),
        *(("mkdir", n, "EROFS", "") for n in (2, 3)),
    )
]


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_fails_is_one_error_and_costs_nothing(folder: Path, expected: list[bytes], fault: str) -> None:
    """The n-th sync or rename of a training fails, or all from there on; a fault behind the last call never strikes."""
    done = with_fault(fault, TRAIN, folder)
    assert (done.returncode, codes(done.stderr)) in ((6, ["E902"]), (0, [])), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob(".*")), "the temporary folder of a run that could not begin is removed"
    assert resumes(folder, expected)


@pytest.mark.slow
@needs_strace
def test_a_slow_disk_takes_signals(folder: Path, expected: list[bytes]) -> None:
    """Each sync takes 0.2 s. SIGTERM arrives during one of them; the run is saved, and says how to resume."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:delay_exit=200000", *COMMAND, *TRAIN]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as tracer:
        assert tracer.stderr is not None
        next(tracer.stderr)  # the first line of a run: its data are read, its folder is made
        (process,) = Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split()
        os.kill(int(process), signal.SIGTERM)
        errors = tracer.stderr.read()
    assert "Resume with:\n  cnnc train --resume run" in errors
    assert resumes(folder, expected)


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Callable[..., None]]:
    """Mounts a disk of 2 MB as the run folder's parent, and takes options to mount it again."""
    if not hasattr(os, "geteuid") or os.geteuid():
        pytest.skip("only root can mount a disk")

    def mount(options: str) -> subprocess.CompletedProcess[bytes]:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        return subprocess.run(command, check=False, capture_output=True)

    if mount("size=2m").returncode:
        pytest.skip("this system lets root mount no disk")
    (folder / "small.cnn").write_text(SMALL)
    try:
        yield lambda options: mount(f"remount,{options}").check_returncode()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def training(folder: Path) -> subprocess.Popen[str]:
    """A training of many epochs, in its first one."""
    command = [*COMMAND, *TRAIN, "--set", "train.epochs=5000"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert any(line.startswith("epoch ") for line in process.stderr)
    return process


def resumed_epoch(folder: Path) -> int:
    """Trains a run for one more epoch; returns how many it has."""
    epochs = checkpoints.load(folder / "last.safetensors").progress.epoch + 1
    done = run("train", "--resume", folder, "--set", f"train.epochs={epochs}", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return len((folder / "metrics.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_a_full_disk(folder: Path, small_disk: Callable[..., None]) -> None:
    with training(folder) as process:
        (folder / "filler").touch()
        with (folder / "filler").open("wb", buffering=0) as filler:
            for size in (1 << 16, 1):
                while True:
                    try:
                        filler.write(bytes(size))
                    except OSError:
                        break
        errors = process.communicate(timeout=120)[1]
    assert (process.returncode, codes(errors)) == (6, ["E902"]), errors
    assert "no space left on device" in errors
    assert "resume from it with: cnnc train --resume run" in errors
    epochs = checkpoints.load(folder / "run" / "last.safetensors").progress.epoch
    refused = run("train", "--resume", "run", cwd=folder)
    assert (refused.returncode, codes(refused.stderr)) == (6, ["E902"]), "still full"
    (folder / "filler").unlink()
    assert resumed_epoch(folder / "run") == epochs + 1


@pytest.mark.slow
def test_a_read_only_disk(folder: Path, small_disk: Callable[..., None]) -> None:
    """A disk becomes so in the middle of a training in `FAULTS`: the system lets nobody do it to files that are open."""
    assert run(*TRAIN, "--set", "train.epochs=1", cwd=folder).returncode == 0
    small_disk("ro")
    assert run("eval", "run", cwd=folder).returncode == 0, "it can be read"
    for words in (("--resume", "run", "--set", "train.epochs=2"), ("small.cnn", "--run", "other")):
        refused = run("train", *words, cwd=folder)
        assert (refused.returncode, codes(refused.stderr)) == (6, ["E902"])
        assert "read-only file system" in refused.stderr
    small_disk("rw")
    assert resumed_epoch(folder / "run") == 2


# ---- a run folder that vanishes


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_run_folder_that_vanishes(folder: Path, how: str) -> None:
    """The training ends with one error; where it was moved, it is resumed at its new place; nothing is made anew."""
    with training(folder) as process:
        while how == "deleted" and (folder / "run").exists():
            shutil.rmtree(folder / "run", ignore_errors=True)
        if how != "deleted":
            (folder / "run").rename(folder / "moved")
        if how == "replaced":
            other = run("train", "small.cnn", "--run", "run", cwd=folder)
            assert other.returncode == 0 or codes(other.stderr) == ["E010"]
        errors = process.communicate(timeout=120)[1]
    assert (process.returncode, codes(errors)) == (6, ["E902"]), errors
    if how == "deleted":
        assert not (folder / "run").exists()
    else:
        assert resumed_epoch(folder / "moved") > 1


# ---- readers


@pytest.mark.slow
def test_a_run_that_trains_is_read_at_any_moment(folder: Path) -> None:
    """2,000 times its files, and 30 times by each command; none ever sees half of a file or parts of two."""
    done = run("train", "small.cnn", "--run", "first", "--export", "first.onnx", cwd=folder)
    assert done.returncode == 0
    with training(folder) as process:
        for _ in range(2000):
            for name in ("last", "best"):
                saved = checkpoints.load(folder / "run" / f"{name}.safetensors")
                assert saved.progress.epoch
            assert len(checkpoints.metric_lines(folder / "run")) >= saved.progress.epoch
            assert checkpoints.best_epoch(folder / "run")
        for _ in range(30):
            for words in (
                ("eval", "run"),
                ("export", "run", "-o", "run.onnx"),
                ("curves", "run", "--json"),
                ("draw", "run", "-o", "run.svg"),
                ("info", "run.onnx"),
                ("where", "run.onnx"),
            ):
                done = run(*words, cwd=folder)
                assert done.returncode == 0, done.stderr
        assert process.poll() is None, "it still trains"
        process.kill()


# ---- clocks


def test_no_duration_is_taken_from_a_clock_that_can_be_set() -> None:
    """`time.time` and `datetime.now` jump where the time of the system is set; `perf_counter` and `monotonic` do not."""
    names = ("time.time", "time.time_ns", "datetime.now", "datetime.datetime.now", "datetime.today")
    calls = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path, node in nodes_in(PACKAGE, r"time\.time|datetime")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in names
    ]
    assert not calls


def clock_libraries() -> list[Path]:
    return [path for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1") if path.exists()]


@pytest.mark.slow
@pytest.mark.skipif(not clock_libraries(), reason="libfaketime is not installed")
def test_the_time_of_the_system_is_set_during_a_training(folder: Path, expected: list[bytes]) -> None:
    """A year back, and then ten ahead, from one epoch to the next: the same bits, and no duration below 0."""
    clock = folder.parent / "clock"
    clock.write_text("+0")
    variables: dict[str, Any] = {
        "LD_PRELOAD": str(clock_libraries()[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = [*COMMAND, *TRAIN, "--set", "train.epochs=6"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(**variables), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch "):
                clock.write_text("-365d" if clock.read_text() != "-365d" else "+3650d")
    assert process.returncode == 0
    whole = run("train", "small.cnn", "--run", "whole", "--set", "train.epochs=6", cwd=folder)
    assert whole.returncode == 0
    assert weights_of(folder / "run") == weights_of(folder / "whole")
    for line in (folder / "run" / "metrics.jsonl").read_text().splitlines():
        facts = json.loads(line)
        assert 0 <= facts["seconds"] < 60
        assert facts["images_per_second"] > 0
        assert 0 <= facts["waiting"] <= 1
