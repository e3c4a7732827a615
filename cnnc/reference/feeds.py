"""What is fed to a network: whether it fits the inputs, at which sizes the graph then runs, and in which element type.

In: a graph, its inputs, batches (N, *shape) by input name, channels first. Out: the graph at those sizes, the batch
size, arrays in the engine's element type. Raises CnncError E602.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, Node
from cnnc.graph.sizes import Failure, resize_graph, symbol_sizes


def working_dtype(weights: Mapping[str, Array], feeds: Mapping[str, Array]) -> np.dtype[Any]:
    """What a run computes in: what its weights are, or, without any, its float inputs."""
    arrays = [*weights.values(), *feeds.values()]
    return next((a.dtype for a in arrays if np.issubdtype(a.dtype, np.floating)), np.dtype(np.float32))


def check_feeds(inputs: list[Node], feeds: Mapping[str, Array]) -> int:
    """The size of the batch. Raises CnncError E602 for a feed that is missing or does not fit, or another's size."""
    names = [node.name for node in inputs]
    missing = [name for name in names if name not in feeds]
    if missing:
        raise CnncError.of("E602", f"nothing is fed to the input {missing[0]}")
    for name in names:
        if feeds[name].shape[:1] != feeds[names[0]].shape[:1]:
            sizes = f"{feeds[names[0]].shape[0]} of {names[0]} and {feeds[name].shape[0]} of {name}"
            raise CnncError.of("E602", f"the inputs' batches have different sizes: {sizes}")
    for node in inputs:
        _check_feed(node, feeds[node.name])
    return feeds[names[0]].shape[0] if names else 1


def _check_feed(node: Node, batch: Array) -> None:
    if batch.shape[1:] != node.type.shape:
        found = "x".join(map(str, batch.shape[1:]))
        raise CnncError.of("E602", f"the input {node.name} takes {node.type}, not {found}")
    if node.type.dtype == "int64" and not np.issubdtype(batch.dtype, np.integer):
        raise CnncError.of("E602", f"the input {node.name} takes int64, not {batch.dtype}")


def fit_sizes(graph: Graph, inputs: list[Node], feeds: Mapping[str, Array]) -> Graph:
    """The graph at the sizes of its feeds. Raises CnncError E602 where the network does not take them."""
    shapes = {node.name: feeds[node.name].shape[1:] for node in inputs if node.name in feeds}
    if all(graph.by_name[name].type.shape == shape for name, shape in shapes.items()):
        return graph
    sizes = symbol_sizes(graph, shapes)
    if isinstance(sizes, Failure):
        raise CnncError.of("E602", sizes.message)
    where = " and ".join(f"{symbol} = {size}" for symbol, size in sizes.items())
    if graph.sized:
        message = f"the layers of this graph are those of another size than {where}"
        raise CnncError.of("E602", message, help="`Network.graph_at` has the graph of a size")
    made = resize_graph(graph, sizes)
    if isinstance(made, Failure):
        raise CnncError.of("E602", f"{where} does not fit: {made.node}: {made.message}")
    for name, parameter in made.weights.items():
        if parameter.shape != graph.weights[name].shape:
            raise CnncError.of("E602", f"{where} does not fit: {name} would have another shape")
    return made


def as_computed(node: Node, batch: Array, dtype: np.dtype[Any]) -> Array:
    """A batch in the element type that the input has inside the engine."""
    if node.type.dtype == "int64":
        return np.asarray(batch, np.int64)
    if batch.dtype == np.uint8:
        scaled: Array = np.divide(batch, dtype.type(255), dtype=dtype)
        return scaled
    return np.asarray(batch, dtype)
