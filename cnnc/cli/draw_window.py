"""`cnnc draw`: window."""

from __future__ import annotations

from cnnc.cli.draw import DrawOptions


def slide_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    raise NotImplementedError


def coverage_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    raise NotImplementedError
