"""`cnnc check`: shapes, parameters, multiply-adds and receptive fields of networks, and what is wrong with them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnc.cli.console import say, show, tell
from cnnc.diagnostics import CnncError, Diagnostic, Exit, Source
from cnnc.network import Network, load

SETTING = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a `let`, or a train statement: train.epochs=2."),
]
AT = Annotated[
    list[str] | None, typer.Option("--at", metavar="H=224,W=224", help="Sizes for symbols, to check one size.")
]


class SortKey(StrEnum):
    macs = "macs"
    params = "params"
    memory = "memory"
    field = "field"


class Format(StrEnum):
    full = "full"
    concise = "concise"
    json = "json"
    github = "github"
    sarif = "sarif"


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Networks (.cnn).")],
    explain: Annotated[bool, typer.Option("--explain", help="Show each layer's formulas with their numbers.")] = False,
    at: AT = None,
    depth: Annotated[int, typer.Option("--depth", min=0, help="Fold block calls deeper than this to a line.")] = 0,
    sort: Annotated[SortKey | None, typer.Option("--sort", help="Largest first.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Batch of the training memory.")] = 1,
    versus_dense: Annotated[
        bool, typer.Option("--versus-dense", help="What fully connected layers would cost in their places.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="The layers as comma-separated values.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON list, an object a file.")] = False,
    format: Annotated[Format, typer.Option("--format", help="How errors and warnings are written.")] = Format.full,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings as well.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever a file changes.")] = False,
    settings: SETTING = None,
) -> None:
    """Check networks: shapes, parameters, MACs, receptive fields, and every error at once."""
    sizes = sizes_at(at or [])
    view = _View(explain, sizes, depth, sort.value if sort else None, batch, versus_dense)

    def once() -> Exit:
        networks = [_load(path, settings or [], sizes) for path in files]
        if json:
            _show_json(networks, view)
        else:
            if format not in (Format.json, Format.sarif):  # one document alone, for a program to read
                _show(networks, view, csv)
            _show_diagnostics(networks, format.value)
        return max(_status(network, strict) for network in networks)

    if watch:
        _watch(files, once)
    raise typer.Exit(once())


class _View:
    """What of a network is shown."""

    def __init__(
        self, explain: bool, sizes: dict[str, int], depth: int, sort: str | None, batch: int, versus_dense: bool
    ) -> None:
        self.explain = explain
        self.sizes = sizes
        self.depth = depth
        self.sort = sort
        self.batch = batch
        self.versus_dense = versus_dense

    def summary(self, network: Network) -> Any:
        from cnnc.report.summary import fold, sort

        if network.graph is None:
            return None
        made = network.summary(self.batch)
        made = fold(made, self.depth) if self.depth else made
        return sort(made, self.sort) if self.sort else made


def _load(path: Path, settings: list[str], sizes: dict[str, int]) -> Network:
    """The network of a file; one that cannot be read becomes a network of that error."""
    try:
        return load(path, settings, sizes)
    except CnncError as error:
        if error.status == Exit.USAGE:
            raise
        return Network(Source(str(path), ""), path.stem, None, None, error.diagnostics)


def sizes_at(at: list[str], option: str = "--at") -> dict[str, int]:
    """`H=224,W=224` in parts. Raises CnncError E010."""
    found = {}
    for part in ",".join(at).split(","):
        name, _, size = part.partition("=")
        if not part.strip():
            continue
        if not name.strip() or not size.strip().isascii() or not size.strip().isdigit() or not 0 < int(size) < 2**31:
            raise CnncError.of("E010", f"{option} takes SYMBOL=SIZE, not `{part}`", help=f"`{option} H=224,W=224`")
        found[name.strip()] = int(size)
    return found


def _show(networks: list[Network], view: _View, csv: bool) -> None:
    from cnnc.report.table import COLUMNS, VERSUS_DENSE, as_csv, table

    shown = 0
    for network in networks:
        summary = view.summary(network)
        if summary is None:
            continue
        if shown:
            say()
        if len(networks) > 1:
            say(f"{network.source.name}:")
        if csv:
            say(as_csv(summary).rstrip("\n"))
        else:
            say(table(summary, VERSUS_DENSE if view.versus_dense else COLUMNS, view.explain))
        shown += 1


def _show_json(networks: list[Network], view: _View) -> None:
    from json import dumps

    from cnnc.report.json import as_dict

    found = [as_dict(n.source.name, n.name, n.graph, view.summary(n), n.survey, n.diagnostics) for n in networks]
    say(dumps(found, indent=2, ensure_ascii=False))


def _show_diagnostics(networks: list[Network], format: str) -> None:
    """Full and one-line diagnostics go to stderr; those for programs are the result, and go to stdout."""
    found: list[Diagnostic] = [d for network in networks for d in network.diagnostics]
    if format == "full":
        for network in networks:
            show(network.diagnostics)
        return
    from cnnc.report.diagnostics import FORMATS

    text = FORMATS[format](found)
    if format == "concise":
        if text:
            tell(text)
    else:
        say(text)


def _status(network: Network, strict: bool) -> Exit:
    statuses = [d.status for d in network.diagnostics if d.severity == "error"]
    if statuses:
        return max(statuses)
    return Exit.SOURCE if strict and network.diagnostics else Exit.OK


def _watch(files: list[Path], once: Any) -> None:
    """Checks at every change until a signal comes."""
    import sys
    import time

    before: list[float] = []
    while True:
        now = [_modified(path) for path in sorted({p for f in files for p in (f, *f.parent.glob("*.cnn"))})]
        if now != before:
            before = now
            if sys.stdout.isatty():
                sys.stdout.write("\x1b[2J\x1b[H")
            once()
            sys.stdout.flush()
            tell(f"-- {time.strftime('%H:%M:%S')}: watching, Ctrl-C to end --")
        time.sleep(0.2)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
