"""Verification of each layer on its own: computed in float64 from the inputs that the model itself gave the layer.

Input: the graph as it was before any pass, its weights, feeds, and the model's tensors by name. Output: for each tensor its
`Deviation` and the operator's error.

No error of an earlier layer enters, so nothing has to be assumed about how later layers amplify it. Layers that a pass has
removed are computed along with the layer that took their place.

Worked case: `input 4; normalize mean=8 std=1; sigmoid; fc 2`. The sigmoid of -8 is 3.4e-4, and the model's 3.4e-4 + 1e-7:
less than UNIT is allowed. The fc is computed from the model's 3.4e-4 + 1e-7, so its own deviation is that of one sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.onnx.emit.operator_errors import operator_error
from cnnc.onnx.emit.tolerance import Deviation, Reference
from cnnc.ops.dense import Input
from cnnc.reference.engine import weights_of
from cnnc.reference.feeds import to_working_dtype
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.registry import FORWARD, Mode


def layer_deviations(
    graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], tensors: Mapping[str, Array]
) -> Iterator[tuple[Deviation, Array | float]]:
    """The deviation of each of the model's `tensors` (N, C, ...), in graph order, with the error of its operator."""
    order = needed_nodes(graph, tensors)
    last_reader = {name: node.name for node in order for name in node.inputs}
    runs = [_Run(np.dtype(dtype), graph, weights) for dtype in (np.float64, np.float32)]
    double, single = runs
    for node in order:
        if isinstance(node.op, Input):
            for run in runs:
                run.values[node.name] = to_channels_last(to_working_dtype(node, feeds[node.name], run.dtype))
            continue
        with np.errstate(all="ignore"):  # a model may compute infinity
            for run in runs:
                run.compute(node)
            if node.name in tensors:
                tensor, exact = tensors[node.name], double.values[node.name]
                inputs = [double.values[name] for name in node.inputs]
                error = operator_error(node.op, weights_of(graph, node, double.weights), inputs[0], exact)
                if isinstance(error, np.ndarray):
                    error = to_channels_first(np.broadcast_to(error, exact.shape))
                reference = Reference.of(to_channels_first(exact), to_channels_first(single.values[node.name]))
                yield reference.layer_deviation(node.name, tensor, error), error
                if tensor.shape == reference.value.shape:
                    for run in runs:
                        run.take(node.name, tensor)
        for name in node.inputs:
            if last_reader[name] == node.name:
                for run in runs:
                    run.values.pop(name, None)


class _Run:
    """One element type's run through the layers. `values` are channels last: the model's where it has them."""

    def __init__(self, dtype: np.dtype[np.floating], graph: Graph, weights: Mapping[str, Array]) -> None:  # type: ignore[type-arg]
        self.dtype = dtype
        self.graph = graph
        self.weights: Weights = {name: array.astype(dtype, copy=False) for name, array in weights.items()}
        self.values: dict[str, Array] = {}

    def compute(self, node: Node) -> None:
        inputs = tuple(self.values[name] for name in node.inputs)
        node_weights = weights_of(self.graph, node, self.weights)
        self.values[node.name] = FORWARD[type(node.op)](node.op, node_weights, inputs, Mode()).output

    def take(self, name: str, tensor: Array) -> None:
        tensor = to_channels_last(tensor)
        self.values[name] = tensor.astype(self.dtype) if np.issubdtype(tensor.dtype, np.floating) else tensor
