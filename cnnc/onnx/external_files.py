"""The files in which a model stores weights outside of itself, opened so that a model reaches only files of its folder.

In: the folder of a model, and the location that a tensor names. Out: the open file, or OSError, whose `strerror` says why not.
A location may not lead out of the folder, also not by a symbolic link, and a hard link is refused, since the file may have
its other name anywhere. The file is judged after it was opened.

    with open_external(Path("models"), "lenet5.onnx.3f2a.data") as file: ...
"""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

from cnnc.core.files import open_file


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
    if os.fstat(file.fileno()).st_nlink > 1:
        file.close()
        raise OSError(errno.EMLINK, "it is a hard link, so it may be a file of another folder")
    return file
