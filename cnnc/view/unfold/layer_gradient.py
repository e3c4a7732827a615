"""The backward pass of one layer as sums: the gradient of one weight and of one input element.

In: a `LayerRun`, and the gradient of the loss with respect to each output of the layer. Out: `GradientSum`, whose terms come
from the same table as the outputs:

    dL/dw = Σ dL/dy·x over the outputs y that use the weight w, x the element that w is multiplied by there
    dL/dx = Σ dL/dy·w over the outputs y that read the element x, w the weight that x is multiplied by there
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Literal, NamedTuple

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Graph, Node
from cnnc.ops.base import Op
from cnnc.ops.dense import Input
from cnnc.ops.local import Local
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_last
from cnnc.view.unfold.channels import Channels
from cnnc.view.unfold.combine import added, derivatives
from cnnc.view.unfold.gradient_sums import GradientTerm, gradient_of
from cnnc.view.unfold.layer_run import LayerRun, output_sum, sum_rounding
from cnnc.view.unfold.terms import Product, terms


class GradientSum(NamedTuple):
    """The gradient of the weight or input element `at`; `engine` is the engine's number."""

    of: Literal["weight", "input"]
    at: Axes
    terms: tuple[GradientTerm, ...]
    engine: float

    @property
    def total(self) -> float:
        """The gradient, computed in float64 from the terms."""
        return float(gradient_of(self.terms))

    @property
    def difference(self) -> float:
        """How far the engine's number is from the total."""
        return abs(self.total - self.engine)

    @property
    def rounding(self) -> float:
        """About how far a float32 sum of these terms can be from the total: rounding errors add up like a random walk."""
        return sum_rounding(len(self.terms), float(added(abs(term.value) for term in self.terms)))


class EngineGradients(NamedTuple):
    """What the engine computes from the gradient of the layer's output: (C, *spatial), and as the weight is stored."""

    x: Array
    weight: Array | None


def engine_gradients(run: LayerRun, upstream: Array) -> EngineGradients:
    """The engine's backward pass of this layer alone."""
    (name,), (x,) = run.node.inputs, run.types
    op = run.op.replace(frozen=False) if "frozen" in run.op.fields else run.op
    source = Node(name, Input.make(shape=x.shape), (), x)
    layer = run.node.replace(op=op, owner="", type=TensorType(run.output.shape))
    graph = Graph("layer", (source, layer), (layer.name,))
    weights = {f"{layer.name}.{short}": array for short, array in run.weights.items()}
    seeds = {layer.name: to_channels_last(upstream[None].astype(run.output.dtype))}
    trace = forward(graph, weights, {name: run.x[None]}, training=True)
    gradients, inputs = backward(graph, weights, trace, seeds, needs_input_gradients=True)
    return EngineGradients(inputs[name][0], gradients.get(f"{layer.name}.weight"))


def weight_gradient(run: LayerRun, upstream: Array, weight: Axes, engine: EngineGradients) -> GradientSum:
    """The gradient of one weight: a term for each output that multiplies an element (not padding) by it."""
    channels = Channels(run.op, run.types[0])
    (o, c), sought = channels.pair_of(weight), channels.in_pair(weight)
    products = []
    for position in _positions_of_weight(run, weight):
        for p in terms(channels.pair, channels.pair_x, (0, *position)).terms:
            if p.element is None or p.weight != sought:
                continue
            output, element = (o, *position), (c, *p.element[1:])
            products.append(GradientTerm(output, float(upstream[output]), float(run.x[element]), element, weight))
    assert engine.weight is not None
    return GradientSum("weight", weight, tuple(products), float(engine.weight[weight]))


def _positions_of_weight(run: LayerRun, weight: Axes) -> Iterator[Axes]:
    """The output positions that may use a weight: all, but of `local`, where each has weights of its own, one."""
    spatial = run.output.shape[1:]
    return iter([weight[: len(spatial)]]) if isinstance(run.op, Local) else product(*map(range, spatial))


def input_gradient(run: LayerRun, upstream: Array, element: Axes, engine: EngineGradients) -> GradientSum:
    """The gradient of one input element, through this layer: a term for each output that reads it."""
    channels = Channels(run.op, run.types[0])
    pair, pair_x = channels.pair, channels.pair_x
    c, *place = element
    uses = [
        (position, p)
        for position in _positions_that_read(pair, pair_x, tuple(place))
        for p in terms(pair, pair_x, (0, *position)).terms
        if p.element is not None and p.element[1:] == tuple(place)
    ]
    products = []
    for o in channels.readers(c):
        for position, p in uses:
            output = (o, *position)
            weight = None if p.weight is None else channels.in_whole(o, c, p.weight)
            factor = _factor(run, output, element, p, weight)
            products.append(GradientTerm(output, float(upstream[output]), factor, element, weight))
    return GradientSum("input", element, tuple(products), float(engine.x[element]))


def _factor(run: LayerRun, output: Axes, element: Axes, term: Product, weight: Axes | None) -> float:
    """The derivative of an output by an element that it reads through this term."""
    if weight is not None:
        return float(run.weights["weight"][weight])
    total = output_sum(run, output)
    of_elements = derivatives(total.indices, [t.x for t in total.terms], [t.factor for t in total.terms])
    return float(next(d for d, t in zip(of_elements, total.terms, strict=True) if t.element == element))


def _positions_that_read(op: Op, x: TensorType, place: Axes) -> Iterator[Axes]:
    """The output positions whose window contains an input position; of a vector the one position ()."""
    spatial = op.output(x).spatial
    ranges = []
    for window, e, out in zip(op.windows(x), place, spatial, strict=False):  # a vector has fewer axes than its input
        first = math.ceil((e - window.size + 1 - window.first) / window.step) if window.step else 0
        last = math.floor((e - window.first) / window.step) if window.step else out - 1
        ranges.append(range(max(0, first), min(out - 1, last) + 1))
    return product(*ranges)
