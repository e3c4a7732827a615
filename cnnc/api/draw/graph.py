"""`cnnc draw --style graph`: layers and edges as a drawing, or as text for Mermaid and Graphviz.

In: `DrawOptions`. Out: the content of the file. By default, blocks of a large network are folded (`usual_depth`); HTML holds
one drawing per depth to switch between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnnc.api.draw.options import DrawOptions, require_absent
from cnnc.view.files import picture_bytes

if TYPE_CHECKING:
    from cnnc.network import Network
    from cnnc.view.diagram.diagram import Diagram


def graph_file(options: DrawOptions) -> bytes:
    """The content of the file. Raises CnncError as `read_network` does, and E010 for options of other styles."""
    require_absent(options, "--style graph", "at", "image")
    from cnnc.view.diagram.diagram import diagram_of, usual_depth

    network = options.read()
    graph = network.require_graph()
    shapes = _symbolic_shapes(network)
    depth = options.depth if options.depth is not None else usual_depth(graph)
    diagram = diagram_of(graph, depth, shapes)
    notes = _notes(diagram)
    if options.depth is None:
        for note in notes:
            options.report(note)
    match options.kind:
        case "mmd":
            from cnnc.view.diagram.mermaid import MOST_EDGES, mermaid_text

            if len(diagram.edges) >= MOST_EDGES:
                options.report(
                    f"{len(diagram.edges):,} edges: Mermaid draws fewer than {MOST_EDGES}, unless its page sets maxEdges"
                )
            return mermaid_text(diagram).encode()
        case "dot":
            from cnnc.view.diagram.dot import dot_text

            return dot_text(diagram).encode()
        case "html" if diagram.levels:
            return _foldable_page(network, diagram, shapes)
    from cnnc.view.diagram.drawn import diagram_drawing

    return picture_bytes(diagram_drawing(diagram, [*map(options.words, notes)]), options.kind)


def _foldable_page(network: Network, shown: Diagram, shapes: Mapping[str, str] | None) -> bytes:
    """A page with one drawing per depth, which begins with the one that was asked for."""
    from cnnc.view.diagram.diagram import diagram_of
    from cnnc.view.diagram.drawn import diagram_drawing
    from cnnc.view.html import drawings_html

    graph = network.require_graph()
    depths = [*range(1, shown.levels + 1), 0]
    drawings = {
        f"blocks folded at depth {depth}" if depth else "all layers": diagram_drawing(diagram_of(graph, depth, shapes))
        for depth in depths
    }
    current = depths.index(shown.depth) if shown.depth in depths else len(depths) - 1
    return drawings_html(drawings, current).encode()


def _symbolic_shapes(network: Network) -> dict[str, str] | None:
    """The shapes with symbols; None for a network without."""
    if network.symbolic_sizes is None:
        return None
    from cnnc.report.table import format_size

    return {row.name: format_size(row.shape) for row in network.layers}


def _notes(diagram: Diagram) -> list[str]:
    """What is folded, and the option that unfolds it."""
    folded = sum(node.role == "block" for node in diagram.nodes)
    if not folded:
        return []
    more = f"--depth {diagram.depth + 1} unfolds one level, " if diagram.depth < diagram.levels else ""
    return [f"{folded} block{'s are' if folded != 1 else ' is'} folded: {more}--depth 0 draws every layer"]
