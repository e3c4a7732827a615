"""`cnnc inspect`: what `LAYER[:CHANNEL]` names, the input that such a layer reads, and its strongest activations.

In: the names as they were given. Out: layers, channels, and one search of the test set for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError, nearest
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.ops.activation import LogSoftmax, Sigmoid, Softmax
from cnnc.reference.attribution import Strongest, strongest
from cnnc.reference.feeds import to_working_dtype

CHANNELS, TOP = 10, 9
"""The most channels where none is named, and the number of strongest activations of a channel."""


class ChosenChannels(NamedTuple):
    """The channels of a layer that the command line names, and a note on those left out.

    `layer` is the layer whose activations count: before a softmax or sigmoid, its input.
    """

    node: Node
    layer: str
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
        problem = (
            f"no layer is named `{name}`" if node is None else f"{name} is an input, and has no channels to look for"
        )
        help = f"write `{option} {near}`" if near and node is None else f"the layers are {listed}"
        raise CnncError.of("E010", f"{option} {text}: {problem}", help=help)
    layer = before_softmax(graph, name)
    channels = node.type.shape[0] if node.type.shape else 1
    if not colon:
        note = (
            f"The first {CHANNELS} of {channels:,} channels; `{option} {name}:N` names another."
            if channels > CHANNELS
            else ""
        )
        return ChosenChannels(node, layer, tuple(range(min(channels, CHANNELS))), note)
    if not (number.isascii() and number.isdigit() and int(number) < channels):
        message = f"{option} {text}: {name} has {channels:,} channel{'s' * (channels > 1)}, and no channel `{number}`"
        raise CnncError.of("E010", message, help=f"number from 0 to {channels - 1}: `{option} {name}:{channels - 1}`")
    return ChosenChannels(node, layer, (int(number),), "")


def before_softmax(graph: Graph, name: str) -> str:
    """The layer that a softmax or sigmoid reads, whose scores it turns into probabilities; else the layer itself."""
    node = graph.by_name[name]
    return node.inputs[0] if isinstance(node.op, Softmax | LogSoftmax | Sigmoid) else name


def require_one_input(graph: Graph, layer: str, option: str) -> Node:
    """The only input that a layer depends on, of real numbers. Raises CnncError E010 with the reason for any other layer."""
    read = _inputs_of(graph, layer)
    if len(read) == 1 and read[0].type.dtype == "float32":
        return read[0]
    names = " and ".join(node.name for node in read)
    words = next((node.name for node in read if node.type.dtype == "int64"), None)
    if words is not None:
        problem = f"{layer} depends on {words}, whose integers cannot be changed a little"
    else:
        problem = f"{layer} depends on {names}; the method changes one input"
    others = (node.name for node in graph.nodes if node.inputs and _reads_one(graph, node.name))
    first = next(others, None)
    help = (
        f"write `{option} {first}`, which depends on one"
        if first
        else f"leave {option} out; `--why` explains an answer"
    )
    if words is not None and not first:
        help = f"leave {option} out; the n-grams show which words excite a filter"
    raise CnncError.of("E010", f"{option} {layer}: {problem}", help=help)


def _inputs_of(graph: Graph, layer: str) -> list[Node]:
    inputs = {node.name for node in graph.inputs}
    return [node for node in needed_nodes(graph, (layer,)) if node.name in inputs]


def _reads_one(graph: Graph, layer: str) -> bool:
    return [node.type.dtype for node in _inputs_of(graph, layer)] == ["float32"]


def require_patches(graph: Graph, channels: ChosenChannels) -> Node:
    """The input of a layer, which has patches. Raises CnncError E010."""
    source = require_one_input(graph, channels.layer, "--deconv")
    if not source.type.spatial:
        message = f"--deconv {channels.node.name}: {source.name} is a vector {source.type}, which has no patches"
        raise CnncError.of("E010", message, help=f"write `--maximize {channels.node.name}`")
    return source


class InputRange(NamedTuple):
    """The least, the largest and the mean number of an input in some examples."""

    least: float
    largest: float
    mean: float


class TestSearch(NamedTuple):
    """What one pass over examples of the test set finds: the strongest activations by layer, and the range of each input."""

    text: str
    layers: dict[str, Strongest]
    ranges: dict[str, InputRange]


def search(
    network: tuple[Graph, dict[str, Array]], batches: Iterator[dict[str, Array]], layers: list[str], text: str
) -> TestSearch:
    """Runs the network on the batches once. `text` says what they are."""
    seen: dict[str, list[tuple[float, float, float, int]]] = {node.name: [] for node in network[0].inputs}

    def measured() -> Iterator[dict[str, Array]]:
        for feeds in batches:
            for node in network[0].inputs:
                x = to_working_dtype(node, feeds[node.name], np.dtype(np.float32))
                seen[node.name].append((float(x.min()), float(x.max()), float(x.sum(dtype=np.float64)), x.size))
            yield feeds

    found = strongest(network, measured(), layers, TOP)
    return TestSearch(text, found, {name: _range(parts) for name, parts in seen.items()})


def _range(parts: list[tuple[float, float, float, int]]) -> InputRange:
    least, largest, sums, sizes = zip(*parts, strict=True)
    return InputRange(min(least), max(largest), sum(sums) / sum(sizes))
