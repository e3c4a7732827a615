"""The command line of `cnnc inspect`, which every part of it reads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class InspectOptions(NamedTuple):
    """The command line of `cnnc inspect`, as typed."""

    source: Path
    images: tuple[Path, ...] = ()
    sentences: tuple[str, ...] = ()
    example: int | None = None
    maximize: tuple[str, ...] = ()
    deconv: tuple[str, ...] = ()
    why: bool = False
    label: int | None = None
    mistakes: bool = False
    shift: str | None = None
    data: Path | None = None
