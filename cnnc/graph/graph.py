"""The data structure that every later stage reads: an immutable graph of typed layers.

In: nodes from lowering or from a pass. Out: `Node`, `Graph`, and `verify`, which runs after each pass. A node's name is
also the name of its output, and of its row in every report.
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
    """One layer: its op, the names of the nodes that it reads, and the type of its output.

    `owner` is the layer whose name its parameters carry (`conv1` in `conv1.weight`); "" means the node itself, that is,
    they are not shared. `span` is its position in the source, `calls` are the block calls around it, outermost first,
    `path` their names.
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
        """The layer whose name its parameters carry: the owner, or the node itself."""
        return self.owner or self.name


class ExpandedCall(Record):
    """One call of a block: its full name, as in `Node.path`, the block, and the values of its parameters, in order.

    `layers` are the nodes that were given for parameters. `input` is the node that the body starts from and `output` the
    node that it ends with; "" if there is none.
    """

    name: str
    block: str
    arguments: tuple[tuple[str, object], ...]
    layers: tuple[tuple[str, str], ...]
    input: str
    output: str
    span: Span


class Graph(Record):
    """Nodes in topological order; `outputs` are names of nodes.

    `sized` says that the source computes with a symbolic size, so that the layers are valid for one size only. `calls` are
    the block calls of the source, which computing needs no more, but who writes the network as source again does.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    sized: bool = False
    quiet_fields: ClassVar[tuple[str, ...]] = ("calls",)
    calls: tuple[ExpandedCall, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def inputs(self) -> tuple[Node, ...]:
        """The inputs of the network, in order."""
        return tuple(node for node in self.nodes if node.op.arity == 0 and node.op.keyword == "input")

    def input_types(self, node: Node) -> tuple[TensorType, ...]:
        """The types that a node reads."""
        return tuple(self.by_name[name].type for name in node.inputs)

    def parameters(self, node: Node) -> tuple[Parameter, ...]:
        """The parameters and buffers of a node."""
        return node.op.parameters(*self.input_types(node))

    @cached_property
    def weights(self) -> dict[str, Parameter]:
        """All parameters and buffers by full name (`conv1.weight`), shared ones once."""
        weights: dict[str, Parameter] = {}
        for node in self.nodes:
            for parameter in self.parameters(node):
                weights.setdefault(f"{node.parameter_owner}.{parameter.name}", parameter)
        return weights

    @cached_property
    def parameter_names(self) -> dict[str, dict[str, str]]:
        """For each node, the full names (`conv1.weight`) of its parameters and buffers by short name (`weight`)."""
        return {
            node.name: {p.name: f"{node.parameter_owner}.{p.name}" for p in self.parameters(node)}
            for node in self.nodes
        }

    def macs(self, node: Node) -> int:
        """The multiply-adds of a node for one sample, see `Op.macs`."""
        return node.op.macs(*self.input_types(node))

    @cached_property
    def consumers(self) -> dict[str, tuple[Node, ...]]:
        """For each node, the nodes that read it, in order."""
        consumers: dict[str, list[Node]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                consumers[name].append(node)
        return {name: tuple(nodes) for name, nodes in consumers.items()}

    @cached_property
    def total_parameters(self) -> int:
        """The number of trainable parameters, frozen ones included."""
        return sum(p.size for p in self.weights.values() if p.trainable)

    @property
    def starts_at_random(self) -> bool:
        """Whether any parameter begins with random elements: none does in a network without parameters, or if all are given."""
        return any(parameter.is_drawn for parameter in self.weights.values())

    @property
    def total_buffers(self) -> int:
        """The number of elements in all buffers, such as running statistics."""
        return sum(p.size for p in self.weights.values() if not p.trainable)

    @cached_property
    def total_macs(self) -> int:
        """The multiply-adds of all nodes for one sample."""
        return sum(self.macs(node) for node in self.nodes)

    @cached_property
    def total_elements(self) -> int:
        """The number of elements in the outputs of all nodes for one sample."""
        return sum(node.type.size for node in self.nodes)


def needed_nodes(graph: Graph, outputs: Iterable[str]) -> list[Node]:
    """The nodes that computing these outputs needs, in order, themselves included."""
    names = set(outputs)
    for node in reversed(graph.nodes):
        if node.name in names:
            names.update(node.inputs)
    return [node for node in graph.nodes if node.name in names]


def subgraph(graph: Graph, outputs: Iterable[str]) -> Graph:
    """The part of the graph that computes these outputs, from the inputs that they need."""
    names = tuple(dict.fromkeys(outputs))
    return graph.replace(nodes=tuple(needed_nodes(graph, names)), outputs=names)


def verify(graph: Graph) -> Graph:
    """Returns the graph if it is well formed; raises ValueError otherwise, which is a bug in the pass that built it.

    Well formed: names are unique; each node follows its inputs; types are those that the ops compute; outputs exist;
    parameters of one owner have one shape.
    """
    seen: dict[str, TensorType] = {}
    owned: dict[str, Parameter] = {}
    for node in graph.nodes:
        if node.name in seen:
            raise ValueError(f"two nodes are named {node.name}")
        missing = [name for name in node.inputs if name not in seen]
        if missing:
            raise ValueError(f"{node.name} reads {missing[0]}, which no earlier node defines")
        types = tuple(seen[name] for name in node.inputs)
        computed = node.op.output(*types)
        if computed != node.type:
            raise ValueError(f"{node.name} has type {node.type}, but its op computes {computed}")
        for parameter in node.op.parameters(*types):
            name = f"{node.parameter_owner}.{parameter.name}"
            if owned.setdefault(name, parameter).shape != parameter.shape:
                raise ValueError(f"{name} has two shapes")
        seen[node.name] = node.type
    for name in graph.outputs:
        if name not in seen:
            raise ValueError(f"the output {name} is not a node")
    return graph
