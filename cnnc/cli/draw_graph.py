"""`cnnc draw`: graph."""

from __future__ import annotations

from cnnc.cli.draw import DrawOptions


def graph_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    raise NotImplementedError
