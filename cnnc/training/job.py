"""The job that a process is part of: what torchrun starts, and starts again after a failure.

In: the environment that torchrun sets. Out: the run that the same job began, which a restarted process resumes. The file `.cnnc.job` in a run folder names the job that trains it.

A job is named by `--rdzv-id`, or by the torchrun process where that has no name, and then ends with it.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from cnnc.core.files import read_start, write_atomic
from cnnc.diagnostics import CnncError
from cnnc.network import Network
from cnnc.training.checkpoint import find, load

JOB_FILE = ".cnnc.job"
_UNNAMED = "none"
"""The --rdzv-id of several machines that got none."""


def job_name() -> str:
    """The name of the job, the same for a process that torchrun starts again."""
    name = os.environ["TORCHELASTIC_RUN_ID"]
    return name if name != _UNNAMED else f"{platform.node()} {os.getppid()}"


def write_job(folder: Path) -> None:
    """Notes in a run folder that this job trains it. Raises CnncError E902."""
    write_atomic(folder / JOB_FILE, job_name().encode())


def run_of_job(wanted: Path, network: Network, numbered: bool) -> Path | None:
    """The folder in which this job trains this network, None before it has begun.

    It is `wanted`, or with `numbered` one of wanted-2, wanted-3, ... as well.
    """
    folders = [wanted]
    while numbered and folders[-1].exists():
        folders.append(wanted.with_name(f"{wanted.name}-{len(folders) + 1}"))
    return next((folder for folder in folders if is_run_of_job(folder) and _trains(folder, network)), None)


def is_run_of_job(folder: Path) -> bool:
    """Whether this job trains the run in a folder."""
    try:
        return read_start(folder / JOB_FILE).decode(errors="replace") == job_name()
    except CnncError:
        return False


def _trains(folder: Path, network: Network) -> bool:
    """Whether the run in a folder trains this network, with the same settings."""
    try:
        saved = load(find(folder, "last"))
    except CnncError:
        return False
    return saved.source == network.source.text and saved.settings == network.settings
