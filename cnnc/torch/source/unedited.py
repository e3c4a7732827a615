"""Whether a Python file is still what cnnc wrote, so that a later export may replace it.

In: the path of the source. Out: true if the file of its weights records the hash of exactly this text. People edit the source
that they get, and an export must not undo that.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from cnnc.core.files import read_bytes, read_start

_WEIGHTS_SUFFIX = ".weights.safetensors"
_LARGEST = 1 << 26  # bytes of Python source


def weights_beside(path: Path) -> Path:
    """The file of the weights: `net.weights.safetensors` for `net.py`."""
    return path.with_name(path.stem + _WEIGHTS_SUFFIX)


def is_unedited(path: Path) -> bool:
    """Whether the source is what cnnc wrote with the weights beside it."""
    weights = weights_beside(path)
    if not weights.is_file():
        return False
    begin = read_start(weights, 1 << 24)
    try:
        header = json.loads(begin[8 : 8 + int.from_bytes(begin[:8], "little")])
        recorded = json.loads(header["__metadata__"]["cnnc"])["text_sha256"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(recorded == sha256(read_bytes(path, _LARGEST)).hexdigest())
