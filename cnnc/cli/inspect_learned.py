"""`cnnc inspect`: kernels, feature maps and histograms."""

from __future__ import annotations

from collections.abc import Iterator

from cnnc.cli.inspect import InspectOptions
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Section


def kernels(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """The sections."""
    yield from ()


def maps(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """The sections."""
    yield from ()


def histograms(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """The sections."""
    yield from ()
