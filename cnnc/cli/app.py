"""The commands. One file a command; the file is imported when its command is asked for, what it needs when it runs.

In: the words after `cnnc`. Out: the command line that reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

from cnnc.cli.console import say

COMMANDS = {
    "check": "check.check",
    "train": "train.train",
    "export": "export.export",
    "import": "import_.import_",
    "predict": "predict.predict",
    "eval": "evaluate.evaluate",
    "info": "info.info",
    "where": "where.where",
    "bench": "bench.bench",
    "fmt": "format.fmt",
    "new": "new.new",
    "ops": "ops.ops",
    "explain": "explain.explain",
}
"""The module of cnnc.cli and the function of each command, in the order of the help page."""


def app(words: Sequence[str]) -> typer.Typer:
    """The command that the first word names, or else all of them: to inspect the options of all takes as long as a check."""
    made = typer.Typer(
        name="cnnc",
        help="A compiler for convolutional networks: check, train and export one text file.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in [word for word in words[:1] if word in COMMANDS] or COMMANDS:
        module, function = COMMANDS[name].split(".")
        made.command(name)(getattr(import_module(f"cnnc.cli.{module}"), function))
    made.callback()(options)
    return made


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"cnnc {version('cnnc')}")
        raise typer.Exit


def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """A compiler for convolutional networks: check, train and export one text file."""
