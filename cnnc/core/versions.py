"""The versions of the packages that the numbers of a run depend on."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions by package name, as checkpoints and exported models record them."""
    return {name: _version(name) for name in ("cnnc", "numpy", "onnx", "onnxruntime")}


@cache
def _version(name: str) -> str:
    """Read once: a file of metadata takes milliseconds, and each checkpoint asks."""
    return version(name)
