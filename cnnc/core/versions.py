"""What the numbers of a run depend on: the versions of the packages that made them."""

from __future__ import annotations

from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions by package, as checkpoints and models record them."""
    return {name: version(name) for name in ("cnnc", "numpy", "onnx", "onnxruntime")}
