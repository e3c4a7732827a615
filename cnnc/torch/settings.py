"""PyTorch's process-wide settings during a run: threads, and what makes a run repeat bit by bit.

In: a device. Out: a context within which the settings hold; those before it come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cnnc.reference.parallel.threads import thread_count


@contextmanager
def torch_settings(device: torch.device) -> Iterator[None]:
    """As many threads as the NumPy engine uses."""
    threads = torch.get_num_threads()
    torch.set_num_threads(thread_count())
    try:
        yield
    finally:
        torch.set_num_threads(threads)
