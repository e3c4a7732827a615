"""Processes that train together have the same network, the same data and the same versions, whatever machine they are on.

In: the run of each process. Out: nothing, or CnncError in all of them: E010 for another network or another version, E607 for
other data. Weights and checkpoints come from the first process, so they need no comparison.
"""

from __future__ import annotations

import hashlib
import platform
from typing import NamedTuple

import numpy as np
import torch

from cnnc.core.versions import versions
from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError
from cnnc.training.ranks import Ranks
from cnnc.training.run import Run


class ProcessFacts(NamedTuple):
    """What must be the same in all processes; `machine` is for messages."""

    machine: str
    network: str
    versions: str
    data: str


def require_alike(run: Run, ranks: Ranks) -> None:
    """Raises CnncError E010, E607 where a process differs from the first one."""
    first, *others = ranks.gather(_facts(run))
    for other in others:
        where = f"on {first.machine} and {other.machine}" if first.machine != other.machine else "of the processes"
        if other.network != first.network:
            raise CnncError.of("E010", f"the network files {where} differ", help="copy one file to all machines")
        if other.versions != first.versions:
            message = f"the versions {where} differ: {first.versions} and {other.versions}"
            raise CnncError.of("E010", message, help="install the same versions on all machines")
        if other.data != first.data:
            message = f"the data {where} differ: {first.data} and {other.data}"
            raise CnncError.of("E607", message, help="copy the data of one machine to all of them")


def _facts(run: Run) -> ProcessFacts:
    network = run.network
    source = repr((network.source.text, sorted(network.includes.items()), network.settings))
    installed = versions()
    data = ", ".join(
        f"{len(part):,} {name} examples ({_digest(part)})"
        for name, part in (("training", run.train), ("validation", run.validation), ("test", run.data.test))
    )
    return ProcessFacts(
        platform.node(),
        hashlib.sha256(source.encode()).hexdigest(),
        f"cnnc {installed['cnnc']}, numpy {installed['numpy']}, torch {torch.__version__}",
        data,
    )


def _digest(examples: Split) -> str:
    """A short digest of the first and the last example."""
    digest = hashlib.sha256()
    for column in (*examples.inputs, *examples.targets):
        for part in (column[:1], column[len(examples) - 1 :] if len(examples) else column[:0]):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:8]
