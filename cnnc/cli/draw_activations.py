"""`cnnc draw`: activations."""

from __future__ import annotations

from cnnc.cli.draw import DrawOptions


def activations_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    raise NotImplementedError
