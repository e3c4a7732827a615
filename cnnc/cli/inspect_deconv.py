"""`cnnc inspect`: projections of activations."""

from __future__ import annotations

from collections.abc import Iterator

from cnnc.cli.inspect import InspectOptions
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Section


def deconv(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """The sections."""
    yield from ()
