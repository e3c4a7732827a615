"""External data: tensors that a model stores in other files of its folder.

In: the model's folder, and the external_data entries of a tensor. Out: bytes. Only regular files inside the folder are
opened (`open_external`). No more bytes are read from a file in total than it holds, so that a small file cannot fill many
tensors. Raises CnncError E622.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import reason, require_memory
from cnnc.diagnostics import CnncError
from cnnc.onnx.external_files import open_external


class ExternalData:
    """The data files in a model's folder; `folder` is None for a model that is not a file."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._bytes_read: Counter[tuple[int, int]] = Counter()  # by device and number of the file

    def read(self, entries: Mapping[str, str | bytes], needed: int, what: str) -> NDArray[np.uint8]:
        """The bytes of a tensor.

        `entries` are ONNX's location, offset and length; `needed` is the size of the tensor in bytes; `what` names the
        tensor in errors. Raises CnncError E622.
        """
        location = entries.get("location", "")
        if not isinstance(location, str) or not location:
            raise CnncError.of("E622", f"{what} is stored in another file, but the model does not name the file")
        shown = _shortened(location)
        with self._opened(location, what) as file:
            status = os.fstat(file.fileno())
            size = status.st_size
            offset, length = (
                _byte_count(entries.get(key), default, what) for key, default in (("offset", 0), ("length", needed))
            )
            if length != needed or offset + length > size:
                message = (
                    f"{what} takes {needed:,} bytes; the model reads {length:,} bytes of {shown} from {offset:,} on"
                )
                raise CnncError.of("E622", f"{message}, and the file has {size:,}")
            self._count(status, length, what, shown)
            require_memory(length, what)
            try:
                file.seek(offset)
                data = file.read(length)
            except OSError as error:
                raise CnncError.of("E622", f"{what}: cannot read {shown}") from error
        if len(data) != length:
            raise CnncError.of("E622", f"{what}: {shown} ended early")
        return np.frombuffer(data, np.uint8)

    def _count(self, status: os.stat_result, length: int, what: str, shown: str) -> None:
        """Raises CnncError E622 where tensors take more bytes of a file than it has."""
        file = (status.st_dev, status.st_ino)
        self._bytes_read[file] += length
        if self._bytes_read[file] > status.st_size:
            total = self._bytes_read[file]
            message = f"{what} and the tensors before it take {total:,} bytes of {shown}, which has {status.st_size:,}"
            raise CnncError.of("E622", message, help="save the model so that no two tensors share bytes of the file")

    def _opened(self, location: str, what: str) -> BufferedReader:
        """The file of a location. Raises CnncError E622."""
        shown = _shortened(location)
        if self._folder is None:
            raise CnncError.of("E622", f"{what} is stored in {shown}, but the model was not read from a folder")
        try:
            return open_external(self._folder, location)
        except OSError as error:
            help = "copy the model and its files of weights into one folder"
            raise CnncError.of("E622", f"{what} is stored in {shown}: {reason(error)}", help=help) from error


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
