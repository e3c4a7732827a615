"""The gradient of a scalar with respect to the output of a layer, as the engine computes it.

In: a graph with its weights, one example, a layer that has been run, and a function that gives the scalar and its gradients
with respect to the outputs of some layers. Out: the scalar, and its gradient by each element of the layer's output.

The network is differentiated as it computes in inference: batch norm with its running statistics, no dropout. For the
engine, whose batch norm differentiates through the statistics of the batch, each is replaced by the scale and shift that it
amounts to. The layer itself becomes an input of the rest of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Graph, Node
from cnnc.ops.activation import Dropout, DropPath, Identity
from cnnc.ops.dense import Input
from cnnc.ops.norm import Affine, BatchNorm
from cnnc.reference.engine import Trace, backward, forward, weights_of
from cnnc.view.unfold.layer_run import LayerRun

Scalar = Callable[[Trace], tuple[float, Mapping[str, Array]]]
"""From a trace, the scalar and its gradients by layer name, channels last."""


def upstream(
    graph: Graph,
    weights: Mapping[str, Array],
    feeds: Mapping[str, Array],
    run: LayerRun,
    outputs: Sequence[str],
    scalar: Scalar,
) -> tuple[float, Array | None]:
    """The scalar, and its gradient (C, *spatial); None if it does not depend on the layer.

    `outputs` are the layers whose outputs the scalar is computed from; the graph has the sizes of the feeds.
    """
    name = run.node.name
    cut = _cut(graph, run)
    fixed, fixed_weights = _as_in_inference(cut, weights)
    trace = forward(fixed, fixed_weights, {**feeds, name: run.output[None]}, outputs=outputs, training=True)
    value, gradients = scalar(trace)
    _, inputs = backward(fixed, fixed_weights, trace, gradients, needs_input_gradients=True)
    return value, inputs[name][0] if name in inputs else None


def _cut(graph: Graph, run: LayerRun) -> Graph:
    """The graph in which the layer is an input."""
    type_ = TensorType(run.output.shape)
    source = Node(run.node.name, Input.make(shape=type_.shape), (), type_)
    return graph.replace(nodes=tuple(source if node.name == source.name else node for node in graph.nodes))


def _as_in_inference(graph: Graph, weights: Mapping[str, Array]) -> tuple[Graph, Weights]:
    """The graph and its weights with a scale and shift for each batch norm, and without dropout."""
    nodes, replaced = [], dict(weights)
    for node in graph.nodes:
        op = node.op
        if isinstance(op, BatchNorm):
            own = weights_of(graph, node, weights)
            factor = (own["var"] + own["var"].dtype.type(op.eps)) ** -0.5
            factor = factor * own["scale"] if op.affine else factor
            shift = -own["mean"] * factor
            replaced[f"{node.parameter_owner}.scale"] = factor
            replaced[f"{node.parameter_owner}.shift"] = shift + own["shift"] if op.affine else shift
            node = node.replace(op=Affine.make())
        elif isinstance(op, Dropout | DropPath):
            node = node.replace(op=Identity.make())
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes)), replaced


def largest_element(name: str, values: Array) -> tuple[tuple[int, ...], Scalar]:
    """The index (channel, *position) of the largest element of a layer's output, and that element as a scalar."""
    last = np.moveaxis(values, 0, -1)
    *place, channel = (int(i) for i in np.unravel_index(int(last.argmax()), last.shape))

    def scalar(trace: Trace) -> tuple[float, Mapping[str, Array]]:
        output = trace.values[name]
        gradient = np.zeros_like(output)
        gradient[(0, *place, channel)] = 1
        return float(output[(0, *place, channel)]), {name: gradient}

    return (channel, *place), scalar
