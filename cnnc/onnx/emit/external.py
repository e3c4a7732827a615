"""Weights in a file of their own, beside the model's: what protobuf, which ends at 2 GB, needs for larger ones.

In: a model whose large tensors have no values yet, and the values. Out: two files, both or none. The name of the
weights' file holds a hash of its content, so the model that stood there before keeps its own until the new one has
taken its place; then the old weights are removed.
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

LIMIT = 2**31 - 2**25  # bytes of a protobuf message, less room for what is not weights
_ALIGN = 4096  # runtimes map tensors into memory where they begin at a page (onnx.proto, external_data)


class StagedFiles(NamedTuple):
    """A model and its weights in a folder of their own, on the same disk as their place."""

    model: onnx.ModelProto
    folder: Path
    weights: Path
    path: Path

    def commit(self) -> Path:
        """Puts both in their places, and returns that of the weights. Raises CnncError E902; nothing has changed then."""
        target = Path(os.path.realpath(self.path))
        stale = weight_files(target)
        data = target.parent / self.weights.name
        known = data.exists()
        try:
            os.replace(self.weights, data)
            os.replace(self.folder / "model.onnx", target)
        except OSError as error:
            if not known:
                remove_files([data])
            raise write_error(self.path, error) from error
        remove_files(file for file in stale if file != data)
        return data if self.path.is_symlink() else self.path.parent / data.name


def exceeds_limit(weights: Mapping[str, Array]) -> bool:
    """Whether a model with these weights is too large for one file; counted before anything is made of them."""
    return sum(array.size * 4 for array in weights.values()) > LIMIT


@contextmanager
def staged(model: onnx.ModelProto, external_tensors: Mapping[str, Array], path: Path) -> Iterator[StagedFiles]:
    """Writes both files into a folder that is gone in the end, checked by onnx. Raises CnncError E902."""
    folder: Path | None = None
    target = Path(os.path.realpath(path))
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent))
        weights = _write(model, external_tensors, folder, target.name)
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


def _write(model: onnx.ModelProto, external_tensors: Mapping[str, Array], folder: Path, name: str) -> Path:
    """The file of the weights; the model's tensors are told where they lie in it."""
    places: dict[str, tuple[int, int]] = {}
    digest = sha256()
    with (folder / "weights").open("wb") as file:
        for key, array in external_tensors.items():
            padding = bytes(-file.tell() % _ALIGN)
            content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data.cast("B")
            places[key] = (file.tell() + len(padding), content.nbytes)
            for part in (padding, content):
                file.write(part)
                digest.update(part)
        file.flush()
        os.fsync(file.fileno())
    made = folder / f"{name}.{digest.hexdigest()[:16]}.data"
    (folder / "weights").rename(made)
    for tensor in model.graph.initializer:
        if tensor.name in places:
            offset, length = places[tensor.name]
            for key, value in (("location", made.name), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
    return made


def weight_files(path: Path) -> list[Path]:
    """The files of weights that belong to the model at a path, as far as cnnc wrote them."""
    own = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.data")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # no model, or none that can be read: nothing of ours
        return []
    names = {e.value for t in model.graph.initializer for e in t.external_data if e.key == "location"}
    return [path.parent / name for name in sorted(names) if own.fullmatch(name)]


def remove_files(files: Iterator[Path] | list[Path]) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)
