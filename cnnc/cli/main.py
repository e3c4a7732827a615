"""The command `cnnc`. One file a command; what a command needs is imported when it runs."""

from __future__ import annotations

import sys

import typer

from cnnc.cli.check import check
from cnnc.cli.console import Stopped, leave, say, stop_on_signals
from cnnc.cli.evaluate import evaluate
from cnnc.cli.export import export
from cnnc.cli.predict import predict
from cnnc.cli.train import train

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
app.command()(predict)
app.command(name="eval")(evaluate)


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


def main() -> None:
    """Runs the command line; every way out has its status (cnnc.diagnostics.Exit)."""
    stop_on_signals()
    try:
        try:
            app()
        except SystemExit as left:
            sys.stdout.flush()
            raise left
    except (Exception, Stopped) as error:
        sys.exit(leave(error))
