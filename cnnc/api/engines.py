"""The engines that train, by name.

In: the name of an engine, and what it computes on. Out: an `Engine` for one process.

    engine_named("torch", device="cuda", precision="bf16")
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Literal

from cnnc.data import ignore_report
from cnnc.diagnostics import CnncError
from cnnc.onnx.run.provider import Provider
from cnnc.training.numpy_engine import NumpyEngine
from cnnc.training.run import Engine

EngineName = Literal["numpy", "onnxruntime", "torch"]
Precision = Literal["float32", "bf16", "fp16"]


def engine_named(
    name: EngineName,
    *,
    provider: Provider = "auto",
    device: str = "auto",
    precision: Precision = "float32",
    compile: bool = False,
    report: Callable[[str], None] = ignore_report,
) -> Engine:
    """The engine: `provider` is that of onnxruntime; `device`, `precision` and `compile` are those of torch.

    Raises CnncError E905 and E906 where something is not installed.
    """
    if name == "onnxruntime":
        from cnnc.onnx.train_step.engine import OnnxEngine

        return OnnxEngine(provider)
    if name == "torch":
        require_torch()
        from cnnc.torch.engine import TorchEngine

        return TorchEngine(device, precision, compile, report)
    return NumpyEngine()


def require_torch() -> None:
    """Raises CnncError E906 where PyTorch is not installed, or cannot be imported."""
    try:
        importlib.import_module("torch")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise CnncError.of("E906", "--engine torch needs PyTorch", help='pip install "cnnc[torch]"') from None
    except (ImportError, OSError) as error:  # a library of it is missing
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CnncError.of(
            "E906",
            f"PyTorch cannot be imported: {reason}",
            help='reinstall it: pip install --force-reinstall "cnnc[torch]"',
        ) from None
