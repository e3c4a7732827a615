"""What `draw`, `inspect` and `Model.load` take: a network file, a run, a checkpoint or a model.

In: the path that the user named. Out: a `Network` (`read_network`), or a `TrainedNetwork` (`read_subject`). An ONNX model is
imported in memory; nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.core.arrays import Weights
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
        from cnnc.graph.needs import require_parameters
        from cnnc.network import load

        network = load(source, settings)
        if network.graph is not None:
            require_parameters(network.graph, network.name)
        return network
    return read_subject(source, settings).network


def read_subject(source: Path, settings: Sequence[str] = (), last: bool = False) -> TrainedNetwork:
    """The network and weights of a run, checkpoint, network file (initial weights) or model. Raises CnncError as `read_network`."""
    from cnnc.training.trained import read_trained, require_no_settings

    if not is_model(source):
        return read_trained(source, settings, last)
    require_no_settings(settings, "a model has no settings")
    from cnnc.onnx.importer.importer import import_model

    imported = import_model(source)
    return with_facts(source, imported.network, imported.weights)


def with_facts(source: Path, network: Network, weights: Weights) -> TrainedNetwork:
    """The network of a model; one that cnnc exported brings its classes, vocabulary, columns and train section.

    The network is that of the embedded source where it has the layers of the model, so that its names hold; else the layers
    of the model, with that train section if it applies to their outputs.
    """
    from cnnc.network import check
    from cnnc.onnx.metadata import read_facts
    from cnnc.onnx.run.inspect import properties, read_model
    from cnnc.training.trained import TrainedNetwork

    facts = read_facts(properties(read_model(source)))
    if not facts.source:
        return TrainedNetwork(network, weights)
    try:
        embedded = check(facts.source, facts.file, facts.settings, facts.at or None, includes=facts.includes)
    except CnncError:  # an untrusted file
        return TrainedNetwork(network, weights)
    trained = TrainedNetwork(network, weights, facts.vocabulary, "", facts.classes, facts.columns)
    if embedded.graph is None or not _same_inputs(embedded, network):
        return trained
    if _computing(embedded) == _computing(network) and {
        name: parameter.shape for name, parameter in embedded.graph.weights.items()
    } == {name: array.shape for name, array in weights.items()}:
        return trained._replace(network=embedded)
    if embedded.recipe is not None and facts.whole and all(loss.on is None for loss in embedded.recipe.losses):
        return trained._replace(network=network.replace(recipe=embedded.recipe))
    return trained


def _same_inputs(first: Network, second: Network) -> bool:
    return [node.type for node in first.require_graph().inputs] == [node.type for node in second.require_graph().inputs]


def _computing(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    """The layers that compute something at inference, by keyword and shape of their output."""
    idle = ("dropout", "drop_path", "identity", "flatten")
    return [(n.op.keyword, n.type.shape) for n in network.require_graph().nodes if n.op.keyword not in idle]
