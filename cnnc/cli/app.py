"""The commands. One file a command; what a command needs is imported when it runs."""

from __future__ import annotations

import typer

from cnnc.cli.bench import bench
from cnnc.cli.check import check
from cnnc.cli.console import say
from cnnc.cli.evaluate import evaluate
from cnnc.cli.explain import explain
from cnnc.cli.export import export
from cnnc.cli.format import fmt
from cnnc.cli.import_ import import_
from cnnc.cli.info import info
from cnnc.cli.new import new
from cnnc.cli.ops import ops
from cnnc.cli.predict import predict
from cnnc.cli.train import train
from cnnc.cli.where import where

app = typer.Typer(
    name="cnnc",
    help="A compiler for convolutional networks: check, train and export one text file.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(check)
app.command()(train)
app.command()(export)
app.command(name="import")(import_)
app.command()(predict)
app.command(name="eval")(evaluate)
app.command()(info)
app.command()(where)
app.command()(bench)
app.command()(fmt)
app.command()(new)
app.command()(ops)
app.command()(explain)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"cnnc {version('cnnc')}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """A compiler for convolutional networks: check, train and export one text file."""
