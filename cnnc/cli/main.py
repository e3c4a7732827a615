"""The entry point of the command line: installs signal handlers, runs the command, maps every error to an exit status."""

from __future__ import annotations

import sys

from cnnc.cli.console import Stopped, report_error, stop_on_signals


def main() -> None:
    """Runs the command line and exits with a status of cnnc.diagnostics.Exit."""
    stop_on_signals()
    try:
        from cnnc.cli.app import app

        try:
            app(sys.argv[1:])()
        except SystemExit as exit_request:
            sys.stdout.flush()
            raise exit_request
    except (Exception, Stopped) as error:
        sys.exit(report_error(error))
