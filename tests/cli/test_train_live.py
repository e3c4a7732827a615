"""`cnnc train --live`: events while it trains, the replay, and a training that does not notice."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from cnnc.cli import train_live
from cnnc.core.files import write_error
from cnnc.training import live_moments
from tests.cli.conftest import SMALL, Cnnc, codes, run
from tests.commands import COMMAND, environment
from tests.live.reader import Events, request

pytestmark = pytest.mark.long


class Training:
    """A training in a process of its own, whose page can be read."""

    def __init__(self, folder: Path, *words: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "train", *words, "--live"],
            cwd=folder,
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.lines: list[str] = []
        self.address = ""
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("live: "):
                self.address = line.split()[1]
                break
        self._rest = threading.Thread(target=self.lines.extend, args=(self.process.stderr,))
        self._rest.start()

    def end(self) -> tuple[int, str, str]:
        """Waits for the end: the exit status, and what was printed."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        status = self.process.wait(120)
        self._rest.join()
        self.process.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status, out, "".join(self.lines)


@contextmanager
def training(folder: Path, *words: str, **variables: str) -> Iterator[Training]:
    started = Training(folder, *words, **variables)
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.process.kill()
        started.process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.cnn").write_text(SMALL)
    return tmp_path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without a page, of 40 epochs."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "small.cnn").write_text(SMALL)
    assert run("train", "small.cnn", "--run", "run", "--set", "train.epochs=40", cwd=folder).returncode == 0
    return folder / "run"


def same_weights(first: Path, second: Path) -> bool:
    names = ("last.safetensors", "best.safetensors")
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def moments_of(replay: Path) -> Any:
    found = re.search(r' id="moments">(.*?)</script>', replay.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])["moments"]


def test_events_arrive_while_it_trains(folder: Path, plain: Path) -> None:
    """One reader follows to the end, another leaves; the weights are those of a training without a page."""
    with training(folder, "small.cnn", "--run", "run", "--set", "train.epochs=40", "--json") as live:
        page = request(live.address)
        assert page.status == 200
        assert "<h1>Training of Small</h1>" in page.body
        with Events(live.address) as leaves:
            assert leaves.next()[0] == "moment"
        states = []
        with Events(live.address) as events:
            while (event := events.next())[0] == "moment":
                states.append(event[1]["state"])
        assert event == ("end", "The training has ended. Its replay is run/replay.html.")
        assert len(states) >= 2
        assert "Finished: epoch 40 of 40 ended" in states[-1]
        status, out, err = live.end()
    assert status == 0
    assert json.loads(out)["run"] == "run"
    assert err.count("http://127.0.0.1:") == 1
    assert "Traceback" not in err
    assert same_weights(folder / "run", plain)
    moments = moments_of(folder / "run" / "replay.html")
    assert moments[0]["title"] == "before the first step"
    assert moments[-1]["title"] == "epoch 40 of 40 ended"
    with pytest.raises(ConnectionError):
        request(live.address)


def test_stopped_and_resumed(folder: Path, plain: Path) -> None:
    with training(folder, "small.cnn", "--run", "run", "--set", "train.epochs=40") as live:
        with Events(live.address) as events:
            events.next()
            live.process.send_signal(signal.SIGINT)
            while (event := events.next())[0] == "moment":
                last = event[1]
        assert "The training was stopped and can be resumed." in last["news"]
        status, out, err = live.end()
    assert (status, out) == (130, "")
    assert "cnnc train --resume run --live" in err
    first = (folder / "run" / "replay.html").read_bytes()
    done = run("train", "--resume", "run", "--live", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert same_weights(folder / "run", plain)
    assert (folder / "run" / "replay.html").read_bytes() == first
    assert "epoch 40 of 40 ended" in (folder / "run" / "replay-2.html").read_text()
    done = run("train", "--resume", "run", "--live", cwd=folder)
    assert "all epochs are done" in done.stderr
    assert not (folder / "run" / "replay-3.html").exists()


def test_a_training_that_diverges_ends_as_before(folder: Path) -> None:
    words = ("small.cnn", "--run", "run", "--set", "train.optimizer.lr=1e30", "--set", "train.epochs=200")
    with training(folder, *words) as live:
        status, out, err = live.end()
    assert (status, out, codes(err)) == (4, "", ["W504", "E701"])
    if (folder / "run" / "replay.html").exists():  # where a step was made
        assert "Failed" in (folder / "run" / "replay.html").read_text()


def test_nobody_needs_to_look(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("train", "small.cnn", "--live")
    assert done.returncode == 0
    assert re.findall("^(live|replay|note): ", done.stderr, re.MULTILINE) == ["live", "replay"]
    assert done.stdout.splitlines()[-1] == "run runs/small"
    assert (tmp_path / "runs" / "small" / "replay.html").exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "live page"]


def test_a_fault_of_the_page_does_not_end_the_training(
    cnnc: Cnnc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fails(*arguments: Any) -> Any:
        calls.append(arguments)
        raise RuntimeError("odd kernels")

    monkeypatch.setattr(live_moments, "kernel_images", fails)
    done = cnnc("train", "small.cnn", "--live")
    assert done.returncode == 0
    if calls:  # in this process
        assert (
            "note: the live page stopped: internal error (please report it): RuntimeError: odd kernels" in done.stderr
        )
        assert len(calls) == 1
        assert not (tmp_path / "runs" / "small" / "replay.html").exists()


def test_a_replay_that_cannot_be_written(cnnc: Cnnc, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *data: bytes) -> None:
        raise write_error(path, OSError(28, "No space left on device"))

    monkeypatch.setattr(train_live, "write_atomic", full)
    done = cnnc("train", "small.cnn", "--live")
    assert done.returncode == 0
    assert "test accuracy" in done.stdout
    assert "note: the replay is not saved: cannot write runs/small/replay.html: no space left on device" in done.stderr


def test_without_the_library(folder: Path) -> None:
    (folder / "uvicorn.py").write_text("raise ImportError\n")  # the current folder comes first
    done = run("train", "small.cnn", "--live", cwd=folder, new_process=True)
    assert (done.returncode, codes(done.stderr)) == (6, ["E906"])
    assert "pip install cnnc[live]" in done.stderr
    assert not (folder / "runs").exists()


def test_the_port(cnnc: Cnnc, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cnnc("train", "small.cnn", "--live", "--live-port", str(port))
        assert (done.returncode, codes(done.stderr)) == (6, ["E908"])
        assert f"port {port} of 127.0.0.1 cannot be used: address already in use" in done.stderr
        assert not (tmp_path / "runs").exists()
    done = cnnc("train", "small.cnn", "--live", "--live-port", str(port))
    assert done.returncode == 0
    assert f"live: http://127.0.0.1:{port}/" in done.stderr


@pytest.mark.parametrize(
    "words", [("--live-port", "8800"), ("--live", "--dry-run"), ("--live", "--live-port", "0"), ("--live-port", "x")]
)
def test_options_that_do_not_go_together(cnnc: Cnnc, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = cnnc("train", "small.cnn", *words)
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send this signal")
def test_killed_by_sigterm_while_somebody_reads(folder: Path) -> None:
    with (
        training(folder, "small.cnn", "--run", "run", "--set", "train.epochs=2000") as live,
        Events(live.address) as events,
    ):
        events.next()
        live.process.send_signal(signal.SIGTERM)
        status, _, err = live.end()
    assert status == 143
    assert "is saved" in err
