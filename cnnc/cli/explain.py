"""`cnnc explain`: explains an error code, with a broken example and the fixed one."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnc.cli.console import escaped_source, layout, print_result
from cnnc.diagnostics import CnncError, nearest


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="A code such as E301. Without it: list all codes.")
    ] = None,
) -> None:
    """Explain an error or warning code, with an example and its fix."""
    from cnnc.report.explanations import page_text, pages

    known = pages()
    if code is None:
        print_result("\n".join(f"{page.code}  {page.title}" for _, page in sorted(known.items())))
        return
    page = known.get(code.upper())
    if page is None:
        similar = nearest(code.upper(), known)
        candidates = [f"`{c}`" for c in known if c[1:] == code or c == similar]
        help = f"did you mean {' or '.join(candidates)}?" if candidates else "`cnnc explain` lists all codes"
        raise CnncError.of("E010", f"unknown code `{code}`", help=help)
    print_result(page_text(page, layout().width, escaped_source))
