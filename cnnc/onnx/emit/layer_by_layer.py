"""Verification of each layer on its own: computed in float64 from the inputs that the model itself gave the layer.

Input: the graph as it was before any pass, its weights, feeds, and the model's tensors, one after the other. Output: the
`Deviation` of each tensor.

No error of an earlier layer enters, so nothing has to be assumed about how later layers amplify it. Layers that a pass has
removed are computed along with the layer that took their place.

Worked case: `input 4; normalize mean=8 std=1; sigmoid; fc 2`. The sigmoid of -8 is 3.4e-4, and the model's 3.4e-4 + 1e-7:
less than is allowed for a sigmoid. The fc is computed from the model's 3.4e-4 + 1e-7, so its deviation is that of one sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, Node
from cnnc.onnx.emit.operator_errors import operator_error
from cnnc.onnx.emit.tolerance import Deviation, Reference
from cnnc.ops.dense import Input
from cnnc.reference.engine import weights_of
from cnnc.reference.feeds import to_working_dtype
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.registry import FORWARD, Mode

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


class LayerByLayer:
    """Judges the model's tensors `names`. They may come in any order in which a tensor follows those that it depends on."""

    def __init__(
        self, graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], names: Collection[str]
    ) -> None:
        self._graph = graph
        self._weights = weights
        self._feeds = feeds
        self._given: dict[str, Array] = {}  # the model's tensors that are still to be read, channels last
        self._chains = _chains(graph, names)
        self._readers = Counter(name for chain in self._chains.values() for node in chain for name in node.inputs)

    def deviation(self, name: str, tensor: Array) -> Deviation:
        """The deviation of the model's tensor (N, C, ...)."""
        chain = self._chains[name]
        node, op = chain[-1], chain[-1].op
        double, single = (self._compute(chain, dtype) for dtype in (DOUBLE, SINGLE))
        exact = double[name]
        node_weights = weights_of(self._graph, node, self._weights)
        with np.errstate(all="ignore"):
            error = operator_error(op, node_weights, self._value(node.inputs[0], double, DOUBLE), exact)
        if isinstance(error, np.ndarray):
            error = to_channels_first(np.broadcast_to(error, exact.shape))
        reference = Reference.of(to_channels_first(exact), to_channels_first(single[name]))
        self._given[name] = to_channels_last(tensor) if tensor.shape == reference.value.shape else exact
        for source in (name for node in chain for name in node.inputs):
            self._readers[source] -= 1
            if not self._readers[source]:
                self._given.pop(source, None)
        return reference.layer_deviation(name, tensor, error)

    def _compute(self, chain: list[Node], dtype: np.dtype[Any]) -> dict[str, Array]:
        """The outputs of these layers in this element type, from the model's tensors."""
        values: dict[str, Array] = {}
        for node in chain:
            inputs = tuple(self._value(name, values, dtype) for name in node.inputs)
            weights = {k: a.astype(dtype) for k, a in weights_of(self._graph, node, self._weights).items()}
            with np.errstate(all="ignore"):  # a model may compute infinity
                values[node.name] = FORWARD[type(node.op)](node.op, weights, inputs, Mode()).output
        return values

    def _value(self, name: str, values: Mapping[str, Array], dtype: np.dtype[Any]) -> Array:
        if name in values:
            return values[name]
        node = self._graph.by_name[name]
        if isinstance(node.op, Input):
            return to_channels_last(to_working_dtype(node, self._feeds[name], dtype))
        array = self._given[name]
        return array.astype(dtype) if np.issubdtype(array.dtype, np.floating) else array


def _chains(graph: Graph, names: Collection[str]) -> dict[str, list[Node]]:
    """For each name, the layers to compute for it, in graph order: those that the model lacks, then the layer itself."""
    chains: dict[str, list[Node]] = {}
    for node in graph.nodes:
        missing: dict[str, Node] = {}
        for name in node.inputs:
            before = graph.by_name[name]
            if name not in names and not isinstance(before.op, Input):
                missing |= {n.name: n for n in chains[name]}
        chains[node.name] = [*missing.values(), node]
    return {name: chains[name] for name in names}
