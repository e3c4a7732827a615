"""The entry point of the command line: installs signal handlers, runs the command, maps every error to an exit status."""

from __future__ import annotations

import gc
import sys

from cnnc.cli.console import Stopped, open_closed_streams, print_status, report_error, stop_on_signals
from cnnc.core.caller import on_command_line
from cnnc.diagnostics import Exit


def main() -> None:
    """Runs the command line and exits with a status of cnnc.diagnostics.Exit."""
    with on_command_line():
        _main()


def _main() -> None:
    open_closed_streams()
    stop_on_signals()
    try:
        gc.disable()  # what imports create stays: searching it for garbage takes a tenth of the time of `cnnc check`
        from cnnc.cli.app import app, literals_as_arguments

        application = app(sys.argv[1:])
        gc.freeze()
        gc.enable()
        status = application(args=literals_as_arguments(sys.argv[1:]), standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # nobody reads the help, which typer prints
            sys.exit(Exit.RESOURCES)
        raise
    except (Exception, Stopped) as error:
        sys.exit(report_error(_as_cnnc_error(error)))


def _as_cnnc_error(error: BaseException) -> BaseException:
    """The error itself, or E010 for one of the parser of the command line."""
    if type(error).__name__ == "NoArgsIsHelpError":  # `cnnc` alone
        from cnnc.cli.first_steps import welcome

        print_status(welcome())
        return Stopped(Exit.USAGE)
    if not hasattr(error, "format_message"):  # of click's ClickException, which typer brings in its own copy
        return error
    from cnnc.cli.usage import usage_error

    return usage_error(error, sys.argv[1:])
