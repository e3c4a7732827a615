"""`cnnc draw --style field`: the receptive field of one position of a layer, over an image.

In: `DrawOptions`. Out: the content of the file, or CnncError E010. An image of another size is scaled and cropped as
`cnnc predict` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnc.cli.draw_options import DrawOptions
from cnnc.cli.drawn_layer import drawn_layer, require_absent
from cnnc.cli.picture_files import picture_bytes
from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.graph.graph import Graph, Node
    from cnnc.network import Network


def field_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    from cnnc.graph.graph import needed_nodes
    from cnnc.view.field_page import field_page

    require_absent(options, "--style field", "depth")
    layer = drawn_layer(options, "--style field")
    graph, node = layer.graph, layer.node
    needed = needed_nodes(graph, [node.name])
    read = [n for n in needed if n in graph.inputs and len(n.type.spatial) in (1, 2)]
    embedded = [] if read else _first_with_axes(graph, needed)
    if embedded:  # words have no axis before they are embedded: the field is drawn from there on
        graph = graph.replace(nodes=tuple(n.replace(inputs=()) if n in embedded else n for n in graph.nodes))
        read = embedded
    if not read or node in embedded:
        message = f"{node.name} reads no input with one or two axes"
        raise CnncError.of("E010", message, help="--style field draws the field in a sequence or an image")
    notes = []
    position = layer.position
    if position is None:
        position = tuple(size // 2 for size in node.type.spatial)
        if any(position):
            notes.append(
                f"The middle of {node.name}; `--at {node.name}:Y,X` chooses another position."
                if len(position) == 2
                else f"The middle of {node.name}; `--at {node.name}:X` chooses another position."
            )
    if len(read) > 1:
        notes.append(
            f"{node.name} also reads {', '.join(n.name for n in read[1:])}; the field is drawn in {read[0].name}."
        )
    if embedded and options.image is not None:
        raise CnncError.of("E010", f"--image: {node.name} does not read an image", help="leave --image out")
    pixels, note = (None, "") if embedded else _pixels(options, layer.network, read[0])
    notes += [note] if note else []
    return picture_bytes(field_page(graph, node.name, position, read[0].name, pixels, tuple(notes)), options.kind)


def _first_with_axes(graph: Graph, needed: list[Node]) -> list[Node]:
    """The layers that turn vectors, such as words by number, into sequences or images."""
    return [
        n
        for n in needed
        if n.inputs and len(n.type.spatial) in (1, 2) and not any(type.spatial for type in graph.input_types(n))
    ]


def _pixels(options: DrawOptions, network: Network, source: Node) -> tuple[Array | None, str]:
    """The pixels of the image, of an example of the data, or None; and a note on where they come from."""
    from cnnc.training.trained import TrainedNetwork, file_example, test_example

    trained = TrainedNetwork(network, {})
    if options.image is not None:
        example = file_example(trained, options.image)
        note = " ".join(filter(None, [f"Image: {options.image.name}.", example.note]))
    else:
        try:
            example = test_example(trained, 0, None, lambda line: None, download=False)
        except CnncError:
            return None, "--image IMAGE draws the field over an image."
        note = f"Image: {example.name}."
    values = example.feeds[source.name][0]
    if not np.isfinite(values).all():
        message = f"{options.image or example.name} holds numbers that are not finite"
        raise CnncError.of("E608", message, help="name another image with --image")
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
