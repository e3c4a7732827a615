"""`cnnc draw --style field`: the receptive field of one position of a layer, over an image.

In: `DrawOptions`. Out: the content of the file, or CnncError E010. An image of another size is scaled and cropped as
`cnnc predict` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnc.api.draw.layer import drawn_layer
from cnnc.api.draw.options import DrawOptions
from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.view.files import picture_bytes

if TYPE_CHECKING:
    from cnnc.graph.graph import Graph, Node
    from cnnc.network import Network


def field_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    from cnnc.graph.graph import needed_nodes
    from cnnc.view.field_page import field_page

    layer = drawn_layer(options, "--style field", _choices, ("depth",))
    graph, node = layer.graph, layer.node
    needed = needed_nodes(graph, [node.name])
    read = [n for n in needed if _is_drawable_input(n)]
    embedded = [] if read else [n for n in needed if _gives_axes(graph, n)]
    if embedded:  # words have no axis before they are embedded: the field is drawn from there on
        graph = graph.replace(nodes=tuple(n.replace(inputs=()) if n in embedded else n for n in graph.nodes))
        read = embedded
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
        help = f"leave --image out: {options.command(image=None)}"
        raise CnncError.of("E010", f"--image: {node.name} does not read an image", help=help)
    pixels, note = (None, "") if embedded else _pixels(options, layer.network, read[0])
    notes += [note] if note else []
    page = field_page(graph, node.name, position, read[0].name, pixels, tuple(map(options.words, notes)))
    return picture_bytes(page, options.kind)


def _is_drawable_input(node: Node) -> bool:
    return not node.inputs and len(node.type.spatial) in (1, 2)


def _gives_axes(graph: Graph, node: Node) -> bool:
    """Whether a layer turns vectors, such as words by number, into a sequence or an image."""
    is_drawable = len(node.type.spatial) in (1, 2)
    return bool(node.inputs) and is_drawable and not any(type.spatial for type in graph.input_types(node))


def _choices(graph: Graph) -> list[str]:
    """The layers that depend on a sequence or an image, or on words that have become one."""
    origins = {n.name for n in graph.nodes if _is_drawable_input(n) or _gives_axes(graph, n)}
    reached: dict[str, bool] = {}
    for node in graph.nodes:
        reached[node.name] = any(reached[name] or name in origins for name in node.inputs)
    return [n.name for n in graph.nodes if reached[n.name] and len(n.type.spatial) <= 2]


def _pixels(options: DrawOptions, network: Network, source: Node) -> tuple[Array | None, str]:
    """The pixels of the image, of an example of the data, or None; and a note on where they come from."""
    from cnnc.data.prediction_inputs import read_file
    from cnnc.training.trained import TrainedNetwork, input_specs, test_example

    trained = TrainedNetwork(network, {})
    if options.image is not None:
        read = read_file(options.image, [spec for spec in input_specs(trained) if spec.name == source.name])
        if not len(read):
            raise CnncError.of("E608", f"{options.image} has no examples", help="name another image with --image")
        name, values = options.image.name, read.feeds[source.name][0]
        first = f"The first of {len(read):,} examples is drawn." if len(read) > 1 else ""
        note = " ".join(filter(None, [f"Image: {name}.", read.note, first]))
    else:
        try:
            example = test_example(trained, 0, None, lambda line: None, download=False)
        except CnncError:
            return None, "--image IMAGE draws the field over an image."
        name, values = example.name, example.feeds[source.name][0]
        note = f"Image: {name}."
    if not np.isfinite(values).all():
        message = f"{name} holds numbers that are not finite"
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
