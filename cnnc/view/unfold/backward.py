"""The gradients of a layer as sums: of each weight, of each input element, and of each bias.

In: `LayerNumbers`, and the gradient dL/dS of its output. Out: a `GradientSums` with every sum, and a `Page`. Each product of the
forward pass gives one of dL/dw, its gradient times its element, and one of dL/dx, its gradient times its weight.

    backward(layer, gradient).of_weights[0, 0, 0, 1]     # [(gradient, element), ...]
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.conv import Conv
from cnnc.view.page import Band, Mark, Page, Step
from cnnc.view.unfold.grids import index_text, mark, planes
from cnnc.view.unfold.layer_numbers import LayerNumbers, added
from cnnc.view.unfold.pages import equation, pads_of
from cnnc.view.unfold.terms import Sum


class Share(NamedTuple):
    """One product of a gradient: the output that it comes from, and dL/dS there times the other factor.

    `element` is the input element of the product, `weight` its weight.
    """

    output: Axes
    gradient: Any
    other: Any
    element: Axes
    weight: Axes | None


class GradientSums(NamedTuple):
    """The products of each gradient, by the index of the weight, input element or bias."""

    of_weights: Mapping[Axes, list[Share]]
    of_elements: Mapping[Axes, list[Share]]
    of_biases: Mapping[Axes, list[Any]]


def backward(layer: LayerNumbers, gradient: Array) -> GradientSums:
    """The products of all gradients."""
    of_weights: dict[Axes, list[Share]] = {}
    if layer.weight is not None:
        of_weights = {index: [] for index in np.ndindex(*layer.weight.shape)}
    of_elements: dict[Axes, list[Share]] = {index: [] for index in np.ndindex(*layer.x.shape)}
    of_biases: dict[Axes, list[Any]] = {}
    for output in layer.positions():
        total, g = layer.sum_at(output), gradient[output]
        for term, factor in zip(total.terms, derivatives(layer, total), strict=True):
            if term.element is None:
                continue
            if term.weight is not None:
                of_weights[term.weight].append(Share(output, g, layer.element(term), term.element, term.weight))
            of_elements[term.element].append(Share(output, g, factor, term.element, term.weight))
        if total.bias is not None:
            of_biases.setdefault(total.bias, []).append(g)
    return GradientSums(of_weights, of_elements, of_biases)


def derivatives(layer: LayerNumbers, total: Sum) -> list[Any]:
    """The derivative of an output with respect to the element of each of its terms.

    Of a maximum it is 1 for the first of the largest elements, and 0 for the others.
    """
    if total.kind == "sum":
        return [layer.weight_of(term) for term in total.terms]
    if total.kind == "mean":
        return [Fraction(1, total.number) for _ in total.terms]
    elements, value = [layer.element(term) for term in total.terms], layer.value(total)
    if total.kind == "max":
        largest = [n for n, term in enumerate(total.terms) if term.element is not None and elements[n] == value][:1]
        return [Fraction(int(n in largest)) for n in range(len(total.terms))]
    if value == 0:
        return [Fraction(0) for _ in elements]
    return [(1 if a > 0 else -1) * (abs(a) / value) ** (total.number - 1) if a else Fraction(0) for a in elements]


def value_of(shares: list[Share]) -> Any:
    """The value of a gradient."""
    return added([share.gradient * share.other for share in shares])


def backward_page(
    layer: LayerNumbers, gradient: Array, weight_at: Axes | None = None, element_at: Axes | None = None
) -> Page:
    """The gradients of a layer: one step per weight, then one per input element.

    The current step is that of the weight `weight_at` or of the element `element_at`, or the first.
    """
    sums = backward(layer, gradient)
    dx = _gathered(layer.x.shape, {index: value_of(shares) for index, shares in sums.of_elements.items()})
    steps = [_weight_step(layer, index, shares) for index, shares in sums.of_weights.items()]
    steps += [_element_step(layer, index, shares) for index, shares in sums.of_elements.items()]
    current = list(sums.of_weights).index(weight_at) if weight_at is not None else 0
    if weight_at is None and element_at is not None:
        current = len(sums.of_weights) + list(sums.of_elements).index(element_at)
    text = layer.text
    gradients, inputs = planes("g", "dL/dS", gradient, text), planes("x", "x", layer.x, text)
    bands = [Band((*inputs, *gradients))]
    if layer.weight is not None:
        dw = _gathered(layer.weight.shape, {index: value_of(shares) for index, shares in sums.of_weights.items()})
        for o in range(len(layer.weight)):
            of = f" {o}" if len(layer.weight) > 1 else ""
            kernels = planes(f"w{o},", f"kernel{of}", layer.weight[o], text)
            results = planes(f"dw{o},", f"dL/dw{of}", dw[o], text)
            bands += [Band((kernel, result), ("→",)) for kernel, result in zip(kernels, results, strict=True)]
    bands += [Band((grid,)) for grid in planes("dx", "dL/dx", dx, text)]
    lines = [
        equation(f"dL/db({index_text(index, True)})", " + ".join(map(layer.factor, gs)), text(added(gs)), added(gs))
        for index, gs in sums.of_biases.items()
    ]
    notes = (*(line for found in lines for line in found), *remarks(layer))
    return Page(
        f"Gradients of {layer.op.keyword} {layer.op.brief()}",
        "The gradients of a layer as sums",
        tuple(bands),
        tuple(steps),
        current,
        notes,
    )


def _gathered(shape: Axes, values: Mapping[Axes, Any]) -> Array:
    result = np.empty(shape, object)
    for index, value in values.items():
        result[index] = value
    return result


def _weight_step(layer: LayerNumbers, index: Axes, shares: list[Share]) -> Step:
    shown = index if _has_channels(layer) else index[2:]
    name = f"dL/dw({','.join(map(str, shown))})"
    marks = [mark("x", share.element, "read") for share in shares]
    marks += [mark("g", share.output, "read") for share in shares]
    marks.append(_of_kernel(mark("dw", index, "result"), "dw", index))
    return Step(name, _lines(layer, name, shares), tuple(marks))


def _of_kernel(found: Mark, name: str, index: Axes) -> Mark:
    return mark(f"{name}{index[0]},", index[1:], found.role)


def _has_channels(layer: LayerNumbers) -> bool:
    return layer.output_shape[0] > 1 or layer.x.shape[0] > 1


def _element_step(layer: LayerNumbers, index: Axes, shares: list[Share]) -> Step:
    name = f"dL/dx({index_text(index, layer.x.shape[0] > 1)})"
    marks = [mark("g", share.output, "read") for share in shares]
    marks += [_of_kernel(mark("w", share.weight, "weight"), "w", share.weight) for share in shares if share.weight]
    marks.append(mark("dx", index, "result"))
    return Step(name, _lines(layer, name, shares), tuple(marks))


def _lines(layer: LayerNumbers, name: str, shares: list[Share]) -> tuple[str, ...]:
    value = value_of(shares)
    formula = " + ".join(f"{layer.factor(share.gradient)}·{layer.factor(share.other)}" for share in shares) or "0"
    return equation(name, formula, layer.text(value), value)


def remarks(layer: LayerNumbers) -> list[str]:
    """What the gradients of a convolution are in terms of convolutions."""
    op = layer.op
    if not isinstance(op, Conv) or layer.circular:
        return []
    rules = op.rules(layer.type)
    apart = "" if all(s == 1 for s in op.s) else ", with the stride as its dilation"
    between = "" if all(s == 1 for s in op.s) else f" with {op.s[0] - 1} zeros between its elements and"
    pads = [r.e - 1 - begin for r, (begin, _) in zip(rules, pads_of(layer), strict=True)]
    around = "padded" if min(pads) < 0 else f"padded with {'x'.join(map(str, dict.fromkeys(pads)))} zeros on each side"
    kernel = "kernel as given" if op.flip else "turned kernel"
    return [
        f"dL/dw is the input correlated with dL/dS{apart}.",
        f"dL/dx is dL/dS,{between} {around}, correlated with the {kernel}: the full correlation"
        + (", less what lies in the padding." if any(b or e for b, e in pads_of(layer)) else "."),
    ]
