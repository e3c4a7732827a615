"""`cnnc train --processes N`: starts torchrun on this machine, which starts N processes that train together.

In: the words of a command after `cnnc`. Out: the exit status of the training. The processes report what goes wrong; what they
cannot report, because they were killed before they knew each other, is raised as E909.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from uuid import uuid4

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from cnnc.diagnostics import CnncError, Exit
from cnnc.reference.parallel.threads import thread_count


def launch(processes: int, words: Sequence[str]) -> int:
    """Runs `cnnc WORDS` in as many processes, and returns their exit status. Raises CnncError E909."""
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, thread_count() // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-P", "-m", "cnnc", *words)
    except ChildFailedError as error:
        return _status(error.failures)
    except SignalException as error:
        return Exit.INTERRUPTED if error.sigval == signal.SIGINT else Exit.TERMINATED
    return Exit.OK


def _status(failures: Mapping[int, ProcessFailure]) -> int:
    """The exit status of a job in which some processes failed."""
    codes = {rank: failure.exitcode for rank, failure in failures.items()}
    reported = [code for code in codes.values() if code > 0 and code not in (Exit.TERMINATED, Exit.INTERRUPTED)]
    if reported:
        return int(reported[0])
    for rank, code in codes.items():
        if code < 0 and code != -signal.SIGTERM:
            message = f"process {rank + 1} of those that train together was killed by {signal.Signals(-code).name}"
            raise CnncError.of("E909", message)
    return int(max(codes.values())) if max(codes.values()) > 0 else Exit.TERMINATED
