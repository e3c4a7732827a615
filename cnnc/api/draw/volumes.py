"""`cnnc draw --style volumes`: feature maps to scale.

In: `DrawOptions`. Out: the content of the file. By default, blocks of a large network are folded.
"""

from __future__ import annotations

from cnnc.api.draw.options import DrawOptions, require_absent
from cnnc.view.files import picture_bytes

WIDE = 1600
"""A drawing that is wider than this does not fit most screens."""


def volumes_file(options: DrawOptions) -> bytes:
    """The content of the file. Raises CnncError as `read_network` does, and E010 for options of other styles."""
    require_absent(options, "--style volumes", "at", "image")
    from cnnc.report.table import format_size
    from cnnc.view.diagram.diagram import usual_depth
    from cnnc.view.volumes.drawn import volumes_drawing
    from cnnc.view.volumes.volumes import volumes_of

    network = options.read()
    graph = network.require_graph()
    is_symbolic = network.symbolic_sizes is not None
    shapes = {row.name: format_size(row.shape) for row in network.layers} if is_symbolic else None
    depth = usual_depth(graph) if options.depth is None else options.depth
    volumes = volumes_of(graph, depth, shapes)
    notes = ["sizes with symbols are drawn at one of their values"] if is_symbolic else []
    if volumes.folded:
        folded = f"{volumes.folded} block{'s are' if volumes.folded != 1 else ' is'} folded"
        notes.append(f"{folded}: --depth 0 draws every layer")
        if options.depth is None:
            options.report(notes[-1])
    drawing = volumes_drawing(volumes, [*map(options.words, notes)])
    if volumes.levels and not volumes.folded and drawing.width > WIDE:
        options.report(f"the drawing is {drawing.width:,.0f} pixels wide; without --depth, blocks are folded")
    return picture_bytes(drawing, options.kind)
