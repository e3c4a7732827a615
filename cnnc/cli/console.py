"""How the command line speaks: diagnostics on stderr, in colour on a terminal, and the way out for every error."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import TextIO

from cnnc.diagnostics import CnncError, Diagnostic, Exit, Paint, plain, render

_STYLES = {"error": "1;31", "warning": "1;33", "note": "34", "place": "2;34", "help": "1;36"}


class Stopped(BaseException):
    """A signal asked the program to stop."""

    def __init__(self, status: Exit) -> None:
        super().__init__(status)
        self.status = status


def stop_on_signals() -> None:
    """Ctrl-C and SIGTERM leave as `Stopped`, with the exit statuses of a stopped program."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def say(text: str = "") -> None:
    """A result, on stdout. Raises CnncError E902 where it cannot be written."""
    try:
        _print(text, sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise CnncError.of("E902", f"cannot write the output: {(error.strerror or str(error)).lower()}") from error


def tell(text: str = "") -> None:
    """Everything else, on stderr."""
    try:
        _print(text, sys.stderr)
    except OSError:  # nobody can be told of it
        _silence(sys.stderr)
        raise Stopped(Exit.RESOURCES) from None


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:  # a terminal or pipe that does not take UTF-8
        if not isinstance(stream, io.TextIOWrapper):
            raise
        stream.reconfigure(errors="replace")
        print(text, file=stream, flush=True)
    except BrokenPipeError:  # the reader has left, and wants no word about it
        _silence(stream)
        raise Stopped(Exit.RESOURCES) from None


def _silence(stream: TextIO) -> None:
    """Sends what the stream still holds nowhere, so that nothing fails on the way out."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def painter() -> Paint:
    """Colours for stderr, where it is a terminal that wants them."""
    wanted = os.environ.get("FORCE_COLOR") or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
    if not wanted or os.environ.get("NO_COLOR"):
        return plain
    return lambda text, role: f"\x1b[{_STYLES[role]}m{text}\x1b[0m"


def show(diagnostics: Iterable[Diagnostic]) -> None:
    """Prints diagnostics to stderr, a blank line between them."""
    texts = [render(d, painter()) for d in diagnostics]
    if texts:
        tell("\n\n".join(texts))


def leave(error: BaseException) -> int:
    """Says what went wrong, and returns the exit status. A signal that comes now finds the program on its way out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        return _leave(error)
    except Stopped as stopped:  # nobody can be told
        return int(stopped.status)


def _leave(error: BaseException) -> int:
    if isinstance(error, CnncError):
        show(error.diagnostics)
        return int(error.status)
    if isinstance(error, Stopped):
        return int(error.status)
    if isinstance(error, BrokenPipeError):  # the reader of our output has left; there is no one to tell
        _silence(sys.stdout)
        return int(Exit.RESOURCES)
    if isinstance(error, MemoryError):
        return _leave(CnncError.of("E904", "out of memory", help="a smaller batch needs less"))
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        _silence(sys.stdout)
        return _leave(CnncError.of("E900", f"{reason}{f': {error.filename}' if error.filename else ''}"))
    tell(f"error: a defect of cnnc: {type(error).__name__}: {error}")
    tell("  = help: please report it, with the output of the same command under CNNC_TRACEBACK=1")
    if os.environ.get("CNNC_TRACEBACK"):
        import traceback

        tell("".join(traceback.format_exception(error)))
    return int(Exit.INTERNAL)
