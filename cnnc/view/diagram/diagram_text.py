"""A diagram as lines of text: one walk for Mermaid and DOT, which say only how each line is written.

In: a `Diagram` and a `TextForm`. Out: lines, indented within frames. Boxes are named n0, n1, ...; frames have numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from cnnc.view.diagram.diagram import Diagram, DiagramGroup, DiagramNode
from cnnc.view.diagram.sized import counted


class TextForm(NamedTuple):
    """How a language writes a box, the lines that open a frame, the one that closes it, and an edge with its label ("" for none)."""

    box: Callable[[str, DiagramNode], str]
    frame: Callable[[int, DiagramGroup], tuple[str, ...]]
    end: str
    edge: Callable[[str, str, str], str]


def diagram_lines(diagram: Diagram, form: TextForm) -> Iterator[str]:
    """The boxes with their frames, then the edges."""
    names = {node.name: f"n{i}" for i, node in enumerate(diagram.nodes)}
    frames = {name: i for i, name in enumerate(diagram.groups)}
    indent = "  "
    for item in diagram.nested():
        if item is None:
            indent = indent[2:]
            yield indent + form.end
        elif isinstance(item, DiagramGroup):
            first, *rest = form.frame(frames[item.name], item)
            yield indent + first
            indent += "  "
            yield from (indent + line for line in rest)
        else:
            yield indent + form.box(names[item.name], item)
    for edge in diagram.edges:
        yield "  " + form.edge(names[edge.source], names[edge.target], diagram.label_of(edge))


def box_lines(node: DiagramNode) -> list[str]:
    """The lines of text in a box."""
    lines = [node.title]
    if node.short_name not in (node.title, "") and " " not in node.name:
        lines.append(node.name)
    if node.layers > 1 or node.role == "block":
        lines.append(counted(node.layers, "layer"))
    if node.owner:
        lines.append(f"parameters of {node.owner}")
    elif node.parameters:
        lines.append(counted(node.parameters, "parameter"))
    return lines
