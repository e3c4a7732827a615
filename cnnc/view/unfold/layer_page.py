"""A page on one output of a layer of a network: the window that it reads, the kernel, the products, and their sum.

In: a `LayerRun` and the index of an output; for a page to step through, those of several. Out: a `Page`. Of a layer that
reads many channels it shows those that contribute most, and says what it leaves out.

    layer_page(run, (3, 14, 20), [(3, 14, 20)], ["weights: runs/lenet5"])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.tensor import format_shape
from cnnc.ops import window
from cnnc.ops.dense import Fc
from cnnc.view.page import Band, Formulas, Outline, Page, Panel, Picture, Step
from cnnc.view.unfold.combine import power
from cnnc.view.unfold.elementwise import output_formula
from cnnc.view.unfold.formulas import (
    engine_line,
    equation,
    factor,
    label_of,
    number,
    summed,
)
from cnnc.view.unfold.forward_page import DESCRIPTIONS
from cnnc.view.unfold.layer_run import LayerRun, output_sum
from cnnc.view.unfold.planes import Plane, planes_of
from cnnc.view.unfold.sum_panels import (
    MAX_SIZE,
    PRODUCT,
    PlaneSum,
    TermText,
    grey,
    grid,
    is_plane,
    outline,
    product_band,
)
from cnnc.view.unfold.terms import TERMS, reads

MAX_LISTED = 16
"""The most elements of a maximum that are listed."""


def layer_page(
    run: LayerRun, at: Axes, positions: Sequence[Axes], heading: Sequence[str] = (), pictures: bool = False
) -> Page:
    """The page on output `at`, with a step for each of `positions`, one of which it is."""
    name, current = label_of(run.node.name, at), positions.index(at)
    top = layer_band(run, heading)
    if type(run.op) not in TERMS:
        steps = tuple(_formula_step(run, position) for position in positions)
        if len(positions) > 1:
            return Page(_title(run, at), "Each output is a formula of the layer's input.", (top,), steps, current)
        return Page(name, _joined(steps[current].lines[:-1]), (top,), steps, current)
    outputs = [_Output(run, position, pictures) for position in positions]
    shown = outputs[current]
    steps = tuple(output.step(len(positions) > 1) for output in outputs)
    described = _joined(shown.lines[:-1])
    if len(positions) > 1:
        name = _title(run, at)
        described = DESCRIPTIONS[shown.kind]
    return Page(name, described, (top, *shown.bands), steps, current, tuple(shown.notes))


def _title(run: LayerRun, at: Axes) -> str:
    """What the steps of a page have in common: `conv1, channel 3`."""
    return f"{run.node.name}, channel {at[0]}" if len(at) > 1 else run.node.name


def _joined(lines: Sequence[str]) -> str:
    """A broken formula as one line."""
    return " ".join(line.strip() for line in lines)


def layer_band(run: LayerRun, lines: Sequence[str]) -> Band:
    """The layer, its shapes, the rule of its output size, and more lines: what a page begins with."""
    op, shapes = run.op, " and ".join(format_shape(array.shape) for array in run.inputs)
    named = f"{op.keyword} {op.brief()}".rstrip()
    head = f"{run.node.name}: {named}, {shapes} -> {format_shape(run.output.shape)}"
    rules = getattr(op, "rules", None)
    sizes = window.explain(rules(run.types[0])) if rules is not None else []
    return Band((Formulas("layer", "", (head, *sizes, *lines)),))


def _formula_step(run: LayerRun, output: Axes) -> Step:
    formula = output_formula(run, output)
    name, result = label_of(run.node.name, output), number(formula.total)
    lines = [*equation(name, formula.text, result), engine_line(formula.engine, formula.difference)]
    return Step(name, tuple(lines), position=_place(output))


def _place(output: Axes) -> Axes:
    """The place of an output among those of its channel: its row and column, or its index in a sequence or vector."""
    return output[-2:] if len(output) > 2 else output[-1:]


class _Output:
    """One output: its bands, lines and notes."""

    def __init__(self, run: LayerRun, output: Axes, pictures: bool) -> None:
        self.run, self.output = run, output
        self.sum = output_sum(run, output)
        self.kind, self.number = self.sum.indices.kind, self.sum.indices.number
        self.name = label_of(run.node.name, output)
        planes = planes_of(reads(run.op, run.types[0], output), self.sum.terms)
        self.planes = [plane for plane in planes if plane.read] or planes  # a window may lie in the padding altogether
        self.laid_out = PlaneSum.of(self.planes, _term_text(self.kind, self.number))
        self.notes = self.laid_out.notes
        self.lines = self._lines()
        sums = [] if self.kind == "max" else [Band((Formulas("sum", "", tuple(self._sum_lines())),))]
        images = [Band(tuple(self._pictures()))] if pictures and is_plane(output) and run.x.ndim == 3 else []
        grids = [self._grids(slot, plane) for slot, plane in enumerate(self.laid_out.shown)]
        self.bands = (*images, *grids, *sums)

    def step(self, replaces: bool) -> Step:
        """The step of this output; it replaces the panels of others."""
        panels = tuple(panel for band in self.bands for panel in band.panels) if replaces else ()
        return Step(self.name, tuple(self.lines), (), panels, _place(self.output))

    def _grids(self, slot: int, plane: Plane) -> Band:
        read = self.run.node.inputs[0]
        if self.kind == "sum":
            return product_band(slot, plane, (read, self._weight_title(plane)))
        title = f"{read}, {plane.label}" if plane.label else read
        shown = grid(f"x{slot}", title, plane.cropped(MAX_SIZE), lambda term: term.x)
        if self.kind == "max":
            cells = plane.cropped(MAX_SIZE).terms
            largest = [(i, j) for i, row in enumerate(cells) for j, t in enumerate(row) if t and t.x == self.sum.total]
            rows = [list(row) for row in shown.cells]
            for i, j in largest[:1]:
                rows[i][j] = rows[i][j]._replace(role="result")
            shown = shown._replace(cells=tuple(map(tuple, rows)))
        return Band((shown,))

    def _weight_title(self, plane: Plane) -> str:
        """`weight (3,0)`: the indices of the weight that the grid shares."""
        term = next((t for row in plane.terms for t in row if t is not None), None)
        if term is None or term.weight is None:
            return "kernel"
        if isinstance(self.run.op, Fc):
            return f"weight ({term.weight[0]})"
        turned = "turned " if getattr(self.run.op, "flip", False) else ""
        return f"{turned}weight ({','.join(map(str, term.weight[: len(term.weight) - min(2, self.run.x.ndim - 1)]))})"

    def _pictures(self) -> list[Panel]:
        channel, row, column = self.output
        x, node = self.run.x, self.run.node
        largest = self.planes[0].key[0] if self.planes else 0
        outlines = tuple(outline(plane.rows, plane.columns) for plane in self.planes[:1])
        is_rgb = x.shape[0] == 3 and x.min() >= 0 and x.max() <= 1
        pixels = grey(np.moveaxis(x, 0, -1), 0, 1) if is_rgb else grey(x[largest])
        title = node.inputs[0] if is_rgb or len(x) == 1 else f"{node.inputs[0]}, channel {largest}"
        return [
            Picture("input", title, pixels, outlines),
            Picture(
                "output",
                f"{node.name}, channel {channel}",
                grey(self.run.output[channel]),
                (Outline(row, column, 1, 1, "result"),),
            ),
        ]

    def _sum_lines(self) -> list[str]:
        lines = self.laid_out.lines
        return [*lines, f"bias: {number(self.sum.bias)}"] if self.sum.bias is not None else lines

    def _lines(self) -> list[str]:
        """The output as its last step gives it, and the engine's number."""
        parts = self.laid_out.parts + ([self.sum.bias] if self.sum.bias is not None else [])
        added, total = summed(parts), number(self.sum.total)
        match self.kind:
            case "max":
                read = [term.x for term in self.sum.terms if term.element is not None]
                added = f"max({', '.join(map(number, read))})"
                added = added if len(read) <= MAX_LISTED else f"the largest of {len(read):,} elements"
            case "mean":
                added = f"{factor(parts[0])}/{self.number}" if parts else "0"
            case "norm":
                added = f"√{added}" if self.number == 2 else f"({added})^(1/{self.number})"
        engine = engine_line(self.sum.engine, self.sum.difference, self.sum.rounding)
        return [*equation(self.name, added, total), engine]


def _term_text(kind: str, n: int) -> TermText:
    """What a term adds to the sum from which the last step begins."""
    if kind == "mean":
        return TermText(lambda term: term.x, lambda term: factor(term.x))
    if kind == "norm" and n == 2:
        return TermText(lambda term: term.x**2, lambda term: f"{factor(term.x)}²")
    if kind == "norm":
        return TermText(lambda term: power(term.x, n), lambda term: f"|{number(term.x)}|^{n}")
    return PRODUCT if kind == "sum" else PRODUCT._replace(name="element")
