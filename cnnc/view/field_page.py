"""The receptive field of one position of a layer, as a page: over an image, layer by layer, and how strongly each pixel counts.

In: a graph, a layer, a position of it, and the pixels of an input (or None). Out: a `Page`. Fields are those of
`cnnc.graph.analysis`; how strongly a pixel counts is its number of paths to the position, as if all weights were alike.

    field_page(graph, "conv2", (4, 4), "input1", pixels)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import format_shape
from cnnc.graph.analysis import ReceptiveField, receptive_fields
from cnnc.graph.graph import Graph, needed_nodes
from cnnc.view.coverage import Paths, paths, positions
from cnnc.view.coverage_page import counts_panel
from cnnc.view.fields import Interval, field_at
from cnnc.view.page import Band, Cell, Formulas, Grid, Outline, Page, Panel, Picture
from cnnc.view.shades import Pixels, score_pixels

MOST_LAYERS = 8
_ROW = 12
"""The height of a long sequence, drawn as an image."""
_SIDE, _LARGE = 280, 450
"""The side of the images of the layers between, of which three stand in a row, and of the two of the field."""


class LayerField(NamedTuple):
    """A layer between the input and the position: which of its positions are read, and the field of the middle one."""

    name: str
    read: tuple[Interval, ...]
    middle: Axes
    fields: tuple[ReceptiveField, ...]
    interval: tuple[Interval, ...]


def fields_between(graph: Graph, name: str, at: Axes, through: Mapping[str, Paths]) -> list[LayerField]:
    """The layers on the way to a position, in order, where the field changes; the last is the layer itself."""
    every = receptive_fields(graph)
    result: list[LayerField] = []
    for node in needed_nodes(graph, [name]):
        if not node.inputs or node.name not in through or (not node.type.spatial and node.name != name):
            continue
        counts = through[node.name].counts
        read = tuple(_bounds(counts, axis) for axis in range(counts.ndim))
        middle = at if node.name == name else tuple((i.first + i.last) // 2 for i in read)
        fields = every[node.name]
        if node.name == name or not result or result[-1].fields != fields:
            result.append(LayerField(node.name, read, middle, fields, field_at(fields, middle)))
    return result


def _bounds(counts: Array, axis: int) -> Interval:
    others = tuple(a for a in range(counts.ndim) if a != axis)
    used = np.flatnonzero(counts.max(others) > 0)
    return Interval(int(used[0]), int(used[-1])) if used.size else Interval(0, 0)


def field_page(
    graph: Graph, name: str, at: Axes, source: str, pixels: Pixels | None, notes: tuple[str, ...] = ()
) -> Page:
    """The page of a position; `source` is the input that is drawn, `pixels` its image."""
    node, sizes = graph.by_name[name], graph.by_name[source].type.spatial
    through = paths(graph, name, positions(node.type, at))
    layers = fields_between(graph, name, at, through)
    target = layers[-1].interval
    counts, exponent = through[source]
    where = f"{name} {_position(at)}".strip()
    over = _input_panel("image", f"field of {where}", counts, pixels, target)
    relative = counts_panel("paths", f"paths to {where}", counts, exponent)
    if isinstance(relative, Picture):
        relative = relative._replace(pixels=_paths_pixels(counts), outlines=(_outline(target),), side=_LARGE)
    bands = [Band((over, relative)), Band((Formulas("layers", "layer by layer", _table(layers, sizes)),))]
    between = _spread(layers[:-1])
    if between and pixels is not None and len(sizes) == 2:
        bands.append(
            Band(
                tuple(
                    Picture(
                        f"field-{each.name}",
                        f"{each.name} {_position(each.middle)}",
                        pixels,
                        (_outline(each.interval),),
                        side=_SIDE,
                    )
                    for each in between
                )
            )
        )
    description = f"One output of {name} depends on {_size(target)} elements of {source}."
    return Page(f"Receptive field of {where}", description, tuple(bands), (), 0, (_clipping(target, sizes), *notes))


def _position(at: Axes) -> str:
    return f"({', '.join(map(str, at))})" if at else ""


def _size(interval: tuple[Interval, ...]) -> str:
    return format_shape(tuple(each.size for each in interval))


def _clipping(interval: tuple[Interval, ...], sizes: Axes) -> str:
    """Where the field lies, and how much of it is padding."""
    names = ("element",) if len(sizes) == 1 else ("row", "column")
    spans = ", ".join(f"{name}s {each.first} to {each.last}" for name, each in zip(names, interval, strict=True))
    total = int(np.prod([each.size for each in interval]))
    within = int(np.prod([each.inside(size) for each, size in zip(interval, sizes, strict=True)]))
    cut = f"; {total - within:,} of its {total:,} elements lie beyond the border, in padding" if within < total else ""
    return f"The field is {_size(interval)}: {spans}{cut}."


def _outline(interval: tuple[Interval, ...]) -> Outline:
    if len(interval) == 1:
        return Outline(0, interval[0].first, _ROW, interval[0].size)
    return Outline(interval[0].first, interval[1].first, interval[0].size, interval[1].size)


def _spread(layers: list[LayerField]) -> list[LayerField]:
    """At most MOST_LAYERS of the layers, the last among them, at equal distances."""
    count = min(len(layers), MOST_LAYERS)
    return [layers[len(layers) - 1 - (len(layers) * i) // count] for i in reversed(range(count))]


def _paths_pixels(counts: Array) -> Pixels:
    """Counts relative to the largest, brighter where larger."""
    shades = score_pixels(2 * np.atleast_2d(counts) / (counts.max() or 1) - 1)
    return np.repeat(shades, _ROW, 0) if counts.ndim == 1 else shades


def _input_panel(name: str, title: str, counts: Array, pixels: Pixels | None, interval: tuple[Interval, ...]) -> Panel:
    """The image with the field around its pixels; without an image, a grid or a plain area."""
    rows = np.atleast_2d(counts)
    if pixels is not None:
        return Picture(name, title, pixels, (_outline(interval),), side=_LARGE)
    if max(rows.shape) > 24:
        plain = np.full((_ROW if counts.ndim == 1 else rows.shape[0], rows.shape[1]), 225, np.uint8)
        return Picture(name, title, plain, (_outline(interval),))
    spans = interval if len(interval) == 2 else (Interval(0, 0), *interval)

    def cell(i: int, j: int) -> Cell:
        read = spans[0].first <= i <= spans[0].last and spans[1].first <= j <= spans[1].last
        return Cell(" ", "read" if read else "plain")

    cells = tuple(tuple(cell(i, j) for j in range(rows.shape[1])) for i in range(rows.shape[0]))
    heads = tuple(map(str, range(rows.shape[0]))) if counts.ndim == 2 else ()
    return Grid(name, title, cells, heads, tuple(map(str, range(rows.shape[1]))))


def _table(layers: list[LayerField], sizes: Axes) -> tuple[str, ...]:
    """One line per layer: which of its positions are read, the size and step of its field, and where that of the middle lies."""
    heads = ("layer", "positions read", "field", "step", "field of the middle one", "in padding")
    rows = [heads]
    for layer in layers:
        read = " ".join(_span(each) for each in layer.read) or "all"
        step = " ".join(dict.fromkeys(str(field.step) for field in layer.fields))
        total = int(np.prod([each.size for each in layer.interval]))
        within = int(np.prod([each.inside(size) for each, size in zip(layer.interval, sizes, strict=True)]))
        lies = " ".join(_span(each) for each in layer.interval)
        rows.append(
            (layer.name, read, _size(layer.interval), step, lies, f"{total - within:,}" if within < total else "")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return tuple("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _span(interval: Interval) -> str:
    return f"{interval.first}..{interval.last}" if interval.size > 1 else str(interval.first)
