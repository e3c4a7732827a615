"""One layer of a network on one example: what it reads, what the engine computes, and the sum behind one output.

In: a graph with its weights, one example, the name of a layer, and the index of an output. Out: `LayerRun` (arrays, channels
first, without the batch) and `OutputSum`, whose terms are numbers. The sum is taken in float64 over the engine's float32
weights and activations; `OutputSum.rounding` says by about how much the engine's own summation may differ.

    run = run_layer(graph, weights, {"input1": image}, "conv1")
    output_sum(run, (3, 14, 20)).total      # run.output[3, 14, 20], but for rounding
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Graph, Node
from cnnc.ops.base import Op
from cnnc.reference.engine import forward, weights_of
from cnnc.reference.layout import to_channels_first
from cnnc.view.unfold.combine import added, combined
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.terms import Sum, terms


class LayerRun(NamedTuple):
    """A layer and its numbers for one example, as in inference.

    `inputs` are what it reads and `output` is what it gives, (C, *spatial) each; `weights` are its parameters by short
    name, shaped as in ONNX.
    """

    node: Node
    inputs: tuple[Array, ...]
    output: Array
    weights: Mapping[str, Array]

    @property
    def op(self) -> Op:
        """The layer itself."""
        return self.node.op

    @property
    def x(self) -> Array:
        """The first input, which the terms of a sum read."""
        return self.inputs[0]

    @property
    def types(self) -> tuple[TensorType, ...]:
        """The types of the inputs, at the size of the example."""
        return tuple(TensorType(array.shape) for array in self.inputs)

    @property
    def numbers(self) -> LayerNumbers:
        """The layer with its numbers in float64."""
        numbers = {name: _floats(values) for name, values in self.weights.items()}
        return LayerNumbers(self.op, _floats(self.x), numbers.get("weight"), numbers.get("bias"))


def _floats(values: Array) -> Array:
    """The numbers as Python floats, which are written and added up as such."""
    return values.astype(np.float64).astype(object)


def run_layer(graph: Graph, weights: Mapping[str, Array], feeds: Mapping[str, Array], name: str) -> LayerRun:
    """Runs the layers that `name` needs, and no others. `feeds` are batches of one example, by input name.

    Raises CnncError E602 for feeds that do not fit.
    """
    node = graph.by_name[name]
    trace = forward(graph, weights, feeds, outputs=(*node.inputs, name))
    first = {layer: to_channels_first(values)[0] for layer, values in trace.values.items()}
    return LayerRun(node, tuple(first[layer] for layer in node.inputs), first[name], weights_of(graph, node, weights))


class WeightedElement(NamedTuple):
    """A product of an input element and a factor, with their indices (see `terms.Product`)."""

    element: Axes | None
    weight: Axes | None
    x: float
    factor: float

    @property
    def value(self) -> float:
        """The product."""
        return self.x * self.factor


class OutputSum(NamedTuple):
    """What one output is made of. `engine` is the engine's number; `indices` has the indices of everything."""

    indices: Sum
    terms: tuple[WeightedElement, ...]
    bias: float | None
    engine: float

    @property
    def total(self) -> float:
        """The output, computed in float64 from the terms."""
        elements = [term.x for term in self.terms]
        return float(combined(self.indices, elements, [term.factor for term in self.terms], self.bias))

    @property
    def difference(self) -> float:
        """How far the engine's number is from the total."""
        return abs(self.total - self.engine)

    @property
    def magnitude(self) -> float:
        """The sum of the absolute values of all terms."""
        return float(added(abs(term.value) for term in self.terms)) + abs(self.bias or 0.0)

    @property
    def rounding(self) -> float:
        """About how far a float32 sum of these terms can be from the total: rounding errors add up like a random walk."""
        return sum_rounding(len(self.terms), self.magnitude)


def sum_rounding(count: int, magnitude: float) -> float:
    """The rounding error to expect of a float32 sum of `count` terms whose absolute values add up to `magnitude`."""
    return 2 * math.sqrt(count + 2) * 2.0**-24 * magnitude


def output_sum(run: LayerRun, output: Axes) -> OutputSum:
    """The sum behind one output, (channel, *position). Raises KeyError for a layer without terms."""
    return numbered(run, terms(run.op, run.types[0], output), float(run.output[output]))


def numbered(run: LayerRun, indices: Sum, engine: float) -> OutputSum:
    """The sum with its numbers."""
    weight, x = run.weights.get("weight"), run.x
    share = 1 / indices.number if indices.kind == "mean" else 1.0
    products = tuple(
        WeightedElement(
            p.element,
            p.weight,
            0.0 if p.element is None else float(x[p.element]),
            p.factor * share if p.weight is None or weight is None else float(weight[p.weight]),
        )
        for p in indices.terms
    )
    bias = None if indices.bias is None else float(run.weights["bias"][indices.bias])
    return OutputSum(indices, products, bias, engine)


def largest_output(run: LayerRun) -> Axes:
    """The index of the largest output; the first of equal ones."""
    values = np.where(np.isnan(run.output), -np.inf, run.output)
    return tuple(int(i) for i in np.unravel_index(int(values.argmax()), values.shape))
