"""A network as boxes and edges, without coordinates: layers, block calls that are folded into one box, and frames.

In: a `Graph`, the shapes of its outputs as texts, and the depth to which block calls are unfolded. Out: a `Diagram`, which
the drawing, Mermaid and DOT show alike.

    diagram_of(graph, depth=1)     # each block call of the network is one box
    diagram_of(graph)              # every layer is a box; the layers of a block call have a frame
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cnnc.core.tensor import format_shape
from cnnc.graph.graph import Graph, Node
from cnnc.ops.activation import Activation, Dropout, DropPath
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Bilinear, Fc, Input
from cnnc.ops.filter import Filter
from cnnc.ops.local import Local
from cnnc.ops.merge import Merge
from cnnc.ops.norm import Affine, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, Normalize
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.sequence import Embed
from cnnc.ops.spectrogram import Spectrogram
from cnnc.view.drawing import LayerRole

MOST_BOXES = 40
"""With more boxes than this, a diagram is hard to take in: `usual_depth` folds blocks."""

_ROLES: dict[LayerRole, tuple[type[Op], ...]] = {
    "end": (Input,),
    "conv": (Conv, ConvTranspose, Local, Filter, Spectrogram),
    "dense": (Fc, Bilinear, Embed),
    "pool": (Pool, GlobalPool, Unpool, Upsample, Maxout),
    "norm": (BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm, Normalize, Affine),
    "activation": (Activation,),
    "merge": (Merge,),
    "dropout": (Dropout, DropPath),
}


class DiagramNode(NamedTuple):
    """A box: a layer, a folded block call, or an output of the network.

    `name` is unique, `title` what the source writes, `shape` that of its output ("" if the title says it), `parameters` the
    number of its own, `owner` the layer or block whose parameters it uses instead. `layers` is the number that a folded block
    stands for. `path` are the names of the frames around it, outermost first. `details` are the shapes that it reads and gives,
    and those of its weights, for readers who ask for more.
    """

    name: str
    title: str
    role: LayerRole
    shape: str
    parameters: int = 0
    layers: int = 1
    owner: str = ""
    path: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """The name without the names of the frames."""
        return self.name.removeprefix(f"{self.path[-1]}.") if self.path else self.name


class DiagramEdge(NamedTuple):
    """What a box reads: `tensor` is the layer whose output it is, within the box `source`, `operand` its position."""

    source: str
    tensor: str
    target: str
    operand: int
    shape: str


class DiagramGroup(NamedTuple):
    """A frame: an unfolded block call with the boxes whose `path` leads through it; `path` ends with its own name."""

    name: str
    title: str
    parameters: int
    layers: int
    path: tuple[str, ...]

    @property
    def label(self) -> str:
        """Its name within the frame around it, and the block call: `stage2: stage 128 4`."""
        name = self.name.removeprefix(f"{self.path[-2]}.") if len(self.path) > 1 else self.name
        return f"{name}: {self.title}" if self.title else name


class Diagram(NamedTuple):
    """A network as boxes in topological order, edges by target, and frames by name; outer frames come first.

    `levels` is how deeply block calls are nested in the network."""

    name: str
    nodes: tuple[DiagramNode, ...]
    edges: tuple[DiagramEdge, ...]
    groups: Mapping[str, DiagramGroup]
    by_name: Mapping[str, DiagramNode]
    layers: int
    parameters: int
    depth: int
    levels: int

    def nested(self) -> Iterator[DiagramNode | DiagramGroup | None]:
        """Boxes in order, after each frame that begins there; None where a frame ends."""
        around: tuple[str, ...] = ()
        for node in self.nodes:
            shared = common(around, node.path)
            yield from (None for _ in around[shared:])
            yield from (self.groups[name] for name in node.path[shared:])
            yield node
            around = node.path
        yield from (None for _ in around)

    def label_of(self, edge: DiagramEdge) -> str:
        """The shape that is written beside an edge: where it changes, and after folded blocks; else ""."""
        nodes = self.by_name
        return edge.shape if nodes[edge.source].shape and nodes[edge.target].role != "end" else ""

    @property
    def description(self) -> str:
        """One sentence for readers who do not see the drawing."""
        folded = sum(node.layers > 1 or node.role == "block" for node in self.nodes)
        blocks = f", {folded} of them folded blocks" if folded else ""
        return f"{self.layers:,} layers in {len(self.nodes):,} boxes{blocks}, {self.parameters:,} parameters"


def common(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """How many frames two paths share."""
    return next(
        (i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(second)),
    )


def diagram_of(graph: Graph, depth: int = 0, shapes: Mapping[str, str] | None = None) -> Diagram:
    """The diagram of a graph. Block calls that are nested `depth` deep are folded into a box each; 0 folds none.

    `shapes` are the output shapes as texts, where they depend on symbols.
    """
    shapes = shapes if shapes is not None else {node.name: str(node.type) for node in graph.nodes}
    box_of = {node.name: _box_name(node, depth) for node in graph.nodes}
    members: dict[str, list[Node]] = {}
    for node in graph.nodes:
        members.setdefault(box_of[node.name], []).append(node)
    edges, inputs = _edges(graph, box_of, shapes)
    boxes = [_box(graph, name, nodes, depth, inputs[name], shapes) for name, nodes in members.items()]
    for name in graph.outputs:
        output = f"output of {name}"  # no layer has a name with spaces
        title = f"output {shapes[name]}" if len(graph.outputs) == 1 else f"output {name}: {shapes[name]}"
        boxes.append(DiagramNode(output, title, "end", ""))
        edges.append(DiagramEdge(box_of[name], name, output, 0, shapes[name]))
    return Diagram(
        graph.name,
        tuple(boxes),
        tuple(edges),
        _groups(graph, depth),
        {box.name: box for box in boxes},
        len(graph.nodes),
        graph.total_parameters,
        depth,
        max((len(node.path) for node in graph.nodes), default=0),
    )


def usual_depth(graph: Graph, most: int = MOST_BOXES) -> int:
    """The depth that unfolds as much as `most` boxes allow; 0 if all layers are as few, or if there are no blocks."""
    levels = max((len(node.path) for node in graph.nodes), default=0)
    counts = {depth: len({_box_name(node, depth) for node in graph.nodes}) for depth in range(1, levels + 1)}
    if len(graph.nodes) <= most or not counts:
        return 0
    return max((depth for depth, count in counts.items() if count <= most), default=1)


def role_of(op: Op) -> LayerRole:
    """The kind of a layer."""
    return next((role for role, classes in _ROLES.items() if isinstance(op, classes)), "reshape")


def _box_name(node: Node, depth: int) -> str:
    return node.path[depth - 1] if 0 < depth <= len(node.path) else node.name


def _edges(
    graph: Graph, box_of: Mapping[str, str], shapes: Mapping[str, str]
) -> tuple[list[DiagramEdge], dict[str, list[str]]]:
    """The edges between boxes, each tensor once per box, and for each box the shapes that it reads."""
    edges: list[DiagramEdge] = []
    read: dict[str, list[str]] = {name: [] for name in box_of.values()}
    seen: set[tuple[str, str]] = set()
    for node in graph.nodes:
        target = box_of[node.name]
        for tensor in node.inputs:
            if box_of[tensor] == target or (tensor, target) in seen:
                continue
            seen.add((tensor, target))
            edges.append(DiagramEdge(box_of[tensor], tensor, target, len(read[target]), shapes[tensor]))
            read[target].append(shapes[tensor])
    return edges, read


def _box(
    graph: Graph, name: str, nodes: list[Node], depth: int, inputs: list[str], shapes: Mapping[str, str]
) -> DiagramNode:
    if name == nodes[0].name:
        return _layer_box(graph, nodes[0], inputs, shapes)
    call = _call_title(nodes[0], depth)
    title = call or name.rsplit(".", 1)[-1]
    owners = {n.owner.removesuffix(n.name.removeprefix(name)) for n in nodes if n.owner}
    owner = owners.pop() if len(owners) == 1 else ""
    return DiagramNode(
        name,
        title,
        "block",
        shapes[nodes[-1].name],
        sum(_parameters(graph, node) for node in nodes),
        len(nodes),
        owner,
        nodes[0].path[: depth - 1],
        (f"{' and '.join(inputs)} → {shapes[nodes[-1].name]}",),
    )


def _layer_box(graph: Graph, node: Node, inputs: list[str], shapes: Mapping[str, str]) -> DiagramNode:
    op, shape = node.op, shapes[node.name]
    if isinstance(op, Input):
        return DiagramNode(node.name, f"input {shape} {op.brief()}".strip(), "end", "", path=node.path)
    title = " ".join(f"{op.keyword} {op.brief()}".split())
    shown = "" if inputs and all(each == shape for each in inputs) else shape
    parameters = _parameters(graph, node)
    details = (
        f"{' and '.join(inputs)} → {shape}",
        *(f"{p.name} {format_shape(p.shape)}" for p in graph.parameters(node)),
    )
    return DiagramNode(node.name, title, role_of(op), shown, parameters, 1, node.owner, node.path, details)


def _parameters(graph: Graph, node: Node) -> int:
    """The parameters of a layer, 0 if they are those of another one."""
    return sum(p.size for p in graph.parameters(node) if p.trainable) if not node.owner else 0


def _groups(graph: Graph, depth: int) -> dict[str, DiagramGroup]:
    groups: dict[str, DiagramGroup] = {}
    for node in graph.nodes:
        frames = node.path if depth == 0 else node.path[: depth - 1]
        parameters = _parameters(graph, node)
        for level, name in enumerate(frames, 1):
            known = groups.get(name) or DiagramGroup(name, _call_title(node, level), 0, 0, frames[:level])
            groups[name] = known._replace(parameters=known.parameters + parameters, layers=known.layers + 1)
    return groups


def _call_title(node: Node, level: int) -> str:
    """The block call at this level as the source writes it: `stage 64 3 s=1`; a nested one, whose arguments are names, by its block."""
    if len(node.calls) < level:
        return ""
    words = node.calls[level - 1].span.text.split("{")[0].split("\n")[0].split()
    if words and words[0].endswith(":"):
        words = words[1:]
    return " ".join(words if level == 1 else words[:1])
