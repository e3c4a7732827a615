"""Graph to Graph, for training alone: the same values of what is wanted, the same gradients, fewer passes over memory.

In: a graph and the layers whose values are wanted. Out: a graph for the engine, whose layers keep the names of what
they make. Where only a ReLU reads a batch norm, both are one layer, and where only a max pool reads a ReLU, the
ReLU comes after it, on fewer values: max(relu(x)) = relu(max(x)), and so for the gradients, to the last bit.
It is neither checked, nor shown, nor exported.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnnc.graph.graph import Graph, Node
from cnnc.ops.activation import Relu
from cnnc.ops.norm import BatchNorm
from cnnc.ops.pool import GlobalPool, Pool


class BatchNormRelu(BatchNorm):
    """A batch norm, and the ReLU that alone reads it."""


def for_training(graph: Graph, wanted: Iterable[str]) -> Graph:
    """The graph with its ReLUs after max pools and within batch norms. Layers that are wanted keep their values."""
    kept = set(wanted)
    return _into_norms(_after_pools(graph, kept), kept)


def _only_reader(graph: Graph, node: Node, kept: set[str]) -> Node | None:
    """What alone wants a layer's value."""
    readers = graph.consumers[node.name]
    return readers[0] if len(readers) == 1 and node.name not in kept else None


def _after_pools(graph: Graph, kept: set[str]) -> Graph:
    nodes: list[Node] = []
    moved: dict[str, Node] = {}
    for node in graph.nodes:
        if isinstance(node.op, Relu) and _is_max(_only_reader(graph, node, kept)):
            moved[node.name] = node
            continue
        relu = moved.get(node.inputs[0]) if node.inputs else None
        if relu is None:
            nodes.append(node)
            continue
        # the value of each name changes, but for that of the last, which keeps the pool's name
        pool = node.replace(name=relu.name, inputs=relu.inputs)
        nodes += [pool, relu.replace(name=node.name, inputs=(pool.name,), type=pool.type)]
    return graph.replace(nodes=tuple(nodes))


def _is_max(node: Node | None) -> bool:
    return node is not None and isinstance(node.op, Pool | GlobalPool) and node.op.kind == "max"


def _into_norms(graph: Graph, kept: set[str]) -> Graph:
    nodes: list[Node] = []
    inner: dict[str, Node] = {}
    for node in graph.nodes:
        reader = _only_reader(graph, node, kept) if isinstance(node.op, BatchNorm) else None
        if reader is not None and isinstance(reader.op, Relu):
            inner[node.name] = node
            continue
        norm = inner.get(node.inputs[0]) if node.inputs else None
        if norm is not None:
            op = BatchNormRelu(**{name: getattr(norm.op, name) for name in norm.op.fields})
            node = node.replace(op=op, inputs=norm.inputs, owner=norm.parameter_owner)
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))
