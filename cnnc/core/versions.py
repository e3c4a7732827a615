"""The versions of the packages that the numbers of a run depend on."""

from __future__ import annotations

from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions by package name, as checkpoints and exported models record them."""
    return {name: version(name) for name in ("cnnc", "numpy", "onnx", "onnxruntime")}
