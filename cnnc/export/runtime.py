"""onnxruntime, behind a door: sessions that are quiet, with a provider that really runs, errors of ours.

In: a model's bytes or file. Out: `Session`. Every exception of onnxruntime leaves as a CnncError.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnx
import onnxruntime as ort

from cnnc.diagnostics import CnncError
from cnnc.files import read_bytes
from cnnc.reference.engine import Array

Provider = Literal["auto", "cpu", "cuda"]
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_NAMES = {full: short for short, full in _PROVIDERS.items()}


class Session:
    """A model ready to run. `provider` is the one that really runs it."""

    def __init__(
        self, model: bytes | Path, name: str, provider: Provider = "auto", *, optimize: bool = True, threads: int = 0
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        if not optimize:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            source = model if isinstance(model, bytes) else str(model)  # a file may have weights beside it
            self._session = ort.InferenceSession(source, options, providers=_choose(provider))
        except CnncError:
            raise
        except Exception as error:
            raise CnncError.of("E604", f"{name} is no model that onnxruntime can run: {_first_line(error)}") from error
        self.name = name
        self.provider = _NAMES.get(self._session.get_providers()[0], self._session.get_providers()[0])
        if provider not in ("auto", self.provider):
            raise CnncError.of("E905", f"the provider {provider} did not start; {self.provider} would have run instead")
        self.inputs = {i.name: (tuple(i.shape), str(i.type)) for i in self._session.get_inputs()}
        self.outputs = [o.name for o in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """Runs one batch. Raises CnncError E604."""
        try:
            return cast(list[Array], self._session.run(outputs, dict(feeds)))
        except Exception as error:
            raise CnncError.of("E604", f"{self.name}: onnxruntime stopped: {_first_line(error)}") from error

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def facts(self) -> dict[str, Any]:
        """What cnnc wrote of the network into the model (see metadata.py); empty for a stranger's model."""
        try:
            found = json.loads(self.metadata.get("cnnc.facts", "{}"))
        except json.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}


def open_model(path: Path, provider: Provider = "auto") -> Session:
    """A session for a model's file. Raises CnncError E901, E604, E905."""
    # by its path, as its weights may lie beside it; what cannot be opened, or is a pipe, has its own way
    source = path if path.is_file() and os.access(path, os.R_OK) else read_bytes(path)
    return Session(source, str(path), provider)


def loads(opset: int, ir: int) -> bool:
    """Whether the installed onnxruntime takes models of this opset and IR version."""
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "tried", [x], [y])
    opsets = [onnx.helper.make_opsetid("", opset)]
    try:
        Session(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=ir).SerializeToString(), "", "cpu")
    except CnncError:
        return False
    return True


def _choose(provider: Provider) -> list[str]:
    available = ort.get_available_providers()
    if provider == "auto":
        return [p for p in (_PROVIDERS["cuda"], _PROVIDERS["cpu"]) if p in available]
    wanted = _PROVIDERS[provider]
    if wanted not in available:
        names = ", ".join(_NAMES.get(p, p) for p in available)
        raise CnncError.of(
            "E905",
            f"the installed onnxruntime has no provider {provider}; it has {names}",
            help="install onnxruntime-gpu in its place for cuda" if provider == "cuda" else "",
        )
    return [wanted] if provider == "cpu" else [wanted, _PROVIDERS["cpu"]]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def batches(count: int, size: int) -> list[slice]:
    """Slices of at most `size` that cover `count`."""
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def as_fed(images: Array, dtype: str) -> Array:
    """Images of 8 bits as an input of this element type takes them: uint8 as they are, float32 in 0..1."""
    return images if dtype == "tensor(uint8)" else images.astype(np.float32) / np.float32(255)
