"""`cnnc draw`: field."""

from __future__ import annotations

from cnnc.cli.draw import DrawOptions


def field_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    raise NotImplementedError
