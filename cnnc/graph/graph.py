"""The one data structure that every later stage reads: an immutable graph of typed layers.

In: nodes, made by the language's lowering or by a pass. Out: `Node`, `Graph`, and `verify`, which a pass
calls on what it made. A node's name is the name of its value, and of its line in every report.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import ClassVar

from cnnc.core.record import Record
from cnnc.core.tensor import Parameter, TensorType
from cnnc.diagnostics import Note, Span
from cnnc.ops.base import Op


class Node(Record):
    """One layer: its op, the names of the nodes it reads, and the type of what it makes.

    `owner` is the layer under whose name its parameters are kept (`conv1` in `conv1.weight`), itself
    unless they are shared. `span` is the line it came from, `calls` the block calls that led there, `path` their names.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    type: TensorType
    quiet_fields: ClassVar[tuple[str, ...]] = ("span", "calls", "path")
    span: Span | None = None
    calls: tuple[Note, ...] = ()
    owner: str = ""
    path: tuple[str, ...] = ()

    @property
    def parameter_owner(self) -> str:
        return self.owner or self.name


class Graph(Record):
    """Nodes in an order in which each follows those it reads; `outputs` are names of nodes.

    `sized` says that the text uses a size as a number, so that the layers are those of one size alone.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    sized: bool = False

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.op.arity == 0 and node.op.keyword == "input")

    def input_types(self, node: Node) -> tuple[TensorType, ...]:
        return tuple(self.by_name[name].type for name in node.inputs)

    def parameters(self, node: Node) -> tuple[Parameter, ...]:
        """What a node reads of what was learned, running statistics included."""
        return node.op.parameters(*self.input_types(node))

    @cached_property
    def weights(self) -> dict[str, Parameter]:
        """All parameters and buffers by their full names (`conv1.weight`), shared ones once."""
        found: dict[str, Parameter] = {}
        for node in self.nodes:
            for parameter in self.parameters(node):
                found.setdefault(f"{node.parameter_owner}.{parameter.name}", parameter)
        return found

    @cached_property
    def parameter_names(self) -> dict[str, dict[str, str]]:
        """For each node, the full names of its parameters and buffers by their short ones."""
        return {
            node.name: {p.name: f"{node.parameter_owner}.{p.name}" for p in self.parameters(node)}
            for node in self.nodes
        }

    def macs(self, node: Node) -> int:
        return node.op.macs(*self.input_types(node))

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """For each node, the nodes that read it, in order."""
        found: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def total_parameters(self) -> int:
        return sum(p.size for p in self.weights.values() if p.trainable)

    @property
    def total_buffers(self) -> int:
        return sum(p.size for p in self.weights.values() if not p.trainable)

    @cached_property
    def total_macs(self) -> int:
        return sum(self.macs(node) for node in self.nodes)

    @cached_property
    def total_elements(self) -> int:
        """The numbers in all values that one example makes."""
        return sum(node.type.size for node in self.nodes)


def needed(graph: Graph, wanted: Iterable[str]) -> list[Node]:
    """The nodes that these need, themselves included, in order."""
    names = set(wanted)
    for node in reversed(graph.nodes):
        if node.name in names:
            names.update(node.inputs)
    return [node for node in graph.nodes if node.name in names]


def part(graph: Graph, outputs: Iterable[str]) -> Graph:
    """The graph of what these layers need, its inputs included, with them as its outputs."""
    wanted = tuple(dict.fromkeys(outputs))
    return graph.replace(nodes=tuple(needed(graph, wanted)), outputs=wanted)


def verify(graph: Graph) -> Graph:
    """Returns the graph if it is well formed; a ValueError here is a defect of the pass that made it.

    Holds: names are unique; each node follows its inputs; types are what the ops say; outputs exist; one
    owner's parameters have one shape.
    """
    seen: dict[str, TensorType] = {}
    owned: dict[str, Parameter] = {}
    for node in graph.nodes:
        if node.name in seen:
            raise ValueError(f"two nodes are named {node.name}")
        missing = [name for name in node.inputs if name not in seen]
        if missing:
            raise ValueError(f"{node.name} reads {missing[0]} before it is made")
        types = tuple(seen[name] for name in node.inputs)
        made = node.op.output(*types)
        if made != node.type:
            raise ValueError(f"{node.name} is typed {node.type} where its op makes {made}")
        for parameter in node.op.parameters(*types):
            name = f"{node.parameter_owner}.{parameter.name}"
            if owned.setdefault(name, parameter).shape != parameter.shape:
                raise ValueError(f"{name} has two shapes")
        seen[node.name] = node.type
    for name in graph.outputs:
        if name not in seen:
            raise ValueError(f"the output {name} is no node")
    return graph
