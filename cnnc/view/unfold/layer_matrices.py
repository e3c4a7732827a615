"""A layer of a network as a matrix product: im2col and the Toeplitz matrix, whole where small, else the part around one output.

In: a `LayerRun` and the index of an output. Out: a `Page`. Of a large matrix it shows some outputs beside each other, and of
what they read one row of the input, the one that contributes most; the rest is one number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.diagnostics import CnncError
from cnnc.ops.conv import Conv
from cnnc.view.page import Band, Mark, Page, Step
from cnnc.view.unfold.formulas import (
    engine_line,
    equation,
    factor,
    label_of,
    number,
    summed,
)
from cnnc.view.unfold.grids import heat_grid
from cnnc.view.unfold.layer_page import layer_band
from cnnc.view.unfold.layer_run import LayerRun, OutputSum, WeightedElement, output_sum
from cnnc.view.unfold.matrices import im2col_page, toeplitz_page
from cnnc.view.unfold.planes import Plane, planes_of
from cnnc.view.unfold.steps import around, of_channel
from cnnc.view.unfold.terms import reads

SMALL = 1 << 10
"""The most entries of a matrix that is shown whole."""

OUTPUTS, ELEMENTS = 6, 12
"""The most outputs and the most input elements of the part that is shown of a larger one."""


def layer_toeplitz(run: LayerRun, at: Axes, heading: Sequence[str] = ()) -> Page:
    """W with h = W·x + b: one row per output, one column per input element. Raises CnncError E010 for a layer that is not linear."""
    if output_sum(run, at).indices.kind not in ("sum", "mean"):
        message = f"--toeplitz: {run.node.name} ({run.op.keyword} {run.op.brief()}) is not a product with a matrix"
        raise CnncError.of("E010", message, help="leave --toeplitz out")
    if run.output.size * run.x.size <= SMALL:
        return _with_heading(run, at, toeplitz_page(run.numbers, at), heading)
    part = _Part(run, at)
    rows = tuple(",".join(map(str, output.indices.output)) for output in part.outputs)
    columns = tuple(",".join(map(str, element)) for element in part.elements)
    w = heat_grid("W", "part of W", [part.factors(output) for output in part.outputs], rows, columns)
    x = heat_grid("x", f"{run.node.inputs[0]}, {part.name}", [[float(run.x[e])] for e in part.elements], columns)
    h = heat_grid("h", "part of h", [[part.sum_of(output)] for output in part.outputs])
    size = f"W has {run.output.size:,} rows, one per output, and {run.x.size:,} columns, one per input element"
    of = f" of channel {at[0]}" if len(at) > 1 else ""
    shown = f"the columns of {part.name} and the rows of {len(rows)} outputs{of} are shown"
    marks = tuple(Mark("W", part.row, j, "weight") for j in range(len(columns)) if part.read_at(part.row, j))
    flat = int(np.ravel_multi_index(at, run.output.shape))
    named = f"row {flat:,} of W times x"
    band = Band((w, x, h), ("·", "="))
    return part.page("h = W·x", named, band, (*marks, Mark("h", part.row, 0, "result")), (size, shown), heading)


def layer_im2col(run: LayerRun, at: Axes, heading: Sequence[str] = ()) -> Page:
    """The windows as columns of a matrix: kernel row · matrix. Raises CnncError E010 for a layer other than a convolution."""
    if not isinstance(run.op, Conv):
        message = f"--im2col shows a convolution; {run.node.name} is {run.op.keyword} {run.op.brief()}".rstrip()
        raise CnncError.of("E010", message, help="leave --im2col out")
    taps, positions = math.prod(run.weights["weight"].shape[1:]), math.prod(run.output.shape[1:])
    if max(len(run.output), taps) * max(taps, positions) <= SMALL and run.op.groups == 1:
        return _with_heading(run, at, im2col_page(run.numbers, at), heading)
    part = _Part(run, at)
    kernel_row = part.taps(part.outputs[part.row])
    heads = tuple(",".join(map(str, (weight or ())[1:])) for _, weight, _, _ in kernel_row)
    columns = tuple(",".join(map(str, output.indices.output[1:])) for output in part.outputs)
    windows = [part.taps(output) for output in part.outputs]
    kernel = heat_grid("kernel", f"part of kernel row {at[0]}", [[term.factor for term in kernel_row]], (), heads)
    rows = [[window[tap] for window in windows] for tap in range(len(kernel_row))]
    padding = [[term.element is None for term in row] for row in rows]
    elements = [[term.x for term in row] for row in rows]
    values = heat_grid("columns", "part of the columns", elements, heads, columns, padding)
    result = heat_grid("result", "part of the result", [[sum(t.value for t in window) for window in windows]])
    size = f"the matrix has {taps:,} rows, one per weight of the kernel, and {positions:,} columns, one per position"
    shown = (
        f"{len(heads)} rows, those that read {part.name} for {columns[part.row]}, and {len(columns)} columns are shown"
    )
    marks = tuple(Mark("columns", tap, part.row, "read") for tap in range(len(heads)))
    column = int(np.ravel_multi_index(at[1:], run.output.shape[1:]))
    named = f"kernel row {at[0]} times column {column:,}"
    band = Band((kernel, values, result), ("·", "="))
    return part.page("im2col", named, band, (*marks, Mark("result", 0, part.row, "result")), (size, shown), heading)


def _with_heading(run: LayerRun, at: Axes, page: Page, heading: Sequence[str]) -> Page:
    output = output_sum(run, at)
    engine = f"{label_of(run.node.name, at)}: {engine_line(output.engine, output.difference, output.rounding)}"
    return page._replace(bands=(layer_band(run, [*heading, engine]), *page.bands))


class _Place(NamedTuple):
    """A row of the input: its key (channel, and depth of a volume) and its index."""

    key: Axes
    row: int


class _Part:
    """Some outputs around one, and one row of what they read."""

    def __init__(self, run: LayerRun, at: Axes) -> None:
        self.run, self.at = run, at
        positions = of_channel(run.output.shape, at)
        shown = around(positions.index(at), len(positions), OUTPUTS)
        self.row = positions.index(at) - shown.start
        self.outputs = [output_sum(run, positions[n]) for n in shown]
        self.place = self._largest_row()
        read = [element for output in self.outputs for element in self._elements(output)]
        inside = [e for e in dict.fromkeys(sorted(read)) if 0 <= e[-1] < run.x.shape[-1]]
        own = [e for e in self._elements(self.outputs[self.row]) if e in inside]
        start = max(0, min(inside.index(own[0]) if own else 0, len(inside) - ELEMENTS))
        self.elements = inside[start : start + ELEMENTS]

    @property
    def name(self) -> str:
        """`row 13 of channel 0`."""
        names = ("channel", "depth")
        of = " ".join(f"{name} {index}" for name, index in zip(names, self.place.key, strict=False))
        row = f"row {self.place.row}" if self.run.x.ndim > 2 else ""
        return " of ".join(filter(None, [row, of])) or "the input"

    def _largest_row(self) -> _Place:
        output = self.outputs[self.row]
        plane = _planes_in_data(self.run, self.at, output)[0]
        height = self.run.x.shape[-2] if self.run.x.ndim > 2 else 1
        rows = [(plane.rows[i], row) for i, row in enumerate(plane.terms) if 0 <= plane.rows[i] < height]
        sizes = [sum(abs(term.value) for term in row if term is not None) for _, row in rows]
        return _Place(plane.key, rows[int(np.argmax(sizes))][0] if rows else plane.rows[0])

    def _pairs(self, output: OutputSum) -> list[tuple[Axes, WeightedElement]]:
        """The elements of the row that an output reads, with their terms; padding is outside of the input."""
        elements = reads(self.run.op, self.run.types[0], output.indices.output)
        key, row = self.place
        begin = (*key, row) if self.run.x.ndim > 2 else key
        pairs = zip(elements, output.terms, strict=True)
        return [(element, term) for element, term in pairs if element[: len(begin)] == begin]

    def _elements(self, output: OutputSum) -> list[Axes]:
        return [element for element, _ in self._pairs(output)]

    def taps(self, output: OutputSum) -> list[WeightedElement]:
        """The terms of an output with the weights that the output `at` has in the row."""
        own = [term.weight for _, term in self._pairs(self.outputs[self.row])]
        by_weight = {term.weight: term for term in output.terms}
        return [by_weight[weight] for weight in own]

    def factors(self, output: OutputSum) -> list[float | None]:
        """A row of W: the factor of each element, None for a structural zero."""
        factors = {element: term.factor for element, term in self._pairs(output)}
        return [factors.get(element) for element in self.elements]

    def read_at(self, row: int, column: int) -> bool:
        """Whether an output reads an element."""
        return self.elements[column] in self._elements(self.outputs[row])

    def sum_of(self, output: OutputSum) -> float:
        """What the shown elements add to an output."""
        return sum(term.value for element, term in self._pairs(output) if element in self.elements)

    def page(
        self, title: str, named: str, band: Band, marks: tuple[Mark, ...], notes: Sequence[str], heading: Sequence[str]
    ) -> Page:
        """The page of a part; its step says what the whole row adds up to."""
        output, label = self.outputs[self.row], label_of(self.run.node.name, self.at)
        products = sum(term.value for term in output.terms)
        part = self.sum_of(output)
        bias = [] if output.bias is None else [output.bias]
        with_bias = f" + bias {factor(output.bias)}" if output.bias is not None else ""
        lines = [
            f"{label} = {named}{with_bias}",
            *equation(label, summed([part, products - part, *bias]), number(output.total)),
            engine_line(output.engine, output.difference, output.rounding),
        ]
        share = f"{number(part)} comes from the part that is shown, {number(products - part)} from the rest"
        return Page(
            title,
            lines[0],
            (layer_band(self.run, heading), band),
            (Step(label, tuple(lines), marks),),
            0,
            (*notes, f"of {label}, {share}"),
        )


def _planes_in_data(run: LayerRun, at: Axes, output: OutputSum) -> list[Plane]:
    """The planes that an output reads; those of a volume's padding come last."""
    planes = planes_of(reads(run.op, run.types[0], at), output.terms)
    if not planes:
        raise CnncError.of(
            "E010", f"no input element reaches {label_of(run.node.name, at)}", help="choose another with --at"
        )
    return sorted(planes, key=lambda plane: not plane.read)
