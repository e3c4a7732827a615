"""`cnnc where`: finds the source line of a node or tensor of an exported model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.cli.console import layout, print_json, print_result
from cnnc.cli.options import json_option
from cnnc.report.layout import ColumnLayout, fitted

if TYPE_CHECKING:
    from cnnc.onnx.source_map import LocatedPart


def where(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model exported by cnnc.")],
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A node, tensor or layer. Without it: list all nodes.")
    ] = None,
    json: Annotated[bool, json_option("the position as a JSON object, or a list of all positions")] = False,
) -> None:
    """Show the source line that a node of a model comes from, and the block calls around it."""
    from cnnc.onnx.run.inspect import read_model
    from cnnc.onnx.source_map import locate, locate_nodes

    if name is not None:
        node = locate(read_model(model), name, str(model))
        print_json(_as_dict(node)) if json else print_result(_text(node))
        return
    nodes = locate_nodes(read_model(model), str(model))
    print_json([_as_dict(node) for node in nodes]) if json else print_result(_table(nodes))


def _text(part: LocatedPart) -> str:
    from cnnc.diagnostics import excerpt, one_line

    head = f"{part.name}: {part.what}"
    head += f" of the layer {part.position.layer}" if part.position.layer != part.name else ""
    screen = layout()
    return (
        f"{one_line(head)}\n{excerpt(part.position.span, part.position.calls, width=screen.width, shown=screen.shown)}"
    )


_COLUMNS = (
    ColumnLayout("", least=8, is_path=True),
    ColumnLayout("", least=4, drop=2),
    ColumnLayout("", least=8, is_path=True, drop=1),
    ColumnLayout("", least=8, is_path=True),
)


def _table(parts: list[LocatedPart]) -> str:
    rows = [(p.name, p.operator, p.position.layer, f"{p.position.span}:{p.position.span.column}") for p in parts]
    return "\n".join(fitted(_COLUMNS, rows, layout()))


def _as_dict(part: LocatedPart) -> dict[str, Any]:
    layer, span, calls = part.position
    return {
        "name": part.name,
        "what": part.what,
        "operator": part.operator or None,
        "layer": layer,
        "file": span.source.name,
        "line": span.line,
        "column": span.column,
        "text": span.text,
        "calls": [{"text": c.text, "file": c.span.source.name, "line": c.span.line} for c in calls],
    }
