"""How much memory training really takes.

In: nothing but the process. Out: `Meter`, which says by how many bytes the process has grown at its fullest since the
meter was made, and the fullest it ever was. On Linux the system's mark of the peak is set back when a meter is made, so
that what was read before does not hide what comes; elsewhere a growth below an earlier peak is not seen, and is None.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PROCESS = Path("/proc/self")


class Meter:
    """Growth from here on; `held` bytes of what is there already count as grown."""

    def __init__(self, held: int = 0) -> None:
        self._before = peak_process_memory()
        self._set_back = _set_back()
        self._mark = peak_process_memory()
        self._base = (_now() or self._mark) - held

    @property
    def growth(self) -> int | None:
        """The most bytes that the process has grown by, None where the system does not tell."""
        found = peak_process_memory()
        return max(0, found - self._base) if found > self._mark or self._set_back else None

    @property
    def whole(self) -> int:
        """The most bytes that the process has ever held, 0 where the system does not tell."""
        return max(self._before, peak_process_memory())


def peak_process_memory() -> int:
    """The system's mark: the most memory that this process has held, in bytes; 0 where there is none.

    On Linux it is that of the program, VmHWM of proc(5): getrusage also counts what the process held that started it.
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
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else 1024 * found


def _set_back() -> bool:
    """Sets the mark to what is held now, as proc(5) says; false where that cannot be done."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _now() -> int:
    """What this process holds now, in bytes; 0 where the system does not say."""
    try:
        import resource

        return int((_PROCESS / "statm").read_text().split()[1]) * resource.getpagesize()
    except (ImportError, OSError):
        return 0
