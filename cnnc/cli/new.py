"""`cnnc new`: writes a small network as a starting point."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from shlex import join
from typing import Annotated

import typer

from cnnc.cli.console import print_result
from cnnc.diagnostics import CnncError


class Template(StrEnum):
    """The values of --template, see cnnc.cli.templates."""

    lenet = "lenet"
    resnet = "resnet"
    unet = "unet"
    textcnn = "textcnn"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the network; the file is NAME.cnn.")],
    template: Annotated[Template, typer.Option("--template", "-t", help="Kind of network.")] = Template.lenet,
) -> None:
    """Write a small network as a starting point."""
    from cnnc.cli.templates import fill

    path = Path(name if name.endswith(".cnn") else f"{name}.cnn")
    text = fill(template.value, path.stem)
    if path.exists():
        raise CnncError.of("E902", f"{path} already exists", help="choose another name, or remove the file first")
    from cnnc.core.files import write_atomic

    write_atomic(path, text.encode())
    print_result(f"wrote {path}; next: {join(['cnnc', 'check', str(path)])}")
