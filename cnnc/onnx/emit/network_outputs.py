"""What verification compares a model with: the outputs of the network's layers in float64, and in float32.

Input: a graph, its weights and feeds. Output: arrays (N, C, ...), layer by layer, so that only the activations that later
layers read and the float64 weights of one layer are in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.random_streams import Stream
from cnnc.graph.graph import Graph, needed_nodes
from cnnc.onnx.emit.operator_errors import operator_error
from cnnc.ops.dense import Input
from cnnc.reference.engine import forward, layer_outputs, weights_of
from cnnc.reference.feeds import to_working_dtype
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.registry import FORWARD, Mode


class NetworkOutputs:
    """The outputs of the layers `names`, computed when they are asked for."""

    def __init__(
        self, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], names: Collection[str]
    ) -> None:
        self._names = set(names)
        self._single = layer_outputs(graph, weights, feeds, names)
        self._double = layer_outputs(graph, _Float64(weights), in_float64(feeds), names)
        self._ahead: dict[str, tuple[Array, Array]] = {}

    def pop(self, name: str) -> tuple[Array, Array]:
        """The output of a layer in float64 and in float32, valid until the next call."""
        if name in self._ahead:
            return self._ahead.pop(name)
        for layer, double in self._double:
            _, single = next(self._single)
            if layer == name:
                return _channels_first(double), _channels_first(single)
            if layer in self._names:  # the model computes it later than the network
                self._ahead[layer] = _channels_first(double).copy(), _channels_first(single).copy()
            del double, single
        raise KeyError(name)


def exact_outputs(graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of the graph in float64, computed one sample at a time."""
    weights, feeds = _Float64(weights), in_float64(feeds)
    count = len(next(iter(feeds.values())))
    samples = [forward(graph, weights, {n: a[i : i + 1] for n, a in feeds.items()}).values for i in range(count)]
    return {name: to_channels_first(np.concatenate([values[name] for values in samples])) for name in graph.outputs}


def outputs_with_errors(graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The same outputs where each operator errs by as much as it may (`OPERATOR_ERRORS`), upwards or downwards at random."""
    weights, feeds = _Float64(weights), in_float64(feeds)
    count = len(next(iter(feeds.values())))
    samples = [_with_errors(graph, weights, {n: a[i : i + 1] for n, a in feeds.items()}, i) for i in range(count)]
    return {name: to_channels_first(np.concatenate([values[name] for values in samples])) for name in graph.outputs}


def _with_errors(
    graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], sample: int
) -> dict[str, Array]:
    order = needed_nodes(graph, graph.outputs)
    last_reader = {name: node.name for node in order for name in node.inputs}
    values: dict[str, Array] = {}
    for node in order:
        if isinstance(node.op, Input):
            values[node.name] = to_channels_last(to_working_dtype(node, feeds[node.name], np.dtype(np.float64)))
            continue
        inputs, own = tuple(values[name] for name in node.inputs), weights_of(graph, node, weights)
        y = FORWARD[type(node.op)](node.op, own, inputs, Mode()).output
        if np.issubdtype(y.dtype, np.floating):
            random = np.random.default_rng(Stream.OPERATOR_ERRORS.key(sample, node.name))
            y = y + operator_error(node.op, own, inputs[0], y) * random.choice((-1, 1), y.shape)
        values[node.name] = y
        for name in node.inputs:
            if last_reader[name] == node.name and name not in graph.outputs:
                values.pop(name, None)
    return values


class _Float64(Mapping[str, Array]):
    """Weights that become float64 when they are read."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> Array:
        return in_float64({name: self._weights[name]})[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def in_float64(arrays: Mapping[str, Array]) -> Weights:
    """Arrays of floats in float64; others as they are."""
    return {n: a.astype(np.float64) if np.issubdtype(a.dtype, np.floating) else a for n, a in arrays.items()}


def _channels_first(array: Array) -> Array:
    """A view (N, C, ...) of an output of the engine (N, ..., C)."""
    return np.moveaxis(array, -1, 1) if array.ndim > 2 else array
