"""Command-line options and file output shared by the scripts of this folder.

Files are written atomically; a line on stdout names each.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import make_folder, write_atomic

OUTPUT_FOLDER = Path("made")
"""The folder that the networks' `data` statements name, relative to the current folder."""


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options of all scripts; the first line of `text`, a docstring, describes the script."""
    options = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    options.add_argument(
        "--out", type=Path, default=OUTPUT_FOLDER, metavar="DIR", help=f"Folder to write to. Default: {OUTPUT_FOLDER}."
    )
    options.add_argument("--seed", type=int, default=0, metavar="N", help="Seed of all random choices. Default: 0.")
    return options


def write(path: Path, data: bytes) -> None:
    """Writes a file atomically, and creates its folder if needed. Raises CnncError E902."""
    make_folder(path.parent)
    write_atomic(path, data)
    print(f"wrote {path}: {len(data):,} bytes")


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Writes arrays as a .npz file. Raises CnncError E902."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write(path, stream.getvalue())
