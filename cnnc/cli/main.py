"""The entry point of the command line: installs signal handlers, runs the command, maps every error to an exit status."""

from __future__ import annotations

import gc
import sys

from cnnc.cli.console import Stopped, report_error, stop_on_signals


def main() -> None:
    """Runs the command line and exits with a status of cnnc.diagnostics.Exit."""
    stop_on_signals()
    try:
        gc.disable()  # what imports create stays: searching it for garbage takes a tenth of the time of `cnnc check`
        from cnnc.cli.app import app

        application = app(sys.argv[1:])
        gc.freeze()
        gc.enable()
        try:
            application()
        except SystemExit as exit_request:
            sys.stdout.flush()
            raise exit_request
    except (Exception, Stopped) as error:
        sys.exit(report_error(error))
