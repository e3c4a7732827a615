"""What decides the last bits of a result that NumPy computes, beside its version and the number of threads.

In: this process. Out: texts by name, which checkpoints record and a resumed run compares.

    machine()    # {"blas": "openblas 0.3.30 Haswell", "python": "3.11.2", "simd": "SSE2 AVX2 FMA3", "system": "Linux x86_64 glibc 2.36"}
"""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import Any

import numpy as np

from cnnc.reference.parallel.threads import numpy_blas


@cache
def machine() -> dict[str, str]:
    """The BLAS library with the kind of processor whose kernels run, Python, the instructions that NumPy uses, the system."""
    return {"blas": numpy_blas(), "python": platform.python_version(), "simd": _simd(), "system": _system()}


def _simd() -> str:
    """The instruction sets for which NumPy has loops of its own and that this processor has."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("SIMD Extensions", {})
    return " ".join([*found.get("baseline", []), *found.get("found", [])]) or "none"


def _system() -> str:
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):  # not the C library of GNU
        library = ""
    return " ".join(filter(None, (platform.system(), platform.machine(), library)))
