"""`cnnc ops`: the layer reference in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnc.cli.console import say
from cnnc.diagnostics import CnncError, nearest


def ops(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A layer; without it, all of them.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table of docs/language.md.")] = False,
) -> None:
    """Show the layers: what they are and what they take."""
    from cnnc.ops import OPS
    from cnnc.report import reference

    if markdown:
        say(reference.markdown())
    elif name is None:
        say(reference.listing())
    elif name in OPS:
        say(reference.page(OPS[name]))
    else:
        raise CnncError.of("E010", f"no layer is named `{name}`", help=_instead(name))


def _instead(name: str) -> str:
    """What to ask for, where a name is no layer's."""
    from cnnc.language.resolve import LANGUAGE_STATEMENTS
    from cnnc.language.synonyms import known_elsewhere, of_the_train_section
    from cnnc.ops import OPS

    if name in LANGUAGE_STATEMENTS or of_the_train_section(name):
        return f"`{name}` is a statement: docs/language.md has it; `cnnc ops` lists the layers"
    near = known_elsewhere(name).partition(" ")[0] or nearest(name, OPS)
    return f"did you mean `{near}`?" if near in OPS else "`cnnc ops` lists the layers"
