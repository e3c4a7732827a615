"""The layer, and the position in it, that `cnnc draw --at LAYER:Y,X` names.

In: `DrawOptions`. Out: `DrawnLayer`, or CnncError E010.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnc.api.draw.options import DrawOptions, require_absent
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


def drawn_layer(
    typed: DrawOptions, mode: str, choices: Callable[[Graph], list[str]], refused: tuple[str, ...]
) -> DrawnLayer:
    """The layer that --at names, one of the `choices` of a mode that does not take the `refused` options.

    Raises CnncError E010, and those of the network.
    """

    without: dict[str, Any] = dict.fromkeys(refused)
    options = typed._replace(**without)
    network = options.read()
    graph = network.require_graph()
    layers = choices(graph)
    if not layers:
        message = f"{mode} draws one or two axes, and no layer of {graph.name} reads those"
        help = f"{DrawOptions(options.source, settings=options.settings).command()} draws its layers"
        raise CnncError.of("E010", message, help=help)
    default = next((name for name in reversed(layers) if graph.by_name[name].type.spatial), layers[-1])
    listed = ", ".join(layers[:12]) + (f", ... ({len(layers)} layers)" if len(layers) > 12 else "")
    require_absent(typed._replace(at=options.at or default), mode, *refused)
    example = f"{options.command(at=default)}; layers: {listed}"
    if options.at is None:
        raise CnncError.of("E010", f"{mode} needs a layer", help=example)
    name, colon, place = options.at.partition(":")
    node = graph.by_name.get(name)
    if node is None:
        near = next((other for other in layers if other.endswith(f".{name}")), "") or nearest(name, layers)
        help = f"did you mean {near}? {options.command(at=near)}" if near else example
        raise CnncError.of("E010", f"no layer is named `{name}`", help=help)
    if not node.inputs:
        raise CnncError.of("E010", f"{name} is an input, not a layer that reads one", help=example)
    if name not in layers:
        reads = " and ".join(map(str, graph.input_types(node)))
        message = f"{mode} draws one or two axes, and {name} makes {node.type} of {reads}"
        raise CnncError.of("E010", message, help=example)
    return DrawnLayer(network, graph, node, _position(options, place, node) if colon else None)


def _position(options: DrawOptions, text: str, node: Node) -> Axes:
    """The position `Y,X`. Raises CnncError E010 outside the layer's output."""
    sizes = node.type.spatial
    middle = ",".join(str(size // 2) for size in sizes)
    example = options.command(at=f"{node.name}:{middle}" if sizes else node.name)
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text, re.ASCII):
        message = f"--at: `{text}` is not a position of {node.name}, which is {node.type}"
        raise CnncError.of("E010", message, help=f"for example {example}")
    position = tuple(int(word[:9]) for word in text.replace(" ", "").split(","))
    if len(position) != len(sizes) or any(i >= size for i, size in zip(position, sizes, strict=True)):
        names = ("position",) if len(sizes) == 1 else ("row", "column")
        legal = ", ".join(f"{name} 0 to {size - 1}" for name, size in zip(names, sizes, strict=False))
        message = f"--at: {node.name} is {node.type} and has no position {text}"
        raise CnncError.of("E010", message, help=f"{legal}, for example {example}" if sizes else example)
    return position
