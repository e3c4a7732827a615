"""What `draw` and `inspect` are about: a network file, a run, a checkpoint or a model.

In: the path that the user named. Out: a `Network` (`read_network`), or a `TrainedNetwork` (`read_subject`). An ONNX model is
imported in memory; nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.network import Network
    from cnnc.training.trained import TrainedNetwork


def is_model(source: Path) -> bool:
    """Whether a path names an ONNX model."""
    return source.suffix.lower() == ".onnx" and not source.is_dir()


def read_network(source: Path, settings: Sequence[str] = ()) -> Network:
    """The network of a file, run, checkpoint or model. A network file needs no weights, and none are made.

    Raises CnncError: those of the source, of a checkpoint (E605, E606, E901) and of the import of a model, E010 for settings
    of anything but a network file.
    """
    if source.suffix == ".cnn" and not source.is_dir():
        from cnnc.cli.usage import with_published_network
        from cnnc.network import load

        try:
            return load(source, settings)
        except CnncError as error:
            raise with_published_network(error, source) from None
    return read_subject(source, settings).network


def read_subject(source: Path, settings: Sequence[str] = (), last: bool = False) -> TrainedNetwork:
    """The network and weights of a run, checkpoint, network file (initial weights) or model. Raises CnncError as `read_network`."""
    from cnnc.training.trained import TrainedNetwork, read_trained

    if not is_model(source):
        return read_trained(source, settings, last)
    if settings:
        raise CnncError.of("E010", "--set applies to a network FILE; a model has no settings", help="leave --set out")
    from cnnc.onnx.importer.importer import import_model

    imported = import_model(source)
    return TrainedNetwork(imported.network, imported.weights)
