"""Runs cnnc's commands for tests: in the process of the test, or in a process of its own as a user does.

A command in the process of the test needs no new interpreter and no imports: a hundredth of the time. It has its own
arguments, folder, environment, streams and signal handlers, and all of them are restored afterwards. CNNC_TEST_PROCESSES=1
starts a process for every command; tests/cli/test_processes.py compares the two ways for each command.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from unittest.mock import patch

from typer.utils import get_params_from_function

from cnnc.cli.main import main

COMMAND = (sys.executable, "-m", "cnnc")
IN_PROCESS = not os.environ.get("CNNC_TEST_PROCESSES")
parameters_of = cache(get_params_from_function)  # typer reads the options of a command at every start


def environment(**variables: str) -> dict[str, str]:
    """One thread each, as tests run side by side; no colour that a surrounding terminal would ask for."""
    kept = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR", "CNNC_TRACEBACK", "COLUMNS")}
    return {**kept, "CNNC_THREADS": "1", **variables}


def run_in_process(
    words: Sequence[str], folder: Path, environ: Mapping[str, str], *, merged: bool = False
) -> subprocess.CompletedProcess[str]:
    """`cnnc WORDS` in the folder with these environment variables, without a new process.

    `merged`: what it writes to stderr is in `stdout` too, in the order of time.
    """
    with ExitStack() as stack:
        out, other = (stack.enter_context(TemporaryFile("w+", encoding="utf-8")) for _ in range(2))
        stack.enter_context(_started(words, folder, environ, out, out if merged else other))
        status = _status()
        texts = []
        for stream in (out, other):
            stream.flush()
            stream.seek(0)
            texts.append(stream.read())
    return subprocess.CompletedProcess([*COMMAND, *words], status, *texts)


def run_into_broken_pipe(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """The status of `cnnc WORDS | true` and what it writes to stderr, without a new process: nobody reads its stdout."""
    reader, writer = os.pipe()
    os.close(reader)
    with ExitStack() as stack:
        out = stack.enter_context(suppress(BrokenPipeError)) or stack.enter_context(open(writer, "w", encoding="utf-8"))
        err = stack.enter_context(TemporaryFile("w+", encoding="utf-8"))
        stack.enter_context(_started(words, folder, environ, out, err))
        status = _status()
        err.seek(0)
        return status, err.read()
    raise AssertionError("the pipe was written to after the command ended")


@contextmanager
def _started(
    words: Sequence[str], folder: Path, environ: Mapping[str, str], out: IO[str], err: IO[str]
) -> Iterator[None]:
    """What a new process begins with; on the way out, what this one had."""
    before = Path.cwd()
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    with ExitStack() as stack:
        stack.enter_context(patch.object(sys, "argv", ["cnnc", *words]))
        stack.enter_context(patch("typer.main.get_params_from_function", parameters_of))
        stack.enter_context(patch.object(gc, "freeze"))  # what a test leaves is garbage, not the imports of a process
        stack.enter_context(patch.dict(os.environ, environ, clear=True))
        stack.enter_context(patch.object(sys, "stdin", stack.enter_context(Path(os.devnull).open())))
        stack.enter_context(patch.object(sys, "stdout", out))
        stack.enter_context(patch.object(sys, "stderr", err))
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _status() -> int:
    try:
        main()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    return 0
