"""The job that a process is part of: what torchrun starts, and starts again after a failure.

In: the environment that torchrun sets. Out: whether torchrun started this process, the name of its job, and the run that the
same job began, which a restarted process resumes. The file `.cnnc.job` in a run folder names the job that trains it.

A job is named by `--rdzv-id`, or by the torchrun process where that has no name, and then ends with it.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from cnnc.core.files import read_start, write_atomic
from cnnc.diagnostics import CnncError

JOB_FILE = ".cnnc.job"
_UNNAMED = "none"
"""The --rdzv-id of several machines that got none."""


def is_started_by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def job_name() -> str:
    """The name of the job, the same for a process that torchrun starts again."""
    name = os.environ["TORCHELASTIC_RUN_ID"]
    return name if name != _UNNAMED else f"{platform.node()} {os.getppid()}"


def write_job(folder: Path) -> None:
    """Notes in a run folder that this job trains it. Raises CnncError E902."""
    write_atomic(folder / JOB_FILE, job_name().encode())


def run_of_job(wanted: Path, numbered: bool) -> Path | None:
    """The folder that this job trains: `wanted`, or with `numbered` one of wanted-2, wanted-3, ...; None before it has begun."""
    folders = [wanted]
    while numbered and folders[-1].exists():
        folders.append(wanted.with_name(f"{wanted.name}-{len(folders) + 1}"))
    return next((folder for folder in folders if _job_of(folder) == job_name()), None)


def _job_of(folder: Path) -> str | None:
    try:
        return read_start(folder / JOB_FILE).decode(errors="replace")
    except CnncError:
        return None
