"""A diagram as a graph in DOT, which Graphviz draws.

In: a `Diagram`. Out: text. Boxes have numbered names; all that a source writes stands in quotes, with backslashes, quotes and
ampersands escaped.

    dot_text(diagram_of(graph))     # '// drawn by cnnc\\ndigraph "LeNet5" {\\n  ...'
"""

from __future__ import annotations

from cnnc.view.diagram.diagram import Diagram, DiagramGroup, DiagramNode
from cnnc.view.diagram.diagram_text import TextForm, box_lines, diagram_lines
from cnnc.view.drawing import LayerRole
from cnnc.view.palette import FORMS, LIGHT
from cnnc.view.svg import number
from cnnc.view.text_width import shown_text

_FORMS: dict[LayerRole, tuple[str, str]] = {
    "end": ("box", "rounded,filled"),
    "activation": ("box", "rounded,filled"),
    "dropout": ("box", "rounded,filled,dashed"),
    "merge": ("hexagon", "filled"),
    "block": ("box", "filled"),
    "pool": ("box", "filled,dashed"),
    "norm": ("box", "filled,dotted"),
    "reshape": ("box", "filled,dashed"),
}


def dot_text(diagram: Diagram) -> str:
    """The text of a diagram."""
    lines = [
        "// drawn by cnnc",
        f"digraph {quoted(diagram.name)} {{",
        f"  label={quoted(f'{diagram.name}: {diagram.description}')} labelloc=t fontname=Helvetica",
        '  node [fontname=Helvetica fontsize=11 margin="0.12,0.05"]',
        "  edge [fontname=Helvetica fontsize=10]",
    ]
    lines += diagram_lines(diagram, TextForm(_box, _frame, "}", _edge))
    return "\n".join([*lines, "}"]) + "\n"


def _frame(number: int, group: DiagramGroup) -> tuple[str, ...]:
    return f"subgraph cluster_{number} {{", f"label={quoted(group.label)} labeljust=l style=dotted fontsize=11"


def _edge(source: str, target: str, label: str) -> str:
    return f"{source} -> {target}" + (f" [label={quoted(label)}]" if label else "")


def _box(name: str, node: DiagramNode) -> str:
    look, form = LIGHT.look(node.role), FORMS[node.role]
    shape, style = _FORMS.get(node.role, ("box", "filled"))
    sides = " peripheries=2" if node.role == "block" else ""
    label = quoted("\n".join(box_lines(node)))
    return (
        f'{name} [label={label} shape={shape} style="{style}" fillcolor="{look.fill}" '
        f'color="{look.line}" fontcolor="{look.text}" penwidth={number(form.width)}{sides}]'
    )


def quoted(text: str) -> str:
    """A text as a string of DOT: lines are centred, and no escape or entity of the text itself means anything."""
    lines = [
        shown_text(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in text.split("\n")
    ]
    return '"' + "\\n".join(lines) + '"'
