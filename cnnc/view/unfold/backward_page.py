"""The page of all gradients of a layer, as sums: one step per weight, and one per input element.

In: `LayerNumbers`, and the gradient dL/dS of its output. Out: a `Page`; of a convolution with one channel its bands are the two
convolutions that give dL/dw and dL/dx.

    backward_page(layer, gradient, weight_at=(0, 0, 0, 1))     # its step: dL/dw(0,1) = 1·3 + 1·(-1)
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.conv import Conv
from cnnc.ops.pool import Pool
from cnnc.view.page import Band, CellRole, Mark, Page, Step
from cnnc.view.unfold.combine import added
from cnnc.view.unfold.formulas import equation, index_text
from cnnc.view.unfold.forward_page import input_grids, pads_of
from cnnc.view.unfold.gradient_sums import GradientTerm, gradient_array, gradient_of, layer_gradients
from cnnc.view.unfold.grids import grids_of, mark
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.steps import MAX_STEPS, around


def backward_page(
    layer: LayerNumbers, gradient: Array, weight_at: Axes | None = None, element_at: Axes | None = None
) -> Page:
    """The gradients of a layer: one step per weight, then one per input element.

    The current step is that of the weight `weight_at` or of the element `element_at`, or the first.
    """
    sums = layer_gradients(layer, gradient)
    steps = [_weight_step(layer, index, terms) for index, terms in sums.of_weights.items()]
    steps += [_element_step(layer, index, terms) for index, terms in sums.of_elements.items()]
    current = list(sums.of_weights).index(weight_at) if weight_at is not None else 0
    if weight_at is None and element_at is not None:
        current = len(sums.of_weights) + list(sums.of_elements).index(element_at)
    shown = around(current, len(steps), MAX_STEPS)
    biases = (
        equation(
            f"dL/db({index_text(index, True)})",
            " + ".join(map(layer.factor, gs)),
            layer.text(added(gs)),
            is_close=isinstance(added(gs), float),
        )
        for index, gs in sums.of_biases.items()
    )
    notes = [line for lines in biases for line in lines]
    dx = gradient_array(layer.x.shape, sums.of_elements)
    dw = gradient_array(layer.weight.shape, sums.of_weights) if layer.weight is not None else None
    bands = _as_convolutions(layer, gradient, dw, dx) if _is_plain(layer) else _bands(layer, gradient, dw, dx)
    title = f"Gradients of {layer.op.keyword} {layer.op.brief()}"
    description = (
        "The gradient of each weight and of each input element is a sum over the outputs that they take part in."
    )
    return Page(
        title, description, bands, tuple(steps[n] for n in shown), current - shown.start, (*notes, *remarks(layer))
    )


def _is_plain(layer: LayerNumbers) -> bool:
    """Whether both gradients are correlations of one grid with another: one channel, and steps of 1."""
    op = layer.op
    if not isinstance(op, Conv) or layer.circular or op.flip or layer.type.rank > 2:
        return False
    ones = {*op.s, *op.d, len(layer.x), op.out}
    return ones == {1} and all(
        begin < r.e and end < r.e for (begin, end), r in zip(pads_of(layer), op.rules(layer.type), strict=True)
    )


def _as_convolutions(layer: LayerNumbers, gradient: Array, dw: Array | None, dx: Array) -> tuple[Band, ...]:
    """x ∗ dL/dS = dL/dw, and the padded dL/dS ∗ the turned kernel = dL/dx."""
    text, kernel = layer.text, layer.kernel_at((0,) * gradient.ndim)
    if dw is None or kernel is None:
        return ()
    around = [(0, 0), *((k - 1 - b, k - 1 - e) for k, (b, e) in zip(kernel.shape[1:], pads_of(layer), strict=True))]
    padded = np.full([m + b + e for m, (b, e) in zip(gradient.shape, around, strict=True)], Fraction(0), object)
    padded[tuple(slice(b, b + m) for m, (b, _) in zip(gradient.shape, around, strict=True))] = gradient
    begins = [begin for begin, _ in around]

    def role(index: Axes) -> CellRole:
        position = (i - begin for i, begin in zip(index, begins, strict=True))
        return "plain" if all(0 <= i < m for i, m in zip(position, gradient.shape, strict=True)) else "padding"

    turned = kernel[(slice(None), *(slice(None, None, -1) for _ in kernel.shape[1:]))]
    grown = [grid._replace(title="dL/dS, padded") for grid in grids_of("p", "", padded, text, role)]
    of_weights = (*input_grids(layer), *grids_of("g", "dL/dS", gradient, text), *grids_of("dw0,", "dL/dw", dw[0], text))
    of_inputs = (*grown, *grids_of("t", "turned kernel", turned, text), *grids_of("dx", "dL/dx", dx, text))
    return Band(of_weights, ("∗", "=")), Band(of_inputs, ("∗", "="))


def _bands(layer: LayerNumbers, gradient: Array, dw: Array | None, dx: Array) -> tuple[Band, ...]:
    """All tensors and their gradients."""
    text = layer.text
    bands = [Band((*input_grids(layer), *grids_of("g", "dL/dS", gradient, text)))]
    if layer.weight is not None and dw is not None:
        for o, (kernel, of_kernel) in enumerate(zip(layer.weight, dw, strict=True)):
            of = f" {o}," if len(layer.weight) > 1 else ""
            pairs = zip(
                grids_of(f"w{o},", f"kernel{of}", kernel, text),
                grids_of(f"dw{o},", f"dL/dw{of}", of_kernel, text),
                strict=True,
            )
            bands += [Band(pair, ("→",)) for pair in pairs]
    return (*bands, *(Band((grid,)) for grid in grids_of("dx", "dL/dx", dx, text)))


def _weight_step(layer: LayerNumbers, index: Axes, terms: list[GradientTerm]) -> Step:
    shown = index if _has_channels(layer) else index[2:]
    name = f"dL/dw({','.join(map(str, shown))})"
    begins = [begin for begin, _ in pads_of(layer)]
    shifted = (tuple(i + b for i, b in zip(term.element, (0, *begins), strict=True)) for term in terms)
    marks = [mark("x", cell, "read") for cell in shifted]
    marks += [mark("g", term.output, "read") for term in terms]
    marks.append(_of_kernel(mark("dw", index, "result"), "dw", index))
    return Step(name, _lines(layer, name, terms), tuple(marks))


def _of_kernel(marked: Mark, name: str, index: Axes) -> Mark:
    return mark(f"{name}{index[0]},", index[1:], marked.role)


def _has_channels(layer: LayerNumbers) -> bool:
    return layer.output_shape[0] > 1 or layer.x.shape[0] > 1


def _element_step(layer: LayerNumbers, index: Axes, terms: list[GradientTerm]) -> Step:
    name = f"dL/dx({index_text(index, layer.x.shape[0] > 1)})"
    marks = [mark("g", term.output, "read") for term in terms]
    marks += _marks_as_convolution(layer, index) if _is_plain(layer) else []
    marks += [_of_kernel(mark("w", term.weight, "weight"), "w", term.weight) for term in terms if term.weight]
    marks.append(mark("dx", index, "result"))
    return Step(name, _lines(layer, name, terms), tuple(marks))


def _marks_as_convolution(layer: LayerNumbers, element: Axes) -> list[Mark]:
    """The window of the padded dL/dS that the turned kernel lies on for dL/dx of an element."""
    op = layer.op
    assert isinstance(op, Conv)
    taps = list(np.ndindex(*op.k))
    window = [(0, *(i + a for i, a in zip(element[1:], tap, strict=True))) for tap in taps]
    return [mark("p", cell, "read") for cell in window] + [mark("t", (0, *tap), "weight") for tap in taps]


def _lines(layer: LayerNumbers, name: str, terms: list[GradientTerm]) -> tuple[str, ...]:
    value = gradient_of(terms)
    formula = " + ".join(f"{layer.factor(term.gradient)}·{layer.factor(term.factor)}" for term in terms) or "0"
    return equation(name, formula, layer.text(value), is_close=isinstance(value, float))


def remarks(layer: LayerNumbers) -> list[str]:
    """What the gradients of a convolution are in terms of convolutions."""
    op = layer.op
    if isinstance(op, Pool) and op.kind == "max":
        return ["The gradient of a maximum goes to its element, the first of equal ones."]
    if not isinstance(op, Conv) or layer.circular:
        return []
    strided, dilated = any(s != 1 for s in op.s), any(d != 1 for d in op.d)
    pads = pads_of(layer)
    around = sorted({r.e - 1 - n for r, sides in zip(op.rules(layer.type), pads, strict=True) for n in sides})
    padded = "padded" if len(around) > 1 or around[0] < 0 else f"padded by {around[0]}" if around[0] else ""
    prepared = " and ".join(filter(None, ("spread by the stride" if strided else "", padded)))
    how = f", {prepared}, correlated" if prepared else " correlated"
    kernel = ("kernel as given" if op.flip else "turned kernel") + (", dilated" if dilated else "")
    full = "" if any(b or e for b, e in pads) else ", which is the full correlation"
    with_stride = ", with the stride as its dilation" if strided else ""
    return [
        f"dL/dw is the input correlated with dL/dS{with_stride}.",
        f"dL/dx is dL/dS{how} with the {kernel}{full}.",
    ]
