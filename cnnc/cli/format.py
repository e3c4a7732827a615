"""`cnnc fmt`: formats network files in the canonical layout. A file is either rewritten completely or left unchanged."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from cnnc.cli.console import print_diagnostics, print_result, print_status
from cnnc.core.files import decode_utf8, read_bytes, write_atomic
from cnnc.diagnostics import CnncError, Exit, Source
from cnnc.language.format import format_text
from cnnc.language.parse import MAX_TEXT

STDIN = "-"


def fmt(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Network files (.cnn); - reads stdin and writes stdout.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; list the files that would change and exit with status 1.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; show the changes as a diff.")] = False,
) -> None:
    """Format network files: spaces, indentation, blank lines. Comments and meaning stay the same."""
    raise typer.Exit(max(_format(file, check, diff) for file in files))


def _format(file: str, check: bool, diff: bool) -> Exit:
    """Formats one file and returns its exit status. Errors are printed, not raised, so that the other files are formatted."""
    try:
        before = _read(file)
        after = format_text(Source(_display_name(file), decode_utf8(before, _display_name(file)))).encode()
        return _write_result(file, before, after, check, diff)
    except CnncError as error:
        print_diagnostics(error.diagnostics)
        return error.status


def _write_result(file: str, before: bytes, after: bytes, check: bool, diff: bool) -> Exit:
    changed = before != after
    if diff and changed:
        diff_text = _diff(_display_name(file), before.decode(), after.decode())
        print_result(diff_text, raw=not sys.stdout.isatty())  # a patch needs the control characters of comments
    if check and changed and not diff:
        print_result(_display_name(file))
    if check or diff:
        return Exit.SOURCE if check and changed else Exit.OK
    if file == STDIN:
        sys.stdout.buffer.write(after)
        sys.stdout.buffer.flush()
    elif changed:
        write_atomic(Path(file), after)
        print_status(f"formatted {file}")
    return Exit.OK


def _display_name(file: str) -> str:
    return "<stdin>" if file == STDIN else file


def _read(file: str) -> bytes:
    limit = 4 * MAX_TEXT
    if file != STDIN:
        return read_bytes(Path(file), limit)
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise CnncError.of("E903", f"stdin is larger than {limit:,} bytes")
    return data


def _diff(name: str, before: str, after: str) -> str:
    from difflib import unified_diff

    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    lines = unified_diff(old, new, name, f"{name} (formatted)")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)[:-1]
