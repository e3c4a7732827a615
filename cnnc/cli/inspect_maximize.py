"""`cnnc inspect`: inputs that maximize a channel."""

from __future__ import annotations

from collections.abc import Iterator

from cnnc.cli.inspect import InspectOptions
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Section


def maximize(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """The sections."""
    yield from ()
