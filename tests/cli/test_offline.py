"""`--offline` and CNNC_OFFLINE; and each command under strace, which sees sockets that libraries open, too.

tests/cli/test_processes.py runs each command where Python cannot open a connection.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.cli.app import COMMANDS
from cnnc.data import mnist
from tests.cli.conftest import codes
from tests.cli.test_processes import STATUSES, WORDS, inputs_of
from tests.commands import COMMAND, environment, run_in_process
from tests.data.conftest import make_idx
from tests.paths import MODELS

HELP_OF = ("--data", "--runtime")
"""The options of commands that may download."""


def options_of(command: str) -> set[str]:
    from typer.main import get_command

    from cnnc.cli.app import app

    (parsed,) = getattr(get_command(app([command])), "commands", {command: get_command(app([command]))}).values()
    return {name for parameter in parsed.params for name in parameter.opts}


def test_every_command_that_may_download_has_the_option() -> None:
    may = {command for command in COMMANDS if not options_of(command).isdisjoint(HELP_OF)}
    assert may == {"train", "export", "eval", "unfold", "inspect", "data", "demo"}
    assert {command for command in COMMANDS if "--offline" in options_of(command)} == may


@pytest.mark.parametrize("way", ["option", "variable"])
@pytest.mark.parametrize("words", [("data",), ("train", "--dry-run")])
def test_a_missing_data_set(tmp_path: Path, words: tuple[str, ...], way: str) -> None:
    """The error has what is needed to get each file by hand."""
    shutil.copy(MODELS / "lenet5.cnn", tmp_path)
    environ = environment(XDG_CACHE_HOME=str(tmp_path / "cache"), CNNC_DATA="")
    if way == "variable":
        environ["CNNC_OFFLINE"] = "1"
    else:
        words = (*words, "--offline")
    done = run_in_process((words[0], "lenet5.cnn", *words[1:]), tmp_path, environ)
    assert (done.returncode, codes(done.stderr)) == (3, ["E603"]), done.stderr
    text = " ".join(done.stderr.split())
    for file in mnist.FILES.files:
        assert f"{file.name} ({file.size:,} bytes, SHA-256 {file.sha256})" in text
    assert all(mirror in text for mirror in mnist.FILES.mirrors)
    assert not list(tmp_path.rglob("mnist"))


def test_the_help_works_offline(tmp_path: Path) -> None:
    """The files that the error names, in the folder that it names."""
    shutil.copy(MODELS / "lenet5.cnn", tmp_path)
    environ = environment(XDG_CACHE_HOME=str(tmp_path / "cache"), CNNC_DATA="", CNNC_OFFLINE="1")
    refused = run_in_process(("data", "lenet5.cnn"), tmp_path, environ)
    (folder,) = re.findall(r" into (\S+/mnist), or into another folder", " ".join(refused.stderr.split()))
    images, labels = make_idx((20, 28, 28), bytes(20 * 784)), make_idx((20,), bytes(range(10)) * 2)
    Path(folder).mkdir(parents=True)
    for file in mnist.FILES.files:
        (Path(folder) / file.name).write_bytes(gzip.compress(images if "images" in file.name else labels))
    done = run_in_process(("data", "lenet5.cnn"), tmp_path, environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", WORDS)
def test_no_command_opens_a_socket(command: str, trained: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    folder = inputs_of(command, trained, tmp_path / "folder")
    opened = {}
    for name, words in (("cnnc", [*COMMAND, command, *WORDS[command]]), ("control", [sys.executable, "-c", _CONNECTS])):
        trace = tmp_path / name
        words = [strace, "-f", "-qq", "-e", "trace=network", "-o", str(trace), *words]
        done = subprocess.run(words, cwd=folder, env=environment(CNNC_THREADS="2"), capture_output=True, check=False)
        assert done.returncode == (STATUSES.get(command, 0) if name == "cnnc" else 0), done.stderr
        opened[name] = [line for line in trace.read_text().splitlines() if "AF_INET" in line]
    assert opened["cnnc"] == []
    assert opened["control"] != []


_CONNECTS = "import socket; socket.socket()"
