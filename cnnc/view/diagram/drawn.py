"""A diagram as a drawing: title, boxes by kind of layer, frames, lines with arrowheads, shapes of tensors, and a legend.

In: a `Diagram`. Out: a `Drawing`. What a layer is, its text says; colour, border and corners repeat it.

    svg_text(diagram_drawing(diagram_of(graph)))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from cnnc.view.diagram.diagram import Diagram
from cnnc.view.diagram.far_ends import ROOM, far_lines, far_shapes
from cnnc.view.diagram.nested import DiagramLayout, PlacedBox, PlacedFrame, PlacedLine, layout_of
from cnnc.view.diagram.sized import NOTE, counted
from cnnc.view.drawing import Box, Drawing, Edge, Label, LayerRole, Shape
from cnnc.view.geometry import Point
from cnnc.view.labels import MARGIN, SMALL, TITLE, TextColumn
from cnnc.view.text_width import text_width

CORNER = 6
"""The radius of the bends of lines."""
_CORNERS: dict[LayerRole, float] = {
    "end": 12.5,
    "activation": 12.5,
    "merge": 6,
    "block": 4,
    "frame": 6,
    "dropout": 12.5,
}
_WORDS: dict[LayerRole, str] = {
    "end": "input, output",
    "conv": "convolution",
    "dense": "fully connected, embedding",
    "pool": "pooling, upsampling",
    "norm": "normalization",
    "activation": "activation",
    "merge": "merge",
    "dropout": "dropout",
    "reshape": "reshaping",
    "block": "folded block",
    "frame": "block",
}
_LEAST = 420
_NEAR = 8
"""The lines of a tensor come in the order of their ends: the one that shares most with a line is among the last ones before it."""


def diagram_drawing(diagram: Diagram, notes: Sequence[str] = ()) -> Drawing:
    """The drawing; `notes` are sentences below the title."""
    layout = layout_of(diagram)
    layout = layout._replace(shapes=[*layout.shapes, *far_shapes(layout, diagram)])
    width = max(layout.width, _LEAST)
    head = TextColumn(MARGIN, width)
    head.add(diagram.name, "title", TITLE, after=2)
    for note in (_totals(diagram), *notes):
        head.add(note, "note", SMALL)
    moved = layout.moved(MARGIN + (width - layout.width) / 2, head.y + ROOM)
    shape = {(edge.tensor, edge.target): edge.shape for edge in diagram.edges}
    ends = [(line.tensor, line.target) for line in far_lines(layout)]
    hints = {end: f"{end[0]} to {end[1]}: {shape[end]}" for end in ends}
    shapes: list[Shape] = [*head.labels, *_shapes(moved, hints)]
    legend, bottom = _legend(diagram, layout, head.y + ROOM + layout.height + 22, width)
    return Drawing(width + 2 * MARGIN, bottom + MARGIN, diagram.name, diagram.description, (*shapes, *legend))


def _totals(diagram: Diagram) -> str:
    return f"{counted(diagram.layers, 'layer')}, {counted(diagram.parameters, 'parameter')}"


def _shapes(layout: DiagramLayout, hints: Mapping[tuple[str, str], str]) -> list[Shape]:
    shapes: list[Shape] = []
    for frame in layout.frames:
        shapes += _frame(frame)
    for line in _branches(layout):
        shapes.append(Edge(line.points, "note", line.arrow, hints.get((line.tensor, line.target), ""), CORNER))
    for box in layout.boxes:
        shapes += _box(box)
    shapes += [Label(s.x, s.y, s.text, "start", "note", NOTE) for s in layout.shapes]
    return shapes


def _branches(layout: DiagramLayout) -> Iterator[PlacedLine]:
    """The lines, each from shortly before it leaves the others of its tensor: what they share is drawn once."""
    drawn: dict[tuple[str, Point], list[tuple[Point, ...]]] = {}
    for line in layout.lines:
        others = drawn.setdefault((line.tensor, line.points[0]), [])
        rests = [_rest(line.points, other) for other in others[-_NEAR:]]
        others.append(line.points)
        yield line._replace(points=min(rests, key=_length, default=line.points))


def _rest(line: tuple[Point, ...], other: tuple[Point, ...]) -> tuple[Point, ...]:
    """What is left of a line that begins as another one does, from the length of a bend before the two part."""
    index = 0
    while index + 2 < min(len(line), len(other)) and line[index + 1] == other[index + 1]:
        index += 1
    (x, y), (to_x, to_y) = line[index], line[index + 1]
    other_x, other_y = other[index + 1]
    along = min(abs(to_x - x) + abs(to_y - y), abs(other_x - x) + abs(other_y - y))
    is_same_way = (to_x == x == other_x and (to_y - y) * (other_y - y) > 0) or (
        to_y == y == other_y and (to_x - x) * (other_x - x) > 0
    )
    if is_same_way:
        step = max(0.0, along - CORNER) / (abs(to_x - x) + abs(to_y - y))
        return (x + (to_x - x) * step, y + (to_y - y) * step), *line[index + 1 :]
    if index:
        return (_before(line[index], line[index - 1]), *line[index:])
    return line


def _before(point: Point, previous: Point) -> Point:
    """The point at the length of a bend before another one."""
    length = _length((previous, point))
    share = min(1.0, CORNER / length) if length else 0.0
    return point[0] + (previous[0] - point[0]) * share, point[1] + (previous[1] - point[1]) * share


def _length(points: Sequence[Point]) -> float:
    return sum(abs(x1 - x0) + abs(y1 - y0) for (x0, y0), (x1, y1) in pairwise(points))


def _frame(frame: PlacedFrame) -> list[Shape]:
    group, texts = frame.group, frame.texts
    hint = f"{group.name}: {counted(group.layers, 'layer')}, {counted(group.parameters, 'parameter')}"
    y = frame.y + 15
    shapes: list[Shape] = [
        Box(frame.x, frame.y, frame.width, frame.height, "frame", hint=hint, corner=_CORNERS["frame"]),
        Label(frame.x + 9, y, texts.left, "start", "title", NOTE),
    ]
    if texts.right:
        shapes.append(Label(frame.x + frame.width - 9, y, texts.right, "end", "note", NOTE))
    return shapes


def _box(box: PlacedBox) -> list[Shape]:
    node = box.node
    corner = _CORNERS.get(node.role, 0)
    count = [counted(node.parameters, "parameter")] if node.parameters else []
    hint = ", ".join([node.name, node.title, *node.details, *count])
    shapes: list[Shape] = [Box(box.x, box.y, box.width, box.sized.height, node.role, hint=hint, corner=corner)]
    if node.role == "block":
        inner = Box(box.x + 3, box.y + 3, box.width - 6, box.sized.height - 6, node.role, hint=hint, corner=corner - 2)
        shapes.append(inner)
    return [*shapes, *box.sized.labels(box.x, box.y, box.width, node)]


def _legend(diagram: Diagram, layout: DiagramLayout, y: float, width: float) -> tuple[list[Shape], float]:
    """A sample of each kind of box, in rows; and their lower edge."""
    present = {node.role for node in diagram.nodes} | ({"frame"} if layout.frames else set())
    shapes: list[Shape] = []
    x: float = MARGIN
    for role, word in _WORDS.items():
        if role not in present:
            continue
        needed = 22 + 7 + text_width(word, SMALL)
        if x > MARGIN and x + needed > MARGIN + width:
            x, y = MARGIN, y + 22
        shapes.append(Box(x, y, 22, 14, role, corner=min(7, _CORNERS.get(role, 0))))
        if role == "block":
            shapes.append(Box(x + 3, y + 3, 16, 8, role, corner=2))
        shapes.append(Label(x + 29, y + 11.5, word, "start", "note", SMALL))
        x += needed + 20
    return shapes, y + 14
