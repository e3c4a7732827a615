"""Checks the arrays that are given for a network's inputs, and prepares them for the engine.

In: a graph, its inputs, and feeds: a batch (N, *shape), channels first, for each input by name. Out: the graph at the
sizes of the feeds, the batch size, and arrays of the engine's element type. Raises CnncError E602.

Example: for `input 1x28x28` a batch (64, 1, 28, 28) of uint8 has the batch size 64; the engine gets it as float32, scaled
from 0..255 to 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, Node
from cnnc.graph.sizes import Failure, resize_graph, symbol_sizes


def working_dtype(weights: Mapping[str, Array], feeds: Mapping[str, Array]) -> np.dtype[Any]:
    """The element type of a run: that of its weights; without weights that of its float inputs, else float32."""
    arrays = chain(weights.values(), feeds.values())  # one by one, as weights may be converted when they are read
    return next((a.dtype for a in arrays if np.issubdtype(a.dtype, np.floating)), np.dtype(np.float32))


def check_feeds(inputs: list[Node], feeds: Mapping[str, Array]) -> int:
    """The batch size N of the feeds.

    Raises CnncError E602 where a feed is missing, differs from its input in shape or element type, or differs from the
    first feed in N.
    """
    names = [node.name for node in inputs]
    missing = [name for name in names if name not in feeds]
    if missing:
        raise CnncError.of("E602", f"no value given for input {missing[0]}")
    for name in names:
        if feeds[name].shape[:1] != feeds[names[0]].shape[:1]:
            sizes = f"{feeds[names[0]].shape[0]} for {names[0]}, {feeds[name].shape[0]} for {name}"
            raise CnncError.of("E602", f"the inputs have different batch sizes: {sizes}")
    for node in inputs:
        _check_feed(node, feeds[node.name])
    return feeds[names[0]].shape[0] if names else 1


def _check_feed(node: Node, batch: Array) -> None:
    if batch.shape[1:] != node.type.shape:
        shape = "x".join(map(str, batch.shape[1:]))
        raise CnncError.of("E602", f"the input {node.name} takes {node.type}, not {shape}")
    if node.type.dtype == "int64" and not np.issubdtype(batch.dtype, np.integer):
        raise CnncError.of("E602", f"the input {node.name} takes int64, not {batch.dtype}")


def fit_sizes(graph: Graph, inputs: list[Node], feeds: Mapping[str, Array]) -> Graph:
    """The graph with its symbols set to the sizes of the feeds. Raises CnncError E602 for a size that is not legal."""
    shapes = {node.name: feeds[node.name].shape[1:] for node in inputs if node.name in feeds}
    if all(graph.by_name[name].type.shape == shape for name, shape in shapes.items()):
        return graph
    sizes = symbol_sizes(graph, shapes)
    if isinstance(sizes, Failure):
        raise CnncError.of("E602", sizes.message)
    where = " and ".join(f"{symbol} = {size}" for symbol, size in sizes.items())
    if graph.sized:
        message = f"this graph was built for another size than {where}"
        raise CnncError.of("E602", message, help="`Network.graph_at` builds the graph for a size")
    fitted = resize_graph(graph, sizes)
    if isinstance(fitted, Failure):
        raise CnncError.of("E602", f"{where} does not fit: {fitted.node}: {fitted.message}")
    for name, parameter in fitted.weights.items():
        if parameter.shape != graph.weights[name].shape:
            raise CnncError.of("E602", f"{where} does not fit: {name} would have another shape")
    return fitted


def to_working_dtype(node: Node, batch: Array, dtype: np.dtype[Any]) -> Array:
    """A feed in the element type of the run: integers stay int64, bytes are scaled from 0..255 to 0..1."""
    if node.type.dtype == "int64":
        return np.asarray(batch, np.int64)
    if batch.dtype == np.uint8:
        scaled: Array = np.divide(batch, dtype.type(255), dtype=dtype)
        return scaled
    return np.asarray(batch, dtype)
