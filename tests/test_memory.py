"""The peak memory of a process is its own, not that of the process that started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import environment
from tests.paths import ROOT

GROW = """
from cnnc.core.process_memory import Meter

bytearray(200_000_000)[::4096]
meter = Meter()
held = b"1" * 20_000_000
print(meter.growth)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to see a process grow")
def test_memory_of_the_parent_and_memory_freed_before_do_not_count() -> None:
    large = bytes(range(250)) * 1_000_000  # a child begins as a copy of this process
    done = subprocess.run(
        [sys.executable, "-c", GROW],
        env=environment(PYTHONPATH=str(ROOT)),
        preexec_fn=lambda: None,  # so that it is forked
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(large) == 250_000_000
    assert int(done.stdout) == pytest.approx(20_000_000, rel=0.25)
