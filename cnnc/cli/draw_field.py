"""`cnnc draw --style field`: the receptive field of one position of a layer, over an image.

In: `DrawOptions`. Out: the content of the file, or CnncError E010. An image of another size is scaled and cropped as
`cnnc predict` does.
"""

from __future__ import annotations

import re
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnc.cli.draw import DrawOptions
from cnnc.cli.draw_window import require_absent
from cnnc.cli.picture_files import picture_bytes
from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
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
    if options.at is None:
        command = join(["cnnc", "draw", source, *mode.split(), "--at", spatial[-1] if spatial else "LAYER"])
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


def field_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    from cnnc.graph.graph import needed_nodes
    from cnnc.view.field_page import field_page

    require_absent(options, "--style field", "depth")
    layer = drawn_layer(options, "--style field")
    graph, node = layer.graph, layer.node
    read = [n for n in needed_nodes(graph, [node.name]) if n in graph.inputs and len(n.type.spatial) in (1, 2)]
    if not read:
        message = f"{node.name} reads no input with one or two axes"
        raise CnncError.of("E010", message, help="--style field draws the field in a sequence or an image")
    notes = []
    position = layer.position
    if position is None:
        position = tuple(size // 2 for size in node.type.spatial)
        if position:
            notes.append(
                f"The middle of {node.name}; `--at {node.name}:Y,X` chooses another position."
                if len(position) == 2
                else f"The middle of {node.name}; `--at {node.name}:X` chooses another position."
            )
    if len(read) > 1:
        notes.append(
            f"{node.name} also reads {', '.join(n.name for n in read[1:])}; the field is drawn in {read[0].name}."
        )
    pixels, note = _pixels(options, layer.network, read[0])
    notes += [note] if note else []
    return picture_bytes(field_page(graph, node.name, position, read[0].name, pixels, tuple(notes)), options.kind)


def _pixels(options: DrawOptions, network: Network, source: Node) -> tuple[Array | None, str]:
    """The pixels of the image, of an example of the data, or None; and a note on where they come from."""
    from cnnc.training.trained import TrainedNetwork, file_example, test_example

    trained = TrainedNetwork(network, {})
    if options.image is not None:
        example = file_example(trained, options.image)
        note = " ".join(filter(None, [f"Image: {options.image.name}.", example.note]))
    else:
        try:
            example = test_example(trained, 0, None, lambda line: None)
        except CnncError:
            return None, "--image IMAGE draws the field over an image."
        note = f"Image: {example.name}."
    values = example.feeds[source.name][0]
    drawn = _image(values) if values.shape[1:] == source.type.spatial else None
    if drawn is None:
        return None, "The example is not an image of one or three channels."
    return drawn, note


def _image(values: Array) -> Array | None:
    """The pixels of an image or a sequence, stretched to the full range unless they are bytes."""
    if len(values) not in (1, 3):
        values = values[:1] if values.ndim == 2 else values
    if values.ndim not in (2, 3) or len(values) not in (1, 3):
        return None
    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        values = np.rint((values - low) / ((high - low) or 1) * 255).astype(np.uint8)
    if values.ndim == 2:
        return np.ascontiguousarray(np.repeat(values[:1], 12, 0))
    return np.ascontiguousarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0))
