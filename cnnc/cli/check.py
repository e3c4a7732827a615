"""`cnnc check`: shapes, parameters, multiply-adds and receptive fields of networks, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.console import say, show
from cnnc.diagnostics import CnncError, Exit, Source
from cnnc.network import Network, load

SETTING = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a `let`, or a train statement: train.epochs=2."),
]


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Networks (.cnn).")],
    explain: Annotated[bool, typer.Option("--explain", help="Show each layer's formulas with their numbers.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings as well.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON list, an object a file.")] = False,
    settings: SETTING = None,
) -> None:
    """Check networks: shapes, parameters, MACs, receptive fields, and every error at once."""
    networks = [_load(path, settings or []) for path in files]
    if json:
        from json import dumps

        from cnnc.report.json import as_dict

        say(dumps([as_dict(network) for network in networks], indent=2, ensure_ascii=False))
    else:
        _show(networks, explain)
    raise typer.Exit(max(_status(network, strict) for network in networks))


def _load(path: Path, settings: list[str]) -> Network:
    """The network of a file; one that cannot be read becomes a network of that error."""
    try:
        return load(path, settings)
    except CnncError as error:
        if error.status == Exit.USAGE:
            raise
        return Network(Source(str(path), ""), path.stem, None, None, error.diagnostics)


def _show(networks: list[Network], explain: bool) -> None:
    from cnnc.report.summary import summarize
    from cnnc.report.table import table

    for index, network in enumerate(networks):
        if index:
            say()
        if network.graph is not None:
            if len(networks) > 1:
                say(f"{network.source.name}:")
            say(table(summarize(network.graph), explain))
        show(network.diagnostics)


def _status(network: Network, strict: bool) -> Exit:
    statuses = [d.status for d in network.diagnostics if d.severity == "error"]
    if statuses:
        return max(statuses)
    return Exit.TEXT if strict and network.diagnostics else Exit.OK
