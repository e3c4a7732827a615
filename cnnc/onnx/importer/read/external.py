"""Weights that lie in files beside a model: `Beside`, which opens those of the model's own folder and no others.

In: the folder, and what a tensor says of its place. Out: bytes. A file is a regular one within the folder, links
followed; no more is read of it in all than it holds, so that a few bytes do not become many tensors. Raises
CnncError E622.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc.diagnostics import CnncError


class Beside:
    """The files of a folder; without one, there are none."""

    def __init__(self, folder: Path | None) -> None:
        self._root = folder.resolve() if folder is not None else None
        self._taken: Counter[Path] = Counter()

    def read(self, entries: Mapping[str, str | bytes], needed: int, what: str) -> NDArray[np.uint8]:
        """The bytes of a tensor that needs so many; `entries` are location, offset and length, as ONNX has them."""
        location = entries.get("location", "")
        if not isinstance(location, str) or not location:
            raise CnncError.of("E622", f"{what} lies in another file, which is not named")
        path, size = self._found(location, what)
        shown = _shown(location)
        offset, length = (
            _whole(entries.get(key), default, what) for key, default in (("offset", 0), ("length", needed))
        )
        if length != needed or offset + length > size:
            message = f"{what} takes {needed:,} bytes; {shown} was to have {length:,} of them from {offset:,} on"
            raise CnncError.of("E622", f"{message}, and has {size:,} in all")
        self._taken[path] += length
        if self._taken[path] > size:
            message = f"{what} and tensors before it take {self._taken[path]:,} bytes of {shown}, which has {size:,}"
            raise CnncError.of("E622", message, help="save the model so that each tensor has bytes of its own")
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            raise CnncError.of("E622", f"{what}: cannot read {shown}") from error
        if len(data) != length:
            raise CnncError.of("E622", f"{what}: {shown} ended early")
        return np.frombuffer(data, np.uint8)

    def _found(self, location: str, what: str) -> tuple[Path, int]:
        """The file of a location, and its size."""
        shown = _shown(location)
        if self._root is None:
            raise CnncError.of("E622", f"{what} lies in {shown}, and the model in no folder")
        try:
            path = (self._root / location).resolve()
            inside = path.is_relative_to(self._root) and not Path(location).is_absolute()
            size = path.stat().st_size if inside and path.is_file() else -1
        except (OSError, ValueError, RuntimeError) as error:
            raise CnncError.of("E622", f"{what} lies in {shown}, which cannot be opened") from error
        if not inside:
            message = f"{what} lies in {shown}, outside the model's folder"
            raise CnncError.of("E622", message, help="move both into one folder")
        if size < 0:
            raise CnncError.of("E622", f"{what} lies in {shown}, which is not there")
        return path, size


def _whole(text: str | bytes | None, default: int, what: str) -> int:
    if text is None or text == "":
        return default
    if isinstance(text, bytes):
        raise CnncError.of("E622", f"{what}: where it lies is not written in UTF-8")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise CnncError.of("E622", f"{what}: `{_shown(text)}` is no number of bytes")
    return int(text)


def _shown(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
