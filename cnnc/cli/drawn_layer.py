"""The layer, and the position in it, that `cnnc draw --at LAYER:Y,X` names.

In: `DrawOptions`. Out: `DrawnLayer`, or CnncError E010.
"""

from __future__ import annotations

import re
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, NamedTuple

from cnnc.cli.draw_options import DrawOptions
from cnnc.core.arguments import Axes
from cnnc.diagnostics import CnncError, nearest

if TYPE_CHECKING:
    from cnnc.graph.graph import Graph, Node
    from cnnc.network import Network


class DrawnLayer(NamedTuple):
    """The layer of --at, and the position in it, if one was typed."""

    network: Network
    graph: Graph
    node: Node
    position: Axes | None


def drawn_layer(options: DrawOptions, mode: str) -> DrawnLayer:
    """The layer that --at names. Raises CnncError E010, and those of the network."""
    from cnnc.cli.subject import read_network

    source = options.source or ""
    network = read_network(Path(source), options.settings)
    graph = network.require_graph()
    layers = [node.name for node in graph.nodes if node.inputs]
    spatial = [node.name for node in graph.nodes if node.inputs and len(node.type.spatial) in (1, 2)]
    listed = ", ".join(layers[:12]) + (f", ... ({len(layers)} layers)" if len(layers) > 12 else "")
    if not spatial:
        message = f"{mode} draws one or two axes, and no layer of {graph.name} has those"
        raise CnncError.of("E010", message, help=f"`{join(['cnnc', 'draw', source])}` draws its layers")
    if options.at is None:
        command = join(["cnnc", "draw", source, *mode.split(), "--at", spatial[-1]])
        raise CnncError.of("E010", f"{mode} needs a layer", help=f"`{command}`; layers: {listed}")
    name, colon, place = options.at.partition(":")
    node = graph.by_name.get(name)
    if node is None:
        near = next((other for other in layers if other.endswith(f".{name}")), "") or nearest(name, layers)
        help = f"did you mean `--at {near}{colon}{place}`?" if near else f"layers: {listed}"
        raise CnncError.of("E010", f"no layer is named `{name}`", help=help)
    if not node.inputs:
        raise CnncError.of("E010", f"{name} is an input, not a layer that reads one", help=f"layers: {listed}")
    if len(node.type.spatial) > 2:
        raise CnncError.of(
            "E010", f"{mode} draws one or two axes, and {name} is {node.type}", help="choose another layer"
        )
    return DrawnLayer(network, graph, node, _position(place, node) if colon else None)


def _position(text: str, node: Node) -> Axes:
    """The position `Y,X`. Raises CnncError E010 outside the layer's output."""
    sizes = node.type.spatial
    middle = ",".join(str(size // 2) for size in sizes)
    at = f"--at {node.name}:{middle}" if sizes else f"--at {node.name}"
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text, re.ASCII):
        raise CnncError.of(
            "E010", f"--at: `{text}` is not a position of {node.name}, which is {node.type}", help=f"for example `{at}`"
        )
    position = tuple(int(word[:9]) for word in text.replace(" ", "").split(","))
    if len(position) != len(sizes) or any(i >= size for i, size in zip(position, sizes, strict=True)):
        names = ("position",) if len(sizes) == 1 else ("row", "column")
        legal = ", ".join(f"{name} 0 to {size - 1}" for name, size in zip(names, sizes, strict=False))
        message = f"--at: {node.name} is {node.type} and has no position {text}"
        raise CnncError.of("E010", message, help=f"{legal}, for example `{at}`" if sizes else f"write `{at}`")
    return position


def require_absent(options: DrawOptions, mode: str, *names: str) -> None:
    """Raises CnncError E010 for an option that a mode of `draw` does not take."""
    for name in names:
        if getattr(options, name) not in (None, (), False):
            option = "--set" if name == "settings" else f"--{name}"
            raise CnncError.of("E010", f"{option} does not go with {mode}", help=f"leave {option} out")
