"""`cnnc inspect`: wrong answers."""

from __future__ import annotations

from collections.abc import Iterator

from cnnc.cli.inspect_options import InspectOptions
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Section


def mistakes(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """The sections."""
    yield from ()
