"""`cnnc check`: checks networks; shows shapes, parameters, multiply-adds and receptive fields, or the errors."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnc.cli.console import layout, print_diagnostics, print_document, print_json, print_result, print_status
from cnnc.cli.options import MAX_MEMORY, MAX_PARAMETERS, SETTINGS, json_option, parse_sizes, sizes_option
from cnnc.diagnostics import CnncError, Diagnostic, Exit, Source
from cnnc.network import Network, load

if TYPE_CHECKING:
    from cnnc.report.summary import Summary


class SortKey(StrEnum):
    """The values of --sort; cnnc.report.summary.SORTS has their order."""

    macs = "macs"
    params = "params"
    memory = "memory"
    field = "field"


class Format(StrEnum):
    """The values of --format, see cnnc.report.diagnostics.FORMATS."""

    full = "full"
    concise = "concise"
    json = "json"
    github = "github"
    sarif = "sarif"


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Network files (.cnn).")],
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how each layer's shape, parameters and MACs are computed.")
    ] = False,
    at: Annotated[list[str] | None, sizes_option("Check at this size")] = None,
    depth: Annotated[
        int,
        typer.Option(
            "--depth", min=0, help="Fold block calls nested deeper than this into one line each; 0 folds none."
        ),
    ] = 0,
    sort: Annotated[
        SortKey | None,
        typer.Option("--sort", help="Sort layers by this column, largest first (default: source order)."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Batch size used for the training-memory estimate.")] = 1,
    versus_dense: Annotated[
        bool,
        typer.Option(
            "--versus-dense", help="Compare each layer with a fully connected and an unshared layer of the same shapes."
        ),
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the layers as comma-separated values.")] = False,
    json: Annotated[bool, json_option("a JSON list with one object per file")] = False,
    format: Annotated[Format, typer.Option("--format", help="Format of errors and warnings.")] = Format.full,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 on warnings as well.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever a file changes, until Ctrl-C.")] = False,
    settings: SETTINGS = None,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Check networks: print shapes, parameters, MACs and receptive fields, or all errors at once."""
    sizes = parse_sizes(at)
    view = _View(explain, sizes, depth, sort.value if sort else None, batch, versus_dense)

    def check_once() -> Exit:
        networks = [_load(path, settings or [], sizes, batch) for path in files]
        if json:
            _show_json(networks, view)
        else:
            if format not in (Format.json, Format.sarif):  # stdout is a single document for programs
                _show(networks, view, csv)
            _show_diagnostics(networks, format.value)
        return max(_status(network, strict) for network in networks)

    if watch:
        _watch(files, check_once)
    raise typer.Exit(check_once())


class _View:
    """Which parts of a network are shown, and how: the options of the command."""

    def __init__(
        self, explain: bool, sizes: dict[str, int], depth: int, sort: str | None, batch: int, versus_dense: bool
    ) -> None:
        self.explain = explain
        self.sizes = sizes
        self.depth = depth
        self.sort = sort
        self.batch = batch
        self.versus_dense = versus_dense

    def summary(self, network: Network) -> Summary | None:
        """The summary of a network in this view, None for one with errors."""
        from cnnc.report.summary import fold, sort

        if network.graph is None:
            return None
        summary = network.summary(self.batch)
        summary = fold(summary, self.depth) if self.depth else summary
        return sort(summary, self.sort) if self.sort else summary


def _load(path: Path, settings: list[str], sizes: dict[str, int], batch: int) -> Network:
    """Loads a network; a file that cannot be read gives a network without a graph that holds the error."""
    try:
        return _within_limits(load(path, settings, sizes), batch)
    except CnncError as error:
        from cnnc.cli.usage import require_source, with_published_network

        require_source(path, "check")
        if error.status == Exit.USAGE:
            raise
        error = with_published_network(error, path)
        return Network(Source(str(path), ""), path.stem, None, None, error.diagnostics)


def _within_limits(network: Network, batch: int) -> Network:
    """The network; if it needs more than --max-memory or --max-params allow, with an error that says so."""
    from cnnc.graph.needs import require_training

    slots = network.recipe.slots if network.recipe is not None else 2
    try:
        if network.graph is not None:
            require_training(network.graph, network.name, batch, slots, option="--batch")
    except CnncError as error:
        return network.replace(diagnostics=(*network.diagnostics, *error.diagnostics))
    return network


def _show(networks: list[Network], view: _View, csv: bool) -> None:
    from cnnc.report.table import COLUMNS, VERSUS_DENSE, as_csv, table

    is_first = True
    for network in networks:
        summary = view.summary(network)
        if summary is None:
            continue
        if not is_first:
            print_result()
        is_first = False
        if len(networks) > 1:
            print_result(f"{network.source.name}:")
        if csv:
            print_document(as_csv(summary, view.versus_dense).rstrip("\n"))
        else:
            columns = VERSUS_DENSE if view.versus_dense else COLUMNS
            print_result(table(summary, columns, view.explain, layout()))


def _show_json(networks: list[Network], view: _View) -> None:
    from cnnc.report.json import as_dict

    print_json(
        [
            as_dict(n.source.name, n.name, n.graph, view.summary(n), n.survey, n.diagnostics, view.versus_dense)
            for n in networks
        ]
    )


def _show_diagnostics(networks: list[Network], format: str) -> None:
    """Prints diagnostics for people (full, concise) to stderr, and those for programs (json, github, sarif) to stdout."""
    if format == "full":
        for network in networks:
            print_diagnostics(network.diagnostics)
        return
    from cnnc.report.diagnostics import FORMATS

    diagnostics: list[Diagnostic] = [d for network in networks for d in network.diagnostics]
    text = FORMATS[format](diagnostics)
    if format == "concise":
        if text:
            print_status(text)
    else:
        print_document(text)


def _status(network: Network, strict: bool) -> Exit:
    statuses = [d.status for d in network.diagnostics if d.severity == "error"]
    if statuses:
        return max(statuses)
    return Exit.SOURCE if strict and network.diagnostics else Exit.OK


def _watch(files: list[Path], check_once: Callable[[], Exit]) -> None:
    """Calls `check_once` at the start and after every change of the files or their neighbours, until a signal comes."""
    import sys
    import time

    before: list[float] = []
    while True:
        now = [_modified(path) for path in sorted({p for f in files for p in (f, *f.parent.glob("*.cnn"))})]
        if now != before:
            before = now
            if sys.stdout.isatty():
                sys.stdout.write("\x1b[2J\x1b[H")
            check_once()
            sys.stdout.flush()
            print_status(f"-- {time.strftime('%H:%M:%S')}: watching for changes, Ctrl-C to stop --")
        time.sleep(0.2)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
