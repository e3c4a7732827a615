"""External weights: a second file next to the model, needed beyond protobuf's limit of 2 GB.

Input: a model whose large tensors are empty, and their content. Output: two files, `net.onnx` and
`net.onnx.0123456789abcdef.data`, both or none. The name of the weight file holds a hash of its content, so a model that is
being replaced keeps its own weights until the new model is in its place; then the old weights are removed.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from cnnc.core.arrays import Array
from cnnc.core.files import write_error

LIMIT = 2**31 - 2**25  # bytes of weights in one file: protobuf's limit, less 32 MiB for the rest of the model
_ALIGN = 4096  # runtimes memory-map tensors that begin at a page (onnx.proto, external_data)


class StagedFiles(NamedTuple):
    """A model and its weights in a temporary folder next to their destination `path`."""

    model: onnx.ModelProto
    folder: Path
    weights: Path
    path: Path

    def commit(self) -> Path:
        """Moves both files to their destination and returns the path of the weights.

        Raises CnncError E902, and then leaves everything as it was.
        """
        target = Path(os.path.realpath(self.path))
        stale = weight_files(target)
        data = target.parent / self.weights.name
        existed = data.exists()
        try:
            os.replace(self.weights, data)
            os.replace(self.folder / "model.onnx", target)
        except OSError as error:
            if not existed:
                remove_files([data])
            raise write_error(self.path, error) from error
        remove_files(file for file in stale if file != data)
        return data if self.path.is_symlink() else self.path.parent / data.name


def exceeds_limit(weights: Mapping[str, Array]) -> bool:
    """Whether a model with these weights is too large for one file."""
    return sum(array.size * 4 for array in weights.values()) > LIMIT


@contextmanager
def staged(model: onnx.ModelProto, external_tensors: Mapping[str, Array], path: Path) -> Iterator[StagedFiles]:
    """Writes both files into a temporary folder, which is removed at the end, and checks them. Raises CnncError E902."""
    folder: Path | None = None
    target = Path(os.path.realpath(path))
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent))
        weights = _write_weights(model, external_tensors, folder, target.name)
        with (folder / "model.onnx").open("wb") as file:
            file.write(model.SerializeToString(deterministic=True))
            file.flush()
            os.fsync(file.fileno())
        onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
        yield StagedFiles(model, folder, weights, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _write_weights(model: onnx.ModelProto, external_tensors: Mapping[str, Array], folder: Path, name: str) -> Path:
    """Writes the weight file, stores each tensor's location, offset and length in the model, and returns its path."""
    positions: dict[str, tuple[int, int]] = {}  # offset, length in bytes
    digest = sha256()
    with (folder / "weights").open("wb") as file:
        for key, array in external_tensors.items():
            padding = bytes(-file.tell() % _ALIGN)
            content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data.cast("B")
            positions[key] = (file.tell() + len(padding), content.nbytes)
            for part in (padding, content):
                file.write(part)
                digest.update(part)
        file.flush()
        os.fsync(file.fileno())
    path = folder / f"{name}.{digest.hexdigest()[:16]}.data"
    (folder / "weights").rename(path)
    for tensor in model.graph.initializer:
        if tensor.name in positions:
            offset, length = positions[tensor.name]
            for key, value in (("location", path.name), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
    return path


def weight_files(path: Path) -> list[Path]:
    """The weight files of the model at a path that cnnc wrote (by their names)."""
    pattern = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.data")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # not a readable model, so not one of ours
        return []
    names = {e.value for t in model.graph.initializer for e in t.external_data if e.key == "location"}
    return [path.parent / name for name in sorted(names) if pattern.fullmatch(name)]


def remove_files(files: Iterator[Path] | list[Path]) -> None:
    """Deletes files, ignoring those that are missing or cannot be deleted."""
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)
