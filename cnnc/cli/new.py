"""`cnnc new`: a network to start from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.console import say
from cnnc.diagnostics import CnncError


class Template(StrEnum):
    lenet = "lenet"
    resnet = "resnet"
    unet = "unet"
    textcnn = "textcnn"


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The network's name; writes NAME.cnn.")],
    template: Annotated[Template, typer.Option("--template", "-t", help="What to start from.")] = Template.lenet,
) -> None:
    """Write a small network to start from."""
    from cnnc.cli.templates import fill

    path = Path(name if name.endswith(".cnn") else f"{name}.cnn")
    text = fill(template.value, path.stem)
    if path.exists():
        raise CnncError.of("E902", f"{path} exists already", help="take another name, or remove it first")
    from cnnc.core.files import write_atomic

    write_atomic(path, text.encode())
    say(f"wrote {path}; next: cnnc check {path}")
