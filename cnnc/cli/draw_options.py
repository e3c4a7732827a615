"""The command line of `cnnc draw`, which every mode reads."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Style(StrEnum):
    """The values of --style."""

    graph = "graph"
    volumes = "volumes"
    edges = "edges"
    field = "field"


class DrawOptions(NamedTuple):
    """The command line of `cnnc draw`, as typed. `kind` is that of the file to write: svg, png, html, mmd or dot."""

    source: str | None
    kind: str
    depth: int | None = None
    at: str | None = None
    image: Path | None = None
    slide: str | None = None
    coverage: bool = False
    activations: bool = False
    settings: tuple[str, ...] = ()
