"""The entry of the command line: signals first, then the commands, and a status for every way out."""

from __future__ import annotations

import sys

from cnnc.cli.console import Stopped, leave, stop_on_signals


def main() -> None:
    """Runs the command line; every way out has its status (cnnc.diagnostics.Exit)."""
    stop_on_signals()
    try:
        from cnnc.cli.app import app

        try:
            app(sys.argv[1:])()
        except SystemExit as left:
            sys.stdout.flush()
            raise left
    except (Exception, Stopped) as error:
        sys.exit(leave(error))
