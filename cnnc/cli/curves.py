"""`cnnc curves`: loss and metrics of one or several runs over epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; several are compared.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The picture: .svg, .png or .html. Default: curves.svg here."),
    ] = None,
) -> None:
    """Draw loss and metrics of runs over epochs, side by side."""
    raise NotImplementedError
