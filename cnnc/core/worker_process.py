"""Starts worker processes, with which the main process shares a file in memory.

In: the function that a worker runs, as `module:function`, and the descriptor of a shared file. Out: the process, and the
main process's end of the pipe to it. The function gets two descriptors: of its end of the pipe, and of the file.

    file = anonymous_file(1 << 20)
    process, connection = start_worker("cnnc.reference.parallel.worker:work", file)

A worker ends when its pipe is closed: by the main process, or by the system where the main process was killed. Works
where processes can inherit files (`can_start_workers`; not on Windows).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from cnnc.diagnostics import CnncError

_PROGRAM = """
import sys
from importlib.util import module_from_spec, spec_from_file_location

spec = spec_from_file_location("cnnc", {init!r}, submodule_search_locations=[{folder!r}])
sys.modules["cnnc"] = package = module_from_spec(spec)
spec.loader.exec_module(package)

from {module} import {function}

{function}({pipe}, {file})
"""
"""What a worker runs. It imports the cnnc of the main process by its file; no folder joins the module search path, so no
file in the current folder or next to the package is taken for a module (with `-P`, `-c` adds no current folder)."""


def can_start_workers() -> bool:
    """Whether the system lets processes inherit files, and has a Python program to start."""
    return hasattr(os, "ftruncate") and sys.platform != "win32" and bool(sys.executable)


def anonymous_file(size: int) -> int:
    """The descriptor of a file without a name; in memory where the system can (memfd_create), else temporary."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("cnnc")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file


def start_worker(target: str, file: int) -> tuple[subprocess.Popen[bytes], Connection]:
    """A process that runs `target`, and our end of the pipe to it. Raises CnncError E904 where the system starts none."""
    try:
        return _start(target, file)
    except OSError as error:
        message = f"cannot start a worker process: {(error.strerror or type(error).__name__).lower()}"
        raise CnncError.of(
            "E904", message, help="CNNC_THREADS=1 and CNNC_WORKERS=0 do without worker processes"
        ) from error


def _start(target: str, file: int) -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = Pipe()
    package = Path(__file__).parents[1]
    module, _, function = target.partition(":")
    program = _PROGRAM.format(
        init=str(package / "__init__.py"),
        folder=str(package),
        module=module,
        function=function,
        pipe=theirs.fileno(),
        file=file,
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            pass_fds=(theirs.fileno(), file),
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # so that Ctrl-C at the terminal reaches the main process alone
        )
    return process, ours
