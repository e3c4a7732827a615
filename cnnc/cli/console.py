"""What the command line prints and how it exits.

Results go to stdout; diagnostics and progress go to stderr, in colour on a terminal. `report_error` prints any
exception and gives its exit status; `stop_on_signals` turns SIGINT, SIGTERM and SIGHUP into the exception `Stopped`.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from cnnc.core.terminal import coloured, width_of
from cnnc.diagnostics import CnncError, Diagnostic, Exit, Paint, escaped, plain, render

if TYPE_CHECKING:
    from pathlib import Path

    from cnnc.report.layout import Layout


class Stopped(BaseException):
    """The program was stopped by a signal, or by a reader that closed the pipe; `status` is its exit status."""

    def __init__(self, status: Exit) -> None:
        super().__init__(status)
        self.status = status


def handle_signals(handle: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Sets what Ctrl-C, SIGTERM and SIGHUP do; under nohup, SIGHUP stays ignored."""
    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        signal.signal(hangup, handle)


def open_closed_streams() -> None:
    """Opens the null device in place of standard streams that are closed (`>&-`), so that no file takes their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            stream = open(number, "r" if number == 0 else "w", closefd=False, encoding="utf-8")  # noqa: SIM115  for good
            setattr(sys, name, stream)


def stop_on_signals() -> None:
    """Makes Ctrl-C raise `Stopped` with exit status 130, SIGTERM and SIGHUP with 143."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED)

    handle_signals(stop)


def exit_on_signals() -> None:
    """Makes Ctrl-C, SIGTERM and SIGHUP end the program at once, with the same exit statuses; for a server, which has nothing to save.

    An exception would be lost: asyncio catches what a callback raises, and a thread that reads stdin is waited for.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED)

    handle_signals(leave)


def print_result(text: str = "") -> None:
    """Prints a result for people to stdout, with control characters escaped; a terminal breaks long lines between words.

    Raises CnncError E902 if it cannot be written.
    """
    print_document(_wrapped(escaped(text), sys.stdout))


def print_document(text: str, *, raw: bool = False) -> None:
    """Prints source, CSV, JSON to stdout as it is, `raw` or with control characters escaped. Raises CnncError E902."""
    try:
        _print(text if raw else escaped(text), sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        raise CnncError.of("E902", f"cannot write the output: {(error.strerror or str(error)).lower()}") from error


def print_json(value: Any, indent: int | None = 2) -> None:
    """Prints a result to stdout as JSON: indented for people, or on one line of ASCII. Raises CnncError E902."""
    from json import dumps

    print_document(dumps(value, indent=indent, ensure_ascii=indent is None))


class JsonList:
    """Prints a JSON list to stdout entry by entry, in the form of `print_json`, so that memory holds only one of them."""

    def __init__(self) -> None:
        self._pending = ""  # the last entry, whose comma depends on whether another follows

    def add(self, entry: Any) -> None:
        """Adds an entry. Raises CnncError E902."""
        from json import dumps
        from textwrap import indent

        print_document(f"{self._pending}," if self._pending else "[")
        self._pending = indent(dumps(entry, indent=2, ensure_ascii=False), "  ")

    def close(self) -> None:
        """Ends the list. Raises CnncError E902."""
        print_document(f"{self._pending}\n]" if self._pending else "[]")


def print_status(text: str = "", *, raw: bool = False) -> None:
    """Prints progress, notes and errors to stderr, `raw` or with control characters escaped."""
    try:
        _print(_wrapped(text if raw else escaped(text), sys.stderr), sys.stderr)
    except OSError:  # there is no other stream to report it on
        _silence(sys.stderr)
        raise Stopped(Exit.RESOURCES) from None


_muted = False


def mute(muted: bool) -> None:
    """Makes this process print nothing from here on, or print again: of processes that train together, one prints."""
    global _muted
    _muted = muted


def _print(text: str, stream: TextIO) -> None:
    if _muted:
        return
    try:
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:  # the encoding of the terminal or pipe lacks a character
            if not isinstance(stream, io.TextIOWrapper):
                raise
            from cnnc.core.ascii import ERRORS

            stream.reconfigure(errors=ERRORS)
            print(text, file=stream, flush=True)
    except BrokenPipeError:  # the reader closed the pipe: exit quietly
        _silence(stream)
        raise Stopped(Exit.RESOURCES) from None


def is_stdout(path: Path) -> bool:
    """Whether a path is standard output itself, as `/dev/stdout` is."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # there is no such file, or stdout is closed or replaced
        return False


def layout() -> Layout:
    """The layout of what is printed to stdout."""
    from cnnc.report.layout import Layout

    return Layout(width_of(sys.stdout), lambda text: _shown(text, sys.stdout))


def escaped_source(text: str) -> str:
    """Source to be printed to stdout: characters that its encoding lacks as `\\xd7`, as another would be another source."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _shown(text: str, stream: TextIO) -> str:
    """The text as the encoding of the stream can show it."""
    encoding = getattr(stream, "encoding", None) or "ascii"
    if text.isascii() or encoding.lower() in ("utf-8", "utf8"):
        return text
    from cnnc.core.ascii import encodable

    return encodable(text, encoding)


def _wrapped(text: str, stream: TextIO) -> str:
    """The text as the stream can show it, with lines broken to its width."""
    text, width = _shown(text, stream), width_of(stream)
    if width is None:
        return text
    from cnnc.report.layout import wrapped

    return wrapped(text, width)


def _silence(stream: TextIO) -> None:
    """Redirects a stream to the null device, so that flushing its buffer at exit cannot fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def painter() -> Paint:
    """A function that colours text for stderr if it is a terminal; NO_COLOR, FORCE_COLOR and TERM=dumb are obeyed."""
    colour = os.environ.get("FORCE_COLOR") or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb")
    if not colour or os.environ.get("NO_COLOR"):
        return plain
    return coloured


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Prints diagnostics to stderr, separated by blank lines."""
    width = width_of(sys.stderr)
    texts = [render(d, painter(), width, lambda text: _shown(text, sys.stderr)) for d in diagnostics]
    if texts:
        print_status("\n\n".join(texts), raw=True)  # which render has made printable, and coloured


def ignore_signals() -> None:
    """Ignores Ctrl-C, SIGTERM and SIGHUP from here on, as the program is exiting."""
    handle_signals(signal.SIG_IGN)


def _has_memory_limit() -> bool:
    from cnnc.core.process_memory import limit_left

    return limit_left() is not None


def report_error(error: BaseException) -> int:
    """Prints an error to stderr and returns the exit status. Signals are ignored from here on, as the program is exiting."""
    ignore_signals()
    try:
        return _report_error(error)
    except Stopped as stopped:  # stderr cannot be written
        return int(stopped.status)


def _report_error(error: BaseException) -> int:
    if isinstance(error, CnncError):
        print_diagnostics(error.diagnostics)
        return int(error.status)
    if isinstance(error, Stopped):
        return int(error.status)
    if isinstance(error, BrokenPipeError):  # the reader closed the pipe: exit quietly
        _silence(sys.stdout)
        return int(Exit.RESOURCES)
    if isinstance(error, ImportError) and _has_memory_limit():  # a library that could not be mapped
        return _report_error(CnncError.of("E904", f"out of memory: {error}", help="raise the limit of `ulimit -v`"))
    if isinstance(error, MemoryError):
        return _report_error(CnncError.of("E904", "out of memory", help="reduce the batch size"))
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        _silence(sys.stdout)
        return _report_error(CnncError.of("E900", f"{reason}{f': {error.filename}' if error.filename else ''}"))
    print_status(f"error: internal error (please report it): {type(error).__name__}: {error}")
    print_status("  = help: run the command again with CNNC_TRACEBACK=1 and add its output to the report")
    if os.environ.get("CNNC_TRACEBACK"):
        import traceback

        print_status("".join(traceback.format_exception(error)))
    return int(Exit.INTERNAL)
