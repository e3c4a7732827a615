"""`cnnc info`: what a model is, where it comes from, how it is fed and what its outputs mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.console import say
from cnnc.diagnostics import CnncError


def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX model, of cnnc or of anyone.")],
    source: Annotated[bool, typer.Option("--source", help="Print the text that it was made from.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what a model is: inputs and how to feed them, outputs, classes, training, versions."""
    from cnnc.onnx.metadata import read_facts
    from cnnc.onnx.run.inspect import describe, properties, read_model

    if source:
        text = read_facts(properties(read_model(model))).source
        if not text:
            raise CnncError.of("E611", f"{model} does not carry the text of its network")
        say(text.removesuffix("\n"))
        return
    found = describe(model)
    if json:
        from json import dumps

        say(dumps(found, indent=2, ensure_ascii=False))
        return
    from cnnc.report.model import info_text

    say(info_text(found))
