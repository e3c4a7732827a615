"""`cnnc draw --style edges`: the units of a small 1-D network.

In: `DrawOptions`; `--at conv1:2` chooses unit 2 of conv1. Out: the content of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnc.cli.draw_options import DrawOptions
from cnnc.cli.picture_files import picture_bytes
from cnnc.cli.subject import read_network
from cnnc.diagnostics import CnncError, nearest

if TYPE_CHECKING:
    from cnnc.graph.graph import Graph


def units_file(options: DrawOptions) -> bytes:
    """The content of the file. Raises CnncError as `read_network` does, and E010 for a network that is not small and 1-D."""
    for option, given in (("--image", options.image is not None), ("--depth", options.depth is not None)):
        if given:
            raise CnncError.of("E010", f"{option} does not go with --style edges", help=f"leave {option} out")
    from cnnc.view.units import units_drawing

    assert options.source is not None
    graph = read_network(Path(options.source), options.settings).require_graph()
    return picture_bytes(units_drawing(graph, _unit(graph, options.at)), options.kind)


def _unit(graph: Graph, at: str | None) -> tuple[str, int] | None:
    """The layer and unit that `--at` names."""
    if at is None:
        return None
    name, _, text = at.partition(":")
    if name not in graph.by_name:
        close = nearest(name, graph.by_name) or graph.nodes[-1].name
        raise CnncError.of("E010", f"--at {at}: no layer is named {name}", help=f"`--at {close}:0`")
    size = graph.by_name[name].type.size
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < size):
        raise CnncError.of("E010", f"--at {at}: the units of {name} are 0 to {size - 1}", help=f"`--at {name}:0`")
    return name, int(text)
