"""Writes the files of a model: into a temporary folder first, so that they are checked before they replace anything.

Input: a model whose large tensors are empty, and their content. Output: one file; or two, `net.onnx` and
`net.onnx.0123456789abcdef.data`, both or none. The second holds the large tensors, which is necessary beyond protobuf's limit
of 2 GB. Its name holds a hash of its content, so a model that is being replaced keeps its own weights until the new model is
in its place; then the old weights are removed.
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
from cnnc.core.files import atomic_replacement, sync_folder, write_error
from cnnc.diagnostics import CnncError
from cnnc.onnx.wire_format import file_parts

LIMIT = 2**31 - 2**25  # bytes of weights in one file: protobuf's limit, less 32 MiB for the rest of the model
_ALIGN = 4096  # runtimes memory-map tensors that begin at a page (onnx.proto, external_data)


class StagedFiles(NamedTuple):
    """A model and its separate weights, if any, in a temporary folder. `path` is the model's destination."""

    model: Path
    weights: Path | None
    path: Path

    @property
    def size(self) -> int:
        """The size of both files in bytes."""
        return sum(file.stat().st_size for file in (self.model, self.weights) if file is not None)

    def commit(self) -> Path | None:
        """Moves both files to their destination and returns the path of the weights.

        Raises CnncError E902, and then leaves everything as it was.
        """
        target = Path(os.path.realpath(self.path))
        stale = weight_files(target)
        data = target.parent / self.weights.name if self.weights is not None else None
        new = [data] if data is not None and not data.exists() else []
        try:
            if self.weights is not None and data is not None:
                os.replace(self.weights, data)
                sync_folder(target.parent)  # before a model that needs them
            with atomic_replacement(self.path) as temporary:
                if temporary == self.path:  # a device or a pipe
                    with self.model.open("rb") as source, temporary.open("wb") as file:
                        shutil.copyfileobj(source, file)
                else:
                    os.replace(self.model, temporary)
        except BaseException:
            remove_files(file for file in new if file not in weight_files(target))
            raise
        remove_files(file for file in stale if file != data)
        if data is None or self.path.is_symlink():
            return data
        return self.path.parent / data.name


def exceeds_limit(weights: Mapping[str, Array]) -> bool:
    """Whether a model with these weights is too large for one file."""
    return sum(array.size * 4 for array in weights.values()) > LIMIT


@contextmanager
def staged(
    model: onnx.ModelProto, content: Mapping[str, Array], path: Path, separate_weights: bool
) -> Iterator[StagedFiles]:
    """Writes the files of the model whose initializers hold the arrays of `content`. The temporary folder is removed at the end.

    Without large tensors there is no second file, as it would be empty.

    Raises CnncError E902, also for an OSError of the body.
    """
    folder: Path | None = None
    target = Path(os.path.realpath(path))
    try:
        if separate_weights and not _is_file(path):
            raise CnncError.of("E902", f"cannot write {path} with a separate weight file: it is not a regular file")
        beside = target.parent if _is_file(path) else None
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=beside))
        weights = _write_weights(model, content, folder, target.name) if separate_weights and content else None
        with (folder / "model.onnx").open("wb") as file:
            file.writelines([model.SerializeToString(deterministic=True)] if weights else file_parts(model, content))
        if weights is not None:
            onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
        yield StagedFiles(folder / "model.onnx", weights, path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _is_file(path: Path) -> bool:
    """Whether a path is a regular file, or one that does not exist yet; not a device or a pipe."""
    return path.is_file() or not path.exists()


def _write_weights(model: onnx.ModelProto, content: Mapping[str, Array], folder: Path, name: str) -> Path:
    """Writes the weight file, stores each tensor's location, offset and length in the model, and returns its path."""
    positions: dict[str, tuple[int, int]] = {}  # offset, length in bytes
    digest = sha256()
    with (folder / "weights").open("wb") as file:
        for key, array in content.items():
            padding = bytes(-file.tell() % _ALIGN)
            data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data.cast("B")
            positions[key] = (file.tell() + len(padding), data.nbytes)
            for part in (padding, data):
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
        files = [file for file in sorted(path.parent.iterdir()) if pattern.fullmatch(file.name)]
        model = onnx.load(path, load_external_data=False) if files else onnx.ModelProto()
    except Exception:  # not a readable model, so not one of ours
        return []
    names = {e.value for t in model.graph.initializer for e in t.external_data if e.key == "location"}
    return [file for file in files if file.name in names]


def remove_files(files: Iterator[Path] | list[Path]) -> None:
    """Deletes files, ignoring those that are missing or cannot be deleted."""
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)
