"""A window that moves over its input, as a page: which elements each position reads, and how the output fills.

In: a layer with windows and the type of its input, of one channel on one or two axes. Out: a `Page` with one step per
position. What a position reads comes from the terms of the layer, its output size from the layer's rule.

    window_page(Conv.make(2, out=1, k=(3, 3)), TensorType((1, 5, 5)), "conv k=3").steps     # 9 steps

A transposed convolution is shown as the convolution that it is equal to: over the input with zeros between its elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from cnnc.core.arguments import Axes
from cnnc.core.tensor import TensorType, format_shape
from cnnc.ops.conv import ConvTranspose
from cnnc.ops.pool import Pool
from cnnc.ops.window import AxisRule, TransposedRule, axis_names, explain
from cnnc.view.page import Band, Cell, CellRole, Formulas, Grid, Page, Step
from cnnc.view.unfold.terms import inside, reads, terms


class AxisFrame(NamedTuple):
    """One axis of the area that the window moves over: its size, the place of input element 0, the distance of elements.

    `first` is where the window of output 0 begins, `stride` its step, `dilation` the distance of its taps.
    """

    size: int
    zero: int
    spacing: int
    first: int
    stride: int
    dilation: int

    def element(self, place: int) -> int | None:
        """The index of the input element at a place, or before and behind the input; None between two elements."""
        index, rest = divmod(place - self.zero, self.spacing)
        return None if rest else index


def axis_frame(rule: AxisRule | TransposedRule) -> AxisFrame:
    """The frame of one axis."""
    if isinstance(rule, AxisRule):
        last = max(rule.end, (rule.out - 1) * rule.s + rule.e - rule.m - rule.begin)
        return AxisFrame(rule.begin + rule.m + last, rule.begin, 1, 0, rule.s, rule.d)
    before = rule.e - 1 - rule.begin  # negative where padding cuts elements off
    zero, length = max(before, 0), (rule.m - 1) * rule.s + 1
    first = zero - before
    return AxisFrame(max(first + rule.out - 1 + rule.e, zero + length), zero, rule.s, first, 1, rule.d)


class Reading(NamedTuple):
    """What one position does: its output, the places of its taps, and for each the number of its tap, 0 for padding."""

    output: Axes
    taps: tuple[tuple[Axes, int], ...]

    @property
    def inside(self) -> int:
        """How many taps lie on elements of the input."""
        return sum(tap > 0 for _, tap in self.taps)


def readings(op: Any, x: TensorType) -> list[Reading]:
    """What each position reads, in the order of the outputs."""
    rules = op.rules(x)
    frames = [axis_frame(rule) for rule in rules]
    result = []
    for position in product(*(range(rule.out) for rule in rules)):
        numbers = {}
        for index, term in enumerate(terms(op, x, (0, *position)).terms):
            if term.element is not None:
                tap = term.weight[-len(rules) :] if term.weight is not None else None
                numbers[term.element[1:]] = _tap_number(tap, rules) if tap is not None else index + 1
        taps = []
        for tap in product(*(range(rule.k) for rule in rules)):
            place = tuple(
                f.first + i * f.stride + a * f.dilation for f, i, a in zip(frames, position, tap, strict=True)
            )
            element = tuple(f.element(n) for f, n in zip(frames, place, strict=True))
            taps.append((place, numbers.get(element, 0)))  # type: ignore[arg-type]
        result.append(Reading(position, tuple(taps)))
    return result


def _tap_number(tap: Axes, rules: Sequence[AxisRule | TransposedRule]) -> int:
    number = 0
    for a, rule in zip(tap, rules, strict=True):
        number = number * rule.k + a
    return number + 1


def position_count(op: Any, x: TensorType) -> int:
    """The number of positions of the window."""
    return math.prod(rule.out for rule in op.rules(x))


def frame_cells(op: Any, x: TensorType) -> int:
    """The number of cells that the window moves over, with padding."""
    return math.prod(axis_frame(rule).size for rule in op.rules(x))


def window_page(op: Any, x: TensorType, name: str) -> Page:
    """The page of a layer; `name` is what its title calls it."""
    rules = op.rules(x)
    every = readings(op, x)
    kernel = _kernel(op, x)
    source, out = _input(op, x), tuple(rule.out for rule in rules)
    steps = []
    for number, reading in enumerate(every):
        panels = (_with_window(source, reading, kernel is not None), _output(every, out, number))
        title = f"position {number + 1} of {len(every)}: output {_index(reading.output)}"
        steps.append(Step(title, _lines(op, rules, reading), (), panels, reading.output))
    middle = len(every) // 2
    bands = (
        Band((source, *([kernel] if kernel else []), _output(every, out, middle)), ("∗", "=") if kernel else ("→",)),
        Band((Formulas("rule", "output size", rule_lines(rules)),)),
    )
    description = (
        f"A window of {format_shape(tuple(rule.k for rule in rules))} moves over an input of {format_shape(x.spatial)}; "
        f"the output is {format_shape(out)}."
    )
    return Page(f"{name} on {format_shape(x.spatial)}", description, bands, tuple(steps), middle, _notes(op, x, every))


# The grids


def _input(op: Any, x: TensorType) -> Grid:
    """The input with its padding, and with the zeros between its elements."""
    frames = [axis_frame(rule) for rule in op.rules(x)]
    empty = "" if isinstance(op, Pool) and not op.count_pad else "0"
    rows = []
    for places in product(*(range(frame.size) for frame in frames)):
        elements = [frame.element(place) for frame, place in zip(frames, places, strict=True)]
        between = any(e is None for e in elements)
        within = all(
            0 <= (p - f.zero) <= (m - 1) * f.spacing for p, f, m in zip(places, frames, x.spatial, strict=True)
        )
        role: CellRole = "padding" if not within else "zero" if between else "plain"
        rows.append(Cell(" " if role == "plain" else empty, role))
    width = frames[-1].size
    cells = tuple(tuple(rows[n : n + width]) for n in range(0, len(rows), width))
    heads = [
        tuple(_head(frame, place, m) for place in range(frame.size)) for frame, m in zip(frames, x.spatial, strict=True)
    ]
    title = f"input {format_shape(x.spatial)}"
    padded = tuple(frame.size for frame in frames)
    if padded != x.spatial:
        title += f", in {format_shape(padded)}"
    return Grid("x", title, cells, heads[0] if len(heads) == 2 else (), heads[-1])


def _head(frame: AxisFrame, place: int, size: int) -> str:
    element = frame.element(place)
    return str(element) if element is not None and 0 <= element < size else ""


def _with_window(grid: Grid, reading: Reading, has_kernel: bool) -> Grid:
    """The input with the window over it: on elements, the number of the tap."""
    cells = [list(row) for row in grid.cells]
    for place, tap in reading.taps:
        row, column = (0, *place)[-2:]
        text = (str(tap) if has_kernel else " ") if tap else cells[row][column].text
        cells[row][column] = Cell(text, "read")
    return grid._replace(cells=tuple(map(tuple, cells)))


def _kernel(op: Any, x: TensorType) -> Grid | None:
    """The taps of a kernel with their numbers; None for a pool, all of whose taps are alike."""
    if isinstance(op, Pool):
        return None
    sizes = tuple(rule.k for rule in op.rules(x))
    width = sizes[-1]
    rows = tuple(
        tuple(Cell(str(first + j + 1), "weight") for j in range(width)) for first in range(0, math.prod(sizes), width)
    )
    return Grid(
        "w",
        f"kernel {format_shape(sizes)}",
        rows,
        note="its weights, numbered" + (", turned by 180°" if isinstance(op, ConvTranspose) else ""),
    )


def _output(every: Sequence[Reading], sizes: Axes, current: int) -> Grid:
    """The output after `current` positions: how many elements of the input each one reads."""
    width = sizes[-1]
    cells = []
    for number, reading in enumerate(every):
        role: CellRole = "result" if number == current else "plain" if number < current else "faint"
        cells.append(Cell(str(reading.inside) if number <= current else " ", role))
    rows = tuple(tuple(cells[n : n + width]) for n in range(0, len(cells), width))
    heads = tuple(tuple(map(str, range(size))) for size in sizes)
    note = "in each cell: how many elements of the input it reads"
    return Grid("y", f"output {format_shape(sizes)}", rows, heads[0] if len(sizes) == 2 else (), heads[-1], note)


# The texts


def _index(index: Axes) -> str:
    return f"({', '.join(map(str, index))})" if len(index) > 1 else str(index[0])


def _lines(op: Any, rules: Sequence[Any], reading: Reading) -> tuple[str, ...]:
    """Where the window begins, and what it reads."""
    names = {1: ("element",), 2: ("row", "column")}[len(rules)]
    total, within = len(reading.taps), reading.inside
    if isinstance(op, ConvTranspose):
        where = f"{within} of {total} weights meet an element; the others meet zeros"
        return (f"output {_index(reading.output)} = sum of weight · element", where)
    begins = ", ".join(
        f"{name} {i}·{rule.s} - {rule.begin} = {i * rule.s - rule.begin}"
        for name, i, rule in zip(names, reading.output, rules, strict=True)
    )
    where = f"it reads {within} of the input" + (f" and {total - within} of the padding" if within < total else "")
    return (f"the window begins at {begins}", where)


def rule_lines(rules: Sequence[AxisRule | TransposedRule]) -> tuple[str, ...]:
    """The rule of the output size in letters, then with its numbers, one line per axis that differs."""
    dilated = any(rule.d > 1 for rule in rules)
    pads = "2p" if all(rule.begin == rule.end for rule in rules) else "p_begin + p_end"
    kernel = "(d·(k - 1) + 1)" if dilated else "k"
    first = rules[0]
    if isinstance(first, TransposedRule):
        minus = "2p" if pads == "2p" else "p_begin - p_end"
        general = f"out = (m - 1)·s - {minus} + {kernel} + output_pad"
    else:
        general = f"out = {'ceil' if first.ceil else 'floor'}((m + {pads} - {kernel})/s) + 1"
    return (general, *explain(rules))


def _notes(op: Any, x: TensorType, every: Sequence[Reading]) -> tuple[str, ...]:
    """How often elements are read in all, and which are never read."""
    taps = len(every[0].taps)
    total, within = len(every) * taps, sum(reading.inside for reading in every)
    other = "zeros and padding" if isinstance(op, ConvTranspose) else "padding"
    each, all_, link = ("elements", "reads", "of") if isinstance(op, Pool) else ("weights", "products", "with")
    rest = f", {total - within:,} {link} {other}" if within < total else ""
    counted = f"{len(every):,} positions x {taps:,} {each} = {total:,} {all_}: {within:,} {link} the input{rest}."
    read = {e[1:] for r in every for e in reads(op, x, (0, *r.output)) if inside(e[1:], x.spatial)}
    unread = never_read(read, x.spatial)
    return (counted, *([unread] if unread else []))


def never_read(read: set[Axes], sizes: Axes) -> str:
    """Which elements are not among those that are read, in words: whole rows and columns, then how many others; "" for none."""
    missing = {index for index in product(*map(range, sizes)) if index not in read}
    if not missing:
        return ""
    parts = []
    names = {"height": "row", "width": "column"}
    covered: set[Axes] = set()
    for axis, name in enumerate(axis_names(len(sizes))):
        lines = [i for i in range(sizes[axis]) if not any(index[axis] == i for index in read)]
        covered.update(index for index in missing if index[axis] in lines)
        if lines:
            what = names.get(name, "element")
            parts.append(
                f"{what}{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines[:8]))}" + (", ..." * (len(lines) > 8))
            )
    others = len(missing - covered)
    if others:
        parts.append(f"{others:,} {'other ' if parts else ''}element{'s' if others > 1 else ''}")
    return f"Never read: {' and '.join(parts)}."
