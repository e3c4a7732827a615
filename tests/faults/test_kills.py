"""Trainings with worker processes that are ended at random moments; `python -m tests.faults.kills` ends 350 of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import environment
from tests.paths import ROOT


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs /proc with the processor time of threads")
@pytest.mark.parametrize("how", [("sigkill=8", "sigterm=4", "worker=4", "disk=4"), ("--exec", "sigkill=2", "worker=2")])
def test_trainings_that_end_at_random_moments_are_resumed_to_the_same_bits(how: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tests.faults.kills", *how]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
