"""The drawing of a network beside its text: SVG, and which box belongs to which line.

In: an analysis without errors. Out: `Preview`. The drawing is that of `cnnc draw`: large networks have their blocks folded.
A box stands for the line of its layer or, if it is a folded block, of the call; the lines within the block lead to it too.
"""

from __future__ import annotations

from typing import NamedTuple

from cnnc.editor.analysis import Analysis
from cnnc.graph.graph import Graph, Node
from cnnc.view.diagram.diagram import diagram_of, usual_depth
from cnnc.view.diagram.drawn import diagram_drawing
from cnnc.view.drawing import Box
from cnnc.view.svg import svg_text


class PreviewBox(NamedTuple):
    """A box of the drawing: its layer or block call, its rectangle, and the lines from 1, the one to jump to first."""

    name: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[int, ...]


class Preview(NamedTuple):
    """The drawing, and its boxes."""

    svg: str
    width: float
    height: float
    boxes: tuple[PreviewBox, ...]


def preview(analysis: Analysis, depth: int | None = None) -> Preview | None:
    """The drawing of a network; None if it has errors."""
    graph = analysis.network.graph
    if graph is None:
        return None
    shapes = None
    if analysis.network.symbolic_sizes is not None:
        shapes = {node.name: analysis.node_shape(node.name, node.type) for node in graph.nodes}
    diagram = diagram_of(graph, usual_depth(graph) if depth is None else depth, shapes)
    drawing = diagram_drawing(diagram)
    rectangles: dict[str, Box] = {}  # the hint of a box begins with its name; a folded block has two
    for shape in drawing.shapes:
        if isinstance(shape, Box) and shape.hint and shape.role != "frame":
            rectangles.setdefault(shape.hint.partition(",")[0], shape)
    lines = _lines(analysis, graph)
    boxes = []
    for node in diagram.nodes:
        if node.name in rectangles:
            box, name = rectangles[node.name], node.name.removeprefix("output of ")
            boxes.append(PreviewBox(name, box.x, box.y, box.width, box.height, lines.get(name, ())))
    return Preview(svg_text(drawing), drawing.width, drawing.height, tuple(boxes))


def _lines(analysis: Analysis, graph: Graph) -> dict[str, tuple[int, ...]]:
    """The lines of each layer and each block call in this file."""
    found: dict[str, tuple[int, ...]] = {}
    for node in graph.nodes:
        lines = _lines_of(analysis, node)
        found[node.name] = lines
        for level, call in enumerate(node.path):
            outer = [note.span for note in node.calls[: level + 1] if note.span.source is analysis.source]
            here = tuple(span.line for span in reversed(outer))
            found[call] = tuple(dict.fromkeys([*found.get(call, here), *lines]))
    return found


def _lines_of(analysis: Analysis, node: Node) -> tuple[int, ...]:
    """The line of a layer, then those of the block calls around it, innermost first."""
    spans = [node.span, *(note.span for note in reversed(node.calls))]
    return tuple(span.line for span in spans if span is not None and span.source is analysis.source)
