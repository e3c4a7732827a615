"""The memory meter measures the growth of its own process only; the memory of the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.core import process_memory
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


def test_the_memory_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and swap space, or less in a container; what the system does not say is no limit."""
    memory, container = tmp_path / "meminfo", tmp_path / "memory.max"
    monkeypatch.setattr(process_memory, "_MEMORY", memory)
    monkeypatch.setattr(process_memory, "_CONTAINER", container)
    memory.write_text("MemTotal:        1000 kB\nMemFree:          10 kB\nSwapTotal:        24 kB\n")
    assert process_memory.memory_limit() == 1024 * 1024
    container.write_text("max\n")
    assert process_memory.memory_limit() == 1024 * 1024
    container.write_text("500000\n")
    assert process_memory.memory_limit() == 500_000
    memory.unlink()
    container.unlink()
    monkeypatch.setattr(process_memory, "_physical_memory", lambda: 0)
    assert process_memory.memory_limit() == 0
    container.write_text("500000\n")
    assert process_memory.memory_limit() == 500_000


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux to see free memory")
def test_free_memory_is_what_the_narrowest_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    available = process_memory.free_memory()
    assert 0 < available <= process_memory.memory_limit()
    container = tmp_path / "memory.max"
    container.write_text("5000000")
    (tmp_path / "memory.current").write_text("3000000")
    (tmp_path / "memory.stat").write_text("anon 1000000\ninactive_file 1500000\n")
    monkeypatch.setattr(process_memory, "_CONTAINER", container)
    assert process_memory.free_memory() == 3_500_000
    container.write_text("max")
    assert process_memory.free_memory() > 3_500_000
    status = tmp_path / "status"
    status.write_text("VmSize:\t900 kB\nVmData:\t500 kB\n")
    (tmp_path / "statm").write_text("")
    monkeypatch.setattr(process_memory, "_PROCESS", tmp_path)
    limits = {resource.RLIMIT_AS: resource.RLIM_INFINITY, resource.RLIMIT_DATA: 600 * 1024}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits[which], limits[which]))
    assert process_memory.free_memory() == 100 * 1024
    limits[resource.RLIMIT_AS] = 950 * 1024
    assert process_memory.free_memory() == 50 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is another one elsewhere")
def test_the_peak_of_a_process_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc is missing or says nothing, the system's own count, in KiB."""
    import resource

    (tmp_path / "status").write_text("Name:\tpython\n")
    for folder in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setattr(process_memory, "_PROCESS", folder)
        assert process_memory.peak_process_memory() == 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    meter = process_memory.MemoryMeter()
    assert meter.growth is None, "the peak cannot be reset, and has not grown"
    (tmp_path / "status").write_text("VmHWM:\t    2000 kB\n")
    monkeypatch.setattr(process_memory, "_PROCESS", tmp_path)
    assert process_memory.peak_process_memory() == 2000 * 1024
