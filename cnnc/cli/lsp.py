"""`cnnc lsp`: the language server, which editors start."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from cnnc.cli.console import exit_on_signals, print_document
from cnnc.diagnostics import CnncError


class Syntax(StrEnum):
    """The values of --syntax; cnnc.editor.highlighting.SYNTAXES writes them."""

    textmate = "textmate"
    vim = "vim"
    emacs = "emacs"


def lsp(
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1,
            max=65535,
            help="Serve WebSocket connections on this port of 127.0.0.1 instead of stdin and stdout, for editors in a browser.",
        ),
    ] = None,
    syntax: Annotated[
        Syntax | None,
        typer.Option(
            "--syntax", help="Print highlighting for an editor instead: a TextMate grammar, or a file for Vim or Emacs."
        ),
    ] = None,
) -> None:
    """Run the language server: errors, shapes and completion in editors."""
    if syntax is not None:
        from cnnc.editor.highlighting import SYNTAXES

        print_document(SYNTAXES[syntax.value]().rstrip("\n"))
        return
    try:
        from cnnc.editor.server import make_server

        if port is not None:
            from cnnc.editor.websocket import serve
    except ImportError as error:
        raise CnncError.of(
            "E906", f"the language server needs {error.name}", help='install it with `pip install "cnnc[lsp]"`'
        ) from error
    exit_on_signals()
    server = make_server()
    if port is None:
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as stdout:  # the server closes it at the end
            server.start_io(stdout=stdout)
    else:
        serve(server, port)
