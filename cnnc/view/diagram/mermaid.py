"""A diagram as Mermaid text, which GitHub, GitLab and many editors draw.

In: a `Diagram`. Out: text. Boxes have numbered names; all that a source writes stands in quotes, with the characters that mean
something to Mermaid or HTML as codes.

    mermaid_text(diagram_of(graph))     # "%% drawn by cnnc\\nflowchart TD\\n  ..."
"""

from __future__ import annotations

import re

from cnnc.view.diagram.diagram import Diagram, DiagramGroup, DiagramNode
from cnnc.view.diagram.diagram_text import TextForm, box_lines, diagram_lines
from cnnc.view.drawing import LayerRole
from cnnc.view.palette import FORMS, LIGHT
from cnnc.view.svg import number
from cnnc.view.text_width import shown_text

MOST_EDGES = 500
"""Mermaid refuses a diagram with this many edges or more, unless the page that draws it allows them."""

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
    lines = ["%% drawn by cnnc", f"%% {shown_text(diagram.name)}: {diagram.description}", "flowchart TD"]
    lines += diagram_lines(diagram, TextForm(_box, _frame, "end", _edge))
    for role in dict.fromkeys(node.role for node in diagram.nodes):
        look, form = LIGHT.look(role), FORMS[role]
        dash = f",stroke-dasharray:{' '.join(map(number, form.dash))}" if form.dash else ""
        lines.append(
            f"  classDef is_{role} fill:{look.fill},stroke:{look.line},color:{look.text},stroke-width:{number(form.width)}px{dash}"
        )
    return "\n".join(lines) + "\n"


def _box(name: str, node: DiagramNode) -> str:
    start, end = _FORMS.get(node.role, ("[", "]"))
    return f'{name}{start}"{"<br>".join(map(quoted, box_lines(node)))}"{end}:::is_{node.role}'


def _frame(number: int, group: DiagramGroup) -> tuple[str, ...]:
    return (f'subgraph g{number}["{quoted(group.label)}"]',)


def _edge(source: str, target: str, label: str) -> str:
    return f"{source} -->" + (f'|"{quoted(label)}"|' if label else "") + f" {target}"


def quoted(text: str) -> str:
    """A text for a string of Mermaid."""
    return re.sub(r"[^\w .,:=+*/()-]|^-", lambda found: "".join(f"#{ord(c)};" for c in found[0]), shown_text(text))
