"""A network as volumes: feature maps with the operations that make them.

In: a `Graph` and the depth to which blocks are unfolded. Out: `Volumes`. Element-wise layers of one input (relu, bn, dropout) are merged into
the volume before them.

    volumes_of(graph)     # the first volume of LeNet-5: Volume("input1", (1, 28, 28), "1@28x28", ("input",))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cnnc.graph.graph import Graph
from cnnc.ops.conv import Conv
from cnnc.ops.pool import Pool
from cnnc.view.diagram.diagram import DiagramNode, diagram_of

MERGED = ("activation", "norm", "dropout")


class Volume(NamedTuple):
    """Feature maps or a vector: its shape, the caption (`6@28x28`), and the operations that make it.

    `kernel` is the window, (height, width), of a convolution or pooling that makes it; () for other operations.
    """

    name: str
    shape: tuple[int, ...]
    caption: str
    operations: tuple[str, ...]
    kernel: tuple[int, ...] = ()


class Volumes(NamedTuple):
    """Volumes in topological order, and which volume each one reads, as pairs of names."""

    name: str
    items: tuple[Volume, ...]
    edges: tuple[tuple[str, str], ...]
    folded: int
    levels: int

    @property
    def sources(self) -> dict[str, list[str]]:
        """For each volume those it reads."""
        sources: dict[str, list[str]] = {volume.name: [] for volume in self.items}
        for source, target in self.edges:
            sources[target].append(source)
        return sources

    @property
    def skips(self) -> frozenset[tuple[str, str]]:
        """The edges whose target also reads their source through other volumes."""
        bits = {volume.name: 1 << i for i, volume in enumerate(self.items)}
        sources = self.sources
        ancestors: dict[str, int] = {}
        for name, before in sources.items():
            ancestors[name] = 0
            for source in before:
                ancestors[name] |= ancestors[source] | bits[source]
        return frozenset((s, t) for s, t in self.edges if any(ancestors[other] & bits[s] for other in sources[t]))


def caption_of(shape: str) -> str:
    """A shape as textbooks write it: `6@28x28` for `6x28x28`."""
    channels, cross, rest = shape.partition("x")
    return f"{channels}@{rest}" if cross else channels


def volumes_of(graph: Graph, depth: int = 0, shapes: Mapping[str, str] | None = None) -> Volumes:
    """The volumes of a graph; `shapes` are the output shapes as texts, where they depend on symbols."""
    shapes = shapes or {node.name: str(node.type) for node in graph.nodes}
    diagram = diagram_of(graph, depth, shapes)
    boxes = {box.name: box for box in diagram.nodes}
    last = {}
    for node in graph.nodes:
        last[node.name if node.name in boxes else node.path[depth - 1]] = node
    reads: dict[str, list[str]] = {name: [] for name in last}
    for edge in diagram.edges:
        if edge.target in reads:
            reads[edge.target].append(edge.source)
    within: dict[str, str] = {}
    items: dict[str, Volume] = {}
    edges: dict[tuple[str, str], None] = {}
    for name, node in last.items():
        box, sources = boxes[name], list(dict.fromkeys(within[source] for source in reads[name]))
        if box.role in MERGED and len(sources) == 1 and items[sources[0]].shape == node.type.shape:
            within[name] = sources[0]
            before = items[sources[0]]
            items[sources[0]] = before._replace(operations=(*before.operations, box.title))
            continue
        within[name] = name
        kernel = node.op.k if isinstance(node.op, Conv | Pool) and box.role != "block" else None
        items[name] = Volume(
            name,
            node.type.shape,
            caption_of(shapes[node.name]),
            (_operation(box, len(graph.inputs)),),
            _sides(kernel, node.type.rank),
        )
        edges.update(dict.fromkeys((source, name) for source in sources))
    folded = sum(box.role == "block" for box in boxes.values())
    return Volumes(graph.name, tuple(items.values()), tuple(edges), folded, diagram.levels)


def _operation(box: DiagramNode, inputs: int) -> str:
    """What makes a volume; an input is named where there are several."""
    if box.role == "block":
        return f"block {box.title}"
    if box.title.startswith("input "):
        return f"input {box.name}" if inputs > 1 else "input"
    return box.title


def _sides(kernel: object, rank: int) -> tuple[int, ...]:
    if rank != 2 or kernel is None:
        return ()
    sides = tuple(kernel) if isinstance(kernel, tuple | list) else (kernel, kernel)
    return tuple(int(k) for k in sides) if len(sides) == 2 else ()
