"""`cnnc draw --style edges`: the units of a small 1-D network.

In: `DrawOptions`; `--at conv1:2` chooses unit 2 of conv1. Out: the content of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnc.api.draw.options import DrawOptions, Style, require_absent
from cnnc.diagnostics import CnncError, nearest
from cnnc.view.files import picture_bytes

if TYPE_CHECKING:
    from cnnc.graph.graph import Graph


def units_file(options: DrawOptions) -> bytes:
    """The content of the file. Raises CnncError as `read_network` does, and E010 for a network that is not small and 1-D."""
    require_absent(options, "--style edges", "image", "depth")
    from cnnc.view.units import units_drawing

    graph = options.read().require_graph()
    unit = _unit(graph, options)
    try:
        return picture_bytes(units_drawing(graph, unit), options.kind)
    except CnncError as error:
        help = f"draw feature maps: {options.command(style=Style.volumes, at=None)}"
        raise CnncError(error.diagnostics[0]._replace(help=help)) from None


def _unit(graph: Graph, options: DrawOptions) -> tuple[str, int] | None:
    """The layer and unit that `--at` names."""
    at = options.at
    if at is None:
        return None
    name, _, text = at.partition(":")
    if name not in graph.by_name:
        close = nearest(name, graph.by_name) or graph.nodes[-1].name
        help = options.command(at=f"{close}:0")
        raise CnncError.of("E010", f"--at {at}: no layer is named {name}", help=help)
    size = graph.by_name[name].type.size
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < size):
        help = options.command(at=f"{name}:0")
        raise CnncError.of("E010", f"--at {at}: the units of {name} are 0 to {size - 1}", help=help)
    return name, int(text)
