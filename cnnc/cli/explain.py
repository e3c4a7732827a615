"""`cnnc explain`: what a code means, with a broken example and the mended one."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnc.cli.console import say
from cnnc.diagnostics import CnncError, nearest


def explain(
    code: Annotated[str | None, typer.Argument(metavar="[CODE]", help="A code such as E301; without it, all.")] = None,
) -> None:
    """Explain the code of an error or warning."""
    from cnnc.report.explanations import page_text, pages

    known = pages()
    if code is None:
        say("\n".join(f"{page.code}  {page.title}" for _, page in sorted(known.items())))
        return
    page = known.get(code.upper())
    if page is None:
        nearby = nearest(code.upper(), known)
        near = [f"`{c}`" for c in known if c[1:] == code or c == nearby]
        help = f"did you mean {' or '.join(near)}?" if near else "`cnnc explain` lists them"
        raise CnncError.of("E010", f"no code `{code}`", help=help)
    say(page_text(page))
