"""`cnnc draw`: volumes."""

from __future__ import annotations

from cnnc.cli.draw import DrawOptions


def volumes_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    raise NotImplementedError
