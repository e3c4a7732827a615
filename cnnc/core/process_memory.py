"""Measures the memory of this process and of the machine.

In: nothing; the operating system is asked. Out: `memory_limit`, what a process can have at most; `free_memory`, what is
left of it; `MemoryMeter`, with the
peak growth in bytes since it was created, and the peak of the process;
`resident_memory`, what the process uses now. On Linux creating a meter resets the system's peak, so that an earlier peak does not hide a later,
smaller one. On other systems such a smaller one cannot be seen, and the growth is None.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

_PROCESS = Path("/proc/self")
_MEMORY = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def memory_limit() -> int:
    """The bytes of memory that a process can have, with swap space and within a container's limit; 0 if unknown."""
    try:
        lines = dict(line.split(":") for line in _MEMORY.read_text().splitlines() if ":" in line)
        total = sum(1024 * int(lines[key].split()[0]) for key in ("MemTotal", "SwapTotal"))
    except (OSError, ValueError, LookupError):
        total = _physical_memory()
    try:
        allowed = int(_CONTAINER.read_text())
    except (OSError, ValueError):  # no container, or "max"
        return total
    return min(total, allowed) if total else allowed


def free_memory() -> int:
    """The bytes of memory that this process can still take without swapping: what the machine, the container and the limits
    of the process (`ulimit -v`, `ulimit -d`) leave; 0 if unknown."""
    left = [_available_memory(), _left_in_container(), *_left_of_limits()]
    return max(0, min((n for n in left if n is not None), default=0))


def limit_left() -> int | None:
    """The bytes that the limits of this process leave (`ulimit -v`, `ulimit -d`), None where it has no limits."""
    return max(0, min(left)) if (left := [*_left_of_limits()]) else None


def _available_memory() -> int | None:
    try:
        return 1024 * int(_MEMORY.read_text().partition("MemAvailable:")[2].split()[0])
    except (OSError, ValueError, IndexError):
        return _physical_memory() // 2 or None  # what others use is unknown


def _left_in_container() -> int | None:
    """What the container's limit leaves, where it has one; its file cache can be given up."""
    try:
        statistics = dict(line.split() for line in _CONTAINER.with_name("memory.stat").read_text().splitlines())
        used = int(_CONTAINER.with_name("memory.current").read_text()) - int(statistics.get("inactive_file", 0))
        return int(_CONTAINER.read_text()) - used
    except (OSError, ValueError):  # no container, or "max"
        return None


def _left_of_limits() -> Iterator[int]:
    """What the limits of this process leave of its address space and of its data, where it has such limits."""
    try:
        import resource

        status = (_PROCESS / "status").read_text()
    except (ImportError, OSError):
        return
    for limit, key in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
        allowed, _ = resource.getrlimit(limit)
        if allowed != resource.RLIM_INFINITY:
            yield allowed - 1024 * int(status.partition(key)[2].split()[0])


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return 0


class MemoryMeter:
    """Measures growth from its creation on; `held` bytes of the memory in use already count as growth."""

    def __init__(self, held: int = 0) -> None:
        self._earlier_peak = peak_process_memory()
        self._was_reset = _reset_peak()
        self._peak_at_start = peak_process_memory()
        self._base = (resident_memory() or self._peak_at_start) - held

    @property
    def growth(self) -> int | None:
        """The peak growth in bytes; None if the system does not provide it."""
        peak = peak_process_memory()
        return max(0, peak - self._base) if peak > self._peak_at_start or self._was_reset else None

    @property
    def process_peak(self) -> int:
        """The peak memory of the process in bytes; 0 if the system does not provide it."""
        return max(self._earlier_peak, peak_process_memory())


def peak_process_memory() -> int:
    """The system's peak memory of this process in bytes; 0 if the system does not provide it.

    On Linux this is VmHWM of proc(5), because getrusage includes memory of the parent process from before exec.
    """
    try:
        status = (_PROCESS / "status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes on macOS, KiB elsewhere


def _reset_peak() -> bool:
    """Resets the peak to the memory in use now, see clear_refs in proc(5); false if that is not possible."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def resident_memory() -> int:
    """The memory that this process uses now, in bytes; 0 if the system does not provide it."""
    try:
        import resource

        return int((_PROCESS / "statm").read_text().split()[1]) * resource.getpagesize()
    except (ImportError, OSError):
        return 0
