"""`cnnc unfold`: which of its two forms a command line has, about a matrix or about a layer of a network.

In: the words and options of the command line. Out: the form, or CnncError E010 for options of the other one.
"""

from __future__ import annotations

import re
from pathlib import Path

import typer

from cnnc.diagnostics import CnncError

OF_MATRIX = ("kernel", "bias", "pool", "k", "s", "p", "d", "norm", "flip", "circular", "transposed", "gradient")
OF_LAYER = ("label", "example", "sentence", "inputs", "data", "last", "settings")
"""The options, by the names of their parameters, that belong to one of the two forms of the command."""

_MATRIX = re.compile(r"[-+\d\s.,;|/\[\]()]*")


def is_layer_form(context: typer.Context, word: str, layer: str | None) -> bool:
    """Whether the command line names a layer of a network, not a matrix. Raises CnncError E010 for options of the other form."""
    named = _is_source(word)
    if layer is not None and not named and (_MATRIX.fullmatch(word) or word.startswith("@")):
        help = 'put it in quotes: `cnnc unfold "1 2; 3 4" --kernel "1 0; 0 1"`'
        raise CnncError.of("E010", f"`{word}` is a matrix, and `{layer}` follows it", help=help)
    is_layer = named or layer is not None
    for parameter in context.command.params:
        wrong = parameter.name in (OF_MATRIX if is_layer else OF_LAYER)
        source = context.get_parameter_source(str(parameter.name))
        if wrong and source is not None and source.name == "COMMANDLINE":
            option = max(parameter.opts, key=len)
            if is_layer:
                message, help = f"{option} applies to a matrix; a layer has its own", f"leave {option} out"
            else:
                message = f"{option} applies to a layer of a network"
                help = f"leave {option} out, or name a run and a layer: `cnnc unfold RUN LAYER`"
            raise CnncError.of("E010", message, help=help)
    return is_layer


def _is_source(word: str) -> bool:
    """Whether a word is a run folder, or named as a network file, a checkpoint or a model is."""
    try:
        return Path(word).suffix in (".cnn", ".safetensors", ".onnx") or (bool(word) and Path(word).is_dir())
    except (OSError, ValueError):  # a matrix that is too long for a file name
        return False
