"""`cnnc train` in several processes: those that torchrun starts, and `--processes N`, which starts torchrun.

Only the first process prints, and of the errors of a job only the first one is printed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from cnnc.cli.console import ignore_signals, mute, report_error
from cnnc.diagnostics import CnncError
from cnnc.training.ranks import ALONE, Ranks, is_started_by_torchrun

if TYPE_CHECKING:
    from cnnc.cli.engines import EngineOptions
    from cnnc.torch.distributed.ranks import TorchRanks

_LAUNCHED = "CNNC_PROCESSES"
"""Set in processes that --processes started."""
_QUIET = ("TORCH_CPP_LOG_LEVEL", "ERROR")
"""Of processes that end, PyTorch warns in many lines; read when it is imported."""


def starts_processes(processes: int | None) -> bool:
    """Whether this process starts others that train, and does not train itself. Raises CnncError E010."""
    if processes is None or _LAUNCHED in os.environ:
        return False
    if is_started_by_torchrun():
        mute(os.environ["RANK"] != "0")
        message = f"torchrun has started {os.environ['WORLD_SIZE']} processes, so that --processes has no effect"
        raise CnncError.of("E010", message, help="leave --processes out")
    return processes > 1


def train_in_processes(processes: int) -> int:
    """Runs this command in as many processes; returns their exit status. Raises CnncError E909."""
    from cnnc.api.engines import require_torch

    os.environ[_LAUNCHED] = str(processes)
    os.environ.setdefault(*_QUIET)
    require_torch()
    from cnnc.torch.distributed.launch import launch

    return launch(processes, sys.argv[1:])


@contextmanager
def joined(options: EngineOptions) -> Iterator[Ranks]:
    """The processes of the job where torchrun started this one, else this one alone.

    In a job, an error or a signal ends this process here.
    """
    if not is_started_by_torchrun():
        yield ALONE
        return
    mute(os.environ["RANK"] != "0")
    os.environ.setdefault(*_QUIET)
    from cnnc.torch.distributed.ranks import TorchRanks, lost_peers

    ranks = None
    try:
        with lost_peers():
            ranks = TorchRanks(options.device or "auto")
            yield ranks
            ranks.close()
    except BaseException as error:
        _end(ranks, error)


def is_started_again() -> bool:
    """Whether torchrun starts the processes again when one ends with an error."""
    started, most = (int(os.environ.get(f"TORCHELASTIC_{name}", 0)) for name in ("RESTART_COUNT", "MAX_RESTARTS"))
    return started < most


def torchrun_command(command: str) -> str:
    """The command for as many processes as this job has; for those of several machines, or without torchrun, as it is."""
    if not is_started_by_torchrun() or _LAUNCHED in os.environ or os.environ["GROUP_WORLD_SIZE"] != "1":
        return command
    return f"torchrun --nproc-per-node {os.environ['LOCAL_WORLD_SIZE']} -m {command}"


def _end(ranks: TorchRanks | None, error: BaseException) -> NoReturn:
    """Ends this process, without waiting for threads that may wait for other processes."""
    ignore_signals()
    mute(not ranks.is_first_to_fail() if ranks is not None else os.environ["LOCAL_RANK"] != "0")
    status = report_error(error)
    sys.stdout.flush()
    os._exit(status)
