"""Ends trainings at random moments, resumes them, and compares what they leave with an uninterrupted run.

    python -m tests.faults.kills                    # 200 SIGKILL, 50 SIGTERM, 50 killed workers, 50 full disks
    python -m tests.faults.kills sigkill=20 disk=5 seed=2
    python -m tests.faults.kills --exec sigkill=20    # each process with a start of its own

By default processes are forked from one that has loaded all modules, which takes a quarter of the time.
Each training has worker processes: some decode its images, one computes a share of each batch. It saves a checkpoint
after every step, so that many ends strike while a file is written. A moment is drawn by the processor time of the main
process, not by the clock, so that a busy machine changes nothing. After each end:

- the processes of the training are gone, those that it had started too, and nothing new lies in /dev/shm or in the folder
  for temporary files;
- the checkpoint can be loaded, and the run is resumed to its end;
- its checkpoints are bit-identical with those of the uninterrupted run, and only the files of a run lie in its folder.

A full disk is a tmpfs of 4 MB that is filled, for root, else RLIMIT_FSIZE, which is set from outside.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnc.cli.main import main
from cnnc.data import decoders, image_column, load
from cnnc.reference import engine
from cnnc.reference.parallel import processes
from cnnc.training import checkpoint as checkpoints
from cnnc.training import loop
from cnnc.training.checkpoint import RUN_FILES

COUNTS = {"sigkill": 200, "sigterm": 50, "worker": 50, "disk": 50}

NETWORK = """net Killed
input 1x8x8
conv 4 k=3 p=1 bias=false
bn
relu
pool max k=2
dropout 0.25
fc 10
softmax
train { data images "../photos" val=0.2; optimizer adam lr=0.01; batch 30; epochs 2; seed 3; augment shift=1 }
"""


def train(words: Sequence[str]) -> None:
    """Trains as a long run on many images does: with worker processes, and a checkpoint after every step."""
    loop.SAVE_SECONDS = 0.0
    image_column.largest_in_memory = lambda: 0
    image_column.FEWEST_FOR_WORKERS = 80
    engine.SHARD_WORK = engine.BATCH_SUM_WORK = engine.PARAMETER_WORK = 1
    processes.MIN_RUN_MACS = 0
    sys.argv = ["cnnc", "train", *words]
    main()


class Forked:
    """A worker process that is a copy of the main process: it has loaded all modules. Stands for a Popen."""

    def __init__(self, target: str, pipe: Connection, file: int) -> None:
        self.pid = os.fork()
        if self.pid:
            return
        try:
            kept = sorted({0, 1, 2, pipe.fileno(), file})
            for low, high in pairwise([*kept, resource.getrlimit(resource.RLIMIT_NOFILE)[0]]):
                os.closerange(low + 1, min(high, 4096))
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            module, _, function = target.partition(":")
            getattr(import_module(module), function)(pipe.fileno(), file)
        finally:
            os._exit(0)

    def kill(self) -> None:
        """Ends it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Waits for its end."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def start_forked(target: str, file: int) -> tuple[Forked, Connection]:
    """Stands for `start_worker`."""
    ours, theirs = Pipe()
    with theirs:
        return Forked(target, theirs, file), ours


def preload(folder: Path) -> None:
    """Trains once in this process, alone, so that all modules are loaded before it is forked; lets workers be forked."""
    write_network(folder)
    before = os.getcwd()
    null = os.open(os.devnull, os.O_WRONLY)
    streams = [(stream, os.dup(stream)) for stream in (1, 2)]
    with suppress(SystemExit):
        os.environ.update(CNNC_THREADS="1", CNNC_WORKERS="0", CNNC_CACHE_GB="0")
        os.chdir(folder)
        for stream, _ in streams:
            os.dup2(null, stream)
        train(["killed.cnn", "--run", "run"])
    os.chdir(before)
    for stream, copy in streams:
        os.dup2(copy, stream)
    for module in ("data.decode_worker", "reference.parallel.worker"):
        import_module(f"cnnc.{module}")
    for starts in (decoders, processes):
        vars(starts)["start_worker"] = start_forked
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Left(NamedTuple):
    """What a training left: its exit status, and what it wrote to stderr."""

    status: int
    errors: str


class Training:
    """A training in `folder`, from its start; `first` begins the run, else it is resumed."""

    def __init__(self, folder: Path, first: bool, forks: bool) -> None:
        self._errors = folder.parent / "errors"
        self._status: int | None = None
        words = ["killed.cnn", "--run", "run"] if first else ["--resume", "run"]
        variables = {
            "CNNC_THREADS": "2",
            "CNNC_WORKERS": "1",
            "CNNC_CACHE_GB": "0",
            "TMPDIR": str(folder.parent / "temporary"),
        }
        self.pid = os.fork()
        if self.pid:
            return
        try:
            os.chdir(folder)
            os.environ.update(variables)
            for stream, path in ((0, os.devnull), (1, os.devnull), (2, str(self._errors))):
                os.dup2(os.open(path, os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
            if not forks:
                program = f"from tests.faults.kills import train; train({words!r})"
                os.execv(sys.executable, [sys.executable, "-c", program])
            tempfile.tempdir = None
            train(words)
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        finally:
            os._exit(99)

    def runs(self) -> bool:
        """Whether it has not ended."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is None

    def seconds(self) -> float:
        """The processor time of the main thread; infinite once it has ended."""
        if self.runs():
            with suppress(OSError, IndexError):
                return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9
        return float("inf")

    def wait_until(self, moment: float) -> bool:
        """Waits for a moment in processor time; whether the training still runs then."""
        while (now := self.seconds()) < moment:
            time.sleep(min(0.05, max(0.0005, (moment - now) / 2)))
        return self.runs()

    def workers(self) -> list[int]:
        """The processes that it has started."""
        return _children(self.pid)

    def end(self) -> Left:
        """Waits for the end."""
        while self.runs():
            time.sleep(0.002)
        return Left(self._status or 0, self._errors.read_text())


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def adopt_orphans() -> None:
    """Makes this process the parent of those that outlive their own, as the first process of the system is else."""
    if ctypes.CDLL(None).prctl(36, 1, 0, 0, 0):  # PR_SET_CHILD_SUBREAPER
        raise OSError("prctl")


def orphans() -> list[int]:
    """The processes that still run a minute after the training that started them."""
    deadline = time.monotonic() + 60
    while children := _children(os.getpid()):
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > deadline:
            return children
        time.sleep(0.002)
    return []


class Kills:
    """A folder for trainings, and the uninterrupted run that they are compared with."""

    def __init__(self, folder: Path, draw: random.Random, forks: bool) -> None:
        self.folder, self._draw, self._forks = folder, draw, forks
        write_photos(folder / "photos")
        (folder / "temporary").mkdir()
        if forks:
            preload(folder / "preloaded")
        self._whole = write_network(folder / "whole")
        training = Training(self._whole, True, forks)
        self._first = self._last = 0.0
        while (now := training.seconds()) < float("inf"):
            self._last = now
            if not self._first and (self._whole / "run").exists():
                self._first = now
            time.sleep(0.001)
        left = training.end()
        assert left.status == 0, left.errors
        self._expected = weights_of(self._whole / "run")
        self.worst = 0.0

    def _moment(self) -> float:
        """A moment: one in ten during the start, the others between the first checkpoint and the end, which varies a little."""
        first = 0.0 if self._draw.random() < 0.1 else self._first
        return self._draw.uniform(first, 0.85 * self._last)

    def once(self, kind: str) -> tuple[str, list[str]]:
        """One training that ends by `kind`, and is resumed: how it ended, and what was wrong."""
        with _disk(self.folder / "struck") if kind == "disk" else _plain(self.folder / "struck") as folder:
            write_network(folder)
            shared = _shared()
            training = Training(folder, True, self._forks)
            ending, wrong = self._strike(kind, training, folder)
            if found := orphans():
                wrong.append(f"orphans {found}")
            began = time.monotonic()
            last = folder / "run" / "last.safetensors"
            if last.exists():
                checkpoints.load(last)
            again = Training(folder, not last.exists(), self._forks)
            left = again.end()
            self.worst = max(self.worst, time.monotonic() - began)
            if left.status:
                wrong.append(f"resumed with status {left.status}: {left.errors[-300:]}")
            else:
                wrong += self._differences(folder)
            if found := orphans():
                wrong.append(f"orphans {found} of the resumed training")
            wrong += [f"left {path}" for path in sorted((self.folder / "temporary").iterdir())]
            wrong += [f"left /dev/shm/{name}" for name in sorted(_shared() - shared) if "fuzz" not in name]
        return ending, wrong

    def _strike(self, kind: str, training: Training, folder: Path) -> tuple[str, list[str]]:
        runs = training.wait_until(self._moment())
        if kind in ("sigkill", "sigterm"):
            number = signal.SIGKILL if kind == "sigkill" else signal.SIGTERM
            if runs:
                os.kill(training.pid, number)
            left = training.end()
            expected = {-number, 143} if kind == "sigterm" else {-number}  # before Python listens, SIGTERM ends it
            is_training = left.status == 143 and "Killed: " in left.errors and "epoch 2/2" not in left.errors
            return _judge(left, expected if runs else set(), ("--resume",) if is_training else ())
        if kind == "worker":
            while runs and not training.workers():
                time.sleep(0.001)
                runs = training.runs()
            workers = training.workers()
            if workers:
                with suppress(ProcessLookupError):
                    os.kill(self._draw.choice(workers), signal.SIGKILL)
            return _judge(training.end(), {6}, ("--resume",) if (folder / "run").exists() else ())
        with _filled(folder, training):
            left = training.end()
        return _judge(left, {6}, ("error[E902]",))

    def _differences(self, folder: Path) -> list[str]:
        wrong = []
        if weights_of(folder / "run") != self._expected:
            wrong.append("other checkpoints than those of the uninterrupted run")
        if (names := sorted(os.listdir(folder / "run"))) != sorted(RUN_FILES):
            wrong.append(f"files {names}")
        if (names := sorted(os.listdir(folder))) != ["killed.cnn", "run"]:
            wrong.append(f"beside the run {names}")
        return wrong


def _judge(left: Left, expected: set[int], texts: tuple[str, ...]) -> tuple[str, list[str]]:
    """How a training ended, and what was wrong: another status than 0 (it was over) and those expected, or a text is missing."""
    if left.status == 0:
        return "over before", []
    wrong = [] if left.status in expected else [f"ended with {left.status}: {left.errors[-400:]}"]
    if "Traceback" in left.errors or "internal error" in left.errors:
        wrong.append(left.errors[-600:])
    wrong += [f"does not say {text}: {left.errors[-400:]}" for text in texts if text not in left.errors]
    return f"status {left.status}", wrong


@contextmanager
def _plain(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    """A folder on a small disk of its own, for root."""
    with _plain(folder):
        is_mounted = os.geteuid() == 0 and not _mount(folder)
        try:
            yield folder
        finally:
            if is_mounted:
                subprocess.run(["umount", str(folder)], check=True)


def _mount(folder: Path) -> int:
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode


@contextmanager
def _filled(folder: Path, training: Training) -> Iterator[None]:
    """The disk of the folder is full; without a disk of its own, no file of the training can grow."""
    if not os.path.ismount(folder):
        with suppress(ProcessLookupError):
            resource.prlimit(training.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        yield
        return
    filler = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while os.write(filler, bytes(size)):
                    pass
        os.close(filler)
        yield
    finally:
        (folder / "filler").unlink()


def _shared() -> set[str]:
    """What lies in the folder of shared memory."""
    with suppress(OSError):
        return set(os.listdir("/dev/shm"))
    return set()


def weights_of(run: Path) -> list[bytes]:
    """The checkpoints of a run."""
    return [(run / f"{name}.safetensors").read_bytes() for name in ("last", "best")]


def write_network(folder: Path) -> Path:
    """The source in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "killed.cnn").write_text(NETWORK)
    return folder


def write_photos(folder: Path) -> None:
    """Some of the bundled digits as image files, by class."""
    from PIL import Image

    digits = load("digits").train
    labels = np.asarray(digits.targets[0][:]).reshape(-1)
    for n in range(160):
        place = folder / str(labels[n])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(digits.inputs[0][n : n + 1], np.uint8)[0, 0]).save(place / f"{n}.png")


def strike(counts: dict[str, int], report: Callable[[str], None], forks: bool, seed: int) -> list[str]:
    """Ends trainings as often as `counts` says; returns what was wrong."""
    problems = []
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="cnnc-kills-") as name:
        kills = Kills(Path(name), random.Random(seed), forks)
        for kind, count in counts.items():
            endings: Counter[str] = Counter()
            good, kills.worst, began = 0, 0.0, time.monotonic()
            for number in range(1, count + 1):
                ending, wrong = kills.once(kind)
                endings[ending] += 1
                good += not wrong
                for each in wrong:
                    problems.append(f"{kind}: {ending}: {each}")
                    report(problems[-1])
                if number in (count, *range(25, count, 25)):
                    told = ", ".join(f"{n} {ending}" for ending, n in sorted(endings.items()))
                    report(
                        f"{kind}: {good} of {number} resumed to the same bits and left nothing ({told}); slowest "
                        f"resumption {kills.worst:.1f} s, {time.monotonic() - began:.0f} s in all"
                    )
    return problems


def tell(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    asked = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    seed = int(asked.pop("seed", 1))
    counts = {kind: int(count) for kind, count in asked.items()} or COUNTS
    sys.exit(bool(strike(counts, tell, "--exec" not in sys.argv, seed)))
