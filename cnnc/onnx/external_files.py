"""The files in which a model stores weights outside of itself, opened so that a model reaches only files of its folder.

In: the folder of a model, and a tensor's external_data: location, offset, length. Out: the open file, or the bytes. A location
may not lead out of the folder, also not by a symbolic link, and a hard link is refused, since the file may have its other name
anywhere. The file is judged after it was opened, and read from the same handle. No more bytes are read from a file in total than
it holds, so that a small file cannot fill many tensors.

    with open_external(Path("models"), "lenet5.onnx.3f2a.data") as file: ...
    ExternalData(Path("models"), "E622").read({"location": "lenet5.onnx.3f2a.data"}, 600, "conv1.weight")
"""

from __future__ import annotations

import errno
import io
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import open_file, reason, require_memory
from cnnc.diagnostics import CnncError


def open_external(folder: Path, location: str) -> io.BufferedReader:
    """Opens a file of weights. Raises FileNotFoundError for one that is missing, another OSError for one that may not be read."""
    if "\0" in location:
        raise OSError(errno.EINVAL, "its name contains a zero byte")
    root = folder.resolve()
    try:
        path = (root / location).resolve()
    except RuntimeError as error:  # a circle of links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    if Path(location).is_absolute() or not path.is_relative_to(root):
        raise OSError(errno.EACCES, "it is outside the model's folder")
    file = open_file(path)
    try:
        _require_in_folder(file, root)
    except OSError:
        file.close()
        raise
    return file


def _require_in_folder(file: io.BufferedReader, root: Path) -> None:
    """Raises OSError for an open file that is not in a folder alone; its name may have become a link before it was opened."""
    opened = _path_of(file)
    if opened is not None and not opened.is_relative_to(root):
        raise OSError(errno.EACCES, "it is outside the model's folder")
    if os.fstat(file.fileno()).st_nlink > 1:
        raise OSError(errno.EMLINK, "it is a hard link, so it may be a file of another folder")


def _path_of(file: io.BufferedReader) -> Path | None:
    """The path of an open file, None where the system does not say."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{file.fileno()}"))
    except OSError:
        return None


class ExternalData:
    """The data files in a model's folder; `folder` is None for a model that is not a file, `code` that of errors."""

    def __init__(self, folder: Path | None, code: str) -> None:
        self._folder = folder
        self._code = code
        self._bytes_read: Counter[tuple[int, int]] = Counter()  # by device and number of the file

    def read(self, entries: Mapping[str, str | bytes], needed: int, what: str) -> NDArray[np.uint8]:
        """The bytes of a tensor.

        `entries` are ONNX's location, offset and length; `needed` is the size of the tensor in bytes; `what` names the
        tensor in errors. Raises CnncError.
        """
        location = entries.get("location", "")
        if not isinstance(location, str) or not location:
            raise CnncError.of(self._code, f"{what} is stored in another file, but the model does not name the file")
        shown = _shortened(location)
        with self._opened(location, what) as file:
            status = os.fstat(file.fileno())
            size = status.st_size
            offset, length = (
                _byte_count(entries.get(key), default, what, self._code)
                for key, default in (("offset", 0), ("length", needed))
            )
            if length != needed or offset + length > size:
                message = (
                    f"{what} takes {needed:,} bytes; the model reads {length:,} bytes of {shown} from {offset:,} on"
                )
                raise CnncError.of(self._code, f"{message}, and the file has {size:,}")
            self._count(status, length, what, shown)
            require_memory(length, what)
            try:
                file.seek(offset)
                data = file.read(length)
            except OSError as error:
                raise CnncError.of(self._code, f"{what}: cannot read {shown}") from error
        if len(data) != length:
            raise CnncError.of(self._code, f"{what}: {shown} ended early")
        return np.frombuffer(data, np.uint8)

    def _count(self, status: os.stat_result, length: int, what: str, shown: str) -> None:
        """Raises CnncError where tensors take more bytes of a file than it has."""
        file = (status.st_dev, status.st_ino)
        self._bytes_read[file] += length
        if self._bytes_read[file] > status.st_size:
            total = self._bytes_read[file]
            message = f"{what} and the tensors before it take {total:,} bytes of {shown}, which has {status.st_size:,}"
            raise CnncError.of(
                self._code, message, help="save the model so that no two tensors share bytes of the file"
            )

    def _opened(self, location: str, what: str) -> io.BufferedReader:
        """The file of a location. Raises CnncError."""
        shown = _shortened(location)
        if self._folder is None:
            raise CnncError.of(self._code, f"{what} is stored in {shown}, but the model was not read from a folder")
        try:
            return open_external(self._folder, location)
        except OSError as error:
            help = "copy the model and its files of weights into one folder"
            raise CnncError.of(self._code, f"{what} is stored in {shown}: {reason(error)}", help=help) from error


def _byte_count(text: str | bytes | None, default: int, what: str, code: str) -> int:
    """An offset or a length, the default where it is left out. Raises CnncError with `code`."""
    if text is None or text == "":
        return default
    if isinstance(text, bytes):
        raise CnncError.of(code, f"{what}: the offset or length of its data is not UTF-8")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise CnncError.of(code, f"{what}: `{_shortened(text)}` is not a number of bytes")
    return int(text)


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
