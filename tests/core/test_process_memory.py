"""The memory meter measures the growth of its own process only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import environment
from tests.paths import ROOT

GROW = """
from cnnc.core.process_memory import MemoryMeter

bytearray(200_000_000)[::4096]
meter = MemoryMeter()
held = b"1" * 20_000_000
print(meter.growth)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to see a process grow")
def test_neither_the_parent_nor_what_came_before_counts() -> None:
    large = bytes(range(250)) * 1_000_000  # the child starts as a copy of this process
    done = subprocess.run(
        [sys.executable, "-c", GROW],
        env=environment(PYTHONPATH=str(ROOT)),
        preexec_fn=lambda: None,  # makes subprocess fork
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(large) == 250_000_000
    assert int(done.stdout) == pytest.approx(20_000_000, rel=0.25)
