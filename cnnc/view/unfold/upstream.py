"""The gradient of a scalar with respect to the output of a layer, as the engine computes it.

In: a graph with its weights, one example, a layer that has been run, and a function that gives the scalar and its gradients
with respect to the outputs of some layers. Out: the scalar, and its gradient by each element of the layer's output.

The network is differentiated as it computes in inference. The layer itself becomes an input of the rest of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph
from cnnc.reference.as_in_inference import as_in_inference, with_input
from cnnc.reference.engine import Trace, backward, forward
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
    cut = with_input(graph, name, run.output.shape)
    fixed, fixed_weights = as_in_inference(cut, weights)
    trace = forward(fixed, fixed_weights, {**feeds, name: run.output[None]}, outputs=outputs, training=True)
    value, gradients = scalar(trace)
    _, inputs = backward(fixed, fixed_weights, trace, gradients, needs_input_gradients=True)
    return value, inputs[name][0] if name in inputs else None


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
