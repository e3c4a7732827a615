"""A diagram as Mermaid text, which GitHub, GitLab and many editors draw.

In: a `Diagram`. Out: text. Boxes have numbered names; all that a source writes stands in quotes, with the characters that mean
something to Mermaid or HTML as codes.

    mermaid_text(diagram_of(graph))     # "%% drawn by cnnc\\nflowchart TD\\n  ..."
"""

from __future__ import annotations

import re

from cnnc.view.diagram.diagram import Diagram, DiagramGroup, DiagramNode
from cnnc.view.diagram.sized import counted
from cnnc.view.drawing import LayerRole
from cnnc.view.palette import FORMS, LIGHT
from cnnc.view.svg import number
from cnnc.view.text_width import shown_text

_FORMS: dict[LayerRole, tuple[str, str]] = {
    "end": ("([", "])"),
    "activation": ("(", ")"),
    "dropout": ("(", ")"),
    "merge": ("{{", "}}"),
    "block": ("[[", "]]"),
    "pool": ("[/", "\\]"),
}


def mermaid_text(diagram: Diagram) -> str:
    """The text of a diagram."""
    names = {node.name: f"n{i}" for i, node in enumerate(diagram.nodes)}
    frames = {name: f"g{i}" for i, name in enumerate(diagram.groups)}
    lines = ["%% drawn by cnnc", f"%% {shown_text(diagram.name)}: {diagram.description}", "flowchart TD"]
    indent = "  "
    for item in diagram.nested():
        if item is None:
            indent = indent[2:]
            lines.append(f"{indent}end")
        elif isinstance(item, DiagramGroup):
            lines.append(f'{indent}subgraph {frames[item.name]}["{quoted(item.label)}"]')
            indent += "  "
        else:
            lines.append(f"{indent}{names[item.name]}{_box(item)}")
    for edge in diagram.edges:
        label = f'|"{quoted(text)}"|' if (text := diagram.label_of(edge)) else ""
        lines.append(f"  {names[edge.source]} -->{label} {names[edge.target]}")
    for role in dict.fromkeys(node.role for node in diagram.nodes):
        look, form = LIGHT.look(role), FORMS[role]
        dash = f",stroke-dasharray:{' '.join(map(number, form.dash))}" if form.dash else ""
        lines.append(
            f"  classDef {role} fill:{look.fill},stroke:{look.line},color:{look.text},stroke-width:{number(form.width)}px{dash}"
        )
    return "\n".join(lines) + "\n"


def _box(node: DiagramNode) -> str:
    start, end = _FORMS.get(node.role, ("[", "]"))
    return f'{start}"{"<br>".join(map(quoted, box_lines(node)))}"{end}:::{node.role}'


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


def quoted(text: str) -> str:
    """A text for a string of Mermaid."""
    return re.sub(r"[^\w .,:=+*/()-]|^-", lambda found: "".join(f"#{ord(c)};" for c in found[0]), shown_text(text))
