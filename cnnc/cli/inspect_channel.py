"""`cnnc inspect`: what `LAYER[:CHANNEL]` names, and the examples of the test set that its modes search.

In: the words of the command line. Out: layers, channels, and batches of feeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cnnc.cli.console import print_status
from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError, nearest
from cnnc.graph.graph import Graph, Node
from cnnc.reference.attribution import batch_size
from cnnc.training.loop import open_data
from cnnc.training.objective import feeds_of
from cnnc.training.trained import TrainedNetwork

CHANNELS, EXAMPLES, MOST_MACS = 10, 1000, 20_000_000_000
"""The most channels where none is named, the most test examples, and the most multiply-adds to search them."""


class ChosenChannels(NamedTuple):
    """The channels of a layer that the command line names, and a note on those left out."""

    node: Node
    numbers: tuple[int, ...]
    note: str


def require_channels(graph: Graph, text: str, option: str) -> ChosenChannels:
    """The channels of `LAYER` or `LAYER:CHANNEL`. Raises CnncError E010 for a layer or channel that is not there."""
    name, colon, number = text.rpartition(":") if ":" in text and text not in graph.by_name else (text, "", "")
    known = [node.name for node in graph.nodes if node.inputs and node.type.dtype == "float32"]
    node = graph.by_name.get(name)
    if node is None or name not in known:
        near = nearest(name, known)
        listed = ", ".join(known[:12]) + (f", ... ({len(known)} layers)" if len(known) > 12 else "")
        problem = f"no layer is named `{name}`" if node is None else f"{name} has no channels to look for"
        help = f"write `{option} {near}`" if near and node is None else f"the layers are {listed}"
        raise CnncError.of("E010", f"{option} {text}: {problem}", help=help)
    channels = node.type.shape[0] if node.type.shape else 1
    if not colon:
        note = (
            f"The first {CHANNELS} of {channels:,} channels; `{option} {name}:N` names another."
            if channels > CHANNELS
            else ""
        )
        return ChosenChannels(node, tuple(range(min(channels, CHANNELS))), note)
    if not (number.isascii() and number.isdigit() and int(number) < channels):
        message = f"{option} {text}: {name} has {channels:,} channel{'s' * (channels > 1)}, and no channel `{number}`"
        raise CnncError.of("E010", message, help=f"number from 0 to {channels - 1}: `{option} {name}:{channels - 1}`")
    return ChosenChannels(node, (int(number),), "")


def require_image_like(graph: Graph, option: str) -> Node:
    """The only input of the network, of real numbers. Raises CnncError E010."""
    if len(graph.inputs) == 1 and graph.inputs[0].type.dtype == "float32":
        return graph.inputs[0]
    words = any(node.type.dtype == "int64" for node in graph.inputs)
    why = "its input is integers, which cannot be changed a little" if words else "it has several inputs"
    help = f"leave {option} out; `--why` explains an answer"
    raise CnncError.of("E010", f"{option} needs a network with one input of real numbers: {why}", help=help)


def examples_to_search(graph: Graph, dataset: Dataset) -> int:
    """How many examples of the test set are searched."""
    return max(1, min(len(dataset.test), EXAMPLES, MOST_MACS // max(1, graph.total_macs)))


def batches(graph: Graph, dataset: Dataset, count: int) -> Iterator[dict[str, Array]]:
    """The first `count` examples of the test set, in batches."""
    most = batch_size(graph)
    for first in range(0, count, most):
        yield feeds_of(graph, tuple(column[first : min(first + most, count)] for column in dataset.test.inputs))


def open_test_data(subject: TrainedNetwork, data: Path | None, option: str) -> Dataset:
    """The data of the network. Raises CnncError, with a help that names `--data` where it is missing."""
    print_status(f"{option}: searching the test set")
    return open_data(subject.network, data, print_status, subject.vocabulary)
