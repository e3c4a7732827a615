"""Checkpoints: everything that a run needs to be resumed.

In and out: a safetensors file, written completely or not at all. Tensors are `weights/...` and `slots/...`; the rest is
JSON in the header, with a SHA-256 over all of it, which detects damaged files. Nothing in it depends on the clock, so
equal runs write equal files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from shlex import quote
from typing import Any, BinaryIO

import numpy as np
from safetensors import numpy as safetensors

from cnnc.core.arrays import Array, Weights
from cnnc.core.files import open_file, read_bytes, read_error, require_memory, too_large, write_atomic
from cnnc.core.limits import require_memory_limit, require_parameter_limit
from cnnc.data import arrays
from cnnc.diagnostics import CnncError
from cnnc.network import Network, check

FORMAT = "cnnc-checkpoint-1"
LARGEST = 1 << 40
"""The most bytes of a checkpoint; the memory that is free is the limit long before."""

LARGEST_METRICS = 1 << 26
"""The most bytes of metrics.jsonl: 200,000 epochs."""

_LARGEST_HEADER = 1 << 24
_LARGEST_SCORE = 1 << 20
_LARGEST_COUNT = 1 << 62
_DTYPES = {"<f4": "F32", "<f8": "F64", "<i8": "I64"}
RUN_FILES = (
    "curves.svg",
    "last.safetensors",
    "best.safetensors",
    "metrics.jsonl",
    "network.cnn",
    "test.json",
    "confusion.json",
    "confusion.svg",
    "report.html",
)


@dataclass(frozen=True)
class Progress:
    """How far a run has come: `step` batches into `epoch` (both from 0), with the sums of this epoch so far.

    `right` of `answers` predictions were correct, `seen` examples were used. `best_epoch` is the last of equally good
    epochs, `improved_epoch` the first. Random choices are functions of the seed, the epoch and the step, so no
    generator has a state to save. The names of the fields are keys in the file.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    right: int = 0
    answers: int = 0
    seen: int = 0
    best_epoch: int = -1
    best_rank: float = float("-inf")
    best_loss: float = float("inf")
    improved_epoch: int = -1


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run.

    `file` is the name of the source file and `source` its text, `includes` the text of included files by name.
    `settings` are those of the command line (`--set`), `sizes` the sizes of symbols in training. `weights` and `slots`
    are arrays by `layer.parameter` and `layer.parameter.slot`; `threads` and `versions` are those that trained, and so
    are `engine`, its `provider` (with torch the device) and its `engine_options`. `origin` says which model the weights
    were imported from: its `file`, `sha256` and `producer`, as far as known; else it is empty. `dataset` is `arrays` where
    a program gave the data in place of those of the train section. `machine` is what else decides the last bits of a result,
    by name: the BLAS library and its kernels, the instructions that NumPy uses, the system (reference/machine.py). `columns` are
    the names of the columns of a table whose values the input takes, in its order.
    """

    file: str
    source: str
    settings: tuple[str, ...]
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...]
    weights: Weights = field(repr=False)
    slots: Weights = field(repr=False)
    progress: Progress
    versions: dict[str, str]
    threads: int
    includes: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    engine: str = "numpy"
    provider: str = ""
    engine_options: dict[str, str] = field(default_factory=dict)
    dataset: str = ""
    machine: dict[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    def require_its_data(self, data: object) -> None:
        """Raises CnncError E603 where the run was trained on arrays of a program, and `data` holds none.

        The data set of the train section is then another one.
        """
        if self.dataset == arrays.NAME and not isinstance(data, Mapping):
            help = "give them again in Python, for example `cnnc.resume(run, data=(x, y))`"
            raise CnncError.of("E603", "the run was trained on arrays of a program, which it does not hold", help=help)

    def network(self, at: Mapping[str, int] | None = None, settings: Sequence[str] | None = None) -> Network:
        """Checks the source again, and returns the network at the sizes of training.

        `at` fixes sizes of symbols; `settings` replace those of the run. Raises CnncError where this version of cnnc
        reports errors, or E605 where the weights do not fit.
        """
        settings = self.settings if settings is None else settings
        network = check(self.source, self.file, settings, at, includes=self.includes, preferred_sizes=self.sizes)
        self.require_fit(network)
        return network

    def require_fit(self, network: Network) -> None:
        """Raises CnncError E605 where the names or shapes of the weights are not those of this network."""
        expected = {name: parameter.shape for name, parameter in network.require_graph().weights.items()}
        saved = {name: array.shape for name, array in self.weights.items()}
        for name in sorted(expected.keys() | saved.keys()):
            if expected.get(name) != saved.get(name):
                raise CnncError.of(
                    "E605",
                    f"the checkpoint does not fit the network: {name} is {_shape_text(saved.get(name))} in the checkpoint, "
                    f"{_shape_text(expected.get(name))} in the network",
                )


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint to a safetensors file, completely or not at all. Raises CnncError E902."""
    write_atomic(path, *content(checkpoint))


def content(checkpoint: Checkpoint) -> Iterator[bytes | memoryview]:
    """The safetensors file of a checkpoint in parts."""
    tensors = {f"weights/{k}": v for k, v in checkpoint.weights.items()}
    tensors |= {f"slots/{k}": v for k, v in checkpoint.slots.items()}
    tensors = {name: np.asarray(array, order="C") for name, array in sorted(tensors.items())}
    text = json.dumps({**facts_of(checkpoint), "progress": asdict(checkpoint.progress)}, sort_keys=True)
    metadata = {"cnnc": text, "digest": _digest(tensors, text), "format": FORMAT}
    return safetensors_parts(tensors, metadata)


def facts_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The JSON in the header of a checkpoint, without its progress."""
    return {
        "file": checkpoint.file,
        "source": checkpoint.source,
        "includes": checkpoint.includes,
        "sha256": hashlib.sha256(checkpoint.source.encode()).hexdigest(),
        "settings": list(checkpoint.settings),
        "sizes": checkpoint.sizes,
        "classes": list(checkpoint.classes),
        "vocabulary": list(checkpoint.vocabulary),
        "versions": checkpoint.versions,
        "threads": checkpoint.threads,
        "preprocessing": {"range": [0, 1], "layout": "channels first"},
        **({"origin": checkpoint.origin} if checkpoint.origin else {}),
        **({"engine": checkpoint.engine, "provider": checkpoint.provider} if checkpoint.engine != "numpy" else {}),
        **({"engine_options": checkpoint.engine_options} if checkpoint.engine_options else {}),
        **({"dataset": checkpoint.dataset} if checkpoint.dataset else {}),
        **({"machine": checkpoint.machine} if checkpoint.machine else {}),
        **({"columns": list(checkpoint.columns)} if checkpoint.columns else {}),
    }


def safetensors_parts(tensors: dict[str, Array], metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """A safetensors file in parts: the length of its header, the header, the bytes of each tensor.

    The library's own `save` writes metadata in an order that changes from run to run, and copies all tensors.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _DTYPES[array.dtype.str], "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8
    yield len(text).to_bytes(8, "little")
    yield text
    for array in tensors.values():
        yield array.reshape(-1).view(np.uint8).data


_OTHER_FILES = {
    ".cnn": ("a network file", "`cnnc train {}` trains a network file"),
    ".onnx": ("a model", "`cnnc import {}` turns a model into a network and a checkpoint"),
}
"""What files that are no checkpoints are, and what is done with them, by suffix."""


_COPIES = 2  # of the tensors, while they are taken out of the file


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint. Raises CnncError E901 where it cannot be read, E605 where it is damaged or another file."""
    try:
        data = _read(path)
        metadata = _metadata(data)
        tensors = safetensors.load(data)  # which copies them
        del data
        if metadata["digest"] != _digest(tensors, metadata["cnnc"]):
            raise ValueError("its checksum does not match")
        return _checkpoint(json.loads(metadata["cnnc"]), tensors)
    except CnncError:
        raise
    except Exception as error:  # a parser may raise anything on an untrusted file
        if path.suffix in _OTHER_FILES:
            kind, help = _OTHER_FILES[path.suffix]
            message, help = f"{path} is {kind}, not a run or checkpoint", help.format(quote(str(path)))
        else:
            message = f"{path} is damaged or not a checkpoint: {_reason(error)}"
            help = "the run's other checkpoint (best or last) may be intact"
        raise CnncError.of("E605", message, help=help) from error


def _read(path: Path) -> bytes:
    """The content of a checkpoint. It is opened once: another one may get its name meanwhile.

    Raises CnncError E901, E903, E904, E913, and ValueError unless it has the size that its header says, before the rest is
    read.
    """
    try:
        with open_file(path) as file:
            start, size = _start(file), os.fstat(file.fileno()).st_size
            _metadata(start)
            _require_size(path, start, size)
            file.seek(0)
            return file.read(size)
    except OSError as error:
        raise read_error(path, error) from error


def _require_size(path: Path, start: bytes, size: int) -> None:
    """Raises ValueError unless the file has the size that its header says, CnncError E903, E904, E913 if it is too large."""
    length = int.from_bytes(start[:8], "little")
    tensors = {key: value for key, value in json.loads(start[8 : 8 + length]).items() if key != "__metadata__"}
    end = 8 + length + max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
    if size != end:
        raise ValueError(f"it has {size:,} bytes, and its header describes {end:,}")
    if size > LARGEST:
        raise too_large(path, LARGEST)
    weights = sum(math.prod(map(int, tensors[key]["shape"])) for key in tensors if key.startswith("weights/"))
    require_parameter_limit(weights, str(path))
    require_memory_limit(_COPIES * size, f"reading {path}")
    require_memory(size, str(path))


def _start(file: BinaryIO) -> bytes:
    """The header of a checkpoint and the length before it, as far as they can be one. Raises OSError."""
    length = file.read(8)
    return length + file.read(min(int.from_bytes(length, "little"), _LARGEST_HEADER))


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata in the header of a checkpoint. Raises ValueError where it has none."""
    if not data:
        raise ValueError("it is empty")
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise ValueError("it is truncated, or another kind of file")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        raise ValueError("its header cannot be read") from None
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError("its header was not written by cnnc")
    return metadata


def _checkpoint(facts: dict[str, Any], tensors: Weights) -> Checkpoint:
    """The checkpoint of facts and tensors. Raises an exception where one of them is of another kind than cnnc writes."""
    parts: dict[str, Weights] = {"weights": {}, "slots": {}}
    for name in list(tensors):
        kind, _, rest = name.partition("/")
        parts[kind][rest] = np.array(tensors.pop(name))
    for name, array in parts["weights"].items():
        if array.dtype.kind != "f":
            raise ValueError(f"its weight {name} is {array.dtype}")
    return Checkpoint(
        _text("file", facts["file"]),
        _text("source", facts["source"]),
        _texts("settings", facts["settings"]),
        _texts("classes", facts["classes"]),
        _texts("vocabulary", facts["vocabulary"]),
        parts["weights"],
        parts["slots"],
        _progress(facts["progress"]),
        _texts_by_name("versions", facts["versions"]),
        _count("threads", facts["threads"], 1),
        _texts_by_name("includes", facts.get("includes", {})),
        {_text("sizes", k): _count("sizes", v, 1) for k, v in dict(facts.get("sizes", {})).items()},
        {key: str(value) for key, value in dict(facts.get("origin", {})).items()},
        _text("engine", facts.get("engine", "numpy")),
        _text("provider", facts.get("provider", "")),
        _texts_by_name("engine_options", facts.get("engine_options", {})),
        _text("dataset", facts.get("dataset", "")),
        _texts_by_name("machine", facts.get("machine", {})),
        _texts("columns", facts.get("columns", [])),
    )


def _progress(facts: Any) -> Progress:
    """How far the run has come; an epoch of the best score is -1 before there is one."""
    for each in fields(Progress):
        value = facts.get(each.name, each.default)
        if isinstance(each.default, float):
            if not isinstance(value, int | float):
                raise ValueError(f"its progress has no number as {each.name}")
        else:
            _count(each.name, value, -1 if each.default == -1 else 0)
    return Progress(**facts)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"its {name} is not text")
    value.encode()  # half of a surrogate pair is not text
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"its {name} is not a list")
    return tuple(_text(name, each) for each in value)


def _texts_by_name(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"its {name} has no names")
    return {_text(name, key): _text(name, text) for key, text in value.items()}


def _count(name: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < _LARGEST_COUNT:
        raise ValueError(f"its {name} is not a whole number of at least {least}")
    return value


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a scalar"


def find(run: Path, which: str = "best") -> Path:
    """The path of a checkpoint: `which` (best or last) of a run folder, else its last one; a file is returned as it is.

    Raises CnncError E606 where there is none.
    """
    if run.is_file():
        return run
    for name in dict.fromkeys((which, "last")):
        path = run / f"{name}.safetensors"
        if path.is_file():
            return path
    if run.is_dir():
        problem = "holds no checkpoint"
    else:
        problem = "is neither a file nor a folder" if os.path.lexists(run) else "does not exist"
    inside = min((path.parent for path in run.glob("*/last.safetensors")), default=None)
    help = "`cnnc train FILE` writes a run folder, runs/NAME"
    if inside is not None:
        help = f"name a run folder in it, such as {quote(str(inside))}"
    raise CnncError.of("E606", f"{run} {problem}", help=help)


def best_epoch(run: Path) -> int | None:
    """The best epoch of a run folder, from 1 on: that of its best checkpoint, whose header alone is read; None without one."""
    path = run / "best.safetensors"
    try:
        with open_file(path) as file:
            progress = json.loads(_metadata(_start(file))["cnnc"])["progress"]
        return int(progress["best_epoch"]) + 1
    except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError):
        return None


def metric_lines(folder: Path) -> list[str]:
    """The lines of a run's metrics.jsonl, one per epoch; none where there is no such file. Raises CnncError E901, E903."""
    path = folder / "metrics.jsonl"
    return read_bytes(path, LARGEST_METRICS).decode(errors="replace").splitlines() if path.exists() else []


def test_score(run: Path) -> dict[str, Any]:
    """The content of test.json in a run folder: the epoch of the weights, and their score; {} where it cannot be read."""
    try:
        facts = json.loads(read_bytes(run / "test.json", _LARGEST_SCORE))
    except (CnncError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _digest(tensors: dict[str, Array], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
