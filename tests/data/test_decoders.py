"""Worker processes that decode images: the same pixels, errors that are passed on, and no process that stays behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.worker_process import can_start_workers
from cnnc.data import decoders, image_column, load
from cnnc.data.dataset import Dataset
from cnnc.data.decoders import Decoders, worker_count
from cnnc.data.file_tree import open_tree
from cnnc.data.image_decoder import batches_ahead
from cnnc.diagnostics import CnncError
from tests.commands import environment
from tests.data.test_images import GREY, by_class, folder_of, zip_of
from tests.data.test_shards import examples, shard_of
from tests.paths import ROOT

pytestmark = [
    pytest.mark.skipif(not can_start_workers(), reason="workers inherit files, which this system does not support"),
]


@pytest.fixture(autouse=True)
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image stays in memory, and a few are enough for two workers."""
    monkeypatch.setattr(image_column, "largest_in_memory", lambda: 0)
    monkeypatch.setattr(image_column, "FEWEST_FOR_WORKERS", 8)
    monkeypatch.setenv("CNNC_WORKERS", "2")


def parts_of(data: Dataset) -> list[np.ndarray]:
    """Batches of 3 in random order, the last one smaller; and an empty one, as a rank may get."""
    order = np.random.default_rng(0).permutation(len(data.train))
    return [order[n : n + 3] for n in range(0, len(order), 3)] + [order[:0]]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["zip", "shard"])
def test_workers_give_the_pixels_of_this_process(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {
        "zip": lambda: zip_of(tmp_path / "photos.zip", by_class(40, 20)),
        "shard": lambda: shard_of(tmp_path / "s.tar", examples(0, 60)),
    }[kind]()
    data = load("shards" if kind == "shard" else "images", path=str(place), inputs=GREY)
    parts = parts_of(data)
    found = [(inputs[0], targets[0]) for inputs, targets in data.train.batches(parts)]
    again = [inputs[0] for inputs, _ in data.train.batches([slice(0, 40), slice(40, 54)])]
    monkeypatch.setenv("CNNC_WORKERS", "0")
    here = load("shards" if kind == "shard" else "images", path=str(place), inputs=GREY)
    for part, (images, labels) in zip(parts, found, strict=True):
        assert images.tobytes() == here.train.inputs[0][part].tobytes()
        assert labels.tolist() == here.train.targets[0][part].tolist()
    assert np.concatenate(again).tobytes() == here.train.images.tobytes()


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Decoders]:
    place = folder_of(tmp_path / "photos", by_class(40, 20))
    pool = Decoders(open_tree(place), (1, 4, 6), 1)
    yield pool
    pool.close()


KEYS = [f"cat/{n}.png" for n in range(40)]


def test_a_killed_worker_is_reported(photos: Decoders) -> None:
    batches = photos.batches((KEYS[n : n + 4] for n in range(0, 40, 4)), 4)
    next(batches)
    for worker in photos._workers:
        os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(CnncError, match="a process that decodes images died") as caught:
        list(batches)
    assert caught.value.diagnostics[0].code == "E912"


def test_a_worker_that_dies_at_once_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it has read what it is to do: its pipe is broken, which must not be taken for that of stdout."""
    started = []

    def start_dead(target: str, file: int) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        theirs.close()
        started.append(subprocess.Popen(["true"]))
        return started[-1], ours

    monkeypatch.setattr(decoders, "start_worker", start_dead)
    with pytest.raises(CnncError, match="a process that decodes images died") as caught:
        Decoders(open_tree(folder_of(tmp_path / "photos", by_class())), (1, 4, 6), 2)
    assert (caught.value.diagnostics[0].code, caught.value.status) == ("E912", 6)
    assert [process.returncode is not None for process in started] == [True]


def test_a_system_that_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def popen(*words: object, **options: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(CnncError, match="cannot start a worker process: resource temporarily unavailable") as caught:
        Decoders(open_tree(folder_of(tmp_path / "photos", by_class())), (1, 4, 6), 2)
    assert (caught.value.diagnostics[0].code, caught.value.status) == ("E904", 6)


@pytest.mark.long
def test_leaving_off_ends_the_workers_and_the_column_starts_others(tmp_path: Path) -> None:
    data = load("images", path=str(folder_of(tmp_path / "photos", by_class(40, 20))), inputs=GREY)
    parts = parts_of(data)
    batches = data.train.batches(parts)
    first = next(batches)[0][0]
    batches.close()
    assert next(data.train.batches(parts))[0][0].tobytes() == first.tobytes()
    (tmp_path / "photos/cat/7.png").write_bytes(b"words")
    with pytest.raises(CnncError, match=r"cat.7\.png: is not an image any more"):
        list(data.train.batches(parts))


def test_images_are_decoded_ahead_of_the_reader_but_not_all_of_them(photos: Decoders) -> None:
    taken = []

    def keys() -> Iterator[list[str]]:
        for n in range(0, 40, 2):
            taken.append(n)
            yield KEYS[n : n + 2]

    batches = photos.batches(keys(), 2)
    for read in range(1, 21):
        assert next(batches).facts
        assert len(taken) == min(20, read + batches_ahead(48))


SCRIPT = """
import sys, time
import numpy as np
from cnnc.data import image_column, load
from cnnc.core.tensor import TensorType

image_column.largest_in_memory = lambda: 0
image_column.FEWEST_FOR_WORKERS = 8
data = load("images", path=sys.argv[1], inputs=(TensorType((1, 4, 6)),))
batches = data.train.batches([np.arange(4)] * 100)
next(batches)
(pool,) = [d for d in __import__("gc").get_objects() if type(d).__name__ == "Decoders" and d._workers[0].process.poll() is None]
print(*[worker.process.pid for worker in pool._workers], flush=True)
time.sleep(60)
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_main_process(tmp_path: Path, number: int) -> None:
    place = folder_of(tmp_path / "photos", by_class(40, 20))
    command = [sys.executable, "-c", SCRIPT, str(place)]
    variables = environment(PYTHONPATH=str(ROOT), CNNC_WORKERS="1")
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as main:
        assert main.stdout is not None
        workers = [int(word) for word in main.stdout.readline().split()]
        assert len(workers) == 1
        main.send_signal(number)
        main.wait(20)
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_alive(pid) for pid in workers)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_fewer_large_batches_are_decoded_ahead() -> None:
    assert [batches_ahead(size) for size in (0, 1, 2**26, 2**26 + 1, 2**27, 2**40)] == [4, 4, 4, 3, 2, 2]


@pytest.mark.parametrize(("setting", "count"), [("0", 0), ("3", 3), (" 2 ", 2)])
def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch, setting: str, count: int) -> None:
    monkeypatch.setenv("CNNC_WORKERS", setting)
    assert worker_count() == count


@pytest.mark.parametrize("setting", ["-1", "two", "1e3", "257", "٣"])
def test_a_number_of_workers_that_is_refused(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("CNNC_WORKERS", setting)
    with pytest.raises(CnncError, match="is not a number of processes from 0 to 256") as caught:
        worker_count()
    assert caught.value.diagnostics[0].code == "E010"


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNNC_WORKERS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert worker_count() == decoders.MOST_WORKERS
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert worker_count() == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert worker_count() == 1
