"""The gradients of a layer as sums: of each weight, of each input element, and of each bias.

In: `LayerNumbers`, and the gradient dL/dS of its output. Out: `LayerGradients` with the terms of every sum. Each product of the forward
pass gives one term of dL/dw, its gradient times its element, and one of dL/dx, its gradient times its weight.

    layer_gradients(layer, gradient).of_weights[0, 0, 0, 1]     # [GradientTerm(output, gradient, element, ...), ...]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.view.unfold.combine import added, derivatives
from cnnc.view.unfold.layer_numbers import LayerNumbers


class GradientTerm(NamedTuple):
    """One term of a gradient: dL/dS of an output times a factor, exact values or floats.

    Of dL/dw the factor is the input element at `element`, of dL/dx the weight at `weight`, None for what is not a parameter.
    """

    output: Axes
    gradient: Any
    factor: Any
    element: Axes
    weight: Axes | None = None

    @property
    def value(self) -> Any:
        """The product."""
        return self.gradient * self.factor


class LayerGradients(NamedTuple):
    """The terms of each gradient, by the index of the weight, input element or bias; of a bias those of dL/dS."""

    of_weights: Mapping[Axes, list[GradientTerm]]
    of_elements: Mapping[Axes, list[GradientTerm]]
    of_biases: Mapping[Axes, list[Any]]


def layer_gradients(layer: LayerNumbers, gradient: Array) -> LayerGradients:
    """The terms of all gradients."""
    of_weights: dict[Axes, list[GradientTerm]] = {}
    if layer.weight is not None:
        of_weights = {index: [] for index in np.ndindex(*layer.weight.shape)}
    of_elements: dict[Axes, list[GradientTerm]] = {index: [] for index in np.ndindex(*layer.x.shape)}
    of_biases: dict[Axes, list[Any]] = {}
    for output in layer.positions():
        total, g = layer.sum_at(output), gradient[output]
        elements = layer.elements(total)
        factors = derivatives(total, elements, layer.factors(total))
        for term, x, factor in zip(total.terms, elements, factors, strict=True):
            if term.element is None:
                continue
            if term.weight is not None:
                of_weights[term.weight].append(GradientTerm(output, g, x, term.element, term.weight))
            of_elements[term.element].append(GradientTerm(output, g, factor, term.element, term.weight))
        if total.bias is not None:
            of_biases.setdefault(total.bias, []).append(g)
    return LayerGradients(of_weights, of_elements, of_biases)


def gradient_of(terms: Sequence[GradientTerm]) -> Any:
    """The gradient that these terms add up to."""
    return added(term.value for term in terms)


def gradient_array(shape: Axes, sums: Mapping[Axes, list[GradientTerm]]) -> Array:
    """The gradients of a tensor."""
    result = np.empty(shape, object)
    for index, terms in sums.items():
        result[index] = gradient_of(terms)
    return result
