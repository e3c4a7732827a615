"""The units of a small 1-D network and the edges between them, as textbooks draw sparse connectivity and shared weights.

In: a `Graph` whose activations are vectors or sequences, and optionally one unit. Out: a `Drawing`. One edge per entry of a layer's matrix.

    units_drawing(graph, ("conv1", 2))     # all units that affect unit 2 of conv1, and all that it affects
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.core.arguments import Axes
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, Node
from cnnc.ops.merge import Add, Concat
from cnnc.view.drawing import Drawing, Edge, Label, Marker, Role, Shape
from cnnc.view.labels import MARGIN, SMALL, TITLE, TextColumn
from cnnc.view.text_width import text_width
from cnnc.view.unfold.terms import TERMS, terms

MOST_UNITS, MOST_EDGES = 40, 1000
"""The most units in a layer and edges in a drawing that are told apart."""
STEP, UNIT, COLUMN = 30, 18, 130

Point = tuple[float, float]


class UnitEdge(NamedTuple):
    """An edge from unit `start` of a layer to unit `end` of the next; `weight` is its index in the layer's weight."""

    source: str
    start: int
    target: str
    end: int
    weight: Axes | None = None


def unit_edges(graph: Graph) -> list[UnitEdge]:
    """All edges. Raises CnncError E010 for a network whose units cannot be drawn."""
    for node in graph.nodes:
        if node.type.rank > 1:
            message = f"--style edges draws vectors and sequences: {node.name} is {node.type}"
            raise CnncError.of("E010", message)
        if node.type.size > MOST_UNITS:
            message = f"{node.name} has {node.type.size:,} units; --style edges draws at most {MOST_UNITS} per layer"
            raise CnncError.of("E010", message)
    edges: list[UnitEdge] = []
    for node in graph.nodes:
        edges += _edges_of(graph, node) if node.inputs else ()
        if len(edges) > MOST_EDGES:
            message = f"more than {MOST_EDGES:,} edges up to {node.name}; --style edges draws at most {MOST_EDGES:,}"
            raise CnncError.of("E010", message)
    return edges


def _edges_of(graph: Graph, node: Node) -> list[UnitEdge]:
    types = graph.input_types(node)
    if type(node.op) in TERMS:
        length = node.type.size // node.type.channels
        width = types[0].size // types[0].channels
        edges = []
        for unit in range(node.type.size):
            index = (unit // length, unit % length)[: len(node.type.shape)]
            for term in terms(node.op, types[0], index).terms:
                if term.element is not None:
                    start = term.element[0] * width + (term.element[1] if len(term.element) > 1 else 0)
                    edges.append(UnitEdge(node.inputs[0], start, node.name, unit, term.weight))
        return edges
    if isinstance(node.op, Concat) and sum(t.size for t in types) == node.type.size:
        pairs = [(name, unit) for name, of in zip(node.inputs, types, strict=True) for unit in range(of.size)]
        return [UnitEdge(name, unit, node.name, end) for end, (name, unit) in enumerate(pairs)]
    if isinstance(node.op, Add) or (len(types) == 1 and types[0].size == node.type.size):
        units = range(node.type.size)
        return [UnitEdge(name, unit, node.name, unit) for name in dict.fromkeys(node.inputs) for unit in units]
    message = f"--style edges does not draw the layer {node.name} ({node.op.keyword})"
    raise CnncError.of("E010", message)


def affecting(edges: list[UnitEdge], at: tuple[str, int]) -> set[tuple[str, int]]:
    """The units that affect a unit, itself included; edges are in topological order."""
    units = {at}
    for edge in reversed(edges):
        if (edge.target, edge.end) in units:
            units.add((edge.source, edge.start))
    return units


def affected(edges: list[UnitEdge], at: tuple[str, int]) -> set[tuple[str, int]]:
    """The units that a unit affects, itself included."""
    units = {at}
    for edge in edges:
        if (edge.source, edge.start) in units:
            units.add((edge.target, edge.end))
    return units


def units_drawing(graph: Graph, at: tuple[str, int] | None = None) -> Drawing:
    """The drawing. Without a unit, the edges of one shared weight of each convolution are marked. Raises CnncError as `unit_edges`."""
    edges = unit_edges(graph)
    titles = {node.name: f"{node.name}: {node.op.keyword} {node.op.brief()}".strip() for node in graph.nodes}
    width = max(COLUMN, *(text_width(title, SMALL) + 24 for title in titles.values()))
    xs = {node.name: MARGIN + width * (i + 0.5) for i, node in enumerate(graph.nodes)}
    right = MARGIN + width * len(graph.nodes)
    head = TextColumn(MARGIN, max(right - MARGIN, 420))
    head.add(graph.name, "title", TITLE)
    top, most = head.y + 40, max(node.type.size for node in graph.nodes)
    columns = {node.name: i for i, node in enumerate(graph.nodes)}
    skips = any(columns[edge.target] - columns[edge.source] > 1 for edge in edges)
    rows = {node.name: (most - node.type.size) // 2 if skips else (most - node.type.size) / 2 for node in graph.nodes}
    places = {
        (node.name, unit): (xs[node.name], top + STEP * (unit + rows[node.name] + 0.5))
        for node in graph.nodes
        for unit in range(node.type.size)
    }
    below = affecting(edges, at) if at else set()
    above = affected(edges, at) if at else set()
    shared = _shared_weights(edges) if at is None else {}
    lines: list[tuple[int, Edge]] = []
    for edge in edges:
        start, end = (edge.source, edge.start), (edge.target, edge.end)
        role: Role = "faint" if at else "plain"
        if end in below:
            role = "read"
        elif start in above:
            role = "weight"
        elif edge.weight is not None and shared.get(edge.target) == edge.weight:
            role = "series2"
        hint = f"{edge.source}[{edge.start}] to {edge.target}[{edge.end}]"
        span = columns[edge.target] - columns[edge.source]
        points = _line(places[start], places[end], width, span)
        lines.append((role not in ("plain", "faint"), Edge(points, role, hint=hint, corner=6)))
    shapes: list[Shape] = [line for _, line in sorted(lines, key=lambda pair: pair[0])]
    for unit, (x, y) in places.items():
        role = "result" if unit == at else "read" if unit in below else "weight" if unit in above else "plain"
        form = {"result": "diamond", "read": "square", "weight": "triangle"}.get(role, "circle")
        shapes.append(Marker(x, y, form, role, UNIT, f"{unit[0]}[{unit[1]}]"))  # type: ignore[arg-type]
    shapes += [Label(xs[name], head.y + 20, title, "middle", "text", SMALL) for name, title in titles.items()]
    notes = TextColumn(top + STEP * most + 16, max(right - MARGIN, 420))
    if at:
        squares = "; squares: the units that affect it" if len(below) > 1 else ""
        triangles = "; triangles: those it affects" if len(above) > 1 else ""
        notes.add(f"diamond: unit {at[1]} of {at[0]}{squares}{triangles}", "note", SMALL)
    elif shared:
        notes.add(f"dashed: edges that share one weight ({', '.join(shared)})", "note", SMALL)
    if skips:
        notes.add("lines between rows: skips, which pass layers by", "note", SMALL)
    description = f"{len(places)} units and {len(edges)} edges"
    drawn_width = max(right + MARGIN, 420 + 2 * MARGIN)
    return Drawing(drawn_width, notes.y + MARGIN, graph.name, description, (*head.labels, *shapes, *notes.labels))


def _line(start: Point, end: Point, width: float, span: int) -> tuple[Point, ...]:
    """A line between units; one that passes layers by runs between two rows of units."""
    if span <= 1:
        return start, end
    between = start[1] + STEP / 2
    return start, (start[0] + width - UNIT, between), (end[0] - width + UNIT, between), end


def _shared_weights(edges: list[UnitEdge]) -> dict[str, Axes]:
    """For each layer with shared weights, the one with the most edges (the first of equal ones)."""
    counts: dict[str, dict[Axes, int]] = {}
    for edge in edges:
        if edge.weight is not None:
            of_layer = counts.setdefault(edge.target, {})
            of_layer[edge.weight] = of_layer.get(edge.weight, 0) + 1
    return {name: max(of, key=of.__getitem__) for name, of in counts.items() if max(of.values()) > 1}
