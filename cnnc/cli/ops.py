"""`cnnc ops`: the reference of layers and train statements in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnc.cli.console import layout, print_document, print_result
from cnnc.diagnostics import CnncError, nearest


def ops(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]", help="A layer or train statement, e.g. conv, adam; default: list all of them."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the layers as the Markdown table of docs/language.md.")
    ] = False,
) -> None:
    """Show what layers and train statements do, and which arguments they take."""
    from cnnc.report import reference

    if markdown:
        print_document(reference.markdown())
    elif not name:
        print_result(reference.listing())
    elif entries := reference.entries(" ".join(name)):
        print_result("\n\n\n".join(reference.page(entry, layout().width) for entry in entries))
    else:
        words = " ".join(name)
        raise CnncError.of("E010", f"no layer or train statement is named `{words}`", help=_suggestion(words))


def _suggestion(name: str) -> str:
    """What to look up instead of a name that is unknown."""
    from cnnc.language.resolve import LANGUAGE_STATEMENTS
    from cnnc.language.synonyms import layer_synonym
    from cnnc.report import reference

    if name in LANGUAGE_STATEMENTS:
        return f"`{name}` is a statement of the language: see docs/language.md"
    near = layer_synonym(name).partition(" ")[0] or nearest(name, reference.names())
    return f"did you mean `{near}`?" if near in reference.names() else "`cnnc ops` lists all of them"
