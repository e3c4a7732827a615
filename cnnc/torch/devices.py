"""The device and the precision that `--device` and `--precision` name.

In: their words. Out: a torch.device that is there, and the element type of autocast. Raises CnncError E905 for a device that
is not there, E010 for a word that names none, and for a precision that the device does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

from cnnc.diagnostics import CnncError

AUTOCAST = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The element type in which convolutions and matrix products are computed, by the word of `--precision`."""


def device_named(name: str) -> torch.device:
    """The device of a word: auto, cpu, cuda, cuda:1 or mps; auto is the first of cuda, mps and cpu that is there."""
    if name == "auto":
        name = next(kind for kind, there in _kinds() if there)
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,4})?", name):
        raise CnncError.of("E010", f"--device {name}: no such device", help="write auto, cpu, cuda, cuda:1 or mps")
    available = available_devices()
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        message = f"PyTorch {torch.__version__} does not find {name}; it finds {_listed(available)}"
        help = f"write `--device {available[-1]}`, or leave --device out"
        raise CnncError.of("E905", message, help=help)
    return torch.device(wanted)


def _kinds() -> Iterator[tuple[str, bool]]:
    yield "cuda", torch.cuda.is_available()
    yield "mps", torch.backends.mps.is_available()
    yield "cpu", True


def available_devices() -> list[str]:
    """The devices that PyTorch finds, by the words of `--device`; the cpu is the last."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The element type of a precision, None for float32."""
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        message = f"{torch.cuda.get_device_name(device)} ({device}) does not compute in bf16"
        raise CnncError.of("E010", message, help="write `--precision fp16`")
    return AUTOCAST[precision]


def peak_memory(device: torch.device) -> int | None:
    """The most memory of the device that tensors took since `reset_peak_memory`, in bytes; None for the cpu."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    return None


def reset_peak_memory(device: torch.device) -> None:
    """Begins to measure `peak_memory`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def total_memory(device: torch.device) -> int:
    """The memory of the device in bytes, 0 where PyTorch does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    return 0


def machine_of(device: torch.device) -> dict[str, str]:
    """What decides the last bits of a result of PyTorch on a device: versions, and the kind of the device, by name."""
    facts = {"torch": str(torch.__version__)}
    if device.type == "cuda":
        libraries = f"CUDA {torch.version.cuda} cuDNN {torch.backends.cudnn.version()}"
        return {**facts, "device": f"{torch.cuda.get_device_name(device)} {libraries}"}
    return {**facts, "device": torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else device.type}
