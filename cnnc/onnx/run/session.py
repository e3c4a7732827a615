"""Sessions: a model loaded into onnxruntime, without its log output, on a provider that was checked to run.

Input: a model as bytes or a file. Output: `Session`. Every exception of onnxruntime becomes a CnncError. Example:

    session = open_model(Path("net.onnx"), "cpu")
    (scores,) = session.run({"input1": images})  # images (N, 1, 8, 8), scores (N, 10)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np
import onnx
import onnxruntime as ort

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.onnx.metadata import Facts, read_facts, require_own_weights
from cnnc.onnx.run.complete_model import complete_model
from cnnc.onnx.run.inspect import parse_model, properties, read_model, require_weights
from cnnc.onnx.run.needs import require_run_within_limits
from cnnc.onnx.run.provider import Provider
from cnnc.onnx.wire_format import read_file

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_NAMES = {full: short for short, full in _PROVIDERS.items()}
# What `auto` tries, fastest first. Not tensorrt: it compiles each model for minutes, so the user has to ask for it.
_AUTO_ORDER = ("cuda", "dml", "coreml", "openvino", "cpu")
# The package that has a provider; it is installed instead of onnxruntime.
_PACKAGES = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "dml": "onnxruntime-directml",
    "openvino": "onnxruntime-openvino",
}
# Where a provider's memory is, if not the CPU's.
_DEVICES = {"cuda": "cuda", "tensorrt": "cuda", "dml": "dml"}
# Multiply in full float32: newer GPUs round the factors to 10 bits otherwise (TF32).
_OPTIONS = {"cuda": {"use_tf32": "0"}}
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}

Size = int | str
"""A size, or the name of a symbolic one."""


class Signature(NamedTuple):
    """An input: the shape of one example, without the batch, and its element type."""

    shape: tuple[Size, ...]
    dtype: np.dtype[Any]

    @property
    def fixed(self) -> tuple[int, ...] | None:
        """The shape, or None if a size is symbolic."""
        sizes = tuple(size for size in self.shape if isinstance(size, int))
        return sizes if len(sizes) == len(self.shape) else None

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) or "one number"


class Session:
    """A model loaded into onnxruntime.

    `provider` is the one that runs it; `inputs` are signatures by name; `outputs` are names; `batch` is the only batch size
    that the model takes, 0 if it takes any; `output_shapes` are as the model declares them, with the batch, [] if it does
    not. `model` is bytes or a file; `name` is for error messages; `threads` 0 leaves the number to onnxruntime; `profile` is
    the path prefix of a profile. `runs_once` returns memory to the system after each use, which slows a model that runs
    often. `weights` are initializers that the message leaves out; `outline` is the model without the data of its weights.

    Raises CnncError E604 for a model that onnxruntime rejects, E905 for a provider that does not start, E609 for an input
    type that cnnc cannot feed.
    """

    def __init__(
        self,
        model: bytes | Path,
        name: str,
        provider: Provider = "auto",
        *,
        optimize: bool = True,
        threads: int = 0,
        profile: str = "",
        runs_once: bool = False,
        weights: Mapping[str, Array] | None = None,
        outline: onnx.ModelProto | None = None,
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        if runs_once:
            options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        if not optimize:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        if weights:
            options.add_external_initializers(list(weights), [*map(ort.OrtValue.ortvalue_from_numpy, weights.values())])
        self._session = _start(model, name, options, provider)
        self.name = name
        self.outline = outline
        self.provider = short_name(self._session.get_providers()[0])
        if provider not in ("auto", self.provider):
            raise CnncError.of("E905", f"the provider {provider} did not start; {self.provider} would run instead")
        self.inputs: dict[str, Signature] = {i.name: _signature(name, i) for i in self._session.get_inputs()}
        batches = {i.shape[0] for i in self._session.get_inputs() if i.shape and isinstance(i.shape[0], int)}
        self.batch = max(batches, default=0)
        self.outputs: list[str] = [o.name for o in self._session.get_outputs()]
        self.output_shapes: list[list[Any]] = [list(o.shape or ()) for o in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """Runs one batch and returns these outputs (all by default), arrays (N, ...). Raises CnncError E604."""
        try:
            return cast(list[Array], self._session.run(outputs, dict(feeds)))
        except Exception as error:
            raise CnncError.of("E604", f"{self.name}: onnxruntime failed: {_first_line(error)}") from error

    @property
    def device(self) -> tuple[str, int]:
        """The device type and number of the provider's memory, as onnxruntime names them."""
        return _DEVICES.get(self.provider, "cpu"), 0

    def binding(self) -> Any:
        """An `onnxruntime.IOBinding`: inputs and outputs that stay on the device. `run_bound` runs it."""
        return self._session.io_binding()

    def run_bound(self, binding: Any) -> None:
        """Runs one batch on bound inputs and outputs. Raises CnncError E604."""
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise CnncError.of("E604", f"{self.name}: onnxruntime failed: {_first_line(error)}") from error

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The model's metadata properties. Raises CnncError E604 if they are not UTF-8."""
        try:
            return dict(self._session.get_modelmeta().custom_metadata_map)
        except UnicodeDecodeError as error:
            raise CnncError.of("E604", f"{self.name} is damaged: its metadata are not UTF-8") from error

    @cached_property
    def facts(self) -> Facts:
        """What cnnc wrote into the model's metadata; empty for a model of another program."""
        return read_facts(self.metadata)

    def end_profile(self) -> Path:
        """Ends profiling and returns the profile's path."""
        return Path(self._session.end_profiling())


def open_model(path: Path, provider: Provider = "auto", *, threads: int = 0, profile: str = "") -> Session:
    """A session for a model file, which is read once: onnxruntime gets the bytes that were judged, and opens no file.

    Raises CnncError E901 if it cannot be read, E604 if it is not a model or its external weights are missing, E613 if its weights
    are inputs, E905 for a provider that does not start, E913 where it needs more than the caller allows.
    """
    require_run_within_limits(read_model(path), str(path))  # which reads no weights
    message, raw_data = read_file(path)
    model = parse_model(message, path)
    require_own_weights(properties(model), str(path))
    require_weights(model, path)
    outline = onnx.ModelProto()
    outline.CopyFrom(model)
    complete = complete_model(model, raw_data, path)
    return Session(
        complete.model.SerializeToString(),
        str(path),
        provider,
        threads=threads,
        profile=profile,
        weights=complete.weights,
        outline=outline,
    )


def can_load(opset: int, ir: int) -> bool:
    """Whether the installed onnxruntime loads models of this opset and IR version."""
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "probe", [x], [y])
    opsets = [onnx.helper.make_opsetid("", opset)]
    try:
        Session(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=ir).SerializeToString(), "", "cpu")
    except CnncError:
        return False
    return True


def providers() -> list[str]:
    """The providers of the installed onnxruntime, by their short names if they have one."""
    return [short_name(full) for full in ort.get_available_providers()]


def short_name(full: str) -> str:
    """`CPUExecutionProvider` -> `cpu`; a name without a short form is returned unchanged."""
    return _NAMES.get(full, full)


def _start(model: bytes | Path, name: str, options: Any, provider: Provider) -> Any:
    """An onnxruntime session on the first candidate provider that starts.

    onnxruntime's own fallback is off: it prints to stdout and runs a provider that nobody asked for.
    """
    source = model if isinstance(model, bytes) else str(model)
    candidates = _candidates(provider)
    for choice in candidates:
        used = list(dict.fromkeys((choice, "cpu")))  # the CPU runs operators that the provider lacks
        full_names, provider_options = [_PROVIDERS[p] for p in used], [_OPTIONS.get(p, {}) for p in used]
        try:
            if choice == "cuda":
                _load_cuda()
            return ort.InferenceSession(
                source, options, providers=full_names, provider_options=provider_options, enable_fallback=0
            )
        except Exception as error:
            if choice == "cpu":
                raise CnncError.of("E604", f"onnxruntime cannot load {name}: {_first_line(error)}") from error
            if choice == candidates[-1]:
                raise CnncError.of("E905", f"the provider {choice} did not start: {_first_line(error)}") from error
    raise CnncError.of("E905", f"the installed onnxruntime has none of {', '.join(_AUTO_ORDER)}")


def _load_cuda() -> None:
    """Loads the CUDA libraries that pip installed; onnxruntime alone searches only the system's library path."""
    if hasattr(ort, "preload_dlls"):  # from 1.21 on
        with redirect_stdout(StringIO()):
            ort.preload_dlls()


def _candidates(provider: Provider) -> list[str]:
    """The providers to try, in order. Raises CnncError E905 if the requested one is not installed."""
    assert provider in get_args(Provider)
    installed = providers()
    if provider == "auto":
        return [name for name in _AUTO_ORDER if name in installed]
    if provider not in installed:
        package = _PACKAGES.get(provider)
        raise CnncError.of(
            "E905",
            f"the installed onnxruntime has no provider {provider}; it has {', '.join(installed)}",
            help=f"for {provider}, install {package} instead of onnxruntime" if package else "",
        )
    return [provider]


def _signature(model: str, entry: Any) -> Signature:
    dtype = _DTYPES.get(entry.type)
    if dtype is None:
        raise CnncError.of("E609", f"{model}: the input {entry.name} takes {entry.type}, which cnnc cannot feed")
    shape = tuple(size if isinstance(size, int) else str(size or "?") for size in entry.shape[1:])
    return Signature(shape, np.dtype(dtype))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def batch_slices(count: int, size: int) -> list[slice]:
    """Consecutive slices of at most `size` that cover `count` examples."""
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def convert_for_input(values: Array, dtype: np.dtype[Any]) -> Array:
    """Converts values to an input's element type; 8-bit pixels are divided by 255 for a float input."""
    if values.dtype == dtype:
        return values
    if values.dtype == np.uint8 and dtype.kind == "f":
        scaled: Array = np.divide(values, np.float32(255), dtype=np.float32).astype(dtype, copy=False)
        return scaled
    return values.astype(dtype)
