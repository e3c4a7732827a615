"""What the scripts of this folder share: where their data go, and how they are written.

In: arrays or texts, and the command line's folder. Out: files in it, written whole; a line on stdout for each.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.core.files import make_folder, write_atomic

MADE = Path("made")
"""Where the networks' `data` statements look, from the folder that cnnc is started in."""


def parser(text: str | None) -> argparse.ArgumentParser:
    """The options that all scripts have."""
    made = argparse.ArgumentParser(description=(text or "").partition("\n")[0])
    made.add_argument("--out", type=Path, default=MADE, metavar="DIR", help=f"folder to write into ({MADE})")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="seed of every random choice (0)")
    return made


def write(path: Path, data: bytes) -> None:
    """Writes a file whole, its folder made where there is none. Raises CnncError E902."""
    make_folder(path.parent)
    write_atomic(path, data)
    print(f"wrote {path}: {len(data):,} bytes")


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Writes arrays as a .npz file. Raises CnncError E902."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write(path, stream.getvalue())
