"""Pages that show how the outputs of a layer come about: its input, kernel and output as grids, and one step per output.

In: `LayerNumbers`. Out: a `Page`. Example: `forward_page(layer, (0, 0, 1))` is the convolution of a matrix with a kernel, with the
window of output (0, 1) marked and its sum as the formula of the step.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.window import AxisRule, Geometry
from cnnc.view.page import Band, CellRole, Grid, Page, Step
from cnnc.view.unfold.formulas import equation, index_text
from cnnc.view.unfold.grids import grids_of, mark
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.steps import steps_around
from cnnc.view.unfold.terms import Sum, reads

MAX_PLANES = 8
"""The most channels whose grids are shown."""

LARGE = 12
"""From this many rows or columns on, a padded input has its indices beside it, and so does a longer vector."""

DESCRIPTIONS = {
    "sum": "Each output is a sum of products of weights and input elements.",
    "mean": "Each output is the mean of the elements of its window.",
    "max": "Each output is the largest element of its window.",
    "norm": "Each output is the norm of the elements of its window.",
}

MANY_TERMS = 8
"""From this many terms on, a sum over several channels has one line per channel."""


def forward_page(layer: LayerNumbers, at: Axes | None = None, title: str = "") -> Page:
    """The layer's input, kernel and output. The current step is that of output `at` (channel, *position), or the first."""
    y = layer.outputs()
    shown, current = steps_around(list(layer.positions()), at)
    steps = tuple(_step(layer, position, y[position]) for position in shown)
    bands, notes = _bands(layer, y, shown[current])
    if is_turned(layer):
        bands = (Band(tuple(_given_kernels(layer))), *bands)
        notes = [TURNED, *notes]
    title = title or f"{layer.op.keyword} {layer.op.brief()}"
    return Page(
        title,
        DESCRIPTIONS[layer.sum_at(shown[current]).kind],
        bands,
        steps,
        current,
        (*notes, *_facts(layer)),
    )


def _facts(layer: LayerNumbers) -> list[str]:
    """The formulas of the output's size and the number of parameters, and warnings such as that of a stride that does not fit."""
    advice = [advised.message for advised in layer.op.advice(layer.type)] if not layer.circular else []
    return [*layer.op.explain(layer.type), *(f"{text[:1].upper()}{text[1:]}." for text in advice)]


TURNED = (
    "True convolution: the kernel is turned by 180° before it is laid over the input, as scipy.signal.convolve does."
)


def is_turned(layer: LayerNumbers) -> bool:
    """Whether the layer is a true convolution, which turns its kernel."""
    return isinstance(layer.op, Conv) and layer.op.flip


def _given_kernels(layer: LayerNumbers) -> list[Grid]:
    """The kernels as they are stored, before they are turned."""
    weights = layer.weight if layer.weight is not None else np.empty((0,))
    several = len(weights) > 1
    return [
        grid
        for o, weight in enumerate(weights)
        for grid in grids_of(f"given{o},", f"kernel {o}," if several else "kernel", weight, layer.text)
    ][:MAX_PLANES]


def _bands(layer: LayerNumbers, y: Array, current: Axes) -> tuple[tuple[Band, ...], list[str]]:
    channels = sorted({channel for channel, *_ in reads(layer.op, layer.type, current)} or {0})
    inputs = [grid for grid in input_grids(layer) if int(grid.name[1:].split(",")[0]) in channels]
    kernels, outputs = kernel_grids(layer, current), grids_of("y", "output", y, layer.text)
    notes = [
        f"{MAX_PLANES} of the {len(grids)} grids of the {name} are shown."
        for name, grids in (("input", inputs), ("output", outputs))
        if len(grids) > MAX_PLANES
    ]
    inputs, kernels, outputs = inputs[:MAX_PLANES], kernels[:MAX_PLANES], outputs[:MAX_PLANES]
    sign = "∗ᵀ" if isinstance(layer.op, ConvTranspose) else "∗"
    if not kernels:  # each output channel is pooled from one input channel
        return tuple(Band(pair, ("→",)) for pair in zip(inputs, outputs, strict=False)), notes
    if len(inputs) == len(kernels) == len(outputs) == 1:
        return (Band((*inputs, *kernels, *outputs), (sign, "=")),), notes
    rows = [Band(pair, (sign,)) for pair in zip(inputs, kernels, strict=False)]
    return (*rows, Band(tuple(outputs))), notes


def _step(layer: LayerNumbers, output: Axes, value: Any) -> Step:
    marks = [mark("x", position, "read") for position in read_cells(layer, output)]
    marks.append(mark("y", output, "result"))
    same_kernel = layer.output_shape[0] == 1 and isinstance(layer.op, Conv | ConvTranspose)
    panels = () if same_kernel else tuple(kernel_grids(layer, output))
    return Step(output_name(layer, output), formula_lines(layer, output, value), tuple(marks), panels, output[-2:])


def read_cells(layer: LayerNumbers, output: Axes) -> list[Axes]:
    """The cells of the padded input that an output reads."""
    begins = [begin for begin, _ in pads_of(layer)]
    return [
        (c, *(i + b for i, b in zip(position, begins, strict=True)))
        for c, *position in reads(layer.op, layer.type, output)
    ]


# --- formulas --------------------------------------------------------------------------------------------------------


def output_name(layer: LayerNumbers, output: Axes) -> str:
    """`S(0,1)`; with its channel first where the layer has several: `S(2,0,1)`."""
    return f"S({index_text(output, layer.output_shape[0] > 1)})"


def formula_lines(layer: LayerNumbers, output: Axes, value: Any) -> tuple[str, ...]:
    """`S(0,1) = 3·1 + (-1)·0 = 3`; of a long sum over several channels, one line per channel and then their sum."""
    total, name, is_close = layer.sum_at(output), output_name(layer, output), isinstance(value, float)
    by_channel: dict[int, list[Any]] = {}
    for term in total.terms:
        if term.element is not None:
            by_channel.setdefault(term.element[0], []).append(term)
    if total.kind != "sum" or len(by_channel) < 2 or len(output) == 1 or len(total.terms) <= MANY_TERMS:
        return equation(name, layer.formula(total), layer.text(value), is_close=is_close)
    lines: list[str] = []
    parts = []
    for channel, terms in by_channel.items():
        part = Sum(output, tuple(terms))
        parts.append(layer.value(part))
        lines += equation(f"channel {channel}:", layer.formula(part), layer.text(parts[-1]), "", is_close)
    bias = layer.bias_of(total)
    if bias is not None:
        parts.append(bias)
        lines.append(f"bias: {layer.text(bias)}")
    return (*lines, *equation(name, " + ".join(map(layer.factor, parts)), layer.text(value), is_close=is_close))


# --- grids -----------------------------------------------------------------------------------------------------------


def pads_of(layer: LayerNumbers) -> list[tuple[int, int]]:
    """The padding that windows read at the beginning and end of each axis."""
    rules = getattr(layer.op, "rules", lambda x: ())(layer.type)
    if not rules or not isinstance(rules[0], AxisRule):
        return [(0, 0)] * layer.type.rank
    return list(Geometry.of(rules).pads)


def input_grids(layer: LayerNumbers) -> list[Grid]:
    """The input, with its padding around it."""
    pads, sizes = pads_of(layer), layer.type.spatial
    if not any(begin or end for begin, end in pads):
        return grids_of("x", "input", layer.x, layer.text)
    shape = (layer.x.shape[0], *(m + begin + end for m, (begin, end) in zip(sizes, pads, strict=True)))

    def position_of(index: Axes) -> Axes:
        return tuple(i - begin for i, (begin, _) in zip(index[1:], pads, strict=True))

    def is_data(index: Axes) -> bool:
        return all(0 <= i < m for i, m in zip(position_of(index), sizes, strict=True))

    def role(index: Axes) -> CellRole:
        return "plain" if is_data(index) else "padding"

    padded = np.empty(shape, object)
    for index in product(*map(range, shape)):
        wrapped = (index[0], *(i % m for i, m in zip(position_of(index), sizes, strict=True)))
        padded[index] = layer.x[wrapped] if layer.circular or is_data(index) else 0
    suffix = ", repeated" if layer.circular else ", padded"
    grids = grids_of("x", "input", padded, layer.text, role, sizes, suffix)
    if max(shape[-2:]) <= LARGE:
        return grids
    along = [tuple(str(i - begin) for i in range(m)) for m, (begin, _) in zip(shape[1:], pads, strict=True)]
    beside = along[-2] if len(along) > 1 else ()
    return [grid._replace(row_heads=beside, column_heads=along[-1]) for grid in grids]


def kernel_grids(layer: LayerNumbers, output: Axes) -> list[Grid]:
    """The kernel of one output as it lies on the input: turned if the layer is a true convolution."""
    kernel = layer.kernel_at(output)
    if kernel is None:
        return []
    name = "turned kernel" if is_turned(layer) else "weights" if layer.weight is None else "kernel"
    return grids_of("w", f"{name} {output[0]}," if layer.output_shape[0] > 1 else name, kernel, layer.text)
