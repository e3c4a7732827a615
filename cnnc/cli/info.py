"""`cnnc info`: describes a model: its inputs and how to prepare them, its outputs, classes, training and source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.console import print_document, print_json, print_result
from cnnc.cli.options import MAX_MEMORY, MAX_PARAMETERS, json_option
from cnnc.diagnostics import CnncError


def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX model, from cnnc or any other tool.")],
    source: Annotated[
        bool, typer.Option("--source", help="Print the source of the network that the model holds.")
    ] = False,
    json: Annotated[bool, json_option("the description as a JSON object")] = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Describe a model: inputs and how to prepare them, outputs, classes, training, versions."""
    from cnnc.onnx.metadata import read_facts
    from cnnc.onnx.run.inspect import describe, properties, read_model

    if source:
        text = read_facts(properties(read_model(model))).source
        if not text:
            raise CnncError.of("E611", f"{model} does not contain the source of its network")
        print_document(text.removesuffix("\n"))
        return
    description = describe(model)
    if json:
        print_json(description)
        return
    from cnnc.report.model import info_text

    print_result(info_text(description))
