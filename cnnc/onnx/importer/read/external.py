"""External data: tensors that a model stores in other files of its folder.

In: the model's folder, and the external_data entries of a tensor. Out: bytes. Only regular files inside the folder are
opened, links resolved. No more bytes are read from a file in total than it holds, so that a small file cannot fill many
tensors. Raises CnncError E622.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc.diagnostics import CnncError


class ExternalData:
    """The data files in a model's folder; `folder` is None for a model that is not a file."""

    def __init__(self, folder: Path | None) -> None:
        self._root = folder.resolve() if folder is not None else None
        self._bytes_read: Counter[Path] = Counter()

    def read(self, entries: Mapping[str, str | bytes], needed: int, what: str) -> NDArray[np.uint8]:
        """The bytes of a tensor.

        `entries` are ONNX's location, offset and length; `needed` is the size of the tensor in bytes; `what` names the
        tensor in errors. Raises CnncError E622.
        """
        location = entries.get("location", "")
        if not isinstance(location, str) or not location:
            raise CnncError.of("E622", f"{what} is stored in another file, but the model does not name the file")
        path, size = self._locate(location, what)
        shown = _shortened(location)
        offset, length = (
            _byte_count(entries.get(key), default, what) for key, default in (("offset", 0), ("length", needed))
        )
        if length != needed or offset + length > size:
            message = f"{what} takes {needed:,} bytes; the model reads {length:,} bytes of {shown} from {offset:,} on"
            raise CnncError.of("E622", f"{message}, and the file has {size:,}")
        self._bytes_read[path] += length
        if self._bytes_read[path] > size:
            total = self._bytes_read[path]
            message = f"{what} and the tensors before it take {total:,} bytes of {shown}, which has {size:,}"
            raise CnncError.of("E622", message, help="save the model so that no two tensors share bytes of the file")
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        except OSError as error:
            raise CnncError.of("E622", f"{what}: cannot read {shown}") from error
        if len(data) != length:
            raise CnncError.of("E622", f"{what}: {shown} ended early")
        return np.frombuffer(data, np.uint8)

    def _locate(self, location: str, what: str) -> tuple[Path, int]:
        """The file of a location, and its size in bytes. Raises CnncError E622."""
        shown = _shortened(location)
        if self._root is None:
            raise CnncError.of("E622", f"{what} is stored in {shown}, but the model was not read from a folder")
        try:
            path = (self._root / location).resolve()
            inside = path.is_relative_to(self._root) and not Path(location).is_absolute()
            size = path.stat().st_size if inside and path.is_file() else -1
        except (OSError, ValueError, RuntimeError) as error:
            raise CnncError.of("E622", f"{what} is stored in {shown}, which cannot be opened") from error
        if not inside:
            message = f"{what} is stored in {shown}, outside the model's folder"
            raise CnncError.of("E622", message, help="move both files into one folder")
        if size < 0:
            raise CnncError.of("E622", f"{what} is stored in {shown}, which is not a file")
        return path, size


def _byte_count(text: str | bytes | None, default: int, what: str) -> int:
    """An offset or a length, the default where it is left out. Raises CnncError E622."""
    if text is None or text == "":
        return default
    if isinstance(text, bytes):
        raise CnncError.of("E622", f"{what}: the offset or length of its data is not UTF-8")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise CnncError.of("E622", f"{what}: `{_shortened(text)}` is not a number of bytes")
    return int(text)


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
