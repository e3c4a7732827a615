"""PyTorch's process-wide settings during a run: threads, and what makes a run repeat bit by bit.

In: a device. Out: a context within which the settings hold; those before it come back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cnnc.reference.parallel.threads import thread_count


@contextmanager
def torch_settings(device: torch.device) -> Iterator[None]:
    """As many threads as the NumPy engine uses. On a GPU: kernels that give the same bits each time, and float32 as it is.

    Without the latter, PyTorch rounds the factors of float32 convolutions to TF32, with 11 bits, on newer GPUs.
    """
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    tf32 = cudnn.allow_tf32, matmul.allow_tf32
    torch.set_num_threads(thread_count())
    try:
        if device.type == "cuda":
            torch.cuda.set_device(device)
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
            torch.use_deterministic_algorithms(True, warn_only=True)
            cudnn.allow_tf32 = matmul.allow_tf32 = False
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        cudnn.allow_tf32, matmul.allow_tf32 = tf32
